// SPDX-License-Identifier: Apache-2.0
// A reply whose outcome is not known, because the process or the answer was lost: under its key it is put once, whatever happens.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { after, before, test } from 'node:test';
import { eventually, send, startService, startSimulator } from '../integration/lib/service.mjs';

const PATIENT = { timeout: 60000, every: 50 };
const ENV = { GOOGLE_REQUESTS_PER_MINUTE: 600000, REVIEW_SYNC_INTERVAL_SEC: 0 };
let google;
let service;
let key;
const unanswered = []; // of different locations each

before(async () => {
	google = await startSimulator({ args: ['--users', '1', '--accounts', '1', '--locations', '30', '--reviews', '8'] });
	service = await startService({ simulator: google, env: ENV });
	key = await service.key('admin');
	await service.connect({ key, branch_id: 'harbour' });
	const job = await service.post('/api/v1/review-fetch', { branch_id: 'harbour' }, { key });
	await eventually(async () => {
		const { json } = await service.get(`/api/v1/status/${job.json.job_id}`, { key });
		assert.equal(json.status, 'completed', JSON.stringify(json));
	}, PATIENT);
	const { reviews } = (await service.get('/api/v1/reviews?limit=500&replied=false', { key })).json;
	unanswered.push(...new Map(reviews.map((one) => [one.location_id, one])).values());
	assert.ok(unanswered.length >= 16, `${unanswered.length}`);
});
after(async () => {
	await service?.end();
	await google?.end();
});

const reply = (id, comment, idempotency) => service.request(comment === undefined ? 'DELETE' : 'PUT', `/api/v1/reviews/${id}/reply`, {
	key, json: comment === undefined ? undefined : { comment }, headers: { 'Idempotency-Key': idempotency }, timeout: 60000,
});
const lost = (asked) => asked.catch((error) => error);
const atGoogle = async (review) => {
	const { text } = await send('GET', `${google.url}/_control/world/locations/${review.location_id}/reviews`);
	return text.trim().split('\n').map((line) => JSON.parse(line)).find((one) => one.reviewId === review.google_review_id);
};
const count = async (kind) => Object.values((await google.counts()).by_kind[kind] ?? {}).reduce((sum, n) => sum + n, 0);
const changes = async (review) => (await service.get(`/api/v1/reviews/${review.id}`, { key })).json.history.map((change) => change.kind);
const seen = (kind) => eventually(async () => assert.ok(await count(kind) > 0), { ...PATIENT, every: 10 });

// Until it is answered for good, as the documentation tells a caller to do.
const insist = (id, comment, idempotency) => eventually(async () => {
	const answer = await reply(id, comment, idempotency);
	assert.equal(answer.status, 200, answer.text);
	return answer;
}, PATIENT);

async function killWhile(kind, latency_ms, review, comment, idempotency) {
	await google.control('POST', '/counts/reset');
	await google.fault({ target: kind, latency_ms });
	const asked = lost(reply(review.id, comment, idempotency));
	await seen(kind);
	await service.kill();
	await asked;
	await google.calm();
	await service.restart();
}

test('killed_between_google_and_the_row_the_retry_reads_and_does_not_put_again', async () => {
	const review = unanswered[0];
	const idempotency = crypto.randomUUID();
	await killWhile('reply_put', 20000, review, 'Thank you', idempotency);
	assert.equal((await atGoogle(review)).reviewReply.comment, 'Thank you');
	assert.deepEqual(await changes(review), ['new'], 'it was killed before it could store');
	const answer = await insist(review.id, 'Thank you', idempotency);
	assert.equal(answer.json.reply_text, 'Thank you');
	assert.equal(await count('reply_put'), 1);
	assert.equal(await count('review'), 1, 'one look');
	assert.deepEqual(await changes(review), ['new', 'reply_added']);
	await service.waitForLog('reply.looked', (line) => line.shown === 'done');
});

test('killed_while_the_reply_is_read_back_the_retry_does_not_put_again', async () => {
	const review = unanswered[1];
	const idempotency = crypto.randomUUID();
	await killWhile('review', 20000, review, 'Come again', idempotency);
	assert.deepEqual(await changes(review), ['new']);
	await insist(review.id, 'Come again', idempotency);
	assert.equal(await count('reply_put'), 1);
	assert.deepEqual(await changes(review), ['new', 'reply_added']);
});

test('killed_after_it_was_stored_the_retry_is_answered_the_same_and_asks_google_nothing', async () => {
	const review = unanswered[2];
	const idempotency = crypto.randomUUID();
	const first = await reply(review.id, 'Stored', idempotency);
	await service.kill();
	await service.restart();
	await google.control('POST', '/counts/reset');
	const second = await reply(review.id, 'Stored', idempotency);
	assert.equal(second.text, first.text);
	assert.equal(second.headers['idempotency-replayed'], 'true');
	assert.equal(await count('reply_put') + await count('review'), 0);
});

test('killed_at_any_moment_a_reply_is_put_once', async () => {
	for (const [i, review] of unanswered.slice(3, 11).entries()) {
		const idempotency = crypto.randomUUID();
		await google.control('POST', '/counts/reset');
		const asked = lost(reply(review.id, `Round ${i}`, idempotency));
		await new Promise((resolve) => setTimeout(resolve, i * 4));
		await service.kill();
		await asked;
		await service.restart();
		await insist(review.id, `Round ${i}`, idempotency);
		assert.equal(await count('reply_put'), 1, `round ${i}`);
		assert.equal((await atGoogle(review)).reviewReply.comment, `Round ${i}`);
		assert.deepEqual(await changes(review), ['new', 'reply_added'], `round ${i}`);
	}
});

test('a_removal_whose_process_died_is_not_sent_again', async () => {
	const review = unanswered[11];
	await reply(review.id, 'To be removed', crypto.randomUUID());
	const idempotency = crypto.randomUUID();
	await killWhile('reply_delete', 20000, review, undefined, idempotency);
	assert.equal((await insist(review.id, undefined, idempotency)).json.reply_text, null);
	assert.equal(await count('reply_delete'), 1);
	assert.deepEqual(await changes(review), ['new', 'reply_added', 'reply_removed']);
});

test('an_answer_that_is_lost_is_made_up_for_by_a_look_in_the_same_request', async () => {
	for (const [i, spoilt] of [[12, { reset: true }], [13, { status: 503 }]]) {
		await google.control('POST', '/counts/reset');
		await google.fault({ target: 'reply_put', after: true, count: 1, ...spoilt });
		const answer = await reply(unanswered[i].id, 'Heard', crypto.randomUUID());
		assert.equal(answer.status, 200, answer.text);
		assert.equal(answer.json.reply_text, 'Heard');
		assert.equal(await count('reply_put'), 1);
	}
});

test('what_google_did_not_do_is_put_by_the_retry', async () => {
	const review = unanswered[14];
	const idempotency = crypto.randomUUID();
	await google.control('POST', '/counts/reset');
	await google.fault({ target: 'reply_put', reset: true, count: 1 });
	const answer = await reply(review.id, 'Second try', idempotency);
	assert.ok([502, 503].includes(answer.status), answer.text);
	assert.ok(answer.headers['retry-after']);
	assert.equal((await atGoogle(review)).reviewReply, undefined);
	assert.equal((await reply(review.id, 'Another text', idempotency)).status, 422);
	assert.equal((await insist(review.id, 'Second try', idempotency)).json.reply_text, 'Second try');
	assert.equal((await atGoogle(review)).reviewReply.comment, 'Second try');
	assert.equal(await count('reply_put'), 2);
});

test('a_reply_of_somebody_else_meanwhile_is_not_written_over', async () => {
	const review = unanswered[15];
	const idempotency = crypto.randomUUID();
	await killWhile('reply_put', 20000, review, 'Ours', idempotency);
	await google.control('POST', '/world', { op: 'change_reply', review: review.name ?? (await atGoogle(review)).name, comment: 'Theirs' });
	const answer = await reply(review.id, 'Ours', idempotency);
	assert.equal(answer.status, 409, answer.text);
	assert.match(answer.json.detail, /another reply/);
	assert.equal((await atGoogle(review)).reviewReply.comment, 'Theirs');
	assert.equal((await reply(review.id, 'Ours after all', crypto.randomUUID())).status, 200);
});
