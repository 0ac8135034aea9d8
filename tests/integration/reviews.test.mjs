// SPDX-License-Identifier: Apache-2.0
// Reviews from end to end, on the real binaries: what is stored is what the simulated Google has, field by
// field, whatever happens on the way; and what callers of the routes are told.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually, send, startService } from './lib/service.mjs';
import { startSimulator } from './lib/simulator.mjs';

const PATIENT = { timeout: 120000, every: 50 };
const WORLD = ['--users', '1', '--accounts', '3', '--locations', '4', '--reviews', '60'];
const FAST = { GOOGLE_REQUESTS_PER_MINUTE: 600000, RETRY_INITIAL_BACKOFF_MS: 10, RETRY_MAX_BACKOFF_MS: 200 };

async function begin(t, { args = WORLD, env } = {}) {
	const google = await startSimulator({ t, args });
	const service = await startService({ t, simulator: google, env: { ...FAST, ...env } });
	const key = await service.key('admin');
	await service.connect({ key, branch_id: 'harbour' });
	return { google, service, key };
}

async function startJob({ service, key }, body = { branch_id: 'harbour' }) {
	const answer = await service.post('/api/v1/review-fetch', body, { key });
	assert.equal(answer.status, 202, answer.text);
	assert.equal(answer.json.status, 'queued');
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

async function list({ service, key }, where, name) {
	const found = [];
	let cursor = null;
	do {
		const answer = await service.get(`${where}${where.includes('?') ? '&' : '?'}limit=200${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`, { key });
		assert.equal(answer.status, 200, answer.text);
		found.push(...answer.json[name]);
		cursor = answer.json.next_cursor;
	} while (cursor);
	return found;
}

// An instant in whole microseconds, as a string; finer digits are cut.
function micros(text) {
	if (!text)
		return null;
	const [, seconds, fraction = ''] = /^(.*?)(?:\.(\d+))?Z$/.exec(text);
	return `${Date.parse(`${seconds}Z`) / 1000}${fraction.padEnd(6, '0').slice(0, 6)}`;
}

const STARS = { ONE: 1, TWO: 2, THREE: 3, FOUR: 4, FIVE: 5 };
const named = (name, collection) => new RegExp(`${collection}/([^/]+)`).exec(name)[1];

const asGoogleHasIt = (review) => ({
	id: review.reviewId,
	location: named(review.name, 'locations'),
	rating: STARS[review.starRating] ?? null,
	comment: review.comment ?? null,
	reviewer: review.reviewer?.displayName ?? null,
	photo: review.reviewer?.profilePhotoUrl ?? null,
	anonymous: review.reviewer?.isAnonymous ?? false,
	created: micros(review.createTime),
	updated: micros(review.updateTime),
	reply: review.reviewReply?.comment ?? null,
	replied: micros(review.reviewReply?.updateTime),
	state: review.reviewReply?.reviewReplyState ?? null,
});

const asWeHaveIt = (review) => ({
	id: review.google_review_id,
	location: review.location_id,
	rating: review.rating,
	comment: review.comment,
	reviewer: review.reviewer_name,
	photo: review.reviewer_photo_url,
	anonymous: review.is_anonymous,
	created: micros(review.review_created_time),
	updated: micros(review.review_updated_time),
	reply: review.reply_text,
	replied: micros(review.reply_time),
	state: review.reply_state,
});

const sorted = (reviews) => reviews.sort((a, b) => (`${a.location}/${a.id}` < `${b.location}/${b.id}` ? -1 : 1));

async function assertTruth(it) {
	const truth = sorted((await it.google.reviews()).map(asGoogleHasIt));
	const ours = sorted((await list(it, '/api/v1/reviews', 'reviews')).map(asWeHaveIt));
	assert.equal(ours.length, truth.length);
	assert.deepEqual(ours, truth);
	return truth.length;
}

// ---- the walk ----

test('what_is_stored_is_what_google_has_field_by_field', async (t) => {
	const it = await begin(t, { args: [...WORLD, '--shared', '2'] });
	const job = await ended(it, await startJob(it));
	assert.equal(job.status, 'completed', JSON.stringify(job));
	const all = await assertTruth(it);
	assert.deepEqual(job.reviews, { total: all, new: all, changed: 0, unchanged: 0 });
	assert.equal(job.percent, 100);
	assert.deepEqual(job.errors, []);
	const locations = await list(it, '/api/v1/locations', 'locations');
	assert.equal(locations.length, job.locations);
	assert.equal(locations.reduce((sum, one) => sum + one.review_count, 0), all);
	for (const one of locations)
		assert.equal(one.review_count, one.total_review_count);
	assert.equal(locations.filter((one) => one.parents.length === 3).length, 2);
	assert.equal((await list(it, '/api/v1/accounts', 'accounts')).length, 3);
	const counts = await it.google.counts();
	assert.equal(counts.accounts + counts.locations + counts.reviews, job.google_calls);
	// Again: the same calls, and nothing is new.
	const again = await ended(it, await startJob(it));
	assert.deepEqual(again.reviews, { total: all, new: 0, changed: 0, unchanged: all });
	await assertTruth(it);
});

test('three_levels_of_pages_are_read_to_their_ends', async (t) => {
	const it = await begin(t, { args: ['--users', '1', '--accounts', '23', '--locations', '104', '--reviews', '2'] });
	const job = await ended(it, await startJob(it));
	assert.equal(job.status, 'completed', JSON.stringify(job));
	assert.equal(job.accounts, 23);
	assert.equal(job.locations, 23 * 104);
	await assertTruth(it);
});

test('a_token_that_expires_mid_job_is_refreshed_once', async (t) => {
	const it = await begin(t);
	await it.google.fault({ target: 'reviews', latency_ms: 20 });
	const id = await startJob(it);
	await eventually(async () => assert.ok((await it.google.counts()).reviews >= 4), PATIENT);
	const before = (await it.google.counts()).token_refresh;
	await it.google.control('tokens', { op: 'expire_access' });
	const job = await ended(it, id);
	assert.equal(job.status, 'completed', JSON.stringify(job));
	await assertTruth(it);
	assert.equal((await it.google.counts()).token_refresh - before, 1);
});

test('a_grant_that_dies_mid_job_fails_the_job_and_says_reconnect', async (t) => {
	const it = await begin(t);
	await it.google.fault({ target: 'reviews', latency_ms: 20 });
	const id = await startJob(it);
	await eventually(async () => assert.ok((await it.google.counts()).reviews >= 4), PATIENT);
	await it.google.control('tokens', { op: 'kill', user: 0 });
	await it.google.control('tokens', { op: 'expire_access' });
	const job = await ended(it, id);
	assert.equal(job.status, 'failed', JSON.stringify(job));
	assert.match(job.error, /connect/);
});

test('reviews_that_come_and_go_while_pages_are_read_leave_a_true_answer', async (t) => {
	const it = await begin(t);
	await it.google.fault({ target: 'reviews', latency_ms: 15 });
	const id = await startJob(it);
	await eventually(async () => assert.ok((await it.google.counts()).reviews >= 3), PATIENT);
	await it.google.world({ op: 'edit', fraction: 0.05 });
	const job = await ended(it, id);
	assert.match(job.status, /^(completed|partial)$/, JSON.stringify(job));
	// When the dust has settled one more job tells the whole truth.
	const last = await ended(it, await startJob(it));
	assert.equal(last.status, 'completed', JSON.stringify(last));
	await assertTruth(it);
});

test('unverified_locations_are_named_and_cost_nobody_else_a_review', async (t) => {
	const it = await begin(t, { args: [...WORLD, '--unverified-every', '4'] });
	const job = await ended(it, await startJob(it));
	assert.equal(job.status, 'partial', JSON.stringify(job));
	assert.equal(job.errors.length, 3);
	for (const error of job.errors)
		assert.match(error.error, /not verified/);
	const bad = new Set(job.errors.map((error) => error.location_id));
	const truth = (await it.google.reviews()).filter((review) => !bad.has(named(review.name, 'locations')));
	assert.equal((await list(it, '/api/v1/reviews', 'reviews')).length, truth.length);
});

test('a_project_without_access_is_diagnosed_and_asked_no_more', async (t) => {
	const it = await begin(t);
	await it.google.fault({ target: 'reviews', status: 403, reason: 'SERVICE_DISABLED' });
	const job = await ended(it, await startJob(it));
	assert.equal(job.status, 'failed', JSON.stringify(job));
	assert.match(job.error, /Cloud project is not approved/);
	assert.ok((await it.google.counts()).reviews <= 8);
});

test('three_hundred_a_minute_are_never_passed', async (t) => {
	const it = await begin(t, { args: ['--users', '1', '--accounts', '2', '--locations', '5', '--reviews', '20', '--quota', '300'], env: { GOOGLE_REQUESTS_PER_MINUTE: 300 } });
	const job = await ended(it, await startJob(it));
	assert.equal(job.status, 'completed', JSON.stringify(job));
	assert.equal((await it.google.counts()).throttled, 0);
});

test('killed_in_the_middle_a_job_goes_on_from_its_last_page', async (t) => {
	const it = await begin(t);
	await it.google.fault({ target: 'reviews', latency_ms: 25 });
	const id = await startJob(it);
	await eventually(async () => assert.ok((await it.google.counts()).reviews >= 8), PATIENT);
	await it.service.kill();
	await it.service.restart();
	const job = await ended(it, id);
	assert.equal(job.status, 'completed', JSON.stringify(job));
	const all = await assertTruth(it);
	assert.equal(job.reviews.total, all);
	// At most the pages that were under way (four walks) were asked for twice.
	const { reviews } = await it.google.counts();
	const needed = (await it.google.locations()).reduce((sum, one) => sum + Math.max(1, Math.ceil(one.reviews / 50)), 0);
	assert.ok(reviews <= needed + 4, `${reviews} pages asked for, ${needed} needed`);
});

// ---- jobs ----

test('an_identical_job_is_joined', async (t) => {
	const it = await begin(t);
	await it.google.fault({ target: 'reviews', latency_ms: 50 });
	const id = await startJob(it);
	assert.equal(await startJob(it), id);
	await ended(it, id);
	assert.notEqual(await startJob(it), id);
});

test('a_cancelled_job_ends_soon_and_keeps_what_it_has', async (t) => {
	const it = await begin(t);
	await it.google.fault({ target: 'reviews', latency_ms: 100 });
	const id = await startJob(it);
	await eventually(async () => assert.ok((await status(it, id)).reviews.total > 0), PATIENT);
	const answer = await it.service.request('DELETE', `/api/v1/jobs/${id}`, { key: it.key });
	assert.equal(answer.status, 202, answer.text);
	const job = await ended(it, id);
	assert.equal(job.status, 'cancelled');
	assert.ok((await list(it, '/api/v1/reviews', 'reviews')).length >= job.reviews.total);
	const again = await it.service.request('DELETE', `/api/v1/jobs/${id}`, { key: it.key });
	assert.equal(again.status, 409, again.text);
});

test('a_token_of_the_callers_own_is_used_and_never_seen_again', async (t) => {
	const it = await begin(t);
	const { access_token: token } = await it.google.mint();
	const id = await startJob(it, { access_token: `  ${token}\n` });
	const job = await ended(it, id);
	assert.equal(job.status, 'completed', JSON.stringify(job));
	assert.equal(job.branch_id, null);
	await assertTruth(it);
	assert.ok(!JSON.stringify(job).includes(token));
	assert.ok(!JSON.stringify(it.service.logs()).includes(token));
	await it.service.kill();
	await it.service.restart();
	const lost = await startJob(it, { access_token: token });
	await it.service.kill();
	await it.service.restart();
	const end = await ended(it, lost);
	assert.ok(end.status === 'completed' || /held in memory only/.test(end.error), JSON.stringify(end));
});

test('what_callers_do_wrong_is_said_in_the_originals_words', async (t) => {
	const it = await begin(t);
	const { service, key } = it;
	await service.register({ key, branch_id: 'unconnected' });
	const cases = [
		[{ access_token: ' \t' }, 401, 'Invalid access token'],
		[{ access_token: '' }, 422],
		[{ access_token: 5 }, 422],
		[{ access_token: 'ya29.one\r\nX-Other: 1' }, 422], // no header can carry it
		[{}, 422],
		[{ branch_id: 'harbour', access_token: 'x' }, 422],
		[{ branch_id: 'harbour', mode: 'slow' }, 422],
		[{ branch_id: 'nowhere' }, 404],
		[{ branch_id: 'unconnected' }, 409],
	];
	for (const [body, wanted, detail] of cases) {
		const answer = await service.post('/api/v1/review-fetch', body, { key });
		assert.equal(answer.status, wanted, `${JSON.stringify(body)}: ${answer.text}`);
		assert.equal(answer.headers['content-type'], 'application/problem+json');
		if (detail)
			assert.equal(answer.json.detail, detail);
	}
	const missing = await service.get('/api/v1/status/none', { key });
	assert.equal(missing.status, 404);
	assert.equal(missing.json.detail, 'Job none not found');
	for (const query of ['rating=6', 'rating=x', 'replied=maybe', 'since=yesterday', 'order=best', 'limit=501', 'cursor=abc'])
		assert.equal((await service.get(`/api/v1/reviews?${query}`, { key })).status, 422, query);
	assert.equal((await service.get('/api/v1/reviews/999999', { key })).status, 404);
});

test('a_key_bound_to_other_branches_sees_nothing_of_this_one', async (t) => {
	const it = await begin(t);
	const id = await startJob(it);
	await ended(it, id);
	const bound = await it.service.key('reviews:read,reviews:fetch', { branches: 'elsewhere', name: 'bound' });
	const see = { service: it.service, key: bound };
	for (const [where, name] of [['/api/v1/reviews', 'reviews'], ['/api/v1/locations', 'locations'], ['/api/v1/accounts', 'accounts'], ['/api/v1/jobs', 'jobs'], ['/api/v1/reviews?branch_id=harbour', 'reviews']])
		assert.deepEqual(await list(see, where, name), [], where);
	for (const where of [`/api/v1/status/${id}`, '/api/v1/reviews/1', `/api/v1/stream/nested?job_id=${id}`])
		assert.equal((await it.service.get(where, { key: bound })).status, 404, where);
	assert.equal((await it.service.request('DELETE', `/api/v1/jobs/${id}`, { key: bound })).status, 404);
	assert.equal((await it.service.post('/api/v1/review-fetch', { branch_id: 'harbour' }, { key: bound })).status, 404);
	assert.equal((await it.service.post('/api/v1/review-fetch', { access_token: 'x' }, { key: bound })).status, 403);
	const right = await it.service.key('reviews:read', { branches: 'harbour', name: 'right' });
	assert.ok((await list({ service: it.service, key: right }, '/api/v1/reviews', 'reviews')).length > 0);
});

// ---- the stream ----

// The events of a stream until it ends: { id, event, data }.
async function stream({ service, key }, query) {
	const began = Date.now();
	const answer = await send('GET', `${service.url}/api/v1/stream/nested?${query}`, { key, timeout: 60000 });
	const events = answer.text.split('\n\n').filter((part) => part && !part.startsWith(':')).map((part) => {
		const fields = Object.fromEntries(part.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]));
		return { id: fields.id, event: fields.event, data: fields.data && JSON.parse(fields.data) };
	});
	return { ...answer, events, took: Date.now() - began };
}

test('a_stream_tells_a_job_in_the_originals_shape_and_ends_with_it', async (t) => {
	const it = await begin(t);
	await it.google.fault({ target: 'reviews', latency_ms: 50 });
	const session = await it.service.post('/api/v1/stream-session', { branch_id: 'harbour' }, { key: it.key });
	assert.equal(session.status, 201, session.text);
	assert.equal(session.json.expires_in_sec, 120);
	const told = await stream(it, `session_id=${session.json.session_id}&emit_interval_ms=50&max_wait_sec=60`);
	assert.equal(told.status, 200, told.text);
	assert.match(told.headers['content-type'], /^text\/event-stream/);
	assert.ok(told.took < 30000, 'it ends when the job ends, not at the deadline');
	const kinds = told.events.map((one) => one.event);
	assert.equal(kinds[0], 'job');
	assert.equal(kinds.at(-1), 'done');
	assert.deepEqual(told.events.at(-1).data, {});
	assert.ok(kinds.slice(1, -1).length > 2 && kinds.slice(1, -1).every((kind) => kind === 'nested'));
	assert.equal(new Set(told.events.map((one) => one.id)).size, told.events.length, 'every event has an id of its own');
	const last = told.events.at(-2).data;
	assert.equal(last.job_id, told.events[0].data.job_id);
	const all = (await it.google.reviews()).length;
	assert.deepEqual(last.stats, { accounts: 3, locations: 12, reviews: all });
	assert.deepEqual(last.joins_ok, { 'account.account_id == location.google_account_id': true, 'location.location_id == review.location_id': true });
	assert.deepEqual(Object.keys(last.accounts[0]), ['account', 'locations', 'stats']);
	assert.deepEqual(Object.keys(last.accounts[0].account), ['id', 'account_id', 'client_id', 'google_account_name', 'account_display_name', 'created_at', 'updated_at']);
	assert.deepEqual(Object.keys(last.accounts[0].locations[0]), ['id', 'location_id', 'client_id', 'google_account_id', 'location_name', 'location_title', 'address', 'phone', 'category', 'created_at', 'updated_at', 'reviews']);
	const review = last.accounts.flatMap((one) => one.locations).flatMap((one) => one.reviews)[0];
	assert.deepEqual(Object.keys(review), ['id', 'client_id', 'account_id', 'location_id', 'google_review_id', 'rating', 'comment', 'reviewer_name', 'reviewer_photo_url', 'review_created_time', 'reply_text', 'reply_time', 'created_at', 'updated_at']);
	// A session works once.
	assert.equal((await stream(it, `session_id=${session.json.session_id}`)).status, 404);
});

test('a_stream_of_a_job_that_has_ended_is_one_snapshot_within_its_bounds', async (t) => {
	const it = await begin(t);
	const id = await startJob(it);
	await ended(it, id);
	const told = await stream(it, `job_id=${id}&max_accounts=2&max_locations_total=3&max_reviews_per_location=5`);
	assert.deepEqual(told.events.map((one) => one.event), ['nested', 'done']);
	const { data } = told.events[0];
	assert.equal(data.accounts.length, 2);
	assert.equal(data.stats.locations, 3);
	assert.ok(data.accounts.flatMap((one) => one.locations).every((one) => one.reviews.length <= 5));
});

test('a_stream_ends_at_its_deadline_when_the_job_does_not', async (t) => {
	const it = await begin(t);
	await it.google.fault({ target: 'reviews', status: 429, retry_after: 3600 });
	const id = await startJob(it);
	const told = await stream(it, `job_id=${id}&max_wait_sec=5`);
	assert.equal(told.events.at(-1).event, 'done');
	assert.ok(told.took >= 4500 && told.took < 15000, `${told.took} ms`);
	const job = await status(it, id);
	assert.equal(job.status, 'waiting', JSON.stringify(job));
	assert.ok(Date.parse(job.waiting_until) - Date.now() > 3000000);
});

test('a_stream_wants_exactly_one_of_job_and_session', async (t) => {
	const it = await begin(t);
	for (const query of ['', 'job_id=a&session_id=b']) {
		const answer = await stream(it, query);
		assert.equal(answer.status, 400, answer.text);
		assert.equal(answer.json.detail, 'Provide exactly one of job_id or session_id');
	}
	for (const query of ['job_id=', 'session_id=', 'job_id=a&max_wait_sec=4', 'job_id=a&max_wait_sec=601', 'job_id=a&max_accounts=0', 'job_id=a&emit_interval_ms=49', 'job_id=a&max_reviews_per_location=5001', 'job_id=a&max_locations_total=10001'])
		assert.equal((await stream(it, query)).status, 422, query);
	assert.equal((await stream(it, 'job_id=none')).status, 404);
	assert.equal((await stream(it, 'session_id=none')).status, 404);
});
