// SPDX-License-Identifier: Apache-2.0
// Push: messages that Pub/Sub delivers become a read of that one review; strangers' do not.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { eventually, send, startService, startSimulator } from './lib/service.mjs';
import { startPostgres } from './lib/postgres.mjs';

const ACCOUNT = 'pusher@project.iam.gserviceaccount.com';
const AUDIENCE = 'https://reviews.example/push';
const FAST = { GOOGLE_REQUESTS_PER_MINUTE: 600000, RETRY_INITIAL_BACKOFF_MS: 10, RETRY_MAX_BACKOFF_MS: 200,
	GOOGLE_PUSH_ACCOUNT: ACCOUNT, GOOGLE_PUSH_AUDIENCE: AUDIENCE, REVIEW_SYNC_INTERVAL_SEC: 0 };
const PATIENT = { timeout: 60000, every: 50 };
let google;
let service;
let key;

async function begin(to) {
	const made = await to.key('admin');
	await to.connect({ key: made, branch_id: 'harbour' });
	const job = await to.post('/api/v1/review-fetch', { branch_id: 'harbour' }, { key: made });
	await eventually(async () => {
		const { json } = await to.get(`/api/v1/status/${job.json.job_id}`, { key: made });
		assert.equal(json.status, 'completed', JSON.stringify(json));
	}, PATIENT);
	return made;
}

before(async () => {
	google = await startSimulator({ args: ['--users', '1', '--accounts', '1', '--locations', '3', '--reviews', '5'] });
	service = await startService({ simulator: google, env: FAST });
	key = await begin(service);
});
after(async () => {
	await service?.end();
	await google?.end();
});

const now = () => Math.floor(Date.now() / 1000);
const identity = (change = {}) => ({
	iss: 'https://accounts.google.com', aud: AUDIENCE, email: ACCOUNT, email_verified: true, sub: '1',
	iat: now() - 5, exp: now() + 3600, ...change,
});
const signed = async (claims) => (await google.control('POST', '/sign', { claims })).token;
const message = (data, id = crypto.randomUUID()) => ({
	message: { data: Buffer.from(typeof data === 'string' ? data : JSON.stringify(data)).toString('base64'), messageId: id, publishTime: '2026-01-01T00:00:00Z' },
	subscription: 'projects/p/subscriptions/s',
});
const push = async (body, { token, to = service } = {}) =>
	to.post('/api/v1/notifications/google', body, { key: token ?? await signed(identity()) });
const about = (review, type = 'UPDATED_REVIEW') =>
	({ type, review: review.name, location: review.name.split('/reviews/')[0] });
const reviewsOf = async (location) => (await send('GET', `${google.url}/_control/world/locations/${location}/reviews`)).text.trim().split('\n').map((line) => JSON.parse(line));
const someReview = async (nth = 0) => {
	const { locations } = await google.control('GET', '/world/locations');
	return (await reviewsOf(locations[nth].name.split('/').at(-1)))[0];
};
const asked = async (kind) => Object.values((await google.counts()).by_kind[kind] ?? {}).reduce((sum, n) => sum + n, 0);
const ours = async (review, to = service, as = key) => {
	const { json } = await to.get('/api/v1/reviews?limit=200', { key: as });
	return json.reviews.find((r) => r.google_review_id === review.reviewId);
};

async function editAndPush(to, as, nth) {
	const review = await someReview(nth);
	await google.control('POST', '/world', { op: 'edit', review: review.name, comment: `edited ${nth}`, rating: 2 });
	await google.control('POST', '/counts/reset');
	const body = message(about(review));
	assert.equal((await push(body, { to })).status, 204);
	await eventually(async () => assert.equal((await ours(review, to, as)).comment, `edited ${nth}`), PATIENT);
	return { review, body };
}

describe('a message', () => {
	test('reads_that_one_review_with_one_call_and_tells_of_its_change', async () => {
		const { review, body } = await editAndPush(service, key, 0);
		assert.equal(await asked('review'), 1);
		assert.equal(await asked('reviews') + await asked('accounts') + await asked('locations') + await asked('batch'), 0);
		const { json } = await service.get(`/api/v1/reviews/${(await ours(review)).id}`, { key });
		assert.ok(JSON.stringify(json).includes('edited'), 'the history has it');
		const jobs = (await service.get('/api/v1/jobs', { key })).json.jobs.filter((j) => j.mode === 'push');
		assert.equal(jobs.length, 1);
		// At least once: the same message again is acknowledged and does nothing.
		assert.equal((await push(body)).status, 204);
		await service.restart();
		assert.equal((await push(body)).status, 204);
		assert.equal((await service.get('/api/v1/jobs', { key })).json.jobs.filter((j) => j.mode === 'push').length, 1);
		assert.equal(await asked('review'), 1);
	});

	test('brings_a_review_that_was_not_there_before', async () => {
		const { locations } = await google.control('GET', '/world/locations');
		const location = locations[1].name.split('/').at(-1);
		const known = new Set((await reviewsOf(location)).map((r) => r.name));
		await google.control('POST', '/world', { op: 'add', location, count: 1, comment: 'brand new', rating: 5 });
		const added = (await reviewsOf(location)).find((r) => !known.has(r.name));
		assert.equal((await push(message(about(added, 'NEW_REVIEW')))).status, 204);
		await eventually(async () => assert.equal((await ours(added))?.comment, 'brand new'), PATIENT);
	});

	test('survives_a_crash_right_after_it_was_acknowledged', async () => {
		const review = await someReview(2);
		await google.control('POST', '/world', { op: 'edit', review: review.name, comment: 'after the crash' });
		await google.fault({ target: 'review', latency_ms: 1500 });
		assert.equal((await push(message(about(review)))).status, 204);
		await service.kill();
		await google.calm();
		await service.restart();
		await eventually(async () => assert.equal((await ours(review)).comment, 'after the crash'), PATIENT);
	});

	test('of_a_location_of_nobody_here_or_of_something_else_is_acknowledged', async () => {
		const before_ = (await service.get('/api/v1/jobs', { key })).json.jobs.length;
		assert.equal((await push(message({ type: 'NEW_REVIEW', review: 'accounts/1/locations/404/reviews/x' }))).status, 204);
		await service.waitForLog('push.unknown_location');
		for (const body of [message({ type: 'GOOGLE_UPDATE', location: 'accounts/1/locations/2' }), message('not json'), { message: {} }, {},
			message({ review: 'accounts/1/locations/2/reviews/' }), { message: { data: '%%%', messageId: '1' } }])
			assert.equal((await push(body)).status, 204);
		assert.equal((await service.get('/api/v1/jobs', { key })).json.jobs.length, before_);
	});
});

test('who_is_not_that_service_account_is_refused_alike', async () => {
	const body = message(about(await someReview()));
	const details = new Set();
	const bad = [
		'', 'x', key,
		await signed(identity({ aud: 'https://elsewhere.example' })),
		await signed(identity({ aud: undefined })),
		await signed(identity({ email: 'someone@project.iam.gserviceaccount.com' })),
		await signed(identity({ email: undefined })),
		await signed(identity({ email_verified: false })),
		await signed(identity({ email_verified: 'true' })),
		await signed(identity({ iss: 'https://issuer.example' })),
		await signed(identity({ exp: now() - 120 })),
		await signed(identity({ exp: undefined })),
		await signed(identity({ iat: now() + 600 })),
		`${(await signed(identity())).slice(0, -4)}AAAA`,
	];
	await google.control('POST', '/counts/reset');
	for (const token of bad) {
		const answer = await push(body, { token: token || ' ' });
		assert.equal(answer.status, 401, `${token.slice(0, 20)}: ${answer.text}`);
		details.add(answer.json.detail);
	}
	assert.equal(details.size, 1);
	assert.equal(await asked('review'), 0);
});

test('without_its_setting_push_is_off', async (t) => {
	const own = await startService({ t, simulator: google });
	assert.equal((await push(message({}), { to: own })).status, 403);
});

test('an_accounts_notifications_are_set_shown_and_removed', async () => {
	const [account] = (await service.get('/api/v1/accounts', { key })).json.accounts;
	const where = `/api/v1/accounts/${account.account_id}/notifications`;
	const ask = (method, json, as = key) => service.request(method, where, { key: as, json });
	const set = await ask('PUT', { topic: 'projects/p/topics/reviews' });
	assert.equal(set.status, 200, set.text);
	assert.equal(set.json.pubsubTopic, 'projects/p/topics/reviews');
	assert.deepEqual(set.json.notificationTypes, ['NEW_REVIEW', 'UPDATED_REVIEW']);
	assert.deepEqual((await ask('GET')).json, set.json);
	const removed = await ask('DELETE');
	assert.equal(removed.status, 200, removed.text);
	assert.equal((await ask('GET')).json.pubsubTopic, undefined);
	assert.equal((await ask('GET')).json.notificationTypes, undefined);
	assert.equal((await ask('PUT', { topic: 'reviews' })).status, 422);
	assert.equal((await ask('PUT', {})).status, 422);
	assert.equal((await service.request('PUT', '/api/v1/accounts/404/notifications', { key, json: { topic: 'projects/p/topics/t' } })).status, 404);
	const bound = await service.key('reviews:fetch', { branches: ['elsewhere'] });
	assert.equal((await ask('PUT', { topic: 'projects/p/topics/t' }, bound)).status, 404);
	assert.equal((await ask('PUT', { topic: 'projects/p/topics/t' }, await service.key('reviews:read'))).status, 403);
	// A project that may not is named, with the API and what to do, until Google answers.
	const known = async () => (await service.get('/api/v1/projects', { key })).json.projects.find((one) => one.api === 'notifications');
	assert.equal((await known()).status, 'ok');
	await google.fault({ target: 'notification_patch', status: 403, reason: 'SERVICE_DISABLED', count: 1 });
	const refused = await ask('PUT', { topic: 'projects/p/topics/t' });
	assert.equal(refused.status, 502, refused.text);
	assert.match(refused.json.detail, /not approved for the My Business Notifications API: enable it, or ask Google/);
	assert.equal((await known()).status, 'not_approved');
	assert.equal((await ask('GET')).status, 200);
	assert.equal((await known()).status, 'ok');
	// Its budget is everybody's: a 429 holds all back for as long as Google says.
	await google.fault({ target: 'notification_patch', status: 429, retry_after: 7, count: 1 });
	const throttled = await ask('PUT', { topic: 'projects/p/topics/t' });
	assert.equal(throttled.status, 429);
	assert.equal(throttled.headers['retry-after'], '7');
	await google.control('POST', '/counts/reset');
	const held = await ask('GET');
	assert.equal(held.status, 429, held.text);
	assert.ok(Number(held.headers['retry-after']) >= 1);
	assert.equal(await asked('notification_get'), 0);
});

test('a_key_that_google_signs_with_from_now_on_is_believed', async (t) => {
	const own = await startSimulator({ t, args: ['--users', '1', '--accounts', '1', '--locations', '1', '--reviews', '2'] });
	const there = await startService({ t, simulator: own, env: FAST });
	const sign = async () => (await own.control('POST', '/sign', { claims: identity() })).token;
	const before_ = await sign();
	assert.equal((await push(message({}), { to: there, token: before_ })).status, 204);
	await own.control('POST', '/keys', { rotate: true });
	await eventually(async () => assert.equal((await push(message({}), { to: there, token: await sign() })).status, 204), PATIENT);
});

// Each page of theirs takes two seconds, and each has some to go.
test('a_message_leads_to_its_call_within_seconds_though_all_places_for_jobs_are_taken_and_more_wait', async (t) => {
	const busy = await startSimulator({ t, args: ['--users', '1', '--accounts', '1', '--locations', '3', '--reviews', '600', '--reviews-exact'] });
	const there = await startService({ t, simulator: busy, env: FAST });
	const as = await begin(there);
	const { locations } = await busy.control('GET', '/world/locations');
	const { text } = await send('GET', `${busy.url}/_control/world/locations/${locations[0].name.split('/').at(-1)}/reviews?limit=1`);
	const review = JSON.parse(text.split('\n')[0]);
	await busy.control('POST', '/world', { op: 'edit', review: review.name, comment: 'in a hurry', rating: 2 });
	await busy.fault({ target: 'reviews', latency_ms: 2000 });
	const { access_token } = await there.token('harbour', { key: as }).then(({ json }) => json);
	for (let i = 0; i < 70; i++)
		assert.equal((await there.post('/api/v1/review-fetch', { access_token }, { key: as })).status, 202);
	const states = async () => {
		const { jobs } = (await there.get('/api/v1/jobs?limit=500', { key: as })).json;
		return (state) => jobs.filter((job) => job.status === state && job.mode !== 'push').length;
	};
	await eventually(async () => assert.equal((await states())('running'), 64), PATIENT);
	const token = (await busy.control('POST', '/sign', { claims: identity() })).token;
	const began = Date.now();
	assert.equal((await push(message(about(review)), { to: there, token })).status, 204);
	await eventually(async () => {
		const { reviews } = (await there.get(`/api/v1/reviews?rating=2&limit=500&location_id=${review.name.split('/')[3]}`, { key: as })).json;
		assert.equal(reviews.find((one) => one.google_review_id === review.reviewId)?.comment, 'in a hurry');
	}, PATIENT);
	const took = Date.now() - began;
	const count = await states();
	assert.ok(count('running') === 64 && count('queued') === 6, `the walks were still there, ${count('running')} and ${count('queued')}`);
	assert.ok(took < 10000, `${took} ms`);
	assert.equal(Object.values((await busy.counts()).by_kind.review ?? {}).reduce((sum, n) => sum + n, 0), 1);
});

test('over_postgresql_a_message_does_the_same', async (t) => {
	const postgres = await startPostgres({ t });
	const there = await startService({ t, simulator: google, postgres, env: FAST });
	const made = await begin(there);
	const { body } = await editAndPush(there, made, 1);
	assert.equal((await push(body, { to: there })).status, 204);
	assert.equal((await there.get('/api/v1/jobs', { key: made })).json.jobs.filter((j) => j.mode === 'push').length, 1);
});
