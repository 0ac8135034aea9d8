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

const hit = (name, options) => judge.hit(name, options);
const ended = (id) => eventually(async () => {
	const { json } = await hit('GET /api/v1/status/{job_id}', { path: { job_id: id }, status: 200 });
	assert.match(json.status, /^(completed|partial|failed|cancelled)$/);
	return json;
}, PATIENT);

before(async () => {
	google = await startSimulator({ args: ['--users', '2', '--accounts', '1', '--locations', '3', '--reviews', '5'] });
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
		for (const line of report.text.trim().split('\n'))
			judge.judgeLine('ImportReportLine', JSON.parse(line));
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
		const there = all.flatMap((one) => one.text.trim().split('\n').map((line) => JSON.parse(line)));
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
		await hit('GET /api/v1/stream/nested', { status: 400 });
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
		const now = Math.floor(Date.now() / 1000);
		const { token } = await google.control('POST', '/sign', { claims: { iss: 'https://accounts.google.com', aud: PUSHER.aud, email: PUSHER.email,
			email_verified: true, sub: '1', iat: now - 5, exp: now + 3600 } });
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
		await hit('GET /docs', { headers: HTML, key: null, status: 406 });
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
		await hit('GET /sign-out', { headers: HTML, key: null, status: 303 });
		await hit('POST /sign-out', { form: {}, headers, status: 303 });
		const made = await hit('POST /session', { status: 201 });
		await hit('GET /session', { status: 200 });
		const { json } = await hit('GET /sessions', { status: 200 });
		assert.ok(json.sessions.some((one) => one.id === made.json.session_id));
		await hit('DELETE /sessions/{session_id}', { path: { session_id: made.json.session_id }, status: 200 });
		const own = new CookieJar();
		await hit('POST /session', { jar: own, status: 201 });
		await hit('DELETE /session', { jar: own, key: null, headers: { 'x-requested-with': 'review-fetcher', origin: service.url }, status: 200 });
		await hit('DELETE /session', { status: 404 });
		const bound = await service.key('admin', { branches: ['harbour'] });
		assert.deepEqual((await hit('GET /session', { key: bound, status: 200 })).json.branches, ['harbour']);
	});

	test('a_stream_of_events', async () => {
		const { json } = await hit('GET /api/v1/events', { headers: { accept: 'application/json' }, query: { limit: 1 } });
		const response = await fetch(`${service.url}/api/v1/events?after=0`, { headers: { authorization: `Bearer ${judge.key}` } });
		const { value } = await response.body.getReader().read();
		assert.match(Buffer.from(value).toString(), new RegExp(`"event_id":"${json.events[0].event_id}"|retry:`));
		judge.judge('GET /api/v1/events', { status: response.status, headers: { 'content-type': response.headers.get('content-type') }, text: '' }, 'the stream');
		await response.body.cancel().catch(() => undefined);
	});
});

// ---- examples ----

const exampleOf = (operation, where) => Object.fromEntries((operation.parameters ?? [])
	.filter((one) => one.in === where && one.example !== undefined).map((one) => [one.name, String(one.example)]));
// What can only be known when the service runs; the rest of a path is the example's.
const known = () => ({ job_id: job, id: job });
const bodyOf = (operation) => operation.requestBody?.content['application/json']?.example;

test('the_examples_run', async () => {
	let n = 0;
	for (const { name, operation } of judge.operations()) {
		const query = exampleOf(operation, 'query'), path = exampleOf(operation, 'path'), json = bodyOf(operation);
		const has = Object.keys({ ...query, ...path }).length > 0 || json;
		if (!has || name.startsWith('GET /api/v1/stream') || name.includes('notifications') || name.includes('{id}/report'))
			continue;
		n++;
		const answer = await hit(name, { path: { ...known(), ...path }, query, json, headers: { accept: 'application/json', 'accept-encoding': 'gzip' } });
		// The one token of an example cannot be good anywhere.
		assert.ok(answer.status < 400 || (name === 'POST /token-management/import' && answer.status === 409), `${name} ${answer.status} ${answer.text}`);
	}
	assert.ok(n > 15, `only ${n} have an example`);
});

test('whatever_can_have_an_example_has_one', () => {
	const without = [...judge.operations()].filter(({ operation }) => operation.requestBody?.content['application/json'] && !bodyOf(operation)).map((one) => one.name);
	assert.deepEqual(without, ['POST /api/v1/notifications/google']);
});

// ---- parameters ----

// A value that a parameter of this schema cannot have; undefined: it takes all.
function wrong({ name, schema }) {
	if (['kind', 'cursor', 'after', 'Last-Event-ID'].includes(name))
		return '!!';
	if (schema.enum)
		return 'none-of-them';
	if (schema.type === 'integer')
		return schema.maximum === undefined ? undefined : String(schema.maximum + 1);
	if (schema.type === 'boolean')
		return 'maybe';
	if (schema.format === 'date-time')
		return 'yesterday';
	return schema.maxLength === undefined ? undefined : 'x'.repeat(schema.maxLength + 1);
}

const pathOf = (operation) => ({ ...known(), ...Object.fromEntries((operation.parameters ?? []).filter((one) => one.in === 'path' && one.schema.type === 'integer')
	.map((one) => [one.name, harbour])), branch_id: 'harbour', provider: 'google', link_id: 'none', session_id: 'none', name: 'none', view: 'none' });

const namesError = (answer, where, name, said) => {
	assert.equal(answer.status, 422, said);
	assert.ok(answer.json.errors.some((error) => error.loc[0] === where && error.loc[1] === name), said);
};

test('every_bound_that_is_described_is_kept', async () => {
	let n = 0;
	for (const { name, operation } of judge.operations()) {
		for (const parameter of operation.parameters ?? []) {
			const value = wrong(parameter);
			if (value === undefined || parameter.in === 'path')
				continue;
			n++;
			const sent = { [parameter.name]: value };
			const also = name === 'GET /api/v1/stream/nested' ? { job_id: job } : parameter.name === 'force' ? { revoke: 'true' } : {};
			const path = name.includes('imports/{id}') ? { id: 'none' } : pathOf(operation);
			const answer = await hit(name, { path, query: parameter.in === 'query' ? { ...also, ...sent } : {}, json: operation.requestBody ? {} : undefined,
				headers: { accept: 'application/json', ...(parameter.in === 'header' ? sent : {}) } });
			namesError(answer, parameter.in, parameter.name, `${name} ${parameter.name}: ${answer.status} ${answer.text}`);
		}
	}
	assert.ok(n > 30, `only ${n}`);
});

test('every_member_of_a_body_is_read_and_has_its_type', async () => {
	for (const { name, operation } of judge.operations()) {
		const reference = operation.requestBody?.content['application/json']?.schema.$ref;
		if (!reference || name === 'POST /api/v1/notifications/google')
			continue;
		const schema = document.components.schemas[reference.split('/').at(-1)];
		for (const [member, { type }] of Object.entries(schema.properties)) {
			const value = [type].flat().includes('string') ? 7 : 'neither';
			const others = name.includes('review-fetch') || name.includes('stream-session') ? (member === 'mode' ? { branch_id: 'harbour' } : {}) : bodyOf(operation);
			const answer = await hit(name, { path: pathOf(operation), json: { ...others, [member]: value } });
			namesError(answer, 'body', member, `${name} ${member}: ${answer.status} ${answer.text}`);
			if (!schema.required?.includes(member))
				continue;
			const lacking = await hit(name, { path: pathOf(operation), json: { ...others, [member]: undefined } });
			namesError(lacking, 'body', member, `${name} without ${member}: ${lacking.status} ${lacking.text}`);
		}
	}
});

test('what_is_unknown_is_ignored_as_it_is_said', async () => {
	assert.match(document.info.description, /Unknown query parameters and unknown members of a body are ignored/);
	const query = { 'no-such-parameter': '1' };
	for (const name of ['GET /token-management/clients', 'GET /api/v1/reviews', 'GET /api/v1/jobs', 'GET /token-management/audit'])
		await hit(name, { query, status: 200 });
	await hit('PATCH /token-management/clients/{id}', { path: { id: harbour }, query, json: { workspace_name: 'Harbour', no_such_member: {} }, status: 200 });
});

// ---- nothing too much; after all others ----

// What takes a state of things that other tests make: a provider that never answers well, a second process.
const ELSEWHERE = new Set(['Problem.wrong_account', 'Connected.wrong_account', 'DemoNested.truncated']);

test('nothing_is_described_that_was_never_answered', () => {
	const silent = [];
	for (const { name, operation } of judge.operations())
		for (const status of Object.keys(operation.responses))
			if (status < 400 && !judge.answered.has(`${name} ${status}`))
				silent.push(`${name} ${status}`);
	assert.deepEqual(silent.filter((one) => !one.startsWith('GET /token-management/auth/callback/{provider}')), []);
	assert.deepEqual(judge.unseen().filter((field) => !ELSEWHERE.has(field) && !/^(Delivery|ParkedEvent)\./.test(field)), []);
});
