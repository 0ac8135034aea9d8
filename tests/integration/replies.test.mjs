// SPDX-License-Identifier: Apache-2.0
// Replies from end to end: put, changed, moderated, taken away, once for one key whatever happens in between.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { after, before, test } from 'node:test';
import { eventually, send, startService, startSimulator } from './lib/service.mjs';

const FAST = { GOOGLE_REQUESTS_PER_MINUTE: 600000, REVIEW_SYNC_INTERVAL_SEC: 0 };
let google;
let service;
let key;
let unanswered; // of different locations each

before(async () => {
	google = await startSimulator({ args: ['--users', '1', '--accounts', '1', '--locations', '14', '--reviews', '12'] });
	service = await startService({ simulator: google, env: FAST });
	key = await service.key('admin');
	await service.connect({ key, branch_id: 'harbour' });
	const job = await service.post('/api/v1/review-fetch', { branch_id: 'harbour' }, { key });
	await eventually(async () => {
		const { json } = await service.get(`/api/v1/status/${job.json.job_id}`, { key });
		assert.equal(json.status, 'completed', JSON.stringify(json));
	}, { timeout: 120000, every: 100 });
	const { reviews } = (await service.get('/api/v1/reviews?limit=500&replied=false', { key })).json;
	unanswered = [...new Map(reviews.map((one) => [one.location_id, one])).values()];
	assert.ok(unanswered.length >= 11, `${unanswered.length}`);
});
after(async () => {
	await service?.end();
	await google?.end();
});

const put = (id, comment, { as = key, idempotency, to = service } = {}) => to.request('PUT', `/api/v1/reviews/${id}/reply`,
	{ key: as, json: { comment }, headers: idempotency ? { 'Idempotency-Key': idempotency } : {} });
const remove = (id, as = key) => service.request('DELETE', `/api/v1/reviews/${id}/reply`, { key: as });
const atGoogle = async (review) => {
	const { text } = await send('GET', `${google.url}/_control/world/locations/${review.location_id}/reviews`);
	return text.trim().split('\n').map((line) => JSON.parse(line)).find((one) => one.reviewId === review.google_review_id);
};
const puts = async () => Object.values((await google.counts()).by_kind.reply_put ?? {}).reduce((sum, n) => sum + n, 0);
const one = async (id) => (await service.get(`/api/v1/reviews/${id}`, { key })).json;

test('a_reply_is_put_shown_changed_and_taken_away_each_with_its_history_and_event', async () => {
	const review = unanswered[0];
	const answer = await put(review.id, 'Thank you, Ünal! 😀');
	assert.equal(answer.status, 200, answer.text);
	assert.equal(answer.json.reply_text, 'Thank you, Ünal! 😀');
	assert.ok(answer.json.reply_state);
	assert.equal((await atGoogle(review)).reviewReply.comment, 'Thank you, Ünal! 😀');
	assert.equal((await put(review.id, 'Thanks')).json.reply_text, 'Thanks');
	const gone = await remove(review.id);
	assert.equal(gone.status, 200, gone.text);
	assert.equal(gone.json.reply_text, null);
	assert.equal((await atGoogle(review)).reviewReply, undefined);
	const kinds = (await one(review.id)).history.map((change) => change.kind);
	assert.deepEqual(kinds, ['new', 'reply_added', 'reply_changed', 'reply_removed']);
	assert.equal((await remove(review.id)).status, 200); // nothing is left to do
	await eventually(async () => { // PostgreSQL orders what was committed a moment later
		const { events } = (await service.get('/api/v1/events?kind=review.reply_added,review.reply_changed,review.reply_removed&after=0&limit=500',
			{ key, headers: { Accept: 'application/json' } })).json;
		assert.deepEqual(events.filter((event) => event.ref === review.google_review_id).map((event) => event.event),
			['review.reply_added', 'review.reply_changed', 'review.reply_removed']);
	}, { timeout: 20000, every: 100 });
	const { json: audit } = await service.get('/token-management/audit?action=reply.put', { key });
	assert.ok(JSON.stringify(audit).includes('reply.put'));
});

test('what_google_makes_of_a_reply_is_shown', async () => {
	await google.control('POST', '/settings', { reply_state: 'PENDING' });
	const answer = await put(unanswered[1].id, 'Come again');
	assert.equal(answer.json.reply_state, 'PENDING', answer.text);
	assert.equal((await one(unanswered[1].id)).reply_state, 'PENDING');
	assert.ok('reply_policy_violation' in answer.json);
});

test('bytes_are_counted_and_not_characters', async () => {
	const { id } = unanswered[2];
	const long = await put(id, 'ü'.repeat(2049));
	assert.equal(long.status, 422);
	assert.match(long.json.errors[0].msg, /4098 bytes/);
	assert.equal((await put(id, ' ')).status, 422);
	assert.equal((await put(id, 'ü'.repeat(2048))).status, 200);
});

test('a_key_replies_once_and_is_answered_the_same_again', async () => {
	const review = unanswered[3];
	const idempotency = crypto.randomUUID();
	const before = await puts();
	const first = await put(review.id, 'Once', { idempotency });
	assert.equal(first.status, 200, first.text);
	const second = await put(review.id, 'Once', { idempotency });
	assert.equal(second.status, 200);
	assert.equal(second.headers['idempotency-replayed'], 'true');
	assert.equal(second.text, first.text);
	assert.equal(await puts() - before, 1);
	assert.equal((await put(review.id, 'Twice', { idempotency })).status, 422);
	assert.equal((await put(review.id, 'x', { idempotency: 'ü' })).status, 422);
});

test('the_same_key_at_the_same_time_replies_once', async () => {
	const review = unanswered[4];
	const idempotency = crypto.randomUUID();
	const before = await puts();
	const answers = await Promise.all(Array.from({ length: 6 }, () => put(review.id, 'Together', { idempotency })));
	for (const answer of answers)
		assert.ok(answer.status === 200 || (answer.status === 409 && answer.headers['retry-after']), answer.text);
	assert.ok(answers.some((answer) => answer.status === 200));
	assert.equal(await puts() - before, 1);
});

test('ten_edits_a_minute_for_a_profile_and_the_rest_is_told_when', async () => {
	const { id } = unanswered[5];
	let last;
	for (let i = 0; i < 12; i++) {
		last = await put(id, `Edit ${i}`);
		if (last.status !== 200)
			break;
	}
	assert.equal(last.status, 429, last.text);
	assert.ok(Number(last.headers['retry-after']) >= 1);
	assert.equal((await put(unanswered[6].id, 'Another profile')).status, 200);
});

test('errors_of_google_are_told_for_what_they_are', async () => {
	for (const [i, status, ours] of [[7, 403, [403, 409]], [8, 404, [404]], [9, 503, [503]], [10, 429, [429]]]) {
		await google.fault({ target: 'reply_put', status, count: 1 });
		const answer = await put(unanswered[i].id, 'Hello');
		assert.ok(ours.includes(answer.status), `${status}: ${answer.status} ${answer.text}`);
		if (status === 503 || status === 429)
			assert.ok(answer.headers['retry-after'], answer.text);
		assert.equal((await atGoogle(unanswered[i])).reviewReply, undefined);
	}
});

test('a_key_without_the_scope_or_the_branch_cannot_reply', async () => {
	const reader = await service.key('reviews:read');
	assert.equal((await put(unanswered[0].id, 'No', { as: reader })).status, 403);
	const other = await service.key('reviews:reply', { branches: ['elsewhere'] });
	assert.equal((await put(unanswered[0].id, 'No', { as: other })).status, 404);
	assert.equal((await put(999999999, 'No')).status, 404);
});
