// SPDX-License-Identifier: Apache-2.0
// The OpenAPI document against the running service: it is valid, its examples run, every answer is as described to the
// last field, every parameter is read, and nothing is described that is never answered.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Judge } from './lib/openapi.mjs';
import { CookieJar, decide, eventually, send, startService, startSimulator } from './lib/service.mjs';

const APP = { client_id: 'demo-app.apps.googleusercontent.com', client_secret: 'demo-app-secret' };
const PUSHER = { email: 'pusher@project.iam.gserviceaccount.com', aud: 'https://reviews.example/push' };
const PATIENT = { timeout: 60000, every: 50 };
const HTML = { accept: 'text/html' };
let google;
let service;
let judge;
let document;
let harbour; // client_id of the branch that is connected
let job;
let spent; // a key that has used up its requests of this minute

const hit = (name, options) => judge.hit(name, options);
const ended = (id) => eventually(async () => {
	const { json } = await hit('GET /api/v1/status/{job_id}', { path: { job_id: id }, status: 200 });
	assert.match(json.status, /^(completed|partial|failed|cancelled)$/);
	return json;
}, PATIENT);

const pushToken = async () => {
	const now = Math.floor(Date.now() / 1000);
	return (await google.control('POST', '/sign', { claims: { iss: 'https://accounts.google.com', aud: PUSHER.aud, email: PUSHER.email,
		email_verified: true, sub: '1', iat: now - 5, exp: now + 3600 } })).token;
};

before(async () => {
	google = await startSimulator({ args: ['--users', '2', '--accounts', '1', '--locations', '12', '--reviews', '3'] });
	service = await startService({ simulator: google, env: {
		MOCK_GOOGLE_API: 'true', SIMULATOR_URL: google.url, GOOGLE_REQUESTS_PER_MINUTE: 600000, RETRY_INITIAL_BACKOFF_MS: 10, RETRY_MAX_BACKOFF_MS: 200, RETRY_MAX_RETRIES: 1,
		GOOGLE_CLIENT_ID: APP.client_id, GOOGLE_CLIENT_SECRET: APP.client_secret,
		GOOGLE_PUSH_ACCOUNT: PUSHER.email, GOOGLE_PUSH_AUDIENCE: PUSHER.aud } });
	const key = await service.key('admin');
	document = (await service.get('/openapi.json')).json;
	judge = new Judge({ document, service, key });
	harbour = (await service.connect({ key, branch_id: 'harbour' })).client_id;
	job = (await hit('POST /api/v1/review-fetch', { json: { branch_id: 'harbour' }, status: 202 })).json.job_id;
	await ended(job);
});
after(async () => {
	await service?.end();
	await google?.end();
});

test('a_validator_that_others_keep_finds_no_fault_in_it', async () => {
	const validator = new Validator();
	const { valid, errors } = await validator.validate(structuredClone(document));
	assert.ok(valid, JSON.stringify(errors));
	assert.equal(validator.version, '3.1');
	assert.equal((await send('GET', `${service.url}/openapi.json`, { headers: { 'if-none-match': (await service.get('/openapi.json')).headers.etag } })).status, 304);
});

describe('each answer is as described', () => {
	test('branches_and_their_links', async () => {
		await hit('GET /token-management/clients', { query: { q: 'harb' }, status: 200 });
		await hit('GET /token-management/clients/{id}', { path: { id: harbour }, status: 200 });
		await hit('GET /token-management/clients/{id}', { path: { id: 9999 }, status: 404 });
		const made = await hit('POST /token-management/clients', { json: { branch_id: 'pier', workspace_email: 'pier@example.com', workspace_name: 'Pier' }, status: 201 });
		const id = made.json.client_id;
		await hit('POST /token-management/clients', { json: { branch_id: 'pier', workspace_email: 'pier@example.com', workspace_name: 'Pier' }, status: 409 });
		await hit('POST /token-management/clients', { json: {}, status: 422 });
		await hit('PATCH /token-management/clients/{id}', { path: { id }, json: { workspace_name: 'The pier' }, status: 200 });
		await hit('POST /token-management/clients/{id}/connect-link', { path: { id }, status: 200 });
		const { json } = await hit('GET /token-management/clients/{id}/connect-links', { path: { id }, status: 200 });
		assert.equal(json.links.length, 1);
		await hit('DELETE /token-management/clients/{id}/connect-links/{link_id}', { path: { id, link_id: json.links[0].id }, status: 200 });
		await hit('DELETE /token-management/clients/{id}/connect-links', { path: { id }, status: 200 });
		await hit('DELETE /token-management/clients/{id}', { path: { id }, status: 200 });
		await hit('GET /token-management/audit', { query: { limit: 5 }, status: 200 });
		await hit('GET /token-management/clients', { query: { sort: 'expires_at', order: 'desc' }, status: 200 });
		await hit('GET /token-management/clients/{id}/history', { path: { id: harbour }, status: 200 });
		await hit('GET /token-management/clients/{id}/history', { path: { id: 9999 }, status: 404 });
		await hit('GET /api/v1/overview', { status: 200 });
		await hit('GET /api/v1/reviews/summary', { query: { branch_id: 'harbour' }, status: 200 });
	});

	test('keys', async () => {
		const { json } = await hit('POST /token-management/keys', { json: { name: 'reader', scopes: ['reviews:read'], branches: ['harbour'], per_minute: 60, expires_at: '2040-01-31T12:00:00Z' }, status: 201 });
		await hit('POST /token-management/keys', { json: { name: 'reader', scopes: ['everything'] }, status: 422 });
		await hit('GET /token-management/keys', { status: 200 });
		await hit('GET /api/v1/overview', { key: json.key, status: 403 });
		await hit('DELETE /token-management/keys/{id}', { path: { id: json.id }, status: 200 });
		await hit('DELETE /token-management/keys/{id}', { path: { id: json.id }, status: 404 });
	});

	test('the_consent_flow_for_programs_and_browsers', async () => {
		const redirect_uri = `${service.url}/token-management/auth/callback`;
		const { client_id: id } = await service.register({ key: judge.key, branch_id: 'flow', redirect_uri });
		const { json: link } = await hit('POST /token-management/clients/{id}/connect-link', { path: { id }, status: 200 });
		const ticket = new URL(link.url).searchParams.get('ticket');
		const jar = new CookieJar();
		await hit('GET /token-management/oauth/login/{id}', { path: { id }, query: { ticket }, headers: HTML, jar, key: null, status: 200 });
		const off = await hit('POST /token-management/oauth/login/{id}', { path: { id }, query: { ticket }, jar, key: null, status: 303 });
		const back = new URL(await decide(off.headers.location, { allow: false }));
		const refused = await hit('GET /token-management/auth/callback', { query: Object.fromEntries(back.searchParams), jar, key: null });
		assert.equal(refused.json.provider_error, 'access_denied', refused.text);
		for (const [fault, status] of [[{ omit_refresh_token: true }, 409], [{ status: 401, error: 'invalid_client' }, 502]]) {
			await google.fault({ target: 'token_code', ...fault, count: 1 });
			const began = await hit('GET /token-management/oauth/login/{id}', { path: { id }, jar, status: 307 });
			await hit('GET /token-management/auth/callback', { query: Object.fromEntries(new URL(await decide(began.headers.location)).searchParams), jar, key: null, status });
			await google.calm();
		}
		for (const headers of [undefined, HTML]) {
			const began = await hit('GET /token-management/oauth/login/{id}', { path: { id }, jar, status: 307 });
			const query = Object.fromEntries(new URL(await decide(began.headers.location)).searchParams);
			await hit('GET /token-management/auth/callback', { query, jar, headers, key: null, status: headers ? 303 : 200 });
		}
		const page = await hit('GET /token-management/auth/callback', { jar, headers: HTML, key: null, status: 200 });
		assert.match(page.headers['content-type'], /html/);
		const began = await hit('GET /token-management/oauth/login/{id}', { path: { id }, jar, status: 307 });
		const query = Object.fromEntries(new URL(await decide(began.headers.location, { allow: false })).searchParams);
		await hit('GET /token-management/auth/callback', { query, jar, headers: HTML, key: null, status: 303 });
		await hit('POST /token-management/auth/callback', { jar, headers: { ...HTML, origin: service.url }, key: null });
		await hit('GET /token-management/auth/callback/{provider}', { path: { provider: 'nobody' }, query: { state: 'x' }, key: null });
		const missing = await hit('GET /token-management/oauth/login/{id}', { path: { id: 9999 }, status: 404 });
		assert.equal(missing.json.error, missing.json.detail);
		await hit('POST /token-management/auth/callback', { jar: new CookieJar(), headers: { origin: service.url }, key: null, status: 403 });
		const some = await hit('GET /token-management/oauth/login/{id}', { path: { id }, jar, status: 307 });
		const less = new URL(await decide(some.headers.location, { scopes: ['openid'] }));
		const lacking = await hit('GET /token-management/auth/callback', { query: Object.fromEntries(less.searchParams), jar, key: null });
		assert.ok(lacking.json.missing_scopes, lacking.text);
	});

	test('tokens_from_the_first_to_the_last', async () => {
		await hit('GET /token-management/tokens/{branch_id}', { path: { branch_id: 'harbour' }, status: 200 });
		await hit('GET /token-management/tokens/{branch_id}', { path: { branch_id: 'nobody' }, status: 404 });
		await hit('POST /token-management/tokens/refresh', { json: { client_id: harbour }, status: 200 });
		await google.fault({ target: 'token_refresh', status: 503, count: 1 });
		const degraded = await hit('POST /token-management/tokens/refresh', { json: { client_id: harbour }, status: 200 });
		assert.equal(degraded.json.degraded, true, degraded.text);
		await google.calm();

		const people = await google.people();
		for (const branch of ['twin-a', 'twin-b'])
			await service.connect({ key: judge.key, branch_id: branch, choice: { account: people[1] } });
		const path = { branch_id: 'twin-a' };
		const shared = await hit('POST /token-management/tokens/{branch_id}/revoke', { path, status: 409 });
		assert.deepEqual(shared.json.siblings, ['twin-b']);
		const { json: { clients: [twin] } } = await hit('GET /token-management/clients', { query: { q: 'twin-a' } });
		await hit('DELETE /token-management/clients/{id}', { path: { id: twin.client_id }, query: { revoke: true }, status: 409 });
		await google.fault({ target: 'revoke', status: 503, count: 1 });
		await hit('POST /token-management/tokens/{branch_id}/revoke', { path, query: { force: true }, status: 202 });
		await google.calm();
		await hit('POST /token-management/tokens/{branch_id}/revoke', { path, query: { force: true, purge: true }, status: 200 });
		const gone = await hit('GET /token-management/tokens/{branch_id}', { path, status: 409 });
		assert.equal(gone.json.connection_status, 'revoked');

		const one = await service.connect({ key: judge.key, branch_id: 'last', choice: { account: people[1] } });
		await google.fault({ target: 'revoke', status: 503, count: 1 });
		await hit('DELETE /token-management/clients/{id}', { path: { id: one.client_id }, query: { revoke: true }, status: 202 });
		await google.calm();
		await hit('DELETE /token-management/clients/{id}', { path: { id: one.client_id }, query: { revoke: true, purge: true }, status: 200 });
	});

	test('imports', async () => {
		const tokens = (await google.control('POST', '/tokens', { op: 'mint', client_id: APP.client_id, count: 2 })).tokens.map((one) => one.refresh_token);
		const connection = (branch_id, refresh_token) => ({ ...APP, redirect_uri: 'http://localhost:8084/token-management/auth/callback', branch_id,
			workspace_email: `${branch_id}@example.com`, workspace_name: branch_id, refresh_token });
		await hit('POST /token-management/import', { json: connection('in-one', tokens[0]), status: 201 });
		await google.fault({ target: 'token', status: 503, count: 1 });
		const waiting = await hit('POST /token-management/import', { json: connection('in-two', tokens[1]), status: 202 });
		assert.ok(waiting.json.reason);
		await google.calm();
		const dead = await hit('POST /token-management/import', { json: connection('in-dead', '1//nobody'), status: 409 });
		assert.ok(dead.json.import_id);
		const { json } = await hit('POST /token-management/import', { body: `${JSON.stringify(connection('in-many', '1//nobody'))}\n{}\n`,
			headers: { 'content-type': 'application/x-ndjson' }, status: 202 });
		const path = { id: json.import_id };
		await hit('GET /token-management/imports/{id}', { path, status: 200 });
		await hit('GET /token-management/imports', { status: 200 });
		const report = await hit('GET /token-management/imports/{id}/report', { path, query: { lines: 'all' }, status: 200 });
		assert.equal(report.text.trim().split('\n').length, 2);
	});

	test('jobs_reviews_and_streams', async () => {
		await hit('GET /api/v1/jobs', { query: { limit: 3 }, status: 200 });
		await hit('GET /api/v1/accounts', { status: 200 });
		await hit('GET /api/v1/locations', { status: 200 });
		await hit('GET /api/v1/projects', { status: 200 });
		const { json: list } = await hit('GET /api/v1/reviews', { query: { limit: 2 }, status: 200 });
		const { google_review_id: name } = list.reviews[0];
		const { locations } = await google.control('GET', '/world/locations');
		const all = await Promise.all(locations.map((one) => send('GET', `${google.url}/_control/world/locations/${one.name.split('/').at(-1)}/reviews`)));
		const there = all.flatMap((one) => one.text.split('\n').filter(Boolean).map((line) => JSON.parse(line)));
		await google.control('POST', '/world', { op: 'edit', review: there.find((r) => r.reviewId === name).name, comment: 'edited', rating: 2 });
		await google.fault({ target: 'reviews', status: 500, count: 100 });
		const bad = await hit('POST /api/v1/review-fetch', { json: { branch_id: 'harbour', mode: 'full' }, status: 202 });
		const report = await ended(bad.json.job_id);
		assert.ok(report.errors.length > 0, JSON.stringify(report));
		await google.calm();
		await ended((await hit('POST /api/v1/review-fetch', { json: { branch_id: 'harbour', mode: 'full' }, status: 202 })).json.job_id);
		const { json: whole } = await hit('GET /api/v1/reviews/{id}', { path: { id: list.reviews[0].id }, status: 200 });
		assert.deepEqual(whole.history.map((change) => change.kind), ['new', 'edited']);
		const answered = { path: { id: list.reviews[1].id }, status: 200 };
		await hit('PUT /api/v1/reviews/{id}/reply', { ...answered, json: { comment: 'Thank you' } });
		await hit('DELETE /api/v1/reviews/{id}/reply', answered);
		const session = await hit('POST /api/v1/stream-session', { json: { branch_id: 'harbour' }, status: 201 });
		await hit('GET /api/v1/stream/nested', { query: { session_id: session.json.session_id, max_wait_sec: 5 }, status: 200 });
		await hit('GET /api/v1/stream/nested', { query: { job_id: job, max_locations_total: 1 }, status: 200 });
		await hit('GET /api/v1/stream/nested', { status: 400 });
		const lines = await hit('GET /api/v1/reviews', { headers: { accept: 'application/x-ndjson' }, status: 200 });
		assert.ok(lines.text.trim().split('\n').length > 10);
		const csv = await hit('GET /api/v1/reviews', { headers: { accept: 'text/csv' }, status: 200 });
		assert.deepEqual(csv.text.split('\r\n')[0].split(',').sort(), Object.keys(document.components.schemas.Review.properties).sort());
		await hit('DELETE /api/v1/jobs/{id}', { path: { id: job }, status: 409 });
		for (const what of ['accounts', 'locations', 'reviews']) {
			await hit(`GET /api/v1/demo/${what}`, { status: 200 });
			await hit(`GET /api/v1/demo/stream/${what}`, { status: 200 });
		}
		await hit('POST /api/v1/demo/nested', { json: { access_token: 'anything' }, status: 200 });
		await hit('GET /api/v1/demo/stream/nested', { query: { max_locations: 2 }, status: 200 });
		const events = await hit('GET /api/v1/events', { headers: { accept: 'application/json' }, status: 200 });
		assert.ok(events.json.events.length > 3);
	});

	test('a_job_that_is_cancelled', async () => {
		await google.fault({ target: 'reviews', latency_ms: 300, count: 100 });
		const { json } = await hit('POST /api/v1/review-fetch', { json: { branch_id: 'harbour', mode: 'full' }, status: 202 });
		await hit('DELETE /api/v1/jobs/{id}', { path: { id: json.job_id }, status: 202 });
		await google.calm();
		await ended(json.job_id);
	});

	test('what_google_sends_and_is_asked_for', async () => {
		const { json } = await hit('GET /api/v1/accounts', { query: { branch_id: 'harbour' } });
		const path = { id: json.accounts[0].account_id };
		await hit('PUT /api/v1/accounts/{id}/notifications', { path, json: { topic: 'projects/shop/topics/reviews' }, status: 200 });
		await hit('GET /api/v1/accounts/{id}/notifications', { path, status: 200 });
		await hit('DELETE /api/v1/accounts/{id}/notifications', { path, status: 200 });
		await hit('GET /api/v1/accounts/{id}/notifications', { path: { id: '0' }, status: 404 });
		const token = await pushToken();
		const message = { message: { data: Buffer.from('{"type":"NEW_REVIEW","review":"accounts/1/locations/2/reviews/3","location":"accounts/1/locations/2"}').toString('base64'),
			messageId: crypto.randomUUID() }, subscription: 'projects/p/subscriptions/s' };
		await hit('POST /api/v1/notifications/google', { json: message, key: token, status: 204 });
		await hit('POST /api/v1/notifications/google', { json: message, status: 401 });
		const security = { headers: { 'content-type': 'application/secevent+jwt' }, key: null };
		await hit('POST /token-management/events/google', { ...security, body: 'nonsense', status: 400 });
		const event = await google.control('POST', '/security_event', { client_id: APP.client_id, type: 'verification', state: 'x' });
		await hit('POST /token-management/events/google', { ...security, body: event.token, status: 202 });
	});

	test('the_service_itself_and_its_pages', async () => {
		for (const name of ['/api/v1/health', '/api/v1/ready', '/metrics', '/api/v1/metrics', '/openapi.json', '/api/v1/deliveries', '/', '/console', '/demo', '/reviews-viewer'])
			await hit(`GET ${name}`, { status: 200 });
		const packed = { headers: { ...HTML, 'accept-encoding': 'gzip, br' }, key: null };
		const docs = await hit('GET /docs', { ...packed, status: 200 });
		assert.match(docs.headers['content-security-policy'], /script-src 'self'; style-src 'self';/);
		for (const name of ['viewer.js', 'viewer.css', 'page.js'])
			assert.equal((await hit('GET /docs/{name}', { ...packed, path: { name }, status: 200 })).headers['content-encoding'], 'gzip');
		await hit('GET /docs/{name}', { ...packed, path: { name: 'page.html' }, status: 404 });
		for (const name of ['GET /docs', 'GET /docs/{name}'])
			await hit(name, { path: { name: 'viewer.js' }, headers: HTML, key: null, status: 406 });
		for (const name of ['/', '/console', '/demo', '/reviews-viewer'])
			await hit(`GET ${name}`, { headers: HTML, key: null, status: 303 });
		await hit('GET /sign-in', { headers: HTML, key: null, status: 200 });
		const jar = new CookieJar();
		const headers = { ...HTML, origin: service.url };
		await hit('POST /sign-in', { form: { key: 'rf_no' }, headers, key: null, status: 401 });
		await hit('POST /sign-in', { form: { link: 'no', next: '/console' }, headers, key: null, status: 403 });
		await hit('GET /sign-in', { query: { link: 'no' }, headers: HTML, key: null, status: 403 });
		await hit('POST /sign-in', { form: { key: judge.key }, headers, jar, key: null, status: 303 });
		await hit('GET /sign-in', { headers: HTML, jar, key: null, status: 303 });
		const page = await hit('GET /console', { headers: HTML, jar, key: null, status: 200 });
		await hit('GET /console/{view}', { path: { view: 'jobs' }, headers: HTML, jar, key: null, status: 200 });
		await hit('GET /console/{view}/{id}', { path: { view: 'jobs', id: '1' }, headers: HTML, jar, key: null, status: 200 });
		await hit('GET /console/{view}', { path: { view: 'jobs' }, status: 200 });
		await hit('GET /console/{view}/{id}', { path: { view: 'jobs', id: '1' }, status: 200 });
		await hit('GET /console/{view}', { path: { view: 'jobs' }, headers: HTML, key: null, status: 303 });
		await hit('GET /console/{view}/{id}', { path: { view: 'jobs', id: '1' }, headers: HTML, key: null, status: 303 });
		const name = /assets\/(index-[^"]+\.js)/.exec(page.text)[1];
		const asset = await hit('GET /console/assets/{name}', { path: { name }, jar, key: null, status: 200 });
		await hit('GET /console/assets/{name}', { path: { name }, jar, key: null, headers: { 'if-none-match': asset.headers.etag }, status: 304 });
		await hit('GET /console/assets/{name}', { path: { name: 'none.js' }, jar, key: null, status: 404 });
		await hit('GET /sign-out', { headers: HTML, jar, key: null, status: 200 });
		await hit('POST /sign-out', { form: { csrf: 'none' }, jar, headers, key: null, status: 403 });
		await hit('GET /sign-out', { headers: HTML, key: null, status: 303 });
		await hit('POST /sign-out', { form: {}, headers, status: 303 });
		const made = await hit('POST /session', { status: 201 });
		await hit('GET /session', { status: 200 });
		const { json } = await hit('GET /sessions', { status: 200 });
		assert.ok(json.sessions.some((one) => one.id === made.json.session_id));
		await hit('DELETE /sessions/{session_id}', { path: { session_id: made.json.session_id }, status: 200 });
		const own = new CookieJar();
		await hit('POST /session', { jar: own, status: 201 });
		await hit('POST /session', { jar: own, key: null, headers: { 'x-requested-with': 'review-fetcher', origin: service.url }, status: 409 });
		await hit('DELETE /session', { jar: own, key: null, headers: { 'x-requested-with': 'review-fetcher', origin: service.url }, status: 200 });
		await hit('DELETE /session', { status: 404 });
		const bound = await service.key('admin', { branches: ['harbour'] });
		assert.deepEqual((await hit('GET /session', { key: bound, status: 200 })).json.branches, ['harbour']);
	});

	test('a_stream_of_events', async () => {
		const { json } = await hit('GET /api/v1/events', { headers: { accept: 'application/json' }, query: { limit: 1 } });
		const { json: own } = await hit('POST /token-management/keys', { json: { name: 'brief', scopes: ['reviews:read'] }, status: 201 });
		const response = await fetch(`${service.url}/api/v1/events?after=0`, { headers: { authorization: `Bearer ${own.key}` } });
		const reader = response.body.getReader();
		let text = '';
		const until = async (...words) => {
			while (!words.every((word) => text.includes(word)) || !text.endsWith('\n\n')) {
				const { value, done } = await reader.read();
				assert.ok(!done, text);
				text += Buffer.from(value).toString();
			}
		};
		await until('event: job.completed\n', 'event: connection.', json.events[0].event_id);
		await hit('DELETE /token-management/keys/{id}', { path: { id: own.id }, status: 200 });
		await until('event: closed\n');
		judge.judge('GET /api/v1/events', { status: response.status, headers: { 'content-type': response.headers.get('content-type') }, text }, 'the stream');
	});
});

// ---- examples ----

const exampleOf = (operation, where) => Object.fromEntries((operation.parameters ?? [])
	.filter((one) => one.in === where && one.example !== undefined).map((one) => [one.name, String(one.example)]));
// What can only be known when the service runs; the rest of a path is the example's.
const known = () => ({ job_id: job, id: job });
const bodyOf = (operation) => operation.requestBody?.content['application/json']?.example;

test('the_examples_run', async () => {
	const account = (await service.get('/api/v1/accounts', { key: judge.key })).json.accounts[0].account_id;
	const { import_id } = (await service.get('/token-management/imports', { key: judge.key })).json.imports[0];
	let n = 0;
	for (const { name, operation } of judge.operations()) {
		const query = exampleOf(operation, 'query'), path = exampleOf(operation, 'path'), json = bodyOf(operation);
		if (Object.keys({ ...query, ...path }).length === 0 && !json)
			continue;
		n++;
		if (json)
			judge.judgePiece(operation.requestBody.content['application/json'].schema.$ref.split('/').at(-1), json);
		const answer = await hit(name, { path: { ...known(), ...name.includes('notifications') ? { id: account } : {}, ...name.includes('/imports/') ? { id: import_id } : {}, ...path },
			query: { ...query, ...name === 'GET /api/v1/stream/nested' ? { job_id: job } : {} }, json,
			headers: { accept: 'application/json', 'accept-encoding': 'gzip' }, ...name === 'POST /api/v1/notifications/google' ? { key: await pushToken() } : {} });
		// The one token of an example cannot be good anywhere.
		assert.ok(answer.status < 400 || (name === 'POST /token-management/import' && answer.status === 409), `${name} ${answer.status} ${answer.text}`);
	}
	assert.ok(n > 30, `only ${n} have an example`);
});

test('whatever_can_have_an_example_has_one', () => {
	const without = [...judge.operations()].filter(({ operation }) => operation.requestBody?.content['application/json'] && !bodyOf(operation)).map((one) => one.name);
	assert.deepEqual(without, []);
});

// ---- parameters ----

const OF_A_FORM = { kind: '!!', cursor: '!!', rating: '6', 'Idempotency-Key': ' ', google_account_id: 'x' }; // whose words say what they are

// Values that a parameter or a member of this schema cannot have: just outside of each bound.
function wrong({ name, schema }) {
	const { type, format, minimum, maximum, minLength, maxLength } = schema, values = [];
	const is = (one) => [type].flat().includes(one);
	if (OF_A_FORM[name])
		values.push(OF_A_FORM[name]);
	if (schema.enum)
		values.push('none-of-them');
	if (is('integer'))
		values.push('x', ...minimum === undefined ? [] : [minimum - 1], ...maximum === undefined ? [] : [maximum + 1]);
	if (is('boolean'))
		values.push('maybe');
	if (format === 'date-time')
		values.push('yesterday');
	if (minLength)
		values.push('x'.repeat(minLength - 1));
	if (maxLength)
		values.push('x'.repeat(maxLength + 1));
	return values;
}

// … and just inside.
function right({ schema: { type, format, items, enum: known, minimum, maximum, minLength, maxLength } }) {
	if (known)
		return known.filter((one) => one !== null);
	if (items)
		return right({ schema: items }).map((one) => [one]);
	if ([type].flat().includes('integer'))
		return [minimum ?? -1, maximum ?? Number.MAX_SAFE_INTEGER];
	if ([type].flat().includes('boolean'))
		return [true, false];
	if (format === 'date-time')
		return ['2026-01-31T12:00:00Z', '2026-01-31T12:00:00.5+02:00'];
	return maxLength ? ['1'.repeat(minLength ?? 0), '1'.repeat(maxLength)] : ['1'];
}

const pathOf = (operation) => ({ ...known(), ...Object.fromEntries((operation.parameters ?? []).filter((one) => one.in === 'path' && one.schema.type === 'integer')
	.map((one) => [one.name, harbour])), branch_id: 'harbour', provider: 'google', link_id: 'none', session_id: 'none', name: 'none', view: 'jobs' });

const named = (answer, where, name) => (answer.json?.errors ?? []).some((error) => error.loc[0] === where && error.loc[1] === name);
const namesError = (answer, where, name, said) => {
	assert.equal(answer.status, 422, said);
	assert.ok(named(answer, where, name), said);
};

function requestFor(name, operation, parameter, value) {
	const put = (where, also = {}) => ({ ...also, ...parameter.in === where ? { [parameter.name]: String(value) } : {} });
	const also = name === 'GET /api/v1/stream/nested' && !parameter.name.endsWith('_id') ? { job_id: job } : parameter.name === 'force' ? { revoke: 'true' } : {};
	const path = put('path', pathOf(operation));
	return { path: name.includes('imports/{id}') ? { id: 'none' } : path, query: put('query', also), json: bodyOf(operation) ?? (operation.requestBody ? {} : undefined),
		headers: { accept: 'application/json', 'accept-encoding': 'gzip', ...put('header') } };
}

test('every_bound_of_a_parameter_is_kept', async () => {
	let n = 0;
	for (const { name, operation } of judge.operations()) {
		for (const parameter of operation.parameters ?? []) {
			if (parameter.in === 'path' && parameter.schema.enum)
				continue; // such an address does not exist
			for (const value of wrong(parameter)) {
				n++;
				const answer = await hit(name, requestFor(name, operation, parameter, value));
				namesError(answer, parameter.in, parameter.name, `${name} ${parameter.name} ${String(value).slice(0, 40)}: ${answer.status} ${answer.text}`);
			}
		}
	}
	assert.ok(n > 100, `only ${n}`);
});

test('what_is_within_the_bounds_is_taken', async () => {
	let n = 0;
	for (const { name, operation } of judge.operations()) {
		for (const parameter of operation.parameters ?? []) {
			if (!name.startsWith('GET ') || OF_A_FORM[parameter.name] || parameter.name === 'access_token') // which no address may bear
				continue;
			for (const value of right(parameter)) {
				n++;
				const answer = await hit(name, requestFor(name, operation, parameter, value));
				assert.ok(!named(answer, parameter.in, parameter.name), `${name} ${parameter.name} ${String(value).slice(0, 40)}: ${answer.status} ${answer.text}`);
			}
		}
	}
	assert.ok(n > 100, `only ${n}`);
});

test('a_default_that_is_described_is_what_happens_without_the_parameter', async () => {
	let n = 0;
	for (const { name, operation } of judge.operations()) {
		for (const parameter of operation.parameters ?? []) {
			if (!name.startsWith('GET ') || parameter.schema.default === undefined || name.includes('imports/{id}') || name.includes('/stream/'))
				continue;
			n++;
			const without = requestFor(name, operation, { name: '', in: '' });
			const answers = [await hit(name, { ...without, status: 200 }), await hit(name, { ...requestFor(name, operation, parameter, parameter.schema.default), status: 200 })];
			const [one, other] = answers.map(({ text }) => text.replace(/"(timestamp|expires_in|last_used_at|created_at|updated_at)":("[^"]*"|\d+)/g, ''));
			assert.equal(other, one, `${name} ${parameter.name}`);
		}
	}
	assert.ok(n > 10, `only ${n}`);
});

// ---- bodies ----

// Members whose form is narrower than their length; what is right for them stands in the examples.
const NARROW = new Set(['workspace_email', 'redirect_uri', 'provider', 'scope', 'private_key', 'key_id', 'client_id', 'refresh_token', 'expires_at', 'access_token',
	'branches', 'topic']);

const TOGETHER = { client_id: { client_secret: 'x' }, client_secret: { client_id: 'x' }, private_key: { client_id: 'x' }, key_id: { client_id: 'x' } };

function* membersOf() {
	for (const { name, operation } of judge.operations()) {
		const reference = operation.requestBody?.content['application/json']?.schema.$ref;
		if (!reference || name === 'POST /api/v1/notifications/google')
			continue;
		const schema = document.components.schemas[reference.split('/').at(-1)];
		for (const [member, one] of Object.entries(schema.properties))
			yield { name, member, schema: one, operation, required: schema.required?.includes(member),
				others: /review-fetch|stream-session/.test(name) ? (member === 'mode' ? { branch_id: 'harbour' } : {}) : { ...bodyOf(operation), ...TOGETHER[member] } };
	}
}

function wrongMembers({ member, schema }) {
	const is = (one) => [schema.type].flat().includes(one);
	const values = wrong({ name: member, schema }).filter((value) => !(is('boolean') || is('integer')) || typeof value !== 'string');
	if (schema.items?.enum)
		values.push(['none-of-them']);
	return [...values, is('string') ? 7 : 'neither'];
}

test('every_member_of_a_body_is_read_and_has_its_type_and_bounds', async () => {
	let n = 0;
	for (const one of membersOf()) {
		const { name, member, operation, others, required } = one;
		for (const value of [...wrongMembers(one), ...required ? [undefined] : []]) {
			n++;
			const answer = await hit(name, { path: pathOf(operation), json: { ...others, [member]: value } });
			namesError(answer, 'body', member, `${name} ${member} ${String(value).slice(0, 40)}: ${answer.status} ${answer.text}`);
		}
	}
	assert.ok(n > 80, `only ${n}`);
});

test('a_body_that_must_be_there_is_asked_for_and_no_other', async () => {
	for (const { name, operation } of judge.operations()) {
		if (!operation.requestBody?.content['application/json'] || operation.security.length === 0)
			continue;
		const { status, text } = await hit(name, { path: pathOf(operation), headers: { 'content-type': 'application/json' } });
		const isAsked = status === 400 && !/Google/.test(text); // Google has its own words about a request
		assert.equal(isAsked, operation.requestBody.required, `${name} ${status} ${text}`);
	}
});

test('a_member_within_its_bounds_is_taken', async () => {
	const { client_id: id } = await service.register({ key: judge.key, branch_id: 'bounds' });
	let n = 0;
	for (const one of membersOf()) {
		const { name, member, operation, others } = one;
		for (const value of NARROW.has(member) ? [] : right(one)) {
			n++;
			const path = { ...pathOf(operation), ...name.startsWith('PATCH') ? { id } : {} };
			const answer = await hit(name, { path, json: { ...others, ...name.startsWith('POST /token-management/clients') ? { branch_id: `b${n}` } : {}, [member]: value } });
			assert.ok(!named(answer, 'body', member), `${name} ${member} ${String(value).slice(0, 40)}: ${answer.status} ${answer.text}`);
		}
	}
	assert.ok(n > 20, `only ${n}`);
});

test('lengths_are_counted_in_bytes', async () => {
	await hit('POST /token-management/keys', { json: { name: 'ü'.repeat(127), scopes: ['admin'] }, status: 201 });
	await hit('POST /token-management/keys', { json: { name: ` ${'x'.repeat(255)} `, scopes: ['admin'] }, status: 201 });
	namesError(await hit('POST /token-management/keys', { json: { name: 'ü'.repeat(128), scopes: ['admin'] } }), 'body', 'name');
});

test('what_is_unknown_is_ignored_as_it_is_said', async () => {
	assert.match(document.info.description, /Unknown query parameters and unknown members of a body are ignored/);
	const query = { 'no-such-parameter': '1' };
	for (const name of ['GET /token-management/clients', 'GET /api/v1/reviews', 'GET /api/v1/jobs', 'GET /token-management/audit'])
		await hit(name, { query, status: 200 });
	await hit('PATCH /token-management/clients/{id}', { path: { id: harbour }, query, json: { workspace_name: 'Harbour', no_such_member: {} }, status: 200 });
});

// ---- refusals ----

// The address of what is not there; each member of the path that names something.
const NOWHERE = { id: 999999999, job_id: 'none', branch_id: 'nobody', link_id: 'none', session_id: 'none', name: 'none', provider: 'nobody', view: 'jobs' };

// Refused so for reasons of their own, below.
const OTHERWISE = new Set(['POST /api/v1/stream-session 404', 'GET /api/v1/events 404', 'POST /sign-in 403', 'POST /sign-in 401', 'POST /sign-in 429',
	'POST /token-management/events/google 429', 'POST /api/v1/notifications/google 429']);

test('what_any_route_can_refuse_is_refused_as_described', async () => {
	const keys = [await service.key('reviews:read'), await service.key('tokens:read')];
	spent = (await hit('POST /token-management/keys', { json: { name: 'spent', scopes: ['admin'], per_minute: 1 }, status: 201 })).json.key;
	const google_ = await pushToken();
	await service.get('/api/v1/jobs', { key: spent });
	const others = [];
	for (const { name, operation } of judge.operations()) {
		const scopes = new Set(operation.security.flatMap((way) => Object.values(way).flat()));
		const media = Object.keys(operation.requestBody?.content ?? {})[0];
		const common = { path: pathOf(operation), headers: { accept: 'application/json', 'accept-encoding': 'gzip', origin: service.url }, ...media ? { json: bodyOf(operation) ?? {} } : {},
			...name === 'POST /api/v1/notifications/google' ? { key: google_ } : {} };
		const body = (type, text) => ({ ...common, json: undefined, body: text, headers: { ...common.headers, 'content-type': type } });
		const asked = {
			401: operation.security.length > 0 && operation.security.every((way) => Object.keys(way).length > 0) ? [{ ...common, key: null }, { ...common, key: 'rf_nobody_nothing' }] : [],
			403: scopes.size === 0 ? [] : [{ ...common, key: keys[scopes.has('reviews:read') ? 1 : 0] }],
			429: operation.security.length > 0 ? [{ ...common, key: spent }] : [],
			400: media === 'application/json' ? [body(media, '{')] : [],
			415: media ? [body('image/png', 'x')] : [],
			413: media ? [body(media, 'x'.repeat(1024 * 1024 + 1))] : [],
			404: [{ ...common, path: NOWHERE, ...common.json?.client_id === 1 ? { json: { client_id: 999999999 } } : {}, ...common.json?.branch_id ? { json: { branch_id: 'nobody' } } : {}, ...name === 'GET /api/v1/stream/nested' ? { query: { job_id: 'none' } } : {} }],
		};
		for (const [status, requests] of Object.entries(asked)) {
			for (const request of operation.responses[status] ? requests : []) {
				const answer = await hit(name, request);
				if (answer.status !== Number(status) && !OTHERWISE.has(`${name} ${status}`))
					others.push(`${name} ${status}: ${answer.status} ${answer.text.slice(0, 200)}`);
			}
		}
	}
	assert.deepEqual(others, []);
});

test('a_branch_that_is_inactive_is_refused_as_described', async () => {
	const path = { id: harbour };
	const { json: { reviews: [{ id }] } } = await hit('GET /api/v1/reviews', { query: { branch_id: 'harbour', limit: 1 }, status: 200 });
	const account = (await hit('GET /api/v1/accounts', { query: { branch_id: 'harbour' } })).json.accounts[0].account_id;
	await hit('PATCH /token-management/clients/{id}', { path, json: { is_active: false }, status: 200 });
	await hit('POST /token-management/clients/{id}/connect-link', { path, status: 404 });
	await hit('GET /token-management/oauth/login/{id}', { path, status: 404 });
	await hit('POST /token-management/oauth/login/{id}', { path, status: 404 });
	await hit('GET /token-management/tokens/{branch_id}', { path: { branch_id: 'harbour' }, status: 409 });
	await hit('POST /token-management/tokens/refresh', { json: { client_id: harbour }, status: 409 });
	await hit('POST /api/v1/review-fetch', { json: { branch_id: 'harbour' }, status: 409 });
	await hit('PUT /api/v1/reviews/{id}/reply', { path: { id }, json: { comment: 'Thanks' }, status: 409 });
	await hit('DELETE /api/v1/reviews/{id}/reply', { path: { id }, status: 409 });
	for (const method of ['GET', 'PUT', 'DELETE'])
		await hit(`${method} /api/v1/accounts/{id}/notifications`, { path: { id: account }, status: 409, ...method === 'PUT' ? { json: { topic: 'projects/a/topics/b' } } : {} });
	await hit('PATCH /token-management/clients/{id}', { path, json: { is_active: true }, status: 200 });
});

test('what_is_not_for_a_key_is_refused_as_described', async () => {
	const key = await service.key('admin', { branches: ['museum'] });
	await hit('POST /api/v1/stream-session', { json: { branch_id: 'harbour' }, key, status: 404 });
	await hit('GET /api/v1/events', { query: { branch_id: 'harbour' }, key, headers: { accept: 'application/json' }, status: 404 });
	await hit('POST /sign-in', { form: { key: spent }, headers: { ...HTML, origin: service.url }, key: null, status: 429 });
});

test('what_google_refuses_is_refused_as_described', async () => {
	const { json: { reviews: all } } = await hit('GET /api/v1/reviews', { query: { branch_id: 'harbour' }, status: 200 });
	// A profile takes ten edits a minute: one that no test has edited, for each.
	const reviews = [...new Map(all.map((one) => [one.location_id, one])).values()];
	const path = { id: (await hit('GET /api/v1/accounts', { query: { branch_id: 'harbour' } })).json.accounts[0].account_id };
	const off = { status: 403, reason: 'SERVICE_DISABLED' };
	for (const [fault, status] of [[{ status: 400 }, 400], [{ status: 403 }, 409], [{ non_json: true }, 502], [off, 502]]) {
		await google.fault({ target: 'notification', ...fault });
		for (const method of ['GET', 'PUT', 'DELETE'])
			await hit(`${method} /api/v1/accounts/{id}/notifications`, { path, status, ...method === 'PUT' ? { json: { topic: 'projects/a/topics/b' } } : {} });
		await google.calm();
	}
	for (const [fault, status] of [[{ status: 403 }, 403], [{ status: 400 }, 409], [off, 502], [{ status: 429 }, 429]]) {
		await google.fault({ target: 'reply', ...fault });
		for (const method of ['PUT', 'DELETE'])
			await hit(`${method} /api/v1/reviews/{id}/reply`, { path: { id: reviews.pop().id }, status, ...method === 'PUT' ? { json: { comment: 'Thanks' } } : {} });
		await google.calm();
	}
});

test('what_was_counted_meanwhile_is_in_the_overview_under_its_names', async () => {
	const all = Object.keys(document.components.schemas.Figures.properties).filter((name) => name !== 'google_throttles'); // of which no job saw one
	await eventually(async () => {
		const { json } = await hit('GET /api/v1/overview', { status: 200 });
		assert.deepEqual(all.filter((name) => !json.hours[name]), []);
		assert.ok(json.hours.refreshes.every(([at, n]) => at % 3600 === 0 && n > 0));
	}, PATIENT);
});

// The last, for it ends Google and starts the service anew.
test('what_is_not_set_up_is_refused_as_described', async () => {
	const { json: { clients: [{ client_id: id }] } } = await hit('GET /token-management/clients', { query: { q: 'museum' } });
	const demos = [...judge.operations()].filter((one) => one.path.startsWith('/api/v1/demo/'));
	await google.stop();
	for (const { name, operation } of demos)
		await hit(name, { json: bodyOf(operation), status: 502 });
	await service.restart({ env: { MOCK_GOOGLE_API: '', GOOGLE_CLIENT_ID: '', GOOGLE_CLIENT_SECRET: '', GOOGLE_PUSH_ACCOUNT: '', GOOGLE_PUSH_AUDIENCE: '' } });
	for (const { name, operation } of demos)
		await hit(name, { json: bodyOf(operation), status: 409 });
	await hit('POST /api/v1/notifications/google', { json: { message: {} }, status: 403 });
	for (const method of ['GET', 'POST'])
		await hit(`${method} /token-management/oauth/login/{id}`, { path: { id }, status: 409 });
});

// ---- nothing too much; after all others ----

// What takes a state of things that other tests make: a provider that never answers well, a second process.
// A provider of one's own (providers.test.mjs), what only other machines are asked for, and more than can be checked in a
// second (test_google_keys).
const SILENT = /^GET \/token-management\/auth\/callback\/\{provider\}|^GET \/((api\/v1\/)?metrics)? 401|^POST .*\/google 429/;
const ELSEWHERE = new Set(['StreamSnapshot.truncated', 'Figures.google_throttles', 'DemoNested.truncated', 'Problem.wrong_account', 'Connected.wrong_account']);

test('nothing_is_described_that_was_never_answered', () => {
	const silent = [];
	for (const { name, operation } of judge.operations())
		for (const status of Object.keys(operation.responses))
			if (status !== '500' && status !== '503' && !judge.answered.has(`${name} ${status}`))
				silent.push(`${name} ${status}`);
	assert.deepEqual(silent.filter((one) => !SILENT.test(one)), []);
	assert.deepEqual(judge.unseen().filter((field) => !ELSEWHERE.has(field) && !/^(Delivery|ParkedEvent)\./.test(field)), []);
});
