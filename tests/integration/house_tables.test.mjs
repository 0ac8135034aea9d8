// SPDX-License-Identifier: Apache-2.0
// Moving house, looked at in the databases themselves: every row of every table that there is, from a database that
// was the original service's to SQLite and back to PostgreSQL; and what must go on there: numbers, and deliveries.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { query, startPostgres } from './lib/postgres.mjs';
import { eventually, Service, startService, startSimulator } from './lib/service.mjs';

const SCHEMA = fs.readFileSync(new URL('lib/original.sql', import.meta.url), 'utf8');
const APP = 'demo-app.apps.googleusercontent.com';
// Of one process or of one hour, as docs/import.md says.
const STAYS = ['alembic_version', 'api_budgets', 'audit_bound', 'changes', 'changes_pending', 'changes_turn',
	'edit_budgets', 'house_moves', 'leases', 'notes_of_somebody_else', 'review_days', 'schema_migrations', 'sessions',
	'sign_in_links'];
const SEALED = ['client_secret', 'client_secret_previous', 'access_token', 'refresh_token', 'code_verifier', 'former_access_token', 'former_refresh_token'];
let postgres;
let google;
let hook;
const heard = [];

before(async () => {
	postgres = await startPostgres();
	google = await startSimulator({ args: ['--users', '1', '--accounts', '1', '--locations', '2', '--reviews', '4'] });
	hook = http.createServer(async (request, response) => {
		const pieces = [];
		for await (const piece of request)
			pieces.push(piece);
		heard.push(JSON.parse(Buffer.concat(pieces)));
		response.writeHead(204).end();
	});
	await new Promise((resolve) => hook.listen(0, '127.0.0.1', resolve));
});
after(async () => {
	hook?.closeAllConnections();
	hook?.close();
	await google?.end();
	await postgres?.remove();
});

const env = () => ({ GOOGLE_REQUESTS_PER_MINUTE: 600000, REVIEW_FULL_SYNC_INTERVAL_SEC: 86400,
	WEBHOOK_URL: `http://127.0.0.1:${hook.address().port}/hook`, WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}` });

// ---- what a database holds ----

const DUMP = `import json, sqlite3, sys
c = sqlite3.connect(sys.argv[1]); c.row_factory = sqlite3.Row
own = [r[0] for r in c.execute("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite%'")]
print(json.dumps({t: [{k: '\\\\x' + r[k].hex() if isinstance(r[k], bytes) else r[k] for k in r.keys() if k in [i[1] for i in c.execute('PRAGMA table_info("%s")' % t)]} for r in c.execute('SELECT * FROM "%s"' % t)] for t in own}))`;

// Without columns that the database makes by itself of others.
function rowsOf(service) {
	if (service.isOnPostgres) {
		const tables = query(service.databaseUrl, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'").map(([name]) => name);
		const made = query(service.databaseUrl, "SELECT table_name, column_name FROM information_schema.columns WHERE is_generated = 'ALWAYS'");
		const without = (name, row) => Object.fromEntries(Object.entries(row).filter(([column]) => !made.some(([t, c]) => t === name && c === column)));
		return Object.fromEntries(tables.map((name) => [name, query(service.databaseUrl, `SELECT row_to_json(t) FROM "${name}" t`).map(([line]) => without(name, JSON.parse(line)))]));
	}
	const { stdout, stderr, status } = spawnSync('python3', ['-c', DUMP, service.db], { encoding: 'utf8', maxBuffer: 1 << 28 });
	assert.equal(status, 0, stderr);
	return JSON.parse(stdout);
}

// As it must be elsewhere: seals are other bytes, ids of events are PostgreSQL's own, and an event that
// has no place yet comes behind all others.
function holdings(service) {
	const all = Object.fromEntries(Object.entries(rowsOf(service)).filter(([name]) => !STAYS.includes(name)));
	let last = Math.max(all.events_state[0].purged_to, ...all.events.map((row) => row.position ?? 0));
	for (const row of all.events.filter(({ position }) => position === null).sort((a, b) => a.id - b.id))
		row.position = ++last;
	const clean = (row) => Object.entries(row)
		.map(([column, value]) => [column, SEALED.includes(column) && value !== null ? 'sealed' : value]).sort();
	for (const row of all.events)
		delete row.id;
	for (const row of all.event_consumers)
		row.fence = 0;
	return Object.fromEntries(Object.entries(all).map(([name, rows]) => [name, rows.map((row) => JSON.stringify(clean(row))).sort()]).sort());
}

// ---- a house with something in each room ----

async function furnish(t) {
	const home = new Service({ t, simulator: google, postgres, migrate: false, env: env() });
	t.after(() => home.end());
	query(home.databaseUrl, `${SCHEMA}
		INSERT INTO clients (client_id, client_secret, redirect_uri, branch_id, workspace_email, workspace_name) VALUES ('${APP}', 'demo-app-secret', 'http://localhost/cb', 'old', 'a@example.com', 'Old "☕"\\n');
		INSERT INTO tokens (client_id, access_token, refresh_token, scope, expires_at, is_valid) VALUES (1, 'first', 'r1', 's', '2024-01-01', false), (1, 'second', 'r2', 's', '2100-01-01', true);`);
	home.migrate();
	await home.start();
	const key = await home.key('admin');
	const { client_id: id } = await home.connect({ key, branch_id: 'harbour' });
	await home.connect({ key, branch_id: 'gone' });
	await eventually(async () => {
		const { json } = await home.get('/api/v1/reviews', { key });
		assert.ok(json.reviews.length > 0);
		assert.deepEqual(query(home.databaseUrl, "SELECT 1 FROM jobs WHERE status NOT IN ('completed', 'partial')"), []);
	}, { timeout: 60000, every: 100 });
	assert.equal((await home.post(`/token-management/clients/${id}/connect-link`, {}, { key })).status, 200);
	await home.login({ key, id }); // a consent that is under way
	const { tokens } = await google.control('POST', '/tokens', { op: 'mint', client_id: APP, count: 1 });
	const lines = path.join(home.dir, 'lines');
	fs.writeFileSync(lines, `${JSON.stringify({ client_id: APP, client_secret: 'demo-app-secret', redirect_uri: 'http://localhost/cb', branch_id: 'brought', workspace_email: 'b@example.com', workspace_name: 'B', refresh_token: tokens[0].refresh_token })}\n`);
	assert.equal(home.cli('import', lines).code, 0);
	const [{ client_id: last }] = (await home.get('/token-management/clients?q=brought', { key })).json.clients;
	await eventually(async () => assert.equal((await home.token('brought', { key })).status, 200), { every: 100 });
	assert.equal((await home.request('DELETE', `/token-management/clients/${last}`, { key })).status, 200); // the highest number is free
	await eventually(() => assert.ok(heard.some(({ kind, event, type }) => [kind, event, type].includes('connection.connected'))));
	for (let n = 0; n < 3; n++)
		await home.restart(); // each takes the webhook's lease anew
	await eventually(() => assert.deepEqual(query(home.databaseUrl, 'SELECT 1 FROM events WHERE position IS NULL'), []));
	const [[end]] = query(home.databaseUrl, 'SELECT max(position) FROM events');
	await eventually(() => assert.deepEqual(query(home.databaseUrl, 'SELECT position FROM event_consumers'), [[end]]));
	await home.stop();
	return { home, key, last, end: Number(end) };
}

// Rows that no use above has made; a table of tomorrow is among them by itself.
function fillTheRest(home) {
	for (const [table, rows] of Object.entries(rowsOf(home))) {
		if (rows.length > 0 || STAYS.includes(table))
			continue;
		const columns = query(home.databaseUrl, `SELECT column_name, data_type FROM information_schema.columns WHERE table_name = '${table}'`);
		const value = ([name, type], n) => (name === 'location_id' ? '(SELECT min(location_id) FROM locations)' : type === 'text' ? `'${name} ☕'` : type === 'bytea' ? `'\\x0${n % 10}ff00'` : String(n + 1));
		query(home.databaseUrl, `INSERT INTO "${table}" (${columns.map(([name]) => `"${name}"`)}) VALUES (${columns.map(value)})`);
	}
}

function move(from, to) {
	for (const service of [from, to])
		fs.writeFileSync(path.join(service.dir, 'passphrase'), 'correct horse battery staple\n', { mode: 0o600 });
	const { code, stdout, stderr } = from.cli('export', '--passphrase-file', 'passphrase');
	assert.equal(code, 0, stderr);
	fs.writeFileSync(path.join(to.dir, 'house'), stdout, { mode: 0o600 });
	const came = to.cli('import', 'house', '--passphrase-file', 'passphrase');
	assert.equal(came.code, 0, came.stderr);
}

test('every_row_of_every_table_is_kept_and_numbers_and_deliveries_go_on', { timeout: 240000 }, async (t) => {
	const { home, key, last, end } = await furnish(t);
	fillTheRest(home);
	query(home.databaseUrl, `INSERT INTO events (event_id, kind, ref, data, at_ms) VALUES ('unplaced', 'job.completed', 'x', '{}', 1);
		CREATE TABLE notes_of_somebody_else (note TEXT);
		DELETE FROM events WHERE position <= ${end}; UPDATE events_state SET purged_to = ${end}`);
	const mine = holdings(home);
	assert.deepEqual(Object.keys(mine).filter((name) => mine[name].length === 0), [], 'a table has nothing in it');

	const there = await startService({ t, simulator: google, postgres: null, env: env() });
	await there.stop();
	move(home, there);
	assert.deepEqual(holdings(there), mine);
	const back = await startService({ t, simulator: google, postgres, env: env() });
	await back.stop();
	move(there, back);
	assert.deepEqual(holdings(back), mine);

	for (const house of [there, back]) {
		heard.length = 0;
		await house.restart();
		assert.equal((await house.token('old', { key })).json.access_token, 'second');
		const fresh = await house.connect({ key, branch_id: 'fresh' });
		assert.ok(fresh.client_id > last, `number ${last} was given again`);
		await eventually(() => assert.ok(heard.some((event) => JSON.stringify(event).includes('"fresh"')), JSON.stringify(heard)));
		assert.ok(heard.every((event) => !JSON.stringify(event).includes('"gone"')), 'what was delivered is delivered again');
		assert.ok(JSON.stringify(heard).includes('job.completed'), 'what was not delivered yet is forgotten');
		await house.stop();
	}
});
