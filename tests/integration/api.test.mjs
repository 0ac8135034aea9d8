// SPDX-License-Identifier: Apache-2.0
// What the HTTP side makes of bad input, of keys, of limits and of its own end – through the real binary.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { eventually, makeFolder, Service, startService, startSimulator } from './lib/service.mjs';

let google;
let service;
let key;

before(async () => {
	google = await startSimulator();
	service = await startService({ simulator: google });
	key = await service.key('admin');
});
after(async () => {
	await service?.end();
	await google?.end();
});

const CANARY = 'canary-secret-7f3b';

// method, path, the scope that opens it; `body` where it takes one
const ROUTES = [
	['POST', '/token-management/clients', 'clients:write', 'body'],
	['GET', '/token-management/clients', 'clients:read'],
	['GET', '/token-management/clients/1', 'clients:read'],
	['PATCH', '/token-management/clients/999', 'clients:write', 'body'],
	['DELETE', '/token-management/clients/999', 'clients:write'],
	['POST', '/token-management/clients/999/connect-link', 'clients:write'],
	['GET', '/token-management/oauth/login/999', 'clients:write'],
	['GET', '/token-management/tokens/nobody', 'tokens:read'],
	['POST', '/token-management/tokens/refresh', 'tokens:manage', 'body'],
	['POST', '/token-management/tokens/nobody/revoke', 'tokens:manage'],
	['POST', '/api/v1/review-fetch', 'reviews:fetch', 'body'],
	['GET', '/api/v1/status/nothing', 'reviews:read'],
	['GET', '/api/v1/jobs', 'reviews:fetch'],
	['DELETE', '/api/v1/jobs/nothing', 'reviews:fetch'],
	['POST', '/api/v1/stream-session', 'reviews:read', 'body'],
	['GET', '/api/v1/accounts', 'reviews:read'],
	['GET', '/api/v1/locations', 'reviews:read'],
	['GET', '/api/v1/reviews', 'reviews:read'],
	['GET', '/api/v1/reviews/999', 'reviews:read'],
	['GET', '/api/v1/stream/nested?job_id=nothing', 'reviews:read'],
];
const WITH_BODY = ROUTES.filter((route) => route[3]);

function assertProblem(answer, status, words = /./) {
	const where = `${answer.status} ${answer.text}`;
	assert.equal(answer.status, status, where);
	assert.equal(answer.headers['content-type'], 'application/problem+json', where);
	assert.equal(answer.json.status, status, where);
	for (const member of ['type', 'title', 'detail', 'request_id'])
		assert.equal(typeof answer.json[member], 'string', `${member} in ${where}`);
	assert.match(answer.text, words, where);
	return answer.json;
}

// Each entry names where, and says what is wrong and how to mend it.
function assertErrors(answer, ...fields) {
	const { errors } = assertProblem(answer, 422);
	for (const field of fields) {
		const found = errors.find((error) => error.loc.at(-1) === field);
		assert.ok(found, `no error for ${field} in ${answer.text}`);
		assert.ok(['body', 'query', 'path'].includes(found.loc[0]));
		assert.ok(found.msg.length > 10, found.msg);
	}
}

// Bytes as they are, on a connection of their own; what came back until the server closed or `until` fits.
async function raw(bytes, until = /\r\n\r\n[^]/) {
	const socket = net.connect(service.port, '127.0.0.1');
	let text = '';
	socket.setEncoding('latin1');
	socket.on('error', () => {});
	socket.write(bytes);
	for await (const piece of socket) {
		text += piece;
		if (until.test(text))
			break;
	}
	socket.destroy();
	return text;
}

describe('keys', () => {
	test('every_route_wants_a_key', async () => {
		for (const [method, path] of ROUTES) {
			const answer = await service.request(method, path);
			assertProblem(answer, 401, /Authorization: Bearer/);
			assert.match(answer.headers['www-authenticate'], /^Bearer/);
			assertProblem(await service.request(method, path, { key: 'rf_unknown_key' }), 401);
			assertProblem(await service.request(method, path, { headers: { authorization: 'Basic cmY6eA==' } }), 401);
		}
	});

	test('every_route_wants_its_own_scope_and_the_refusal_names_it', async () => {
		const scopes = [...new Set(ROUTES.map((route) => route[2]))];
		for (const scope of scopes) {
			const others = await service.key(scopes.filter((other) => other !== scope));
			const fitting = await service.key(scope);
			for (const [method, path, wanted] of ROUTES.filter((route) => route[2] === scope)) {
				assertProblem(await service.request(method, path, { key: others }), 403, new RegExp(`lacks the scope ${wanted}`));
				const { status } = await service.request(method, path, { key: fitting });
				assert.ok(![401, 403].includes(status), `${method} ${path} answered ${status} to a key with ${scope}`);
			}
		}
	});

	test('health_readiness_and_the_callback_need_none', async () => {
		assert.equal((await service.get('/api/v1/health')).status, 200);
		assert.equal((await service.get('/api/v1/ready')).status, 200);
		assertProblem(await service.get('/token-management/auth/callback'), 400);
	});

	test('figures_are_for_keys_and_for_this_machine_but_not_through_a_proxy', async () => {
		for (const path of ['/metrics', '/api/v1/metrics', '/']) {
			assert.equal((await service.get(path)).status, 200);
			assertProblem(await service.get(path, { headers: { 'x-forwarded-for': '203.0.113.9' } }), 401);
			assertProblem(await service.get(path, { headers: { host: 'rebound.example' } }), 401);
			assert.equal((await service.get(path, { key, headers: { host: 'rebound.example' } })).status, 200);
		}
	});

	test('a_login_link_with_an_unknown_ticket_is_a_page_for_people_and_a_problem_for_programs', async () => {
		const path = '/token-management/oauth/login/1?ticket=unknown';
		const problem = await service.get(path);
		assert.ok([403, 404].includes(problem.status), problem.text);
		const page = await service.get(path, { headers: { accept: 'text/html' } });
		assert.equal(page.status, problem.status);
		assert.match(page.headers['content-type'], /^text\/html/);
		assert.match(page.headers['content-security-policy'], /default-src 'none'/);
		assert.equal(page.headers['referrer-policy'], 'no-referrer');
		assert.equal(page.headers['x-content-type-options'], 'nosniff');
	});
});

describe('bodies', () => {
	const send = (path, body, type = 'application/json', method = 'POST') =>
		service.request(method, path, { key, body, headers: { 'content-type': type } });
	const sendJson = (method, path, body) => send(path, body, 'application/json', method);

	test('what_is_not_json_says_where_it_breaks', async () => {
		for (const [method, path] of WITH_BODY) {
			assertProblem(await sendJson(method, path, '{"branch_id": '), 400, /line 1/);
			assertProblem(await sendJson(method, path, '{"branch_id": "a",}'), 400, /line/);
			assertProblem(await sendJson(method, path, ''), 400, /empty/);
			assertProblem(await sendJson(method, path, Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])), 400);
			assertProblem(await sendJson(method, path, '['.repeat(100000)), 400, /nested/);
		}
	});

	test('json_that_is_no_object_is_refused', async () => {
		for (const [method, path] of WITH_BODY) {
			assertProblem(await sendJson(method, path, '[]'), 422, /JSON object/);
			for (const body of ['"text"', '7', 'null'])
				assertProblem(await sendJson(method, path, body), 400, /expected/);
		}
	});

	test('another_content_type_is_refused', async () => {
		for (const [method, path] of WITH_BODY)
			for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/json; charset=latin1'])
				assertProblem(await send(path, '{}', type, method), 415, /application\/json/);
	});

	test('missing_fields_are_all_listed', async () => {
		assertErrors(await send('/token-management/clients', '{}'), 'branch_id', 'workspace_email', 'workspace_name');
		assertErrors(await send('/token-management/tokens/refresh', '{}'), 'client_id');
	});

	test('wrong_types_are_all_listed', async () => {
		const wrong = JSON.stringify({ client_id: 7, client_secret: [], redirect_uri: {}, branch_id: true, workspace_email: 1.5, workspace_name: null });
		assertErrors(await send('/token-management/clients', wrong),
			'client_id', 'client_secret', 'redirect_uri', 'branch_id', 'workspace_email', 'workspace_name');
		for (const id of ['"x"', '1.5', 'true', '[]', '0', '-1', '99999999999999999999'])
			assert.ok([400, 422].includes((await send('/token-management/tokens/refresh', `{"client_id": ${id}}`)).status), id);
		for (const path of ['/api/v1/review-fetch', '/api/v1/stream-session'])
			for (const body of [{ branch_id: 7 }, { access_token: 7 }, { branch_id: null }])
				assertProblem(await send(path, JSON.stringify(body)), 422);
	});

	test('overlong_values_name_the_bound_and_are_not_repeated', async () => {
		const long = `${CANARY}${'x'.repeat(3000)}`;
		const answer = await send('/token-management/clients', JSON.stringify(
			{ client_id: long, client_secret: long, redirect_uri: long, branch_id: long, workspace_email: long, workspace_name: long }));
		assertErrors(answer, 'client_id', 'client_secret', 'redirect_uri', 'branch_id', 'workspace_email', 'workspace_name');
		assert.doesNotMatch(answer.text, new RegExp(CANARY));
		assert.match(answer.text, /has 3018 bytes: give 1 to 255/);
	});

	test('values_that_make_no_sense_name_their_field', async () => {
		const good = { client_id: 'a', client_secret: CANARY, branch_id: 'sense', workspace_email: 'o@example.com', workspace_name: 'n' };
		for (const [field, value] of [
			['workspace_email', 'no-at-sign'], ['redirect_uri', 'not a url'], ['redirect_uri', 'ftp://example.com/x'],
			['redirect_uri', 'http://example.com/not-loopback'], ['client_secret', '   '], ['branch_id', '\u0000'],
		]) {
			const answer = await send('/token-management/clients', JSON.stringify({ ...good, [field]: value }));
			assertErrors(answer, field);
			assert.doesNotMatch(answer.text, new RegExp(CANARY));
		}
	});

	test('a_branch_that_is_there_already_is_a_conflict', async () => {
		const body = JSON.stringify({ client_id: 'a', client_secret: CANARY, branch_id: 'twice', workspace_email: 'o@example.com', workspace_name: 'n' });
		assert.equal((await send('/token-management/clients', body)).status, 201);
		assert.equal(assertProblem(await send('/token-management/clients', body), 409).detail, 'Branch ID already exists');
	});

	test('more_than_a_mebibyte_is_413_however_it_comes', async () => {
		for (const [method, path] of WITH_BODY) {
			assertProblem(await sendJson(method, path, ' '.repeat(1048577)), 413, /1048576/);
			const chunked = await service.request(method, path, { key, body: ' '.repeat(1048577), headers: { 'transfer-encoding': 'chunked' } });
			assertProblem(chunked, 413, /1048576/);
		}
	});

	test('a_body_without_a_key_is_not_taken', async () => {
		assertProblem(await service.request('POST', '/token-management/clients', { body: ' '.repeat(2000000) }), 401);
	});
});

describe('paths and queries', () => {
	test('unknown_ids_are_404_and_impossible_ones_422', async () => {
		for (const [method, path] of [
			['GET', '/token-management/clients/999'], ['DELETE', '/token-management/clients/999'],
			['POST', '/token-management/clients/999/connect-link'], ['GET', '/token-management/oauth/login/999'],
			['GET', '/token-management/tokens/nobody'], ['GET', '/api/v1/status/nothing'], ['DELETE', '/api/v1/jobs/nothing'],
			['GET', '/api/v1/reviews/999'], ['GET', '/api/v1/stream/nested?job_id=nothing'],
			['GET', `/token-management/tokens/${'x'.repeat(3000)}`], ['GET', `/api/v1/status/${'x'.repeat(3000)}`],
		]) {
			const problem = assertProblem(await service.request(method, path, { key }), 404);
			assert.ok(problem.detail.length < 300, problem.detail);
		}
		for (const id of ['abc', '0', '-1', '1.5', '99999999999999999999', '%20'])
			for (const path of ['/token-management/clients/', '/api/v1/reviews/'])
				assertErrors(await service.get(path + id, { key }), 'id');
	});

	test('bad_percent_encoding_is_400_and_names_the_parameter', async () => {
		for (const bad of ['%', '%2', '%zz', '%00', '%ff', '%c3', '%ed%a0%80']) {
			const head = (target) => `GET ${target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${key}\r\nConnection: close\r\n\r\n`;
			for (const [, path, , body] of ROUTES.filter(([method]) => method === 'GET')) {
				assert.ok(!body);
				const answer = await raw(head(`${path}${path.includes('?') ? '&' : '?'}odd=${bad}`), /request_id/);
				assert.match(answer, /^HTTP\/1\.1 400 /, `${path} ${bad}`);
				assert.match(answer, /'odd'/);
			}
			assert.match(await raw(head(`/token-management/tokens/${bad}`), /request_id/), /^HTTP\/1\.1 400 /);
		}
	});

	test('bad_query_values_are_listed', async () => {
		for (const path of ['/token-management/clients', '/api/v1/jobs', '/api/v1/accounts', '/api/v1/locations', '/api/v1/reviews'])
			for (const limit of ['0', '501', 'x', '-1', '1.5', '', '99999999999999999999'])
				assertErrors(await service.get(`${path}?limit=${limit}`, { key }), 'limit');
		for (const path of ['/token-management/clients', '/api/v1/jobs', '/api/v1/accounts', '/api/v1/locations', '/api/v1/reviews'])
			assertErrors(await service.get(`${path}?cursor=not-ours`, { key }), 'cursor');
		for (const ttl of ['-1', '86401', 'x'])
			assertErrors(await service.get(`/token-management/tokens/nobody?min_ttl=${ttl}`, { key }), 'min_ttl');
		assertErrors(await service.get('/token-management/clients?status=odd', { key }), 'status');
		assertErrors(await service.get('/api/v1/reviews?rating=6&since=yesterday&order=odd&replied=maybe', { key }),
			'rating', 'since', 'order', 'replied');
		assertErrors(await service.get('/api/v1/stream/nested?job_id=x&max_wait_sec=4&emit_interval_ms=1', { key }), 'max_wait_sec', 'emit_interval_ms');
		assertErrors(await service.request('DELETE', '/token-management/clients/1?revoke=perhaps', { key }), 'revoke');
		assertErrors(await service.request('DELETE', '/token-management/clients/1?force=true', { key }), 'force');
		assertErrors(await service.post('/token-management/tokens/nobody/revoke?force=1', undefined, { key }), 'force');
		assertProblem(await service.get('/api/v1/stream/nested', { key }), 400, /Provide exactly one of job_id or session_id/);
		assertProblem(await service.get('/api/v1/reviews?limit=1&limit=2', { key }), 400, /given twice/);
		assertProblem(await service.get(`/api/v1/reviews?${'a'.repeat(5)}${Array.from({ length: 40 }, (_, i) => `&p${i}=1`).join('')}`, { key }), 400, /more than 32/);
	});

	test('unknown_addresses_are_404_and_other_methods_405', async () => {
		for (const path of ['/nope', '/token-management', '/api/v1', '/api/v2/health', '/..%2f..%2fetc/passwd'])
			assertProblem(await service.get(path, { key }), 404);
		for (const [, path] of ROUTES)
			for (const method of ['PUT', 'BREW']) {
				const answer = await service.request(method, path, { key });
				assertProblem(answer, 405);
				assert.match(answer.headers.allow, /OPTIONS/);
			}
		const options = await service.request('OPTIONS', '/token-management/clients', { key });
		assert.equal(options.status, 204);
		assert.equal(options.headers.allow, 'GET, HEAD, POST, OPTIONS');
		const head = await service.request('HEAD', '/api/v1/health');
		assert.equal(head.status, 200);
		assert.equal(head.text, '');
	});
});

describe('limits', () => {
	const headersOf = (bytes) => `GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nX-Long: ${'x'.repeat(bytes)}\r\nConnection: close\r\n\r\n`;

	test('sixteen_kibibytes_of_headers_are_taken_and_more_is_431', async () => {
		assert.match(await raw(headersOf(16000)), /^HTTP\/1\.1 200 /);
		const answer = await raw(headersOf(17000), /request_id/);
		assert.match(answer, /^HTTP\/1\.1 431 /);
		assert.match(answer, /application\/problem\+json/);
		assert.match(await raw(headersOf(100000)), /^HTTP\/1\.1 431 /);
	});

	test('a_request_line_without_end_is_refused', async () => {
		assert.match(await raw(`GET /${'x'.repeat(100000)}`), /^HTTP\/1\.1 4(14|31) /);
	});

	test('noise_instead_of_http_ends_the_connection', async () => {
		for (const noise of ['\r\n\r\n\r\n', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', 'GET\r\n\r\n', 'GET / HTTP/9.9\r\n\r\n', '\0\0\0\0\r\n\r\n']) {
			const answer = await raw(`${noise}GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`, /never/);
			assert.ok(answer === '' || /^HTTP\/1\.1 (200|400|505) /.test(answer), answer);
		}
		assert.equal((await service.get('/api/v1/health')).status, 200);
	});

	test('both_a_length_and_chunks_never_smuggle_a_second_request', async () => {
		const answer = await raw(`POST /token-management/clients HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${key}\r\n` +
			'Content-Type: application/json\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n' +
			'GET /api/v1/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', /never/);
		assert.doesNotMatch(answer, /^HTTP\/1\.1 201 /);
	});
});

describe('the log', () => {
	test('a_callers_mistake_is_a_debug_line_and_never_a_secret', async () => {
		await service.request('POST', '/token-management/clients', { key, json: { client_secret: `${CANARY}${'x'.repeat(3000)}` } });
		await service.get(`/token-management/auth/callback?state=${CANARY}&code=${CANARY}`);
		await service.get('/token-management/clients', { key: `rf_${CANARY}` });
		const text = JSON.stringify(service.logs());
		assert.doesNotMatch(text, new RegExp(CANARY));
		const failed = service.logs().filter((line) => line.event === 'http.failed');
		assert.ok(failed.length > 0);
		for (const line of failed)
			assert.equal(line.level, 'debug', JSON.stringify(line));
	});
});

describe('leaving and ending', () => {
	// A refresh by hand always waits for Google.
	const refresh = (id) => `POST /token-management/tokens/refresh HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${key}\r\n` +
		`Content-Type: application/json\r\nContent-Length: ${String(id).length + 14}\r\n\r\n{"client_id":${id}}`;

	test('a_client_that_leaves_while_it_waits_harms_nobody', async () => {
		const { client_id: id } = await service.connect({ key, branch_id: 'left' });
		await google.fault({ target: 'token_refresh', latency_ms: 1000 });
		for (let i = 0; i < 50; i++) {
			const socket = net.connect(service.port, '127.0.0.1');
			socket.on('error', () => {});
			await once(socket, 'connect');
			socket.write(refresh(id), () => (i % 2 ? socket.resetAndDestroy() : socket.end()));
		}
		const answer = await service.post('/token-management/tokens/refresh', { client_id: id }, { key });
		assert.equal(answer.status, 200, answer.text);
		await google.calm();
		await eventually(async () => {
			const { text } = await service.get('/metrics', { key });
			assert.match(text, /review_fetcher_http_connections_open [1-3]\n/);
		});
	});

	test('a_request_under_way_is_answered_when_the_service_is_told_to_end', async (t) => {
		const one = await startService({ t, simulator: google });
		const admin = await one.key('admin');
		const { client_id: id } = await one.connect({ key: admin, branch_id: 'drained' });
		await google.fault({ target: 'token_refresh', latency_ms: 1500 });
		const waiting = one.post('/token-management/tokens/refresh', { client_id: id }, { key: admin });
		await eventually(async () => assert.ok((await google.counts()).in_flight >= 1));
		const stopped = one.stop();
		await one.waitForLog('serve.stopping');
		await eventually(() => assert.rejects(one.get('/api/v1/health'), /ECONNREFUSED|ECONNRESET|hang up/));
		const answer = await waiting;
		await google.calm();
		assert.equal(answer.status, 200, answer.text);
		assert.equal(answer.headers.connection, 'close');
		await stopped;
	});
});

describe('TLS', () => {
	function makeCertificate() {
		const folder = makeFolder('tls');
		const [cert, tlsKey] = [path.join(folder, 'cert.pem'), path.join(folder, 'key.pem')];
		const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
			'-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', tlsKey, '-out', cert]);
		assert.equal(made.status, 0, String(made.stderr));
		return { cert, tlsKey };
	}

	const get = (options) => new Promise((resolve, reject) => {
		const request = https.request({ host: '127.0.0.1', path: '/api/v1/health', agent: false, ...options }, (response) => {
			let text = '';
			response.on('data', (piece) => (text += piece)).on('end', () => resolve({ status: response.statusCode, text }));
		});
		request.on('error', reject).end();
	});

	test('https_is_served_directly_and_nothing_older_than_tls_1_2', async (t) => {
		const { cert, tlsKey } = makeCertificate();
		const one = await startService({ t, simulator: google, env: { TLS_CERT: cert, TLS_KEY: tlsKey } });
		const ca = fs.readFileSync(cert);
		const answer = await get({ port: one.port, ca });
		assert.equal(answer.status, 200);
		assert.match(answer.text, /"status":"healthy"/);
		await assert.rejects(get({ port: one.port, ca, maxVersion: 'TLSv1.1', minVersion: 'TLSv1' }));
		await assert.rejects(one.get('/api/v1/health'), 'plain HTTP must not be answered');
	});

	test('a_certificate_that_is_none_stops_the_start_with_the_setting', async () => {
		const { cert } = makeCertificate();
		for (const [env, word] of [[{ TLS_CERT: cert }, 'TLS_KEY'], [{ TLS_CERT: '/nope.pem', TLS_KEY: cert }, 'TLS_CERT'], [{ TLS_CERT: cert, TLS_KEY: cert }, 'TLS']]) {
			const { code, stderr } = new Service({ simulator: google, env }).cli('serve');
			assert.notEqual(code, 0);
			assert.match(stderr, new RegExp(word));
		}
	});
});
