// SPDX-License-Identifier: Apache-2.0
// Processes on one database share the work: no review job runs twice, what a killed process had under way is taken
// up by the others, due places are read once, and Google's quota is one budget over all of them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startFleet } from '../integration/lib/fleet.mjs';
import { startPostgres } from '../integration/lib/postgres.mjs';
import { startProxy } from '../integration/lib/proxy.mjs';
import { eventually, startSimulator } from '../integration/lib/service.mjs';

const PATIENT = { timeout: 180000, every: 100 };
const QUICKLY = { GOOGLE_REQUESTS_PER_MINUTE: 600000, RETRY_INITIAL_BACKOFF_MS: 10, RETRY_MAX_BACKOFF_MS: 200 };
const WALKS_A_JOB = 4; // at once
let postgres;

before(async () => {
	postgres = await startPostgres();
});
after(() => postgres?.remove());

const branches = (count) => Array.from({ length: count }, (_, i) => `shop-${i}`);

// A fleet whose processes each have a proxy of their own before Google.
async function begin(t, { processes, shops, locations, reviews, env, latency_ms = 0 }) {
	const google = await startSimulator({ t, args: ['--users', String(shops), '--accounts', '1', '--locations', String(locations),
		'--reviews', String(reviews), '--reviews-exact'] });
	const fleet = await startFleet({ t, simulator: google, postgres, count: 0, env });
	const proxies = [];
	for (let i = 0; i < processes; i++) {
		const proxy = await startProxy({ t, target: google.url });
		proxies.push(proxy);
		await fleet.add({ env: proxy.env(google) }).start();
		fleet.key ??= await fleet.first.key('admin');
	}
	await fleet.connect(branches(shops));
	if (latency_ms)
		await google.fault({ target: 'reviews', latency_ms });
	return { google, fleet, proxies };
}

// How often each page of reviews was asked for: { 'location?page': n }.
function pagesOf(proxy) {
	const asked = {};
	for (const call of proxy.calls) {
		const found = /\/locations\/(\d+)\/reviews\?(.*)$/.exec(call.path);
		if (found) {
			const page = `${found[1]}?${new URLSearchParams(found[2]).get('pageToken') ?? ''}`;
			asked[page] = (asked[page] ?? 0) + 1;
		}
	}
	return asked;
}

function sum(tables) {
	const all = {};
	for (const table of tables)
		for (const [name, n] of Object.entries(table))
			all[name] = (all[name] ?? 0) + n;
	return all;
}

// One job for each shop, handed to the processes in turn, as a balancer does. With `inTurn` each is taken up
// before the next comes: who is asked first would take them all, for a process holds more jobs than there are.
async function startJobs({ fleet }, shops, { inTurn = false } = {}) {
	const jobs = [];
	const start = async (branch_id, i) => {
		const answer = await fleet.all[i % fleet.all.length].post('/api/v1/review-fetch', { branch_id }, { key: fleet.key });
		assert.equal(answer.status, 202, answer.text);
		jobs.push(answer.json.job_id);
	};
	const begun = () => assert.deepEqual(fleet.query("SELECT branch_id FROM jobs WHERE status = 'queued'"), []);
	if (!inTurn)
		await Promise.all(branches(shops).map(start));
	else
		for (const [i, branch] of branches(shops).entries()) {
			await start(branch, i);
			await eventually(begun, PATIENT);
		}
	assert.equal(new Set(jobs).size, shops);
}

test('jobs_are_divided_none_runs_twice_and_a_killed_process_is_replaced', async (t) => {
	const size = { processes: 3, shops: 20, locations: 1, reviews: 120 };
	const it = await begin(t, { ...size, latency_ms: 150, env: QUICKLY });
	await startJobs(it, size.shops, { inTurn: true });
	const [, , dying] = it.fleet.all;
	await eventually(() => assert.ok(Object.keys(pagesOf(it.proxies[2])).length >= 4), PATIENT);
	await dying.kill();
	const taken = it.fleet.query("SELECT branch_id FROM jobs WHERE status <> 'completed'").length;
	assert.ok(taken > 0, 'there was nothing left to take up');
	await eventually(() => {
		const left = it.fleet.query("SELECT branch_id, status FROM jobs WHERE status <> 'completed'");
		assert.deepEqual(left, []);
	}, PATIENT);
	const jobs = it.fleet.query('SELECT id, branch_id, fence FROM jobs');
	assert.equal(jobs.length, size.shops);
	const claims = jobs.map(([, , fence]) => Number(fence));
	t.diagnostic(`claims of jobs: ${claims.join(' ')}`);
	const [[stored]] = it.fleet.query('SELECT count(*) FROM reviews');
	assert.equal(Number(stored), size.shops * size.locations * size.reviews);
	// Each page once, but for those that the killed process was reading: one a walk.
	const parts = it.proxies.map(pagesOf);
	for (const [i, part] of parts.entries()) {
		assert.ok(Object.keys(part).length > 0, `process ${i} had no part in it`);
		for (const [page, n] of Object.entries(part))
			assert.equal(n, 1, `process ${i} asked ${n} times for ${page}`);
	}
	const all = sum(parts);
	const again = Object.keys(all).filter((page) => all[page] > 1);
	t.diagnostic(`pages by process: ${parts.map((part) => Object.keys(part).length).join(' ')}; read again: ${again.length}`);
	const byLocation = {};
	for (const page of again) {
		assert.equal(all[page], 2, page);
		assert.ok(parts[2][page], `${page} was read twice by processes that lived`);
		const [location] = page.split('?');
		byLocation[location] = (byLocation[location] ?? 0) + 1;
	}
	assert.ok(Object.values(byLocation).every((n) => n === 1), 'more than a page of a location was read again');
	assert.ok(again.length <= WALKS_A_JOB * Math.ceil(size.shops / size.processes));
	assert.equal(Object.keys(all).length, size.shops * size.locations * Math.ceil(size.reviews / 50));
});

test('what_is_due_is_read_by_one_process_each_time', async (t) => {
	const size = { processes: 3, shops: 6, locations: 2, reviews: 5 };
	const it = await begin(t, { ...size, env: { ...QUICKLY, REVIEW_FULL_SYNC_INTERVAL_SEC: '86400' } });
	const done = () => it.fleet.query("SELECT branch_id FROM jobs WHERE status = 'completed'").map(([branch]) => branch).sort();
	await eventually(() => assert.equal(new Set(done()).size, size.shops), PATIENT);
	assert.deepEqual(done(), branches(size.shops).sort(), 'a branch was read twice');
	const all = sum(it.proxies.map(pagesOf));
	assert.equal(Object.keys(all).length, size.shops * size.locations);
	assert.deepEqual([...new Set(Object.values(all))], [1], 'a place was read twice');
});

// A minute of this Google lasts six seconds, so its 60 a minute are the fleet's 600.
test('the_quota_of_a_project_is_one_budget_over_all_processes', async (t) => {
	const size = { processes: 2, shops: 6, locations: 20, reviews: 2 };
	const it = await begin(t, { ...size, env: { ...QUICKLY, GOOGLE_REQUESTS_PER_MINUTE: 600 } });
	await it.google.control('POST', '/quota', { per_minute: 60, slack_percent: 0, minute_ms: 6000 });
	const began = Date.now();
	await startJobs(it, size.shops);
	await eventually(() => assert.equal(it.fleet.query("SELECT 1 FROM jobs WHERE status = 'completed'").length, size.shops), PATIENT);
	const seconds = (Date.now() - began) / 1000;
	const counts = await it.google.counts();
	const parts = it.proxies.map((proxy) => Object.keys(pagesOf(proxy)).length);
	t.diagnostic(`${counts.reviews} pages in ${seconds} s, by process: ${parts.join(' ')}`);
	assert.equal(counts.quota_refused, 0, JSON.stringify(counts));
	assert.equal(counts.reviews, size.shops * size.locations);
	assert.ok(parts.every((n) => n > 0), 'one process had nothing');
	// Nine tenths of the quota, and no more: the rest is the reserve.
	assert.ok(counts.reviews / seconds < 10, `${counts.reviews} pages in ${seconds} s are more than the quota`);
});
