// SPDX-License-Identifier: Apache-2.0
// A PostgreSQL server that comes up late, is restarted under load, and ends connections in the middle of what
// they do: directly, and behind PgBouncer in transaction mode.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { PASSWORD, query, startPostgres } from '../integration/lib/postgres.mjs';
import { eventually, Service, startService, startSimulator } from '../integration/lib/service.mjs';

const PATIENT = { timeout: 40000, every: 100 };
const READY = '/api/v1/ready';
let postgres;
let google;

before(async () => {
	postgres = await startPostgres({ pooler: true });
	google = await startSimulator();
});
after(async () => {
	await google?.end();
	await postgres?.remove();
});

function assertNoPassword(service) {
	const said = JSON.stringify(service.logs()) + service.noise().join('\n');
	for (const word of [PASSWORD, encodeURIComponent(PASSWORD)])
		assert.ok(!said.includes(word), 'the password is in the log');
}

const isReady = (service) => eventually(async () => assert.equal((await service.get(READY)).status, 200), PATIENT);

test('a_service_that_is_there_before_its_database_says_so_and_begins_when_it_comes', async (t) => {
	const service = new Service({ t, simulator: google, postgres });
	t.after(() => service.end());
	service.migrate();
	await postgres.stop();
	service.launch();
	const waiting = await service.waitForLog('serve.waiting');
	service.port = waiting.port;
	service.url = `http://127.0.0.1:${waiting.port}`;
	const ready = await eventually(() => service.get(READY));
	assert.equal(ready.status, 503, ready.text);
	assert.match(ready.json.detail, /database/);
	assert.ok(Number(ready.headers['retry-after']) > 0);
	assert.equal((await service.get('/api/v1/health')).json.status, 'degraded');
	const early = await service.get('/token-management/clients', { key: 'rf_nobody' });
	assert.equal(early.status, 503, early.text);
	await postgres.start();
	const started = await service.waitForLog('serve.started', () => true, PATIENT.timeout);
	assert.equal(started.port, waiting.port);
	await isReady(service);
	const key = await service.key('admin');
	await service.connect({ key, branch_id: 'late' });
	assert.equal((await service.token('late', { key })).status, 200);
	assertNoPassword(service);
});

test('a_service_that_waits_for_its_database_ends_when_it_is_told_to', async (t) => {
	const service = new Service({ t, simulator: google, databaseUrl: 'postgresql://nobody:secret-word@127.0.0.1:1/nowhere' });
	t.after(() => service.end());
	service.launch();
	await service.waitForLog('serve.waiting');
	await service.stop();
	assert.ok(!JSON.stringify(service.logs()).includes('secret-word'));
});

// Registers branches one after the other until told to end; answers those that were accepted.
function registerOnAndOn(service, key, prefix) {
	const accepted = [];
	let wants = true;
	const ended = (async () => {
		for (let i = 0; wants; i++) {
			const branch = `${prefix}-${i}`;
			const answer = await service.post('/token-management/clients', {
				client_id: 'demo-app.apps.googleusercontent.com', client_secret: 'demo-app-secret', branch_id: branch,
				redirect_uri: `${service.url}/token-management/auth/callback`, workspace_email: 'a@example.com', workspace_name: branch,
			}, { key });
			if (answer.status === 201) {
				accepted.push(branch);
			} else {
				assert.equal(answer.status, 503, answer.text);
				assert.ok(Number(answer.headers['retry-after']) > 0, 'no word of when to come again');
				await new Promise((resolve) => setTimeout(resolve, 50));
			}
		}
	})();
	return { accepted, end: async () => { wants = false; await ended; return accepted; } };
}

test('the_pool_opens_no_more_connections_than_it_is_told', async (t) => {
	const service = await startService({ t, simulator: google, postgres, env: { DATABASE_CONNECTIONS: 2 } });
	service.adminUrl = service.databaseUrl;
	const key = await service.key('admin');
	const writers = [0, 1, 2, 3, 4, 5].map((n) => registerOnAndOn(service, key, `pool-${n}`));
	const name = new URL(service.databaseUrl).pathname.slice(1);
	let most = 0;
	await eventually(() => {
		const [[open]] = postgres.query('postgres', `SELECT count(*) FROM pg_stat_activity WHERE datname = '${name}' AND query NOT LIKE 'LISTEN%'`); // the listener's is its own
		most = Math.max(most, Number(open));
		assert.ok(writers.every((w) => w.accepted.length >= 10));
	}, PATIENT);
	assertKept(service, (await Promise.all(writers.map((w) => w.end()))).flat());
	assert.equal(most, 2);
});

function assertKept(service, accepted) {
	const kept = new Set(query(service.adminUrl, 'SELECT branch_id FROM clients').map(([branch]) => branch));
	for (const branch of accepted)
		assert.ok(kept.has(branch), `${branch} was accepted and is not stored`);
}

// In the place of the server somebody who counts who knocks.
test('a_database_that_is_away_is_asked_now_and_then_however_many_want_it', async (t) => {
	const service = await startService({ t, simulator: google, postgres });
	const key = await service.key('admin');
	await postgres.stop();
	let asked = 0, refused = 0, wants = true;
	const door = net.createServer((socket) => { asked++; socket.on('error', () => {}); socket.destroy(); });
	await new Promise((resolve) => door.listen(postgres.port, '127.0.0.1', resolve));
	const started = Date.now();
	const callers = [1, 2, 3, 4, 5, 6].map(async (n) => {
		while (wants) {
			const answer = await service.get(`/token-management/tokens/nobody-${n}-${refused}`, { key });
			assert.equal(answer.status, 503, answer.text);
			refused++;
		}
	});
	await eventually(() => assert.ok(asked >= 4 && refused >= 200), PATIENT);
	wants = false;
	await Promise.all(callers);
	const seconds = (Date.now() - started) / 1000;
	assert.ok(asked <= 12 + seconds, `${asked} connections in ${seconds} s, for ${refused} requests`);
	await new Promise((resolve) => door.close(resolve));
	await postgres.start();
	await isReady(service);
});

for (const pooled of [false, true]) {
	const how = pooled ? 'behind_a_pooler' : 'directly';

	test(`a_server_that_restarts_under_load_loses_nothing_that_was_accepted_${how}`, async (t) => {
		const service = await startService({ t, simulator: google, postgres, pooled });
		service.adminUrl = service.databaseUrl.replace(postgres.poolerAddress, postgres.address);
		const key = await service.key('admin');
		await service.connect({ key, branch_id: 'steady' });
		const writers = [0, 1, 2, 3].map((n) => registerOnAndOn(service, key, `${how}-${n}`));
		const enough = (n) => eventually(() => assert.ok(writers.every((w) => w.accepted.length >= n)), PATIENT);
		await enough(25); // long enough for what was changed before to have been heard
		for (const signal of ['SIGINT', 'SIGQUIT']) {
			assert.equal((await service.token('steady', { key })).status, 200);
			await postgres.stop(signal);
			await eventually(async () => assert.equal((await service.get(READY)).status, 503), PATIENT);
			assert.equal((await service.token('steady', { key })).status, 200, 'what is in memory is served on');
			await postgres.start();
			await isReady(service);
			await enough(writers[0].accepted.length + 3);
		}
		const accepted = (await Promise.all(writers.map((w) => w.end()))).flat();
		assertKept(service, accepted);
		assert.equal((await service.post('/token-management/tokens/refresh', { client_id: 1 }, { key })).status, 200);
		assertNoPassword(service);
	});

	test(`connections_that_the_server_ends_are_replaced_without_a_word_to_callers_${how}`, async (t) => {
		const service = await startService({ t, simulator: google, postgres, pooled });
		service.adminUrl = service.databaseUrl.replace(postgres.poolerAddress, postgres.address);
		const key = await service.key('admin');
		const writers = [0, 1, 2, 3].map((n) => registerOnAndOn(service, key, `ended-${how}-${n}`));
		const name = new URL(service.databaseUrl).pathname.slice(1);
		let ended = 0;
		for (let round = 0; round < 15; round++) {
			const before = writers[0].accepted.length;
			ended += postgres.query('postgres', `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}'`).length;
			await eventually(() => assert.ok(writers[0].accepted.length > before + 1), PATIENT);
		}
		const accepted = (await Promise.all(writers.map((w) => w.end()))).flat();
		assert.ok(ended >= 15, `only ${ended} connections were ended`);
		assertKept(service, accepted);
		await isReady(service);
	});
}
