// SPDX-License-Identifier: Apache-2.0
// The original's stream and what opens it, bound by bound and error by error; and who may no longer listen.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { CookieJar, eventually, send, startService, startSimulator } from './lib/service.mjs';

const HTML = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };
let google;
let service;
let key;
let waiting; // a job that waits for quota, so that its streams stay open

before(async () => {
	google = await startSimulator({ args: ['--users', '1', '--accounts', '2', '--locations', '2', '--reviews', '60'] });
	service = await startService({ simulator: google, env: { GOOGLE_REQUESTS_PER_MINUTE: 600000, REVIEW_SYNC_INTERVAL_SEC: 0 } });
	key = await service.key('admin');
	await service.connect({ key, branch_id: 'harbour' });
	await google.fault({ target: 'reviews', status: 429, retry_after: 3600 });
	waiting = (await service.post('/api/v1/review-fetch', { branch_id: 'harbour' }, { key })).json.job_id;
	await eventually(async () => assert.equal((await service.get(`/api/v1/status/${waiting}`, { key })).json.status, 'waiting'));
});
after(async () => {
	await service?.end();
	await google?.end();
});

// An open stream: what came so far, and whether it has ended.
function listen(t, where, headers) {
	return new Promise((resolve, reject) => {
		const request = http.request(`${service.url}${where}`, { headers, agent: false }, (response) => {
			const ear = { status: response.statusCode, raw: '', ended: false };
			response.setEncoding('utf8').on('data', (piece) => (ear.raw += piece)).on('close', () => (ear.ended = true));
			resolve(ear);
		});
		request.on('error', reject);
		t.after(() => request.destroy());
		request.end();
	});
}

const streams = () => [`/api/v1/stream/nested?job_id=${waiting}&max_wait_sec=600`, '/api/v1/events'];
const isOpen = (ear) => eventually(() => assert.ok(ear.status === 200 && ear.raw.length > 0 && !ear.ended));
const isClosed = (ear, why) => eventually(() => {
	assert.ok(ear.ended, ear.raw.slice(-300));
	assert.match(ear.raw, /event: closed\ndata: \{"detail":"[^"]+"\}\n\n$/);
	assert.match(ear.raw, why);
	assert.doesNotMatch(ear.raw, /event: done/);
});

test('streams_end_when_their_key_is_revoked', async (t) => {
	const other = await service.key('reviews:read', { name: 'listener' });
	const ears = await Promise.all(streams().map((where) => listen(t, where, { authorization: `Bearer ${other}` })));
	for (const ear of ears)
		await isOpen(ear);
	assert.equal(service.cli('key', 'revoke', /rf_([a-z0-9]+)_/.exec(other)[1]).code, 0);
	await service.connect({ key, branch_id: 'pier' }); // something to hear
	for (const ear of ears)
		await isClosed(ear, /key of this stream was revoked/);
});

test('streams_end_when_the_session_that_opened_them_does', async (t) => {
	const jar = new CookieJar();
	const other = await service.key('reviews:read', { name: 'person' });
	const ours = { origin: service.url, 'sec-fetch-site': 'same-origin' };
	await send('POST', `${service.url}/sign-in`, { jar, form: { key: other, next: '/console' }, headers: { ...HTML, ...ours } });
	const cookie = jar.header(`${service.url}/`);
	const me = await send('GET', `${service.url}/session`, { headers: { cookie } });
	assert.equal(me.status, 200, me.text);
	const ears = await Promise.all(streams().map((where) => listen(t, where, { cookie })));
	for (const ear of ears)
		await isOpen(ear);
	assert.equal((await service.request('DELETE', `/sessions/${me.json.session_id}`, { key })).status, 200);
	await service.connect({ key, branch_id: 'quay' }); // something to hear
	for (const ear of ears)
		await isClosed(ear, /session of this stream has ended/);
});

test('each_bound_of_the_stream_is_the_originals', async () => {
	for (const [name, least, most] of [['max_wait_sec', 5, 600], ['max_accounts', 1, 500], ['max_locations_total', 1, 10000],
		['max_reviews_per_location', 1, 5000], ['emit_interval_ms', 50, 2000]]) {
		for (const value of [least - 1, most + 1, 'many', '', '1.5']) {
			const answer = await service.get(`/api/v1/stream/nested?job_id=${waiting}&${name}=${value}`, { key });
			assert.equal(answer.status, 422, `${name}=${value}: ${answer.text}`);
			assert.deepEqual(answer.json.errors.map((error) => error.loc), [['query', name]]);
			assert.match(answer.json.errors[0].msg, new RegExp(`from ${least} to ${most}`));
		}
		// Within its bounds only the job is missing.
		for (const value of [least, most])
			assert.equal((await service.get(`/api/v1/stream/nested?job_id=none&${name}=${value}`, { key })).status, 404, `${name}=${value}`);
	}
	const sample = await service.get(`/api/v1/stream/nested?job_id=${waiting}&sample=perhaps`, { key });
	assert.deepEqual([sample.status, sample.json.errors[0].loc], [422, ['query', 'sample']]);
});

test('a_sample_is_asked_for_by_name_and_the_default_with_the_simulator', async (t) => {
	const other = await startSimulator({ t, args: ['--users', '1', '--accounts', '1', '--locations', '1', '--reviews', '120', '--reviews-exact'] });
	const mock = await startService({ t, simulator: other, env: { GOOGLE_REQUESTS_PER_MINUTE: 600000, MOCK_GOOGLE_API: 'true', SIMULATOR_URL: other.url } });
	const admin = await mock.key('admin');
	await mock.connect({ key: admin, branch_id: 'harbour' });
	const { job_id: id } = (await mock.post('/api/v1/review-fetch', { branch_id: 'harbour' }, { key: admin })).json;
	await eventually(async () => assert.equal((await mock.get(`/api/v1/status/${id}`, { key: admin })).json.status, 'completed'));
	const told = async (more) => {
		const answer = await mock.get(`/api/v1/stream/nested?job_id=${id}${more}`, { key: admin });
		return JSON.parse(/event: nested\ndata: (.*)\n/.exec(answer.text)[1]).stats.reviews;
	};
	assert.equal(await told('&sample=false'), 120);
	const drawn = await told('&sample=true');
	assert.ok(drawn <= 50, String(drawn));
	assert.equal(await told(''), drawn);
	assert.ok(await told('&sample=true&max_reviews_per_location=3') <= 3);
});

test('a_session_takes_a_token_or_a_branch_and_says_what_is_wrong', async () => {
	const cases = [
		[{ access_token: ' \t' }, 401, /^Invalid access token$/],
		[{ access_token: '' }, 422, /access_token/],
		[{}, 422, /branch_id/],
		[{ access_token: 7 }, 422, /access_token/],
		[{ access_token: 'x', branch_id: 'harbour' }, 422, /access_token/],
		[{ branch_id: 'nowhere' }, 404, /./],
	];
	for (const [body, status, words] of cases) {
		const answer = await service.post('/api/v1/stream-session', body, { key });
		if (body.branch_id === 'nowhere' && answer.status === 201) {
			// It is looked for when the session is used.
			assert.equal((await service.get(`/api/v1/stream/nested?session_id=${answer.json.session_id}`, { key })).status, 404);
			continue;
		}
		assert.equal(answer.status, status, `${JSON.stringify(body)}: ${answer.text}`);
		assert.match(status === 422 ? JSON.stringify(answer.json.errors) : answer.json.detail, words);
	}
	const fine = await service.post('/api/v1/stream-session', { access_token: 'ya29.one', other: 1 }, { key });
	assert.equal(fine.status, 201, fine.text);
	assert.deepEqual(Object.keys(fine.json), ['session_id', 'expires_in_sec']);
	assert.equal(fine.json.expires_in_sec, 120);
	assert.equal(fine.headers['cache-control'], 'no-store');
	// A key that does not see the branch gets nothing out of another's session.
	const bound = await service.key('reviews:read', { branches: 'elsewhere', name: 'bound' });
	assert.equal((await service.get(`/api/v1/stream/nested?session_id=${fine.json.session_id}`, { key: bound })).status, 404);
	assert.equal((await service.get(`/api/v1/stream/nested?session_id=${fine.json.session_id}`, { key })).status, 404);
});
