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
	google = await startSimulator({ args: ['--users', '1', '--accounts', '1', '--locations', '30', '--reviews', '12'] });
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
	assert.ok(unanswered.length >= 18, `${unanswered.length}`);
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

test('a_reply_of_4096_bytes_is_taken_and_one_of_4097_or_none_or_with_control_characters_is_not', async () => {
	const { id } = unanswered[11];
	const most = '😀'.repeat(1024);
	const before = await puts();
	for (const [comment, words] of [[`${most}x`, /4097 bytes/], ['', /0 bytes/], ['a\u0000b', /NUL/], ['a\u0007b', /control character/], ['a\u007fb', /control/]]) {
		const answer = await put(id, comment);
		assert.equal(answer.status, 422, answer.text);
		assert.match(answer.json.errors[0].msg, words);
		assert.deepEqual(answer.json.errors[0].loc, ['body', 'comment']);
	}
	assert.equal(await puts(), before);
	const answer = await put(id, most);
	assert.equal(answer.json.reply_text, most, answer.text);
	assert.equal((await put(id, 'Two\nlines,\tand\u00a0more')).json.reply_text, 'Two\nlines,\tand\u00a0more');
});

test('a_reply_that_google_rejects_is_shown_with_the_policy_and_told_as_a_change', async () => {
	const review = unanswered[12];
	await google.control('POST', '/settings', { reply_state: 'PENDING' });
	assert.equal((await put(review.id, 'Call 555-0100')).json.reply_state, 'PENDING');
	const { name } = await atGoogle(review);
	await google.control('POST', '/world', { op: 'change_reply', review: name, comment: 'Call 555-0100', reply_state: 'REJECTED', policy_violation: 'PHONE_NUMBER' });
	const job = await service.post('/api/v1/review-fetch', { branch_id: 'harbour', mode: 'full' }, { key });
	await eventually(async () => assert.equal((await service.get(`/api/v1/status/${job.json.job_id}`, { key })).json.status, 'completed'), { timeout: 60000 });
	const shown = await one(review.id);
	assert.equal(shown.reply_state, 'REJECTED');
	assert.equal(shown.reply_policy_violation, 'PHONE_NUMBER');
	assert.equal(shown.history.at(-1).kind, 'reply_changed');
	await eventually(async () => {
		const { events } = (await service.get('/api/v1/events?kind=review.reply_changed&after=0&limit=500', { key, headers: { Accept: 'application/json' } })).json;
		const event = events.find((found) => found.ref === review.google_review_id);
		assert.equal(event?.data.reply_state, 'REJECTED');
		assert.equal(event.data.reply_policy_violation, 'PHONE_NUMBER');
	}, { timeout: 20000, every: 100 });
	await google.control('POST', '/settings', { reply_state: 'APPROVED' });
	const mended = await put(review.id, 'Call us');
	assert.equal(mended.json.reply_state, 'APPROVED');
	assert.equal(mended.json.reply_policy_violation, null);
});

test('a_reply_to_a_review_that_google_has_no_more_is_answered_404', async () => {
	const review = unanswered[13];
	await google.control('POST', '/world', { op: 'delete', review: (await atGoogle(review)).name });
	const answer = await put(review.id, 'Too late');
	assert.equal(answer.status, 404, answer.text);
	assert.match(answer.json.detail, /Google has no such review/);
	const job = await service.post('/api/v1/review-fetch', { branch_id: 'harbour', mode: 'full' }, { key });
	await eventually(async () => assert.equal((await service.get(`/api/v1/status/${job.json.job_id}`, { key })).json.status, 'completed'), { timeout: 60000 });
	const before = await puts();
	const later = await put(review.id, 'Much too late');
	assert.equal(later.status, 404);
	assert.match(later.json.detail, /was deleted at Google/);
	assert.equal(await puts(), before, 'Google is not asked');
});

test('a_reply_at_a_location_that_is_not_verified_is_refused_in_words', async () => {
	const review = unanswered[14];
	await google.control('POST', '/world', { op: 'unverify', location: review.location_id });
	const answer = await put(review.id, 'Hello');
	assert.equal(answer.status, 409, answer.text);
	assert.match(answer.json.detail, /not verified/);
});

test('a_project_that_is_not_approved_is_named_to_who_replies', async () => {
	await google.fault({ target: 'reply_put', status: 403, reason: 'SERVICE_DISABLED', count: 1 });
	const answer = await put(unanswered[15].id, 'Hello');
	assert.equal(answer.status, 502, answer.text);
	assert.match(answer.json.detail, /not approved for the .*: enable it, or ask Google for access/);
	await eventually(async () => {
		const { projects } = (await service.get('/api/v1/projects', { key })).json;
		assert.equal(projects.find((found) => found.api === 'reviews').status, 'not_approved');
	}, { timeout: 20000, every: 50 });
	assert.equal((await put(unanswered[15].id, 'Hello')).status, 200, 'nothing keeps it from trying');
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

// The last one: the connection is dead behind it.
test('a_branch_whose_grant_is_dead_cannot_reply_and_is_told_to_connect_again', async () => {
	await google.control('POST', '/tokens', { op: 'kill', user: 'manager-1@shop.example' });
	await google.control('POST', '/tokens', { op: 'expire_access' });
	await eventually(async () => {
		const answer = await put(unanswered[16].id, 'Hello');
		assert.equal(answer.status, 409, answer.text);
		assert.match(answer.json.detail, /connect/);
	}, { timeout: 20000, every: 200 });
	assert.equal((await atGoogle(unanswered[16])).reviewReply, undefined);
	const { clients } = (await service.get('/token-management/clients', { key })).json;
	assert.equal(clients[0].status, 'needs_reconnect');
});
