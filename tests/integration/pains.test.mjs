// SPDX-License-Identifier: Apache-2.0
// The ten things that people who run token brokers complain of most, each by its own name: against the real
// binary and the simulated Google, none of them happens here.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import { readTogether } from './lib/crowd.mjs';
import { makeDatabase, startPostgres } from './lib/postgres.mjs';
import { eventually, makeFolder, send, Service, startService, startSimulator } from './lib/service.mjs';

const WORLD = ['--users', '3', '--accounts', '2', '--locations', '3', '--reviews', '20'];
const FAST = { GOOGLE_REQUESTS_PER_MINUTE: 600000, RETRY_INITIAL_BACKOFF_MS: 10, RETRY_MAX_BACKOFF_MS: 200 };
const ROTATING = { target: 'token', rotate_refresh_tokens: true, reuse_detection: true };

async function begin(t, { env } = {}) {
	const google = await startSimulator({ t, args: WORLD });
	const service = await startService({ t, simulator: google, env: { ...FAST, ...env } });
	return { google, service, key: await service.key('admin') };
}

const refresh = ({ service, key }, id) => service.post('/token-management/tokens/refresh', { client_id: id }, { key });
const clientOf = async ({ service, key }, id) => (await service.get(`/token-management/clients/${id}`, { key })).json;
const refreshes = async ({ google }) => (await google.counts()).token_refresh;
const told = async ({ service, key }, kind) =>
	(await service.get(`/api/v1/events?kind=${kind}&limit=500`, { key, headers: { accept: 'application/json' } })).json.events;

// A branch whose first access token has run out.
async function connectExpired(it, branch_id) {
	await it.google.fault({ target: 'token_code', expires_in: 1 });
	const client = await it.service.connect({ key: it.key, branch_id });
	await it.google.calm();
	const born = Date.now();
	await eventually(() => assert.ok(Date.now() - born > 1100));
	return client;
}

test('thundering_herd_on_one_expired_token', async (t) => {
	const it = await begin(t);
	await connectExpired(it, 'crowded');
	const before = await refreshes(it);
	// The provider takes its time, and nobody of the crowd fails.
	await it.google.fault({ target: 'token_refresh', latency_ms: 2500, count: 1 });
	const crowd = { port: it.service.port, path: '/token-management/tokens/crowded', key: it.key, count: 1500 };
	const answers = await readTogether(crowd);
	assert.deepEqual([...new Set(answers.map((a) => a.status))], [200]);
	assert.equal(new Set(answers.map((a) => a.json.access_token)).size, 1);
	assert.equal(await refreshes(it) - before, 1);
	// A refresh that breaks off leaves nothing stuck in memory.
	await connectExpired(it, 'stuck');
	await it.google.fault({ target: 'token_refresh', reset: true, count: 1 });
	await readTogether({ ...crowd, path: '/token-management/tokens/stuck', count: 50 });
	await eventually(async () => assert.equal((await it.service.token('stuck', { key: it.key })).status, 200));
});

test('lock_ttl_shorter_than_the_work_and_a_double_redemption_logs_the_user_out', async (t) => {
	const google = await startSimulator({ t, args: WORLD });
	const postgres = await startPostgres({ t });
	const dir = makeFolder();
	const env = { ...FAST, TOKEN_MANAGEMENT_DATABASE_URL: makeDatabase(postgres.address, 'pains'), VAULT_KEY_FILE: path.join(dir, 'vault.key'), TOKEN_REFRESH_LEASE_SEC: 12 };
	const processes = [new Service({ simulator: google, env, dir }), new Service({ simulator: google, env })];
	processes.forEach((one) => t.after(() => one.end()));
	const up = processes[0].cli('migrate', 'up');
	assert.equal(up.code, 0, up.stderr);
	await processes[0].start();
	await processes[1].start();
	const it = { google, service: processes[0], key: await processes[0].key('admin') };
	await eventually(async () => assert.equal((await processes[1].get('/token-management/clients', { key: it.key })).status, 200));
	await google.fault(ROTATING);
	await google.fault({ target: 'token_code', expires_in: 1 });
	const { client_id } = await it.service.connect({ key: it.key, branch_id: 'shared' });
	await google.calm();
	await google.fault(ROTATING);
	const born = Date.now();
	await eventually(() => assert.ok(Date.now() - born > 1100));
	// The work is long; both processes are asked all the while.
	await google.fault({ target: 'token_refresh', latency_ms: 3500, count: 1 });
	const before = await refreshes(it);
	const answers = (await Promise.all(processes.map((one) =>
		readTogether({ port: one.port, path: '/token-management/tokens/shared', key: it.key, count: 100 })))).flat();
	assert.deepEqual([...new Set(answers.map((a) => a.status))], [200]);
	assert.equal(new Set(answers.map((a) => a.json.access_token)).size, 1);
	assert.equal(await refreshes(it) - before, 1);
	assert.equal((await google.counts()).refresh_reused ?? 0, 0);
	for (const service of [processes[1], processes[0], processes[1]])
		assert.equal((await refresh({ service, key: it.key }, client_id)).status, 200);
	assert.equal((await google.counts()).refresh_reused ?? 0, 0);
	assert.equal((await clientOf(it, client_id)).status, 'connected');
});

test('rotated_refresh_token_lost_or_not_saved', async (t) => {
	const it = await begin(t);
	await it.google.fault(ROTATING);
	const { client_id } = await it.service.connect({ key: it.key, branch_id: 'rotating' });
	// Killed the moment the answer is there: what it came with was durable before.
	for (let i = 0; i < 3; i++) {
		assert.equal((await refresh(it, client_id)).status, 200);
		await it.service.kill();
		await it.service.restart();
	}
	// A snapshot of settings or memory is never what is sent: a consent meanwhile, then a refresh.
	await it.service.reconnect({ key: it.key, id: client_id });
	assert.equal((await refresh(it, client_id)).status, 200);
	assert.equal((await it.google.counts()).refresh_reused ?? 0, 0);
	// An answer without a refresh token erases nothing.
	await it.google.calm();
	await it.google.fault({ target: 'token_refresh', omit_refresh_token: true });
	for (let i = 0; i < 3; i++)
		assert.equal((await refresh(it, client_id)).status, 200);
	await it.service.restart();
	assert.equal((await refresh(it, client_id)).status, 200);
	assert.equal((await clientOf(it, client_id)).status, 'connected');
});

// Another program that holds the database's one pen until told to let go.
function holdDatabase(t, file) {
	const child = spawn('python3', ['-c', `import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE'); print('held', flush=True)
sys.stdin.read(); c.execute('ROLLBACK')`, file], { stdio: ['pipe', 'pipe', 'inherit'] });
	t.after(() => child.kill('SIGKILL'));
	const gone = new Promise((resolve) => child.on('close', resolve));
	return new Promise((resolve) => child.stdout.once('data', () => resolve(async () => {
		child.stdin.end();
		await gone;
	})));
}

test('crash_or_outage_between_provider_response_and_database_write', async (t) => {
	const it = await begin(t);
	await it.google.fault(ROTATING);
	await it.google.fault({ target: 'token_code', expires_in: 1 });
	const { client_id } = await it.service.connect({ key: it.key, branch_id: 'between' });
	await it.google.calm();
	await it.google.fault(ROTATING);
	const born = Date.now();
	await eventually(() => assert.ok(Date.now() - born > 1100));
	const before = await refreshes(it);
	// A database that takes no write is found out before the token is spent, not after.
	const letGo = await holdDatabase(t, it.service.db);
	const waiting = it.service.token('between', { key: it.key, timeout: 60000 });
	await eventually(async () => assert.equal((await send('GET', `${it.service.url}/api/v1/health`)).status, 200));
	assert.equal(await refreshes(it), before);
	await letGo();
	await waiting;
	await eventually(async () => assert.equal((await it.service.token('between', { key: it.key })).status, 200), { timeout: 60000, every: 200 });
	// The one who asked goes away in the middle: what the provider gave is kept all the same.
	await it.google.fault({ target: 'token_refresh', latency_ms: 1500, count: 1 });
	const spent = await refreshes(it);
	const leaver = http.request(`${it.service.url}/token-management/tokens/refresh`, { method: 'POST', agent: false,
		headers: { authorization: `Bearer ${it.key}`, 'content-type': 'application/json' } });
	leaver.on('error', () => {});
	leaver.end(JSON.stringify({ client_id }));
	await eventually(async () => assert.equal(await refreshes(it), spent + 1));
	leaver.destroy();
	for (let i = 0; i < 2; i++)
		assert.equal((await refresh(it, client_id)).status, 200);
	assert.equal((await it.google.counts()).refresh_reused ?? 0, 0);
	assert.equal((await clientOf(it, client_id)).status, 'connected');
});

test('dead_token_hammered_forever', async (t) => {
	const it = await begin(t, { env: { TOKEN_BACKGROUND_REFRESH: 'on' } });
	const before = await refreshes(it);
	await it.google.fault({ target: 'token_code', expires_in: 1 });
	await it.google.fault({ target: 'token_refresh', status: 400, error: 'invalid_grant', count: -1 });
	const { client_id } = await it.service.connect({ key: it.key, branch_id: 'dead' });
	await eventually(async () => assert.equal((await it.service.token('dead', { key: it.key })).status, 409));
	for (let i = 0; i < 3; i++) {
		const answers = await readTogether({ port: it.service.port, path: '/token-management/tokens/dead', key: it.key, count: 200 });
		assert.deepEqual([...new Set(answers.map((a) => a.status))], [409]);
		assert.ok(answers[0].json.reconnect_url);
		await refresh(it, client_id);
		if (i === 1)
			await it.service.restart();
	}
	assert.ok(await refreshes(it) - before <= 1, `${await refreshes(it) - before} refreshes of a dead grant`);
	assert.equal((await clientOf(it, client_id)).status, 'needs_reconnect');
	assert.equal((await told(it, 'connection.needs_reconnect')).length, 1);
	await it.google.calm();
	await it.service.reconnect({ key: it.key, id: client_id });
	assert.equal((await it.service.token('dead', { key: it.key })).status, 200);
});

test('no_expires_in_means_never_refreshed_and_a_silent_death', async (t) => {
	const google = await startSimulator({ t, args: WORLD });
	const folder = makeFolder();
	const file = path.join(folder, 'providers.json');
	fs.writeFileSync(file, JSON.stringify({ providers: [{ name: 'silent', authorization_url: `${google.url}/o/oauth2/v2/auth`, token_url: `${google.url}/token`,
		scopes: ['https://www.googleapis.com/auth/business.manage'], client_auth: 'client_secret_post', authorization_params: { access_type: 'offline', prompt: 'consent' },
		assumed_lifetime_sec: 60 }] }));
	const service = await startService({ t, simulator: google, env: { ...FAST, PROVIDERS_FILE: file, TOKEN_BACKGROUND_REFRESH: 'on', TOKEN_REFRESH_MARGIN_SEC: 5 } });
	const it = { google, service, key: await service.key('admin') };
	await google.control('POST', '/clients', { client_id: 'silent-app', client_secrets: ['s'], redirect_uris: [`${service.url}/token-management/auth/callback/silent`] });
	await google.fault({ target: 'token', omit_expires_in: true });
	const { client_id } = await service.connect({ key: it.key, branch_id: 'silent', provider: 'silent', client_id: 'silent-app', client_secret: 's',
		redirect_uri: `${service.url}/token-management/auth/callback/silent` });
	const first = await service.token('silent', { key: it.key });
	assert.equal(first.status, 200, first.text);
	assert.ok(first.json.expires_in <= 60, 'the stated policy, never for ever');
	const client = await clientOf(it, client_id);
	assert.ok(Date.parse(client.next_refresh_at) <= Date.parse(first.json.expires_at), 'it is due by itself, before it dies');
	assert.ok(Date.parse(first.json.expires_at) - Date.now() <= 60000);
	assert.equal((await refresh(it, client_id)).json.expires_at > first.json.expires_at, true, 'and the next one lives by the same policy');
});

test('transient_failure_treated_as_permanent', async (t) => {
	const it = await begin(t);
	const { client_id } = await it.service.connect({ key: it.key, branch_id: 'blip' });
	const good = (await it.service.token('blip', { key: it.key })).json.access_token;
	const blips = [{ status: 503 }, { status: 500, non_json: true }, { status: 429, retry_after: 1 }, { reset: true }, { empty: true }, { truncate: true },
		{ status: 401, error: 'invalid_client' }, { status: 400, error: 'temporarily_unavailable', error_description: 'invalid_grant' }];
	for (const blip of blips) {
		await it.google.fault({ target: 'token_refresh', count: -1, ...blip });
		await refresh(it, client_id);
		assert.match((await clientOf(it, client_id)).status, /^(connected|degraded|expiring)$/, JSON.stringify(blip));
		const served = await it.service.token('blip', { key: it.key });
		assert.equal(served.status, 200, `${JSON.stringify(blip)}: ${served.text}`);
		assert.equal(served.json.access_token, good);
		await it.google.calm();
	}
	await it.service.restart();
	await eventually(async () => {
		const answer = await refresh(it, client_id);
		assert.ok(answer.status === 200 && answer.json.access_token !== good, answer.text);
	}, { timeout: 60000, every: 200 });
	assert.equal((await clientOf(it, client_id)).status, 'connected');
	assert.equal((await told(it, 'connection.needs_reconnect')).length, 0);
	// And the reverse: what is permanent is said at once, and once.
	await it.google.fault({ target: 'token_refresh', status: 400, error: 'invalid_grant', count: -1 });
	await refresh(it, client_id);
	assert.equal((await clientOf(it, client_id)).status, 'needs_reconnect');
});

test('revoke_on_disconnect', async (t) => {
	const it = await begin(t);
	const people = await it.google.people();
	const one = await it.service.connect({ key: it.key, branch_id: 'one', choice: { account: people[0] } });
	const two = await it.service.connect({ key: it.key, branch_id: 'two', choice: { account: people[0] } });
	await it.service.connect({ key: it.key, branch_id: 'three', choice: { account: people[1] } });
	const token = (await it.service.token('one', { key: it.key })).json.access_token;
	const remove = (id, query = '') => it.service.request('DELETE', `/token-management/clients/${id}${query}`, { key: it.key });
	// Siblings are named first, and nothing happens to them unasked.
	const shared = await remove(one.client_id, '?revoke=true');
	assert.equal(shared.status, 409, shared.text);
	assert.deepEqual(shared.json.siblings, ['two']);
	assert.equal((await it.service.token('two', { key: it.key })).status, 200);
	// Deleting is not revoking, and says so.
	const spare = await it.service.connect({ key: it.key, branch_id: 'spare', choice: { account: people[2] } });
	assert.match((await remove(spare.client_id)).json.warning, /lives on/);
	// Revoking ends it at the provider, and tells exactly whom it ended.
	const done = await remove(one.client_id, '?revoke=true&force=true');
	assert.equal(done.status, 200, done.text);
	assert.equal((await send('GET', `${it.google.url}/v1/accounts`, { headers: { authorization: `Bearer ${token}` } })).status, 401);
	assert.equal((await clientOf(it, two.client_id)).status, 'needs_reconnect');
	assert.equal((await it.service.token('three', { key: it.key })).status, 200);
	assert.deepEqual((await told(it, 'connection.needs_reconnect')).map((e) => e.branch_id), ['two']);
});

test('operability_when_self_hosted', async (t) => {
	const it = await begin(t);
	const { client_id } = await it.service.connect({ key: it.key, branch_id: 'run' });
	// The key that seals everything is rotated beside the running service.
	assert.equal(it.service.cli('vault', 'rotate').code, 0);
	assert.equal((await refresh(it, client_id)).status, 200);
	// The app's secret changes at the provider and here at different times, and nobody waits.
	const app = (client_secrets) => it.google.control('POST', '/clients', { client_id: 'turning-app', client_secrets,
		redirect_uris: [`${it.service.url}/token-management/auth/callback`] });
	await app(['old']);
	const turning = await it.service.connect({ key: it.key, branch_id: 'turning', client_id: 'turning-app', client_secret: 'old' });
	const changed = await it.service.request('PATCH', `/token-management/clients/${turning.client_id}`, { key: it.key, json: { client_secret: 'new' } });
	assert.equal(changed.status, 200, changed.text);
	assert.equal((await refresh(it, turning.client_id)).status, 200, 'the provider knows the old one only');
	await app(['new']);
	assert.equal((await refresh(it, turning.client_id)).status, 200, 'the provider knows the new one only');
	// Every change is told, metrics are there, and an empty key is a sentence and no loop.
	assert.equal((await told(it, 'connection.connected')).length, 2);
	assert.match((await it.service.get('/metrics', { key: it.key })).text, /^review_fetcher_token_refreshes_total\{.*\} [1-9]/m);
	fs.writeFileSync(path.join(it.service.dir, 'empty.key'), '', { mode: 0o600 });
	const { code, stderr } = it.service.cli('serve', `--vault-key-file=${path.join(it.service.dir, 'empty.key')}`, '--api-port=0',
		`--token-management-database-url=sqlite:${path.join(it.service.dir, 'other.db')}`);
	assert.notEqual(code, 0);
	assert.match(stderr, /empty\.key/);
	assert.ok((await it.service.get('/token-management/clients?q=turn', { key: it.key })).json.clients.length === 1, 'connections can be searched');
});

test('mid_job_expiry_or_a_margin_too_small', async (t) => {
	const it = await begin(t, { env: { TOKEN_REFRESH_MARGIN_SEC: 1 } });
	// Tokens live two seconds; the job takes longer, because Google is slow and sends it away now and then.
	await it.google.fault({ target: 'token', expires_in: 2 });
	await it.service.connect({ key: it.key, branch_id: 'long' });
	await it.google.fault({ target: 'reviews', latency_ms: 400 });
	await it.google.fault({ target: 'reviews', status: 503, count: 3, skip: 2 });
	const started = await it.service.post('/api/v1/review-fetch', { branch_id: 'long' }, { key: it.key });
	assert.equal(started.status, 202, started.text);
	const job = await eventually(async () => {
		const { json } = await it.service.get(`/api/v1/status/${started.json.job_id}`, { key: it.key });
		assert.match(json.status, /completed|partial|failed/);
		return json;
	}, { timeout: 120000 });
	assert.equal(job.status, 'completed', JSON.stringify(job));
	// Who needs more life than the margin says so, and gets it.
	await it.google.calm();
	await it.google.fault({ target: 'token_refresh', expires_in: 600 });
	await eventually(async () => { // not of one that was issued a moment ago: the next would be no better
		const long = await it.service.get('/token-management/tokens/long?min_ttl=300', { key: it.key });
		assert.ok(long.json.expires_in >= 300, long.text);
	});
	// A connection that recovers says so.
	await it.google.fault({ target: 'token_refresh', status: 503, count: -1 });
	await refresh(it, 1);
	await it.google.calm();
	await eventually(async () => { // not before the pause after a failure is over
		await refresh(it, 1);
		assert.equal((await clientOf(it, 1)).status, 'connected');
	}, { timeout: 60000, every: 200 });
	assert.deepEqual((await told(it, 'connection')).map((e) => e.event), ['connection.connected', 'connection.degraded', 'connection.connected']);
});
