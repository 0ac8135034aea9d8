// SPDX-License-Identifier: Apache-2.0
// A database that the original service made becomes ours in place: by `migrate up`, nothing lost, no secret
// left readable, whatever interrupts it; and there is no way back.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';
import { query, startPostgres } from './lib/postgres.mjs';
import { eventually, failToStart, Service, startSimulator } from './lib/service.mjs';

const SCHEMA = fs.readFileSync(path.join(path.dirname(fileURLToPath(import.meta.url)), 'lib/original.sql'), 'utf8');
const APP = 'demo-app.apps.googleusercontent.com';
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

// The server's time zone is no matter: the original wrote UTC without saying so.
const ROWS = `
SET TimeZone = 'Asia/Tokyo';
INSERT INTO clients (id, client_id, client_secret, redirect_uri, branch_id, workspace_email, workspace_name, is_active, created_at, updated_at) VALUES
	(1, '${APP}', 'canary-secret-1', 'http://localhost/cb', 'valid', 'a@example.com', 'Valid', true, '2024-03-01 10:00:00', '2024-03-02 11:30:00.25'),
	(2, 'app-2', 'canary-secret-2', 'http://localhost/cb', 'invalid', 'b@example.com', 'Invalid', true, '2024-03-01 10:00:00', NULL),
	(3, 'app-3', 'canary-secret-3', 'http://localhost/cb', 'revoked', 'c@example.com', 'Revoked', true, '2024-03-01 10:00:00', NULL),
	(4, 'app-4', 'canary-secret-4', 'http://localhost/cb', 'never', 'd@example.com', 'Never', true, '2024-03-01 10:00:00', NULL),
	(5, 'app-5', 'canary-secret-5', 'http://localhost/cb', 'off', 'e@example.com', 'Off ☕', false, '2024-03-01 10:00:00', NULL),
	(9, 'app-9', 'canary-secret-9', 'http://localhost/cb', 'spent', 'f@example.com', 'Spent', true, '2024-03-01 10:00:00', NULL);
INSERT INTO tokens (id, client_id, access_token, refresh_token, scope, expires_at, is_valid, is_revoked, last_refreshed_at, created_at, updated_at) VALUES
	(11, 1, 'canary-access-old', 'canary-refresh-old', 's', '2024-03-01 11:00:00', false, false, NULL, '2024-03-01 10:00:00', '2024-03-05 10:00:00'),
	(12, 1, 'canary-access-1', 'canary-refresh-1', 'https://www.googleapis.com/auth/business.manage', '2100-01-01 00:00:00', true, false, '2024-03-02 12:00:00', '2024-03-02 10:00:00', '2024-03-02 12:00:00'),
	(13, 2, 'canary-access-2', 'canary-refresh-2', 's', '2024-03-01 11:00:00', false, false, NULL, '2024-03-01 10:00:00', NULL),
	(14, 3, 'canary-access-3', 'canary-refresh-3', 's', '2100-01-01 00:00:00', false, true, NULL, '2024-03-01 10:00:00', NULL),
	(15, 5, 'canary-access-5', 'canary-refresh-5', 's', '2100-01-01 00:00:00', true, false, NULL, '2024-03-01 10:00:00', NULL),
	(16, 9, 'canary-access-9', NULL, NULL, '2024-03-01 11:00:00', true, false, NULL, '2024-03-01 10:00:00', NULL);
`;

function original(t, rows, options = {}) {
	const service = new Service({ t, simulator: google, postgres, migrate: false, ...options });
	t.after(() => service.end());
	query(service.databaseUrl, SCHEMA + rows);
	return service;
}

const read = (service, sql) => query(service.databaseUrl.replace(postgres.poolerAddress, postgres.address), sql);
const utc = (text) => String(Date.parse(`${text}Z`));

function assertNothingReadable(service) {
	const { stdout } = spawnSync('pg_dump', ['--inserts', service.databaseUrl], { encoding: 'latin1', maxBuffer: 1 << 28 });
	assert.ok(stdout.includes('CREATE TABLE public.clients'), 'nothing was dumped');
	assert.doesNotMatch(stdout, /canary/);
	assert.ok(!stdout.includes(Buffer.from('canary').toString('hex')), 'a secret is only spelled in hex');
}

test('every_row_is_kept_and_every_secret_sealed', async (t) => {
	const service = original(t, ROWS);
	const { code, stdout, stderr } = service.cli('migrate', 'up');
	assert.equal(code, 0, stdout + stderr);
	assert.match(stdout, /clients 6, connections 5, older tokens 1/);
	assert.deepEqual(read(service, 'SELECT id, client_id, branch_id, workspace_email, workspace_name, is_active, status FROM clients ORDER BY id'), [
		['1', APP, 'valid', 'a@example.com', 'Valid', '1', 'connected'],
		['2', 'app-2', 'invalid', 'b@example.com', 'Invalid', '1', 'needs_reconnect'],
		['3', 'app-3', 'revoked', 'c@example.com', 'Revoked', '1', 'revoked'],
		['4', 'app-4', 'never', 'd@example.com', 'Never', '1', 'pending'],
		['5', 'app-5', 'off', 'e@example.com', 'Off ☕', '0', 'connected'],
		['9', 'app-9', 'spent', 'f@example.com', 'Spent', '1', 'needs_reconnect'],
	]);
	assert.deepEqual(read(service, 'SELECT created_at_ms, updated_at_ms FROM clients WHERE id = 1'),
		[[utc('2024-03-01T10:00:00'), utc('2024-03-02T11:30:00.25')]]);
	assert.deepEqual(read(service, 'SELECT id, client_id, expires_at_ms, last_refreshed_at_ms, is_valid, is_revoked FROM tokens ORDER BY id'), [
		['12', '1', utc('2100-01-01T00:00:00'), utc('2024-03-02T12:00:00'), '1', '0'],
		['13', '2', utc('2024-03-01T11:00:00'), '', '0', '0'],
		['14', '3', utc('2100-01-01T00:00:00'), '', '0', '1'],
		['15', '5', utc('2100-01-01T00:00:00'), '', '1', '0'],
		['16', '9', utc('2024-03-01T11:00:00'), '', '1', '0'],
	]);
	assert.deepEqual(read(service, 'SELECT id, client_id, former_access_token IS NOT NULL FROM former_tokens'), [['11', '1', 't']]);
	assert.deepEqual(read(service, "SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'original%'"), []);
	assert.deepEqual(read(service, 'SELECT version_num FROM alembic_version'), [['review-fetcher']]);
	assertNothingReadable(service);

	const again = service.cli('migrate', 'up');
	assert.equal(again.code, 0);
	assert.match(again.stdout, /nothing to do/);

	await service.start();
	const key = await service.key('admin');
	const token = await service.token('valid', { key });
	assert.equal(token.status, 200, token.text);
	assert.equal(token.json.access_token, 'canary-access-1');
	assert.equal((await service.token('invalid', { key })).status, 409);
	// The original took a Google app once only, and a new row must not collide with one that was taken over.
	const client = await service.register({ key, branch_id: 'new', client_id: APP });
	assert.equal(client.client_id, 10);
});

test('there_is_no_way_back_and_the_reason_is_told', async (t) => {
	const service = original(t, ROWS);
	assert.equal(service.cli('migrate', 'up').code, 0);
	for (const words of [['down', '0'], ['down', '0', '--yes']]) {
		const { code, stderr } = service.cli('migrate', ...words);
		assert.notEqual(code, 0);
		assert.match(stderr, /secrets are sealed/);
	}
	assert.deepEqual(read(service, 'SELECT count(*) FROM clients'), [['6']]);
});

test('serve_and_the_other_commands_name_migrate_up_before_and_in_the_middle', async (t) => {
	const service = original(t, ROWS);
	const says = ({ code, stderr }) => {
		assert.notEqual(code, 0);
		assert.match(stderr, /original service/);
		assert.match(stderr, /migrate up/);
	};
	says(await failToStart({ ...service.options, dir: service.dir }));
	says(service.cli('key', 'create', '--name', 'x', '--scope', 'admin'));
	assert.match(service.cli('migrate', 'status').stdout, /original service/);
	assert.equal(read(service, 'SELECT count(*) FROM clients')[0][0], '6', 'something was changed');
	assert.equal(service.cli('migrate', 'up').code, 0);
	// As if it had been interrupted: one client is still aside.
	read(service, `CREATE TABLE original_clients AS SELECT 1 AS id; CREATE TABLE original_tokens AS SELECT 1 AS id;`);
	says(await failToStart({ ...service.options, dir: service.dir }));
});

test('a_state_of_the_original_that_is_not_known_is_left_alone', async (t) => {
	const service = original(t, `${ROWS} UPDATE alembic_version SET version_num = '002_later';`);
	const { code, stderr } = service.cli('migrate', 'up');
	assert.notEqual(code, 0);
	assert.match(stderr, /001_tokens/);
	assert.deepEqual(read(service, 'SELECT count(*) FROM clients WHERE client_secret LIKE \'canary%\''), [['6']]);
});

const MANY = `
INSERT INTO clients (client_id, client_secret, redirect_uri, branch_id, workspace_email, workspace_name)
	SELECT 'app-' || n, 'canary-secret-' || n, 'http://localhost/cb', 'branch-' || n, 'a@example.com', 'B' FROM generate_series(1, 1500) n;
INSERT INTO tokens (client_id, access_token, refresh_token, scope, expires_at)
	SELECT id, 'canary-access-' || id, 'canary-refresh-' || id, 's', '2100-01-01' FROM clients;`;

test('killed_in_the_middle_of_sealing_it_goes_on_where_it_was', async (t) => {
	const service = original(t, MANY, { pooled: true });
	const left = () => {
		const there = read(service, "SELECT 1 FROM pg_tables WHERE tablename = 'original_clients'");
		return there.length === 0 ? null : Number(read(service, 'SELECT count(*) FROM original_clients')[0][0]);
	};
	let interruptions = 0;
	for (let before = 1501; interruptions < 3;) {
		const child = spawn(service.bin, ['migrate', 'up'], { env: service.env, cwd: service.dir, stdio: 'ignore' });
		const ended = new Promise((resolve) => child.on('close', resolve));
		await eventually(() => assert.ok((left() ?? 9999) < before), { every: 10 });
		child.kill('SIGKILL');
		await ended;
		await eventually(() => assert.equal(read(service, "SELECT 1 FROM pg_stat_activity WHERE state <> 'idle' AND pid <> pg_backend_pid() AND datname = current_database()").length, 0));
		const now = left();
		if (now === null || now === 0)
			break;
		assert.equal(now + Number(read(service, 'SELECT count(*) FROM clients')[0][0]), 1500, 'a row is lost or doubled');
		before = now;
		interruptions++;
	}
	assert.ok(interruptions > 0, 'it was never interrupted');
	const { code, stdout, stderr } = service.cli('migrate', 'up');
	assert.equal(code, 0, stdout + stderr);
	assert.deepEqual(read(service, 'SELECT count(*), count(client_secret), count(DISTINCT branch_id) FROM clients'), [['1500', '1500', '1500']]);
	assert.deepEqual(read(service, 'SELECT count(*), count(refresh_token), count(DISTINCT client_id) FROM tokens'), [['1500', '1500', '1500']]);
	assert.deepEqual(read(service, "SELECT count(*) FROM audit WHERE action = 'client.taken_over'"), [['1500']]);
	assertNothingReadable({ databaseUrl: service.databaseUrl.replace(postgres.poolerAddress, postgres.address) });
	await service.start();
	const key = await service.key('admin');
	const [[id]] = read(service, "SELECT id FROM clients WHERE branch_id = 'branch-1499'");
	assert.equal((await service.token('branch-1499', { key })).json.access_token, `canary-access-${id}`);
});
