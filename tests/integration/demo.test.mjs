// SPDX-License-Identifier: Apache-2.0
// The original's demo routes on the simulator's data: its parameters, bounds, defaults, fields and events.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { send, startService, startSimulator } from './lib/service.mjs';

const ACCOUNT = ['id', 'account_id', 'client_id', 'google_account_name', 'account_display_name', 'created_at', 'updated_at'];
const LOCATION = ['id', 'location_id', 'client_id', 'google_account_id', 'location_name', 'location_title', 'address', 'phone', 'category', 'created_at', 'updated_at'];
const REVIEW = ['id', 'client_id', 'account_id', 'location_id', 'google_review_id', 'rating', 'comment', 'reviewer_name', 'reviewer_photo_url',
	'review_created_time', 'reply_text', 'reply_time', 'created_at', 'updated_at'];
const JOINS = { 'account.account_id == location.google_account_id': true, 'location.location_id == review.location_id': true };
let google;
let service;
let key;

before(async () => {
	google = await startSimulator({ args: ['--users', '3', '--accounts', '2', '--locations', '6', '--reviews', '70', '--reviews-exact'] });
	service = await startService({ simulator: google, env: { MOCK_GOOGLE_API: 'true', SIMULATOR_URL: google.url, REVIEW_SYNC_INTERVAL_SEC: 0 } });
	key = await service.key('reviews:read');
});
after(async () => {
	await service?.end();
	await google?.end();
});

const get = (where, as = key) => service.get(`/api/v1/demo/${where}`, { key: as });

async function list(where) {
	const answer = await get(where);
	assert.equal(answer.status, 200, answer.text);
	assert.ok(Array.isArray(answer.json));
	return answer.json;
}

async function stream(where) {
	const answer = await send('GET', `${service.url}/api/v1/demo/stream/${where}`, { key, timeout: 60000 });
	assert.equal(answer.status, 200, answer.text);
	assert.match(answer.headers['content-type'], /^text\/event-stream/);
	return answer.text.split('\n\n').filter((part) => part && !part.startsWith(':')).map((part) => {
		const fields = Object.fromEntries(part.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]));
		return { id: fields.id, event: fields.event, data: JSON.parse(fields.data) };
	});
}

test('the_lists_have_the_originals_fields_and_are_what_the_simulator_has', async () => {
	const accounts = await list('accounts');
	assert.equal(accounts.length, 6);
	accounts.forEach((one) => assert.deepEqual(Object.keys(one), ACCOUNT));
	const truth = (await google.control('GET', '/world/accounts')).accounts;
	assert.deepEqual(accounts.map((one) => [one.id, one.account_id, one.google_account_name, one.client_id]),
		truth.map((one) => [one.number + 1, one.id, `accounts/${one.id}`, 1]));
	const locations = await list('locations');
	assert.equal(locations.length, 25, 'the default');
	locations.forEach((one) => assert.deepEqual(Object.keys(one), LOCATION));
	assert.equal((await list('locations?limit=500')).length, 36);
	const reviews = await list('reviews');
	assert.equal(reviews.length, 25);
	reviews.forEach((one) => assert.deepEqual(Object.keys(one), REVIEW));
	const all = await list('reviews?limit=500');
	assert.equal(all.length, 500);
	assert.equal(new Set(all.map((one) => one.id)).size, 500);
	assert.equal(all.filter((one) => one.location_id === all[0].location_id).length, 50, 'at most 50 of a location, as in the original');
	assert.ok(all.every((one) => one.rating === null || (one.rating >= 1 && one.rating <= 5)));
});

test('the_lists_are_narrowed_by_account_and_location_and_say_what_is_wrong', async () => {
	const [first, second] = await list('accounts?limit=2');
	const of = await list(`locations?google_account_id=${second.account_id}`);
	assert.equal(of.length, 6);
	assert.ok(of.every((one) => one.google_account_id === second.account_id));
	const reviews = await list(`reviews?location_id=${of[3].location_id}&limit=500`);
	assert.equal(reviews.length, 70);
	assert.ok(reviews.every((one) => one.location_id === of[3].location_id && one.account_id === second.account_id));
	assert.deepEqual(await list('locations?google_account_id=5'), []);
	assert.deepEqual(await list(`reviews?location_id=${first.account_id}`), []);
	for (const [where, name] of [['accounts?limit=0', 'limit'], ['accounts?limit=501', 'limit'], ['reviews?limit=x', 'limit'], ['locations?google_account_id=abc', 'google_account_id'],
		['locations?google_account_id=', 'google_account_id'], ['reviews?location_id=-1', 'location_id'], ['stream/reviews?max_items=0', 'max_items'], ['stream/accounts?max_items=501', 'max_items'],
		['stream/locations?max_wait_sec=4', 'max_wait_sec'], ['stream/locations?max_wait_sec=601', 'max_wait_sec'], ['stream/accounts?job_id=', 'job_id'], [`stream/nested?job_id=${'x'.repeat(65)}`, 'job_id'],
		['stream/nested?max_wait_sec=4', 'max_wait_sec'], ['stream/nested?max_wait_sec=601', 'max_wait_sec'], ['stream/nested?max_locations=0', 'max_locations'], ['stream/nested?max_locations=5001', 'max_locations'],
		['stream/nested?max_reviews_per_location=5001', 'max_reviews_per_location'], ['stream/nested?emit_interval_ms=49', 'emit_interval_ms'], ['stream/nested?emit_interval_ms=2001', 'emit_interval_ms']]) {
		const answer = await get(where);
		assert.equal(answer.status, 422, `${where}: ${answer.text}`);
		assert.deepEqual(answer.json.errors.map((error) => error.loc), [['query', name]], where);
	}
});

test('nested_is_an_account_with_its_places_and_their_reviews_chosen_by_the_token', async () => {
	const nested = async (body) => service.post('/api/v1/demo/nested', body, { key });
	const answer = await nested({ access_token: 'ya29.some-token' });
	assert.equal(answer.status, 200, answer.text);
	const told = answer.json;
	assert.deepEqual(Object.keys(told), ['job_id', 'account', 'locations', 'stats', 'joins_ok']);
	assert.deepEqual(Object.keys(told.account), ACCOUNT);
	assert.deepEqual(Object.keys(told.locations[0]), [...LOCATION, 'reviews']);
	assert.deepEqual(Object.keys(told.locations[0].reviews[0]), REVIEW);
	assert.deepEqual(told.stats, { locations: 6, reviews: 6 * 70 });
	assert.deepEqual(told.joins_ok, JOINS);
	for (const location of told.locations) {
		assert.equal(location.google_account_id, told.account.account_id);
		assert.equal(location.reviews.length, 70);
		assert.ok(location.reviews.every((one) => one.location_id === location.location_id));
	}
	// The same token the same account, as in the original; of ten tokens not all the same.
	assert.deepEqual((await nested({ access_token: 'ya29.some-token' })).json.account.account_id, told.account.account_id);
	const others = await Promise.all(Array.from({ length: 10 }, (_, i) => nested({ access_token: `token-${i}`, max_locations: 1, max_reviews_per_location: 1 })));
	assert.ok(new Set(others.map((one) => one.json.account.account_id)).size > 1);
	others.forEach((one) => assert.deepEqual(one.json.stats, { locations: 1, reviews: 1 }));
	assert.equal((await nested({ access_token: '  ' })).status, 401);
	for (const [body, name] of [[{}, 'access_token'], [{ access_token: '' }, 'access_token'], [{ access_token: 'x', max_wait_sec: 4 }, 'max_wait_sec'],
		[{ access_token: 'x', max_locations: 0 }, 'max_locations'], [{ access_token: 'x', max_reviews_per_location: 'many' }, 'max_reviews_per_location']]) {
		const wrong = await nested(body);
		assert.equal(wrong.status, 422, `${JSON.stringify(body)}: ${wrong.text}`);
		assert.deepEqual(wrong.json.errors.map((error) => error.loc), [['body', name]]);
	}
	// The token is nobody's: no log, no request to the simulator, no table has it.
	assert.ok(!JSON.stringify(service.logs()).includes('ya29.some-token'));
	const admin = await service.key('admin');
	for (const table of ['accounts', 'locations', 'reviews', 'jobs'])
		assert.deepEqual((await service.get(`/api/v1/${table}`, { key: admin })).json[table], [], table);
});

test('the_streams_tell_items_and_end_when_they_have_told_them', async () => {
	for (const [where, event, fields] of [['accounts', 'account', ACCOUNT], ['locations', 'location', LOCATION], ['reviews', 'review', REVIEW]]) {
		const told = await stream(`${where}?max_items=4&job_id=mine`);
		assert.deepEqual(told.map((one) => one.event), [event, event, event, event, 'done']);
		assert.deepEqual(told.at(-1).data, {});
		assert.equal(new Set(told.map((one) => one.id)).size, 5);
		told.slice(0, 4).forEach((one) => assert.deepEqual(Object.keys(one.data), fields));
		const again = await stream(`${where}?max_items=4&job_id=mine`);
		assert.deepEqual(again.map((one) => one.data.id), told.map((one) => one.data.id), 'one name shows the same again');
	}
	assert.equal((await stream('reviews')).length, 26);
});

test('the_nested_stream_grows_by_doubling_and_ends', async () => {
	const began = Date.now();
	const told = await stream('nested?job_id=mine&emit_interval_ms=50');
	assert.ok(Date.now() - began < 30000, 'it ends when all is shown, not at the deadline');
	assert.deepEqual(told.map((one) => one.event), ['job', 'nested', 'nested', 'nested', 'nested', 'done']);
	assert.deepEqual(told[0].data, { job_id: 'mine' });
	const snapshots = told.slice(1, -1).map((one) => one.data);
	assert.deepEqual(snapshots.map((one) => one.stats.locations), [1, 2, 4, 6]);
	snapshots.forEach((one) => {
		assert.equal(one.job_id, 'mine');
		assert.deepEqual(one.joins_ok, JOINS);
		assert.equal(one.stats.reviews, one.locations.reduce((sum, location) => sum + location.reviews.length, 0));
	});
	const own = await stream('nested?max_locations=1&max_reviews_per_location=3&emit_interval_ms=2000');
	assert.match(own[0].data.job_id, /^[0-9a-f-]{36}$/);
	assert.deepEqual(own.at(-2).data.stats, { locations: 1, reviews: 3 });
	const late = await stream('nested?max_wait_sec=5&emit_interval_ms=2000');
	assert.equal(late.at(-2).data.stats.locations, 6);
});

test('what_one_answer_cannot_hold_is_left_out_and_said', async (t) => {
	const large = await startSimulator({ t, args: ['--users', '1', '--accounts', '1', '--locations', '60', '--reviews', '500', '--reviews-exact'] });
	const other = await startService({ t, simulator: large, env: { MOCK_GOOGLE_API: 'true', SIMULATOR_URL: large.url } });
	const told = await other.post('/api/v1/demo/nested', { access_token: 'x' }, { key: await other.key('admin') });
	assert.equal(told.status, 200, told.text.slice(0, 300));
	assert.equal(told.json.truncated, true);
	assert.ok(told.json.stats.reviews > 5000 && told.json.stats.reviews < 60 * 500);
	assert.equal(told.json.stats.reviews, told.json.locations.reduce((sum, one) => sum + one.reviews.length, 0));
});

test('a_token_in_an_address_is_refused_with_what_to_do_instead', async () => {
	const answer = await get('stream/nested?access_token=ya29.secret-in-url');
	assert.equal(answer.status, 422, answer.text);
	assert.deepEqual(answer.json.errors[0].loc, ['query', 'access_token']);
	assert.match(answer.json.errors[0].msg, /POST \/api\/v1\/demo\/nested/);
	assert.doesNotMatch(answer.text, /secret-in-url/);
	assert.ok(!JSON.stringify(service.logs()).includes('secret-in-url'));
});

test('the_demo_wants_the_scope_for_reviews', async () => {
	const other = await service.key('tokens:read', { name: 'other' });
	for (const where of ['accounts', 'locations', 'reviews', 'stream/accounts', 'stream/locations', 'stream/reviews', 'stream/nested']) {
		assert.equal((await service.get(`/api/v1/demo/${where}`)).status, 401, where);
		assert.equal((await get(where, other)).status, 403, where);
	}
	assert.equal((await service.post('/api/v1/demo/nested', { access_token: 'x' }, { key: other })).status, 403);
});

test('without_the_simulator_there_is_no_demo_and_it_says_why', async (t) => {
	const real = await startService({ t, simulator: google });
	const admin = await real.key('admin');
	for (const where of ['accounts', 'stream/reviews', 'stream/nested']) {
		const answer = await real.get(`/api/v1/demo/${where}`, { key: admin });
		assert.equal(answer.status, 409, answer.text);
		assert.match(answer.json.detail, /MOCK_GOOGLE_API=true/);
	}
	const away = await startService({ t, env: { MOCK_GOOGLE_API: 'true', SIMULATOR_URL: 'http://127.0.0.1:9' } });
	const answer = await away.get('/api/v1/demo/accounts', { key: await away.key('admin') });
	assert.equal(answer.status, 502, answer.text);
	assert.match(answer.json.detail, /simulator at http:\/\/127\.0\.0\.1:9 does not answer/);
});
