// SPDX-License-Identifier: Apache-2.0
// The budget, the schedule and the retention on the real binaries, against a simulated Google that counts.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { Service, eventually, startService } from './lib/service.mjs';
import { startSimulator } from './lib/simulator.mjs';

const PATIENT = { timeout: 120000, every: 50 };
const END = /^(completed|partial|failed|cancelled)$/;

async function begin(t, { args, env }) {
	const google = await startSimulator({ t, args });
	const service = await startService({ t, simulator: google, env });
	const key = await service.key('admin');
	return { google, service, key };
}

async function startJob({ service, key }, branch_id) {
	const answer = await service.post('/api/v1/review-fetch', { branch_id }, { key });
	assert.equal(answer.status, 202, answer.text);
	return answer.json.job_id;
}

const status = async ({ service, key }, id) => (await service.get(`/api/v1/status/${id}`, { key })).json;
const ended = (it, id) => eventually(async () => {
	const job = await status(it, id);
	assert.match(job.status, END, JSON.stringify(job));
	return job;
}, PATIENT);
const projects = async ({ service, key }) => (await service.get('/api/v1/projects', { key })).json.projects;

// A minute of this Google lasts six seconds, so its 300 a minute are the service's 3,000.
test('a_google_that_enforces_its_quota_sees_no_429_in_steady_state', async (t) => {
	const it = await begin(t, { args: ['--users', '1', '--accounts', '1', '--locations', '12', '--reviews', '2500'],
		env: { GOOGLE_REQUESTS_PER_MINUTE: '3000' } });
	await it.google.control('quota', { per_minute: 300, slack_percent: 0, minute_ms: 6000 });
	await it.service.connect({ key: it.key, branch_id: 'harbour' });
	const began = Date.now();
	const job = await ended(it, await startJob(it, 'harbour'));
	assert.equal(job.status, 'completed', JSON.stringify(job));
	const took = (Date.now() - began) / 1000;
	const counts = await it.google.counts();
	assert.equal(counts.quota_refused, 0, JSON.stringify(counts));
	assert.ok(job.google_calls > 600, `only ${job.google_calls} calls`);
	// Nine tenths of the quota, and no more: the rest is the reserve.
	assert.ok(job.google_calls / took < 46, `${job.google_calls} calls in ${took} s`);
	const [reviews] = (await projects(it)).filter((project) => project.api === 'reviews');
	assert.equal(reviews.status, 'ok');
	assert.equal(reviews.requests_per_minute, 3000);
	assert.match(reviews.answered_at, /Z$/);
});

test('a_project_without_approval_is_told_in_the_job_and_in_the_list_of_projects', async (t) => {
	const it = await begin(t, { args: ['--users', '1', '--locations', '2', '--reviews', '3'] });
	await it.service.connect({ key: it.key, branch_id: 'harbour' });
	await it.google.control('quota', { per_minute: 0 });
	const job = await ended(it, await startJob(it, 'harbour'));
	assert.equal(job.status, 'failed');
	assert.match(job.error, /not approved for the .*: enable it, or ask Google for access/);
	const refused = await eventually(async () => {
		const found = (await projects(it)).find((project) => project.status === 'not_approved');
		assert.ok(found);
		return found;
	});
	assert.match(refused.diagnosis, /not approved/);
	assert.match(refused.project, /^\S+$/);
	const key = await it.service.key('tokens:read,reviews:read', { branches: ['harbour'] });
	assert.deepEqual((await it.service.get('/api/v1/projects', { key })).json.projects, []);
	const ill = it.service.cli('doctor');
	assert.equal(ill.code, 1, ill.stdout);
	assert.match(ill.stdout, /WRONG +project .*not approved for the .*: enable it, or ask Google/);
	await it.google.control('quota', { per_minute: null });
	assert.equal((await ended(it, await startJob(it, 'harbour'))).status, 'completed');
	await eventually(async () => {
		for (const project of await projects(it))
			assert.equal(project.status, 'ok');
	});
	const well = it.service.cli('doctor');
	assert.equal(well.code, 0, well.stdout + well.stderr);
	for (const what of ['settings', 'database', 'vault', 'google', 'clock', 'project'])
		assert.match(well.stdout, new RegExp(`^ok +${what} `, 'm'));
});

test('an_api_that_is_disabled_and_a_429_to_every_call_are_diagnosed_alike', async (t) => {
	const it = await begin(t, { args: ['--users', '1', '--locations', '2', '--reviews', '3'] });
	await it.service.connect({ key: it.key, branch_id: 'harbour' });
	for (const spoilt of [{ status: 403, reason: 'SERVICE_DISABLED' }, { status: 429, retry_after: 1 }]) {
		await it.google.clearFaults();
		await it.google.fault({ target: 'accounts', ...spoilt });
		const job = await ended(it, await startJob(it, 'harbour'));
		assert.equal(job.status, 'failed', JSON.stringify(job));
		assert.match(job.error, /not approved for the .*ask Google for access/);
		await eventually(async () => assert.equal((await projects(it)).find((project) => project.api === 'accounts').status, 'not_approved'));
		assert.match(it.service.cli('doctor').stdout, /WRONG +project .*not approved for the .*ask Google for access/);
	}
});

test('the_doctor_says_what_is_wrong_and_how_to_mend_it', async (t) => {
	const google = await startSimulator({ t });
	const service = await startService({ t, simulator: google });
	const ask = (env) => {
		const other = new Service({ simulator: google, dir: service.dir, env });
		const { code, stdout } = other.cli('doctor');
		assert.equal(code, 1, stdout);
		return stdout;
	};
	assert.match(ask({ API_PORT: '99999' }), /WRONG +settings .*API_PORT/);
	assert.match(ask({ TOKEN_MANAGEMENT_DATABASE_URL: 'postgresql://nobody:x@127.0.0.1:1/none' }), /WRONG +database .*TOKEN_MANAGEMENT_DATABASE_URL/);
	assert.match(ask({ GOOGLE_REVIEWS_URL: 'http://127.0.0.1:1' }), /WRONG +google .*127\.0\.0\.1:1 cannot be reached.*GOOGLE_REVIEWS_URL/);
	assert.match(ask({ KAFKA_BOOTSTRAP_SERVERS: '127.0.0.1:1' }), /WRONG +kafka .*KAFKA_BOOTSTRAP_SERVERS/);
	fs.chmodSync(service.vaultKey, 0o644);
	assert.match(ask({}), /WRONG +vault .*chmod 600/);
});

test('a_branch_that_is_connected_is_read_by_itself', async (t) => {
	const it = await begin(t, { args: ['--users', '1', '--accounts', '1', '--locations', '3', '--reviews', '5'],
		env: { GOOGLE_REQUESTS_PER_MINUTE: '60000', REVIEW_SYNC_INTERVAL_SEC: '2', REVIEW_FULL_SYNC_INTERVAL_SEC: '86400' } });
	await it.service.connect({ key: it.key, branch_id: 'harbour' });
	await eventually(async () => {
		const { jobs } = (await it.service.get('/api/v1/jobs', { key: it.key })).json;
		assert.equal(jobs[0]?.status, 'completed');
		assert.equal(jobs[0].branch_id, 'harbour');
		const { reviews } = (await it.service.get('/api/v1/reviews', { key: it.key })).json;
		assert.equal(reviews.length, jobs[0].reviews.total);
		assert.ok(reviews.length > 0);
	}, PATIENT);
});

test('purging_a_branch_with_its_connection_takes_its_reviews_and_no_other_branchs', async (t) => {
	const it = await begin(t, { args: ['--users', '2', '--accounts', '1', '--locations', '2', '--reviews', '40'],
		env: { GOOGLE_REQUESTS_PER_MINUTE: '60000' } });
	const seen = async (branch) => (await it.service.get(`/api/v1/reviews?branch_id=${branch}&limit=500`, { key: it.key })).json.reviews.length;
	const harbour = await it.service.connect({ key: it.key, branch_id: 'harbour' });
	await it.service.connect({ key: it.key, branch_id: 'quay' });
	for (const branch of ['harbour', 'quay'])
		assert.equal((await ended(it, await startJob(it, branch))).status, 'completed');
	const kept = await seen('quay');
	assert.ok(kept > 0);
	const wrong = await it.service.request('DELETE', `/token-management/clients/${harbour.client_id}?purge=maybe`, { key: it.key });
	assert.equal(wrong.status, 422, wrong.text);
	const gone = await it.service.request('DELETE', `/token-management/clients/${harbour.client_id}?purge=true`, { key: it.key });
	assert.equal(gone.status, 200, gone.text);
	assert.equal(gone.json.purging_reviews, true);
	await eventually(async () => assert.equal(await seen('harbour'), 0), PATIENT);
	assert.equal(await seen('quay'), kept);
});
