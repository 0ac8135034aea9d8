// SPDX-License-Identifier: Apache-2.0
// What happens to reviews at Google, seen from outside: history, events, counts, and what it costs in calls.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startPostgres } from './lib/postgres.mjs';
import { eventually, startService } from './lib/service.mjs';
import { startSimulator } from './lib/simulator.mjs';

const PATIENT = { timeout: 120000, every: 50 };
const FAST = { GOOGLE_REQUESTS_PER_MINUTE: 600000, RETRY_INITIAL_BACKOFF_MS: 10, RETRY_MAX_BACKOFF_MS: 100, RETRY_MAX_RETRIES: 2 };

async function begin(t, { args, env, postgres } = {}) {
	const google = await startSimulator({ t, args });
	const service = await startService({ t, simulator: google, postgres, env: { ...FAST, ...env } });
	const key = await service.key('admin');
	await service.connect({ key, branch_id: 'harbour' });
	return { google, service, key };
}

const get = async ({ service, key }, where) => {
	const answer = await service.get(where, { key });
	assert.equal(answer.status, 200, answer.text);
	return answer.json;
};

// A whole pass, and the calls that it took by the simulator's count.
async function pass(it, mode) {
	const sum = (counts) => ['accounts', 'locations', 'reviews', 'review', 'batch'].reduce((all, kind) => all + (counts[kind] ?? 0), 0);
	const before = sum(await it.google.counts());
	const answer = await it.service.post('/api/v1/review-fetch', { branch_id: 'harbour', mode }, { key: it.key });
	assert.equal(answer.status, 202, answer.text);
	const job = await eventually(async () => {
		const state = await get(it, `/api/v1/status/${answer.json.job_id}`);
		assert.match(state.status, /^(completed|partial|failed|cancelled)$/, JSON.stringify(state));
		return state;
	}, PATIENT);
	const calls = sum(await it.google.counts()) - before;
	assert.equal(job.google_calls, calls);
	return { ...job, calls };
}

async function all({ service, key }, where, name) {
	const found = [];
	let cursor = null;
	do {
		const answer = await service.get(`${where}${where.includes('?') ? '&' : '?'}limit=500${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`, { key });
		assert.equal(answer.status, 200, answer.text);
		found.push(...answer.json[name]);
		cursor = answer.json.next_cursor;
	} while (cursor);
	return found;
}

const NONE = { new: 0, edited: 0, reply_added: 0, reply_changed: 0, reply_removed: 0, deleted: 0, restored: 0 };
const world = async (it, op) => (await it.google.control('world', op)).applied;

async function story(t, postgres) {
	const it = await begin(t, { postgres, args: ['--users', '1', '--accounts', '1', '--locations', '4', '--reviews', '70', '--reviews-exact'] });
	assert.deepEqual((await pass(it, 'full')).changes, { ...NONE, new: 280 });
	const { locations } = await it.google.control('world/locations');
	const where = String(locations[0].name ?? locations[0].id);
	const [edited] = await world(it, { op: 'edit', location: where, rating: 1, comment: 'The soup was cold 🥣' });
	const [answered] = await world(it, { op: 'answer', location: where, comment: 'Come again' });
	const [deleted] = await world(it, { op: 'delete', location: where, salt: 99 });
	await world(it, { op: 'add', location: where, rating: 5 });
	let job = await pass(it, 'full');
	assert.equal(job.status, 'completed', JSON.stringify(job));
	assert.deepEqual(job.changes, { ...NONE, new: 1, edited: 1, reply_added: 1, deleted: 1 });
	assert.deepEqual((await pass(it, 'full')).changes, NONE);

	const gone = await all(it, '/api/v1/reviews?deleted=true', 'reviews');
	assert.deepEqual(gone.map((r) => r.google_review_id), [deleted.review]);
	assert.ok(gone[0].deleted_at);
	const live = await all(it, '/api/v1/reviews', 'reviews');
	assert.equal(live.length, 280);
	const found = live.find((r) => r.google_review_id === edited.review);
	const one = await get(it, `/api/v1/reviews/${found.id}`);
	const last = one.history.filter((h) => h.kind === 'edited').at(-1);
	assert.equal(last.after.comment, 'The soup was cold 🥣');
	assert.equal(last.after.rating, 1);
	assert.notEqual(last.before.comment, last.after.comment);
	assert.match(last.event_id, /^[0-9a-f]{32}$/);
	assert.ok(last.changed_at && last.detected_at);

	await world(it, { op: 'restore', location: where });
	await world(it, { op: 'change_reply', location: where, review: answered.review, comment: 'Come again soon' });
	assert.deepEqual((await pass(it, 'full')).changes, { ...NONE, restored: 1, reply_changed: 1 });
	await world(it, { op: 'remove_reply', location: where, review: answered.review });
	job = await pass(it, 'full');
	assert.deepEqual(job.changes, { ...NONE, reply_removed: 1 });
	assert.deepEqual(job.reviews, { total: 281, new: 0, changed: 1, unchanged: 280 });
	const reply = live.find((r) => r.google_review_id === answered.review);
	const story = (await get(it, `/api/v1/reviews/${reply.id}`)).history.map((h) => h.kind);
	assert.deepEqual(story.slice(-3), ['reply_added', 'reply_changed', 'reply_removed']);
}

test('each_kind_of_change_is_counted_kept_and_shown_once', (t) => story(t));

test('each_kind_of_change_is_counted_kept_and_shown_once_on_postgresql', async (t) => story(t, await startPostgres({ t })));

test('a_quick_pass_asks_about_fifty_locations_at_a_time_and_reads_those_with_news', async (t) => {
	const it = await begin(t, { args: ['--users', '1', '--accounts', '2', '--locations', '150', '--reviews', '8'] });
	const first = await pass(it, 'full');
	assert.equal(first.status, 'completed', JSON.stringify(first));
	assert.ok(first.calls > 300);
	const quiet = await pass(it, 'quick');
	assert.equal(quiet.status, 'completed');
	assert.equal(quiet.locations, 300);
	assert.equal(quiet.calls, 6);
	const { count } = await it.google.control('world', { op: 'edit', fraction: 0.02 });
	const busy = await pass(it, 'quick');
	assert.equal(busy.changes.edited, count);
	assert.equal(busy.calls, 6 + count);
	for (const one of await all(it, '/api/v1/locations', 'locations'))
		assert.ok(one.last_synced_at >= busy.created_at, JSON.stringify(one));
});

for (const [name, prepare] of [
	['empty', (it) => it.google.control('settings', { batch_empty: true })],
	['refused', (it) => it.google.fault({ target: 'batch', status: 400 })],
	['unsupported', (it) => it.google.fault({ target: 'batch', status: 501 })],
	['broken', (it) => it.google.fault({ target: 'batch', status: 500 })],
])
	test(`where_batches_come_back_${name}_every_location_is_listed`, async (t) => {
		const it = await begin(t, { args: ['--users', '1', '--accounts', '1', '--locations', '60', '--reviews', '4'] });
		await pass(it, 'full');
		await prepare(it);
		const { count } = await it.google.control('world', { op: 'add', fraction: 0.2 });
		const job = await pass(it, 'quick');
		assert.equal(job.status, 'completed', JSON.stringify(job));
		assert.equal(job.changes.new, count);
		assert.equal(job.locations, 60);
	});

test('a_location_that_is_not_verified_is_parked_with_its_reason_and_comes_back', async (t) => {
	const it = await begin(t, { args: ['--users', '1', '--accounts', '1', '--locations', '5', '--reviews', '4'] });
	await pass(it, 'full');
	const { locations } = await it.google.control('world/locations');
	const where = String(locations[2].name ?? locations[2].id);
	await world(it, { op: 'unverify', location: where });
	const job = await pass(it, 'quick'); // one bad location makes Google refuse the whole batch
	assert.equal(job.status, 'partial');
	assert.equal(job.errors.length, 1);
	assert.match(job.errors[0].error, /not verified/);
	const parked = (await all(it, '/api/v1/locations', 'locations')).filter((l) => l.parked_at);
	assert.equal(parked.length, 1);
	assert.match(parked[0].parked_reason, /not verified/);
	assert.ok(parked[0].retry_at > parked[0].parked_at);
	const again = await pass(it, 'quick');
	assert.equal(again.status, 'partial');
	assert.match(again.errors[0].error, /left alone for a while/);
	assert.equal(again.calls, 1);
	await world(it, { op: 'verify', location: where });
	assert.equal((await pass(it, 'full')).status, 'completed');
	assert.equal((await all(it, '/api/v1/locations', 'locations')).filter((l) => l.parked_at || l.last_error).length, 0);
});

test('five_thousand_reviews_of_one_location_come_whole', async (t) => {
	const it = await begin(t, { args: ['--users', '1', '--accounts', '1', '--locations', '1', '--reviews', '5300', '--reviews-exact'] });
	const job = await pass(it, 'full');
	assert.equal(job.status, 'completed', JSON.stringify(job));
	assert.equal(job.reviews.new, 5300);
	assert.equal(job.calls, 2 + 106);
	await world(it, { op: 'delete', all: true, count: 3 });
	await world(it, { op: 'add', all: true, count: 2 });
	const quick = await pass(it, 'quick'); // the count disagrees, so everything is read
	assert.equal(quick.status, 'completed', JSON.stringify(quick));
	assert.deepEqual(quick.changes, { ...NONE, new: 2, deleted: 3 });
});
