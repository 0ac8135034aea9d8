// SPDX-License-Identifier: Apache-2.0
// GET /api/v1/events on the real binaries: every change as it is stored, as a stream and as a list.
import assert from 'node:assert/strict';
import http from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import { makeDatabase, startPostgres } from './lib/postgres.mjs';
import { eventually, makeFolder, Service, startService, startSimulator } from './lib/service.mjs';

const WORLD = ['--users', '1', '--accounts', '1', '--locations', '2', '--reviews', '5'];
const FAST = { GOOGLE_REQUESTS_PER_MINUTE: 600000, RETRY_INITIAL_BACKOFF_MS: 10, RETRY_MAX_BACKOFF_MS: 200 };

async function begin(t, { env } = {}) {
	const google = await startSimulator({ t, args: WORLD });
	const service = await startService({ t, simulator: google, env: { ...FAST, ...env } });
	return { google, service, key: await service.key('admin') };
}

// An open stream: what came so far as { id, event, data }, and every raw byte.
function listen(t, service, where, { key, id, headers = {} }) {
	return new Promise((resolve, reject) => {
		const all = { ...headers, authorization: `Bearer ${key}` };
		if (id !== undefined)
			all['last-event-id'] = String(id);
		const request = http.request(`${service.url}${where}`, { headers: all, agent: false }, (response) => {
			const ear = { status: response.statusCode, headers: response.headers, events: [], raw: '', ended: false, close: () => request.destroy() };
			let rest = '';
			response.setEncoding('utf8');
			response.on('data', (piece) => {
				ear.raw += piece;
				rest += piece;
				for (let end; (end = rest.indexOf('\n\n')) >= 0; rest = rest.slice(end + 2)) {
					const fields = Object.fromEntries(rest.slice(0, end).split('\n').map((line) => [line.split(':')[0], line.slice(line.indexOf(':') + 1).trim()]));
					if (fields.id !== undefined)
						ear.id = fields.id;
					if (fields.data !== undefined)
						ear.events.push({ id: fields.id, event: fields.event, data: JSON.parse(fields.data) });
				}
			});
			response.on('close', () => (ear.ended = true));
			resolve(ear);
		});
		request.on('error', reject);
		t.after(() => request.destroy());
		request.end();
	});
}

const kinds = (ear) => ear.events.map((e) => e.event);
const hears = (ear, kind) => eventually(() => {
	const found = ear.events.find((e) => e.event === kind);
	assert.ok(found, `heard only ${kinds(ear)}`);
	return found;
});

const listed = async (service, key, query = '') => {
	const answer = await service.get(`/api/v1/events${query}`, { key, headers: { accept: 'application/json' } });
	assert.equal(answer.status, 200, answer.text);
	return answer.json;
};

async function runJob(service, key, branch_id) {
	const started = await service.post('/api/v1/review-fetch', { branch_id }, { key });
	assert.equal(started.status, 202, started.text);
	await eventually(async () => {
		const { json } = await service.get(`/api/v1/status/${started.json.job_id}`, { key });
		assert.match(json.status, /completed|partial|failed/);
	}, { timeout: 60000 });
	return started.json.job_id;
}

test('a_change_is_heard_as_it_is_stored_with_reason_and_both_states', async (t) => {
	const { service, key } = await begin(t);
	const ear = await listen(t, service, '/api/v1/events', { key });
	assert.equal(ear.status, 200);
	assert.match(ear.headers['content-type'], /^text\/event-stream/);
	await eventually(() => assert.match(ear.raw, /retry: \d+\nid: \d+\n\n/));
	await service.connect({ key, branch_id: 'harbour' });
	const connected = await hears(ear, 'connection.connected');
	assert.equal(connected.data.branch_id, 'harbour');
	assert.equal(connected.data.data.from, 'pending');
	assert.equal(connected.data.data.to, 'connected');
	assert.match(connected.data.at, /Z$/);
	assert.match(connected.data.event_id, /^[0-9a-f]{32}$/);
	assert.equal(String(connected.data.position), connected.id);
	const job = await runJob(service, key, 'harbour');
	assert.equal((await hears(ear, 'job.completed')).data.ref, job);
	assert.deepEqual(kinds(ear).filter((k) => k.startsWith('job.')), ['job.queued', 'job.running', 'job.completed']);
});

test('a_stream_goes_on_after_its_last_id_also_in_the_next_life', async (t) => {
	const { service, key } = await begin(t);
	await service.connect({ key, branch_id: 'harbour' });
	const first = await listen(t, service, '/api/v1/events?after=0', { key });
	const { id } = await hears(first, 'connection.connected');
	first.close();
	await runJob(service, key, 'harbour');
	await service.kill();
	await service.restart();
	const again = await listen(t, service, '/api/v1/events', { key, id });
	await hears(again, 'job.completed');
	assert.ok(!kinds(again).includes('connection.connected'));
	assert.ok(again.events.every((e, i) => i === 0 || Number(e.id) > Number(again.events[i - 1].id)));
	const all = await listed(service, key, '?limit=500');
	assert.deepEqual(kinds(again), all.events.slice(1).map((e) => e.event));
});

test('an_id_that_is_too_old_or_not_of_this_database_is_told_so', async (t) => {
	const { service, key } = await begin(t);
	await service.connect({ key, branch_id: 'harbour' });
	const future = await listen(t, service, '/api/v1/events', { key, id: 999999 });
	assert.match((await hears(future, 'lagged')).data.detail, /not given by this database/);
	const wrong = await service.get('/api/v1/events', { key, headers: { 'last-event-id': 'x1' } });
	assert.equal(wrong.status, 422);
	assert.match(wrong.text, /Last-Event-ID/);
});

test('a_bound_key_hears_its_own_branches_and_no_others', async (t) => {
	const { service, key } = await begin(t);
	const bound = await service.key('reviews:read', { branches: ['harbour'] });
	const ear = await listen(t, service, '/api/v1/events', { key: bound });
	const all = await listen(t, service, '/api/v1/events', { key });
	await service.connect({ key, branch_id: 'station' });
	await service.connect({ key, branch_id: 'harbour' });
	await hears(ear, 'connection.connected');
	await eventually(() => assert.equal(all.events.length, 2));
	assert.deepEqual(ear.events.map((e) => e.data.branch_id), ['harbour']);
	assert.doesNotMatch(ear.raw, /station/);
	const narrowed = await service.get('/api/v1/events?branch_id=station', { key: bound });
	assert.equal(narrowed.status, 404, narrowed.text);
	assert.deepEqual((await listed(service, bound)).events.map((e) => e.branch_id), ['harbour']);
	const none = await service.key('clients:read');
	assert.equal((await service.get('/api/v1/events', { key: none })).status, 403);
});

test('filters_by_branch_and_kind_hold_for_stream_and_list', async (t) => {
	const { service, key } = await begin(t);
	await service.connect({ key, branch_id: 'harbour' });
	await service.connect({ key, branch_id: 'station' });
	await runJob(service, key, 'harbour');
	assert.deepEqual((await listed(service, key, '?kind=job.completed,connection')).events.map((e) => e.event),
		['connection.connected', 'connection.connected', 'job.completed']);
	assert.deepEqual((await listed(service, key, '?kind=connection.*&branch_id=station')).events.map((e) => e.branch_id), ['station']);
	const ear = await listen(t, service, '/api/v1/events?after=0&kind=job&branch_id=harbour', { key });
	await hears(ear, 'job.completed');
	assert.ok(kinds(ear).every((k) => k.startsWith('job.')));
	const wrong = await service.get('/api/v1/events?kind=revieww.new', { key });
	assert.equal(wrong.status, 422);
	assert.match(wrong.text, /review, connection, job/);
});

test('the_list_pages_and_says_where_to_go_on', async (t) => {
	const { service, key } = await begin(t);
	for (const branch_id of ['a', 'b', 'c', 'd', 'e'])
		await service.connect({ key, branch_id });
	const seen = [];
	let page = await listed(service, key, '?limit=2');
	for (; ; page = await listed(service, key, `?limit=2&cursor=${page.next_cursor}`)) {
		seen.push(...page.events.map((e) => e.branch_id));
		if (!page.next_cursor)
			break;
	}
	assert.deepEqual(seen, ['a', 'b', 'c', 'd', 'e']);
	await service.connect({ key, branch_id: 'f' });
	assert.deepEqual((await listed(service, key, `?after=${page.after}`)).events.map((e) => e.branch_id), ['f']);
});

test('a_revoked_key_hears_nothing_more', async (t) => {
	const { service, key } = await begin(t);
	const other = await service.key('reviews:read', { name: 'other' });
	const ear = await listen(t, service, '/api/v1/events', { key: other });
	await eventually(() => assert.match(ear.raw, /retry/));
	const id = /rf_([a-z0-9]+)_/.exec(other)[1];
	assert.equal(service.cli('key', 'revoke', id).code, 0);
	await eventually(async () => assert.equal((await service.get('/api/v1/events', { key: other, headers: { accept: 'application/json' } })).status, 401));
	await service.connect({ key, branch_id: 'harbour' });
	await hears(ear, 'closed');
	await eventually(() => assert.ok(ear.ended));
	assert.doesNotMatch(ear.raw, /harbour/);
});

test('the_same_state_is_told_once_however_often_it_is_met', async (t) => {
	const { google, service, key } = await begin(t);
	await service.connect({ key, branch_id: 'harbour' });
	await google.fault({ target: 'token_refresh', status: 503, count: 1000 });
	for (let i = 0; i < 4; i++)
		await service.post('/token-management/tokens/refresh', { client_id: 1 }, { key });
	await service.restart();
	for (let i = 0; i < 4; i++)
		await service.post('/token-management/tokens/refresh', { client_id: 1 }, { key });
	const { events } = await listed(service, key, '?kind=connection');
	assert.deepEqual(events.map((e) => e.event), ['connection.connected', 'connection.degraded']);
	assert.ok(events[1].data.reason.length > 10);
	const off = await service.request('PATCH', '/token-management/clients/1', { key, json: { is_active: false } });
	assert.equal(off.status, 200, off.text);
	await service.request('PATCH', '/token-management/clients/1', { key, json: { is_active: false } });
	await service.request('PATCH', '/token-management/clients/1', { key, json: { is_active: true } });
	assert.deepEqual((await listed(service, key, '?kind=connection')).events.map((e) => e.event),
		['connection.connected', 'connection.degraded', 'connection.inactive', 'connection.degraded']);
});

test('two_thousand_idle_listeners_hear_one_change', async (t) => {
	const { service, key } = await begin(t, { env: { API_MAX_CONNECTIONS: 3000 } });
	const ears = [];
	for (let i = 0; i < 2000; i += 200)
		ears.push(...await Promise.all(Array.from({ length: 200 }, () => listen(t, service, '/api/v1/events', { key }))));
	assert.ok(ears.every((ear) => ear.status === 200));
	await service.connect({ key, branch_id: 'harbour' });
	await eventually(() => assert.ok(ears.every((ear) => ear.events.length === 1)), { timeout: 60000 });
	ears.forEach((ear) => ear.close());
});

test('over_postgresql_each_process_tells_what_all_did_in_one_order_and_a_death_met_by_both_is_told_once', async (t) => {
	const google = await startSimulator({ t, args: WORLD });
	const postgres = await startPostgres({ t });
	const dir = makeFolder();
	const env = { ...FAST, TOKEN_MANAGEMENT_DATABASE_URL: makeDatabase(postgres.address, 'told'), VAULT_KEY_FILE: path.join(dir, 'vault.key') };
	const [a, b] = [new Service({ simulator: google, env, dir }), new Service({ simulator: google, env })];
	[a, b].forEach((one) => t.after(() => one.end()));
	const up = a.cli('migrate', 'up');
	assert.equal(up.code, 0, up.stderr);
	await a.start();
	await b.start();
	const key = await a.key('admin');
	await eventually(async () => assert.equal((await b.get('/token-management/clients', { key })).status, 200));
	const [ofA, ofB] = [await listen(t, a, '/api/v1/events', { key }), await listen(t, b, '/api/v1/events', { key })];
	for (let i = 0; i < 4; i++)
		await [a, b][i % 2].connect({ key, branch_id: `branch-${i}` });
	await eventually(() => assert.equal(ofB.events.length, 4));
	await google.fault({ target: 'token_refresh', status: 400, error: 'invalid_grant', count: -1 });
	await Promise.all([a, b, a, b].map((one) => one.post('/token-management/tokens/refresh', { client_id: 1 }, { key })));
	await hears(ofA, 'connection.needs_reconnect');
	await hears(ofB, 'connection.needs_reconnect');
	await a.restart();
	await a.post('/token-management/tokens/refresh', { client_id: 1 }, { key });
	const { events } = await listed(b, key, '?kind=connection');
	assert.deepEqual(events.map((e) => e.event), [...Array(4).fill('connection.connected'), 'connection.needs_reconnect']);
	assert.deepEqual(ofB.events.map((e) => e.id), events.map((e) => String(e.position)));
	assert.deepEqual(ofA.events.map((e) => e.id), ofB.events.map((e) => e.id));
});
