// SPDX-License-Identifier: Apache-2.0
// A review job among dying processes and a Google that misbehaves: every review comes, once, and the status
// tells the truth on the way.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { eventually, makeFolder, startService, startSimulator } from '../integration/lib/service.mjs';

const PATIENT = { timeout: 120000, every: 100 };
// 2 accounts × 3 locations × 120 reviews, exactly.
const WORLD = ['--users', '1', '--accounts', '2', '--locations', '3', '--reviews', '120', '--reviews-exact'];
const ALL = 2 * 3 * 120;
const WALKS_A_JOB = 4; // at once

async function begin(t, { args = WORLD, env } = {}) {
	const google = await startSimulator({ t, args });
	const service = await startService({
		t, simulator: google,
		env: { GOOGLE_REQUESTS_PER_MINUTE: 600000, RETRY_INITIAL_BACKOFF_MS: 10, RETRY_MAX_BACKOFF_MS: 200, ...env },
	});
	const key = await service.key('admin');
	await service.connect({ key, branch_id: 'harbour' });
	return { google, service, key };
}

async function startJob({ service, key }) {
	const answer = await service.post('/api/v1/review-fetch', { branch_id: 'harbour' }, { key });
	assert.equal(answer.status, 202, answer.text);
	return answer.json.job_id;
}

async function status({ service, key }, id) {
	const answer = await service.get(`/api/v1/status/${id}`, { key });
	assert.equal(answer.status, 200, answer.text);
	return answer.json;
}

const ended = async (it, id) => eventually(async () => {
	const job = await status(it, id);
	assert.match(job.status, /^(completed|partial|failed|cancelled)$/, JSON.stringify(job));
	return job;
}, PATIENT);

// Every stored review, through the list and its cursors.
async function stored({ service, key }) {
	const found = [];
	let cursor = '';
	do {
		const answer = await service.get(`/api/v1/reviews?limit=500&branch_id=harbour${cursor && `&cursor=${encodeURIComponent(cursor)}`}`, { key });
		assert.equal(answer.status, 200, answer.text);
		found.push(...answer.json.reviews);
		cursor = answer.json.next_cursor;
	} while (cursor);
	return found;
}

function assertEachOnce(reviews, count) {
	const names = reviews.map((r) => `${r.location_id}/${r.google_review_id ?? r.review_id}`);
	assert.equal(new Set(names).size, names.length, 'a review is stored twice');
	assert.equal(names.length, count);
}

test('killed_at_random_pages_a_job_goes_on_and_every_review_comes_once', async (t) => {
	const it = await begin(t);
	await it.google.fault({ target: 'reviews', latency_ms: 40 });
	const id = await startJob(it);
	const kills = 5;
	let pages = 0;
	for (let i = 0; i < kills; i++) {
		pages += 1 + Math.floor(Math.random() * 3);
		await eventually(async () => {
			const { reviews } = await it.google.counts();
			assert.ok(reviews >= pages);
		}, PATIENT);
		await it.service.kill();
		await it.service.restart();
	}
	const job = await ended(it, id);
	assert.equal(job.status, 'completed', JSON.stringify(job));
	assertEachOnce(await stored(it), ALL);
	// A kill costs at most the pages that were under way: one a walk.
	const counts = await it.google.counts();
	const needed = 6 * Math.ceil(120 / 50);
	assert.ok(counts.reviews <= needed + kills * WALKS_A_JOB, `${counts.reviews} review pages for ${needed}`);
});

// Not between pages but at any instant: in the middle of a transaction, of a checkpoint, of an answer.
test('killed_at_any_instant_a_job_loses_nothing_and_repeats_a_page_a_walk', async (t) => {
	const it = await begin(t, { args: ['--users', '1', '--accounts', '1', '--locations', '6', '--reviews', '400', '--reviews-exact'] });
	const id = await startJob(it);
	const delays = [];
	let job;
	while (delays.length < 12 && (job = await status(it, id)).status !== 'completed') {
		delays.push(Math.floor(Math.random() * 250));
		await new Promise((resolve) => setTimeout(resolve, delays.at(-1)));
		await it.service.kill();
		await it.service.restart();
	}
	t.diagnostic(`killed after ${delays.join(', ')} ms; then ${job.pages} pages were stored`);
	job = await ended(it, id);
	assert.equal(job.status, 'completed', JSON.stringify(job));
	assert.equal(job.reviews.new, 6 * 400);
	assert.equal(job.pages, 1 + 1 + 6 * 8);
	assertEachOnce(await stored(it), 6 * 400);
	assert.deepEqual(tally(await events(it)), { 'review.new': 6 * 400 });
	const { reviews } = await it.google.counts();
	assert.ok(reviews <= 6 * 8 + delays.length * WALKS_A_JOB, `${reviews} review pages after ${delays.length} kills`);
});

// Every review event that was ever written, in order.
async function events({ service, key }) {
	const found = [];
	let cursor = '';
	do {
		const answer = await service.get(`/api/v1/events?kind=review&limit=500${cursor && `&cursor=${cursor}`}`, { key, headers: { accept: 'application/json' } });
		assert.equal(answer.status, 200, answer.text);
		found.push(...answer.json.events);
		cursor = answer.json.next_cursor;
	} while (cursor);
	return found;
}

const tally = (list) => list.reduce((all, event) => ({ ...all, [event.event]: (all[event.event] ?? 0) + 1 }), {});

test('killed_at_random_pages_each_change_is_told_once', async (t) => {
	const it = await begin(t);
	await ended(it, await startJob(it));
	assert.deepEqual(tally(await events(it)), { 'review.new': ALL });
	for (const op of ['edit', 'answer', 'delete', 'add'])
		await it.google.control('POST', '/world', { op, all: true, salt: op.length });
	await it.google.fault({ target: 'v4', latency_ms: 40 });
	const id = await startJob(it);
	for (let i = 0; i < 4; i++) {
		const before = (await it.google.counts()).reviews;
		await eventually(async () => assert.ok((await it.google.counts()).reviews > before + (i % 2) || /completed/.test((await status(it, id)).status)), PATIENT);
		await it.service.kill();
		await it.service.restart();
	}
	const job = await ended(it, id);
	assert.equal(job.status, 'completed', JSON.stringify(job));
	const found = await events(it);
	assert.equal(new Set(found.map((e) => e.event_id)).size, found.length);
	// The dice may edit and answer one review, or delete what was edited: what is stored says how often.
	const changes = Object.fromEntries(Object.entries(job.changes).filter(([kind, n]) => n && kind !== 'new').map(([kind, n]) => [`review.${kind}`, n]));
	assert.deepEqual(tally(found), { ...changes, 'review.new': ALL + 6 });
	assert.equal(job.changes.deleted, 6);
	assertEachOnce(await stored(it), ALL);
	await it.google.control('DELETE', '/faults');
	const again = await ended(it, await startJob(it));
	assert.equal(Object.values(again.changes).reduce((sum, n) => sum + n, 0), 0);
	assert.equal((await events(it)).length, found.length);
});

test('a_google_that_dies_and_returns_delays_a_job_but_loses_nothing', async (t) => {
	// The file keeps its grants over its death, as Google would.
	const state = path.join(makeFolder(), 'google.state');
	const it = await begin(t, { args: [...WORLD, '--state', state], env: { RETRY_MAX_RETRIES: 50 } });
	await it.google.fault({ target: 'reviews', latency_ms: 30 });
	const id = await startJob(it);
	await eventually(async () => assert.ok((await it.google.counts()).reviews >= 2), PATIENT);
	const { port } = it.google;
	await it.google.kill();
	await it.service.waitForLog('job.retry');
	it.google.port = port;
	await it.google.start();
	const job = await ended(it, id);
	assert.equal(job.status, 'completed', JSON.stringify(job));
	assertEachOnce(await stored(it), ALL);
});

for (const fault of [
	{ name: 'resets', reset: true }, { name: 'truncated_bodies', truncate: true }, { name: 'pages_instead_of_json', non_json: true },
	{ name: 'empty_answers', empty: true }, { name: 'server_errors', status: 503 }, { name: 'throttling', status: 429, retry_after: 1 },
])
	test(`${fault.name}_on_the_way_do_not_cost_a_review`, async (t) => {
		const it = await begin(t);
		const { name, ...rest } = fault;
		assert.ok(name);
		for (const target of ['accounts', 'locations', 'reviews'])
			await it.google.fault({ target, skip: target === 'reviews' ? 3 : 0, count: 2, ...rest });
		const job = await ended(it, await startJob(it));
		assert.equal(job.status, 'completed', JSON.stringify(job));
		assertEachOnce(await stored(it), ALL);
	});

test('a_token_that_ends_mid_job_is_refreshed_once_and_the_job_goes_on', async (t) => {
	const it = await begin(t);
	const before = await it.google.counts();
	await it.google.fault({ target: 'reviews', skip: 4, count: 1, status: 401 });
	const job = await ended(it, await startJob(it));
	assert.equal(job.status, 'completed', JSON.stringify(job));
	assertEachOnce(await stored(it), ALL);
	assert.equal((await it.google.counts()).token_refresh - before.token_refresh, 1);
});

test('one_location_that_cannot_be_read_leaves_its_neighbours_alone_and_the_job_partial', async (t) => {
	const it = await begin(t);
	const { locations } = await it.google.control('GET', '/world/locations');
	await it.google.fault({ target: 'reviews', match: String(locations[0].id ?? locations[0].location_id ?? locations[0].name).replace(/^locations\//, ''), status: 404 });
	const job = await ended(it, await startJob(it));
	assert.equal(job.status, 'partial', JSON.stringify(job));
	assertEachOnce(await stored(it), ALL - 120);
	assert.ok(JSON.stringify(job).includes('404') || job.errors?.length === 1, JSON.stringify(job));
});
