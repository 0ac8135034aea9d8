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
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET TimeZone = ''Asia/Tokyo''', current_database()); END $$;
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

// [what an operator has done, what is said of it, how it is undone]
const IN_THE_WAY = [
	['CREATE VIEW branches AS SELECT branch_id FROM clients', /hangs on them: .*view branches/, 'DROP VIEW branches'],
	['CREATE TABLE notes (client INTEGER PRIMARY KEY REFERENCES clients (id))', /hangs on them: constraint notes_client_fkey on table notes/, 'DROP TABLE notes'],
	['CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; CREATE TRIGGER keep BEFORE DELETE ON tokens FOR EACH ROW EXECUTE FUNCTION f()',
		/hangs on them: trigger keep on table tokens/, 'DROP TRIGGER keep ON tokens'],
	['CREATE FUNCTION mine(clients) RETURNS TEXT LANGUAGE sql AS $$ SELECT $1.branch_id $$', /hangs on them: function mine\(clients\)/, 'DROP FUNCTION mine(clients)'],
	['ALTER TABLE clients ENABLE ROW LEVEL SECURITY', /row security.* clients/, 'ALTER TABLE clients DISABLE ROW LEVEL SECURITY'],
	['ALTER TABLE clients ADD COLUMN note TEXT', /no column clients\.note,.* lost/, 'ALTER TABLE clients DROP COLUMN note'],
	['ALTER TABLE tokens RENAME COLUMN scope TO scopes', /of the original, tokens\.scope is missing/, 'ALTER TABLE tokens RENAME COLUMN scopes TO scope'],
	['ALTER TABLE tokens RENAME TO tokens_old', /of the original, tokens\..* missing/, 'ALTER TABLE tokens_old RENAME TO tokens'],
	["ALTER TABLE tokens DROP CONSTRAINT tokens_client_id_fkey; INSERT INTO tokens (id, client_id, access_token, expires_at) VALUES (77, 4711, 'x', now())",
		/tokens 77 belong to no client/, 'DELETE FROM tokens WHERE id = 77'],
	["UPDATE tokens SET updated_at = 'infinity' WHERE id = 15", /a time of tokens 15 is infinite/, 'UPDATE tokens SET updated_at = NULL WHERE id = 15'],
	["DROP INDEX ix_clients_branch_id; UPDATE clients SET branch_id = 'valid' WHERE id = 2", /branch_id valid stands for several/, "UPDATE clients SET branch_id = 'invalid' WHERE id = 2"],
	["UPDATE clients SET branch_id = repeat('é', 200) WHERE id = 2", /clients 2 have .* more than 255 bytes/, "UPDATE clients SET branch_id = 'invalid' WHERE id = 2"],
	['ALTER TABLE alembic_version RENAME TO alembic_gone', /alembic_version is missing/, 'ALTER TABLE alembic_gone RENAME TO alembic_version'],
	['DELETE FROM alembic_version', /alembic_version is not 001_tokens/, "INSERT INTO alembic_version VALUES ('001_tokens')"],
];

test('what_would_be_lost_or_be_in_the_way_is_named_before_anything_is_changed', (t) => {
	const service = original(t, ROWS);
	for (const [done, said, undone] of IN_THE_WAY) {
		read(service, done);
		const { code, stderr } = service.cli('migrate', 'up');
		assert.equal(code, 1, done);
		assert.match(stderr, said);
		assert.deepEqual(read(service, "SELECT tablename FROM pg_tables WHERE tablename IN ('original_clients', 'audit')"), [], done);
		read(service, undone);
		assert.deepEqual(read(service, "SELECT count(*) FROM clients WHERE client_secret LIKE 'canary%'"), [['6']]);
	}
	const { code, stdout, stderr } = service.cli('migrate', 'up');
	assert.equal(code, 0, stdout + stderr);
	assert.match(stdout, /clients 6, connections 5, older tokens 1/);
});

test('tables_of_another_account_and_another_encoding_are_refused_with_the_reason', (t) => {
	const service = original(t, ROWS);
	const name = new URL(service.databaseUrl).pathname.slice(1);
	read(service, "CREATE ROLE other LOGIN PASSWORD 'x'; GRANT ALL ON SCHEMA public TO other; GRANT ALL ON ALL TABLES IN SCHEMA public TO other");
	service.databaseUrl = service.databaseUrl.replace(/\/\/[^@]*@/, '//other:x@');
	const refused = service.cli('migrate', 'up');
	assert.equal(refused.code, 1);
	assert.match(refused.stderr, /must be owner of table/);
	assert.deepEqual(postgres.query(name, "SELECT count(*) FROM clients WHERE client_secret LIKE 'canary%'"), [['6']]);

	postgres.query('postgres', "CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'");
	postgres.query('ascii', SCHEMA);
	const ascii = new Service({ databaseUrl: `${postgres.address}/ascii` });
	assert.match(ascii.cli('migrate', 'up').stderr, /encoding is SQL_ASCII.*UTF8/);
});

test('an_empty_token_is_none', (t) => {
	const service = original(t, `${ROWS} UPDATE tokens SET refresh_token = '', expires_at = '2024-01-01' WHERE id = 12; UPDATE tokens SET access_token = '' WHERE id = 15;`);
	assert.equal(service.cli('migrate', 'up').code, 0);
	assert.deepEqual(read(service, 'SELECT id FROM tokens WHERE refresh_token IS NULL ORDER BY id'), [['12'], ['16']]);
	assert.deepEqual(read(service, 'SELECT id FROM tokens WHERE access_token IS NULL'), [['15']]);
	assert.deepEqual(read(service, 'SELECT status FROM clients WHERE id = 1'), [['needs_reconnect']]);
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

function runBeside(service, env = {}) {
	const child = spawn(service.bin, ['migrate', 'up'], { env: { ...service.env, ...env }, cwd: service.dir, stdio: ['ignore', 'pipe', 'pipe'] });
	let said = '';
	for (const stream of [child.stdout, child.stderr])
		stream.on('data', (piece) => (said += piece));
	return { child, ended: new Promise((resolve) => child.on('close', (code) => resolve({ code, said }))) };
}

// Each life a little longer than the one before it: some end before the tables are aside, among the
// migrations, among the rows, and at the end.
test('killed_at_any_moment_it_goes_on_and_nothing_is_lost', async (t) => {
	const service = original(t, MANY.replace('1500', '300'));
	// Of both, wherever they are.
	read(service, `CREATE SCHEMA test;
		CREATE FUNCTION test.rows(VARIADIC tables TEXT[]) RETURNS BIGINT LANGUAGE plpgsql AS $$ DECLARE t TEXT; n BIGINT; total BIGINT := 0; BEGIN
			FOREACH t IN ARRAY tables LOOP IF to_regclass(t) IS NOT NULL THEN EXECUTE 'SELECT count(*) FROM ' || t INTO n; total := total + n; END IF; END LOOP;
			RETURN total; END $$`);
	let lives = 0;
	for (let ms = 40; ; ms += 60) {
		const { child, ended } = runBeside(service);
		const killing = setTimeout(() => child.kill('SIGKILL'), ms);
		const { code, said } = await ended;
		clearTimeout(killing);
		lives++;
		await eventually(() => assert.equal(read(service, 'SELECT 1 FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()').length, 0));
		assert.deepEqual(read(service, "SELECT test.rows('clients', 'original_clients'), test.rows('tokens', 'original_tokens')"), [['300', '300']]);
		if (code !== null) {
			assert.equal(code, 0, said);
			break;
		}
	}
	t.diagnostic(`${lives} lives`);
	assert.ok(lives > 2);
	assert.deepEqual(read(service, 'SELECT count(*), count(client_secret), (SELECT count(refresh_token) FROM tokens) FROM clients'), [['300', '300', '300']]);
	assertNothingReadable(service);
});

test('run_by_several_at_once_it_is_done_once', async (t) => {
	const service = original(t, MANY.replace('1500', '400'));
	const all = await Promise.all([1, 2, 3].map(() => runBeside(service).ended));
	assert.deepEqual(all.map(({ code }) => code), [0, 0, 0], JSON.stringify(all));
	assert.match(all.map(({ said }) => said).join(), /clients 400, connections 400, older tokens 0/);
	assert.deepEqual(read(service, 'SELECT count(*), (SELECT count(*) FROM tokens), (SELECT count(*) FROM audit) FROM clients'), [['400', '400', '400']]);
	assertNothingReadable(service);
});

// Two machines, each of which would make a ring of its own.
test('run_at_once_with_two_key_rings_all_is_sealed_under_one', async (t) => {
	const service = original(t, MANY.replace('1500', '400'));
	const rings = [service.vaultKey, path.join(service.dir, 'other.key')];
	const all = await Promise.all(rings.map((VAULT_KEY_FILE) => runBeside(service, { VAULT_KEY_FILE }).ended));
	const said = JSON.stringify(all);
	assert.deepEqual(all.map(({ code }) => code === 0).sort(), [false, true], said);
	assert.match(said, /key ring/);
	service.vaultKey = rings[all.findIndex(({ code }) => code === 0)];
	fs.writeFileSync(path.join(service.dir, 'passphrase'), 'correct horse battery staple\n', { mode: 0o600 });
	const exported = service.cli('export', '--what', 'connections', '--passphrase-file', 'passphrase'); // opens each secret
	assert.equal(exported.code, 0, exported.stderr);
	assert.match(exported.stderr, /1200 rows/);
});
