// SPDX-License-Identifier: Apache-2.0
// What docs/operations.md promises of upgrades and backups, on PostgreSQL: a process of the version before goes on under
// a newer schema, and dumps and key rings of different ages fit together or say that they do not.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { query, startPostgres } from './lib/postgres.mjs';
import { failToStart, startService, startSimulator } from './lib/service.mjs';

let postgres;
let google;

before(async () => {
	postgres = await startPostgres();
	google = await startSimulator();
});
after(async () => {
	await google?.end();
	await postgres?.remove();
});

const startAgain = (service) => failToStart({ ...service.options, dir: service.dir, databaseUrl: service.databaseUrl });

test('a_running_process_goes_on_when_a_newer_one_adds_to_the_schema_and_does_not_start_on_it_again', async (t) => {
	const service = await startService({ t, simulator: google, postgres });
	const key = await service.key('admin');
	await service.connect({ key, branch_id: 'before' });
	query(service.databaseUrl, `ALTER TABLE clients ADD COLUMN tomorrow TEXT; ALTER TABLE tokens ADD COLUMN tomorrow BIGINT NOT NULL DEFAULT 0;
		CREATE TABLE tomorrow (id BIGINT PRIMARY KEY); INSERT INTO schema_migrations VALUES (999, 'both_999_up.sql', 0)`);
	const { client_id } = await service.connect({ key, branch_id: 'after' });
	for (const branch of ['before', 'after'])
		assert.equal((await service.token(branch, { key })).status, 200);
	assert.equal((await service.post('/token-management/tokens/refresh', { client_id }, { key })).status, 200);
	assert.equal((await service.get('/api/v1/ready')).status, 200);
	await service.stop();
	const refused = await startAgain(service);
	assert.equal(refused.code, 1);
	assert.match(refused.stderr, /schema version 999.*migrate down/);
});

function command(...words) {
	const { status, stdout, stderr } = spawnSync(words[0], words.slice(1), { encoding: 'utf8' });
	assert.equal(status, 0, `${words[0]}: ${stdout}${stderr}`);
}

test('an_older_dump_opens_under_the_newest_ring_and_an_older_ring_is_refused', async (t) => {
	const service = await startService({ t, simulator: google, postgres });
	const file = (name) => path.join(service.dir, name);
	const dump = (name) => command('pg_dump', '-Fc', '-f', file(name), service.databaseUrl);
	const restore = (name) => command('pg_restore', '--clean', '--if-exists', '--single-transaction', '-d', service.databaseUrl, file(name));
	const key = await service.key('admin');
	await service.connect({ key, branch_id: 'first' });
	dump('old.dump');
	fs.copyFileSync(service.vaultKey, file('old.key'));
	const rotated = service.cli('vault', 'rotate');
	assert.equal(rotated.code, 0, rotated.stderr);
	await service.connect({ key, branch_id: 'second' });
	dump('new.dump');
	await service.stop();

	restore('old.dump');
	await service.start();
	const [[id]] = query(service.databaseUrl, "SELECT id FROM clients WHERE branch_id = 'first'");
	const refreshed = await service.post('/token-management/tokens/refresh', { client_id: Number(id) }, { key });
	assert.equal(refreshed.status, 200, refreshed.text);
	assert.equal((await service.token('second', { key })).status, 404);
	await service.connect({ key, branch_id: 'third' }); // numbers go on behind what was restored
	await service.stop();

	restore('new.dump');
	fs.copyFileSync(file('old.key'), service.vaultKey);
	const refused = await startAgain(service);
	assert.notEqual(refused.code, 0);
	assert.match(refused.stderr, /does not open the secrets of this database/);
	assert.deepEqual(query(service.databaseUrl, 'SELECT count(*) FROM clients'), [['2']]);
});
