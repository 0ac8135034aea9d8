// SPDX-License-Identifier: Apache-2.0
// Starts that must not succeed, each with a clear sentence and an exit code; and a database that is full.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { eventually, failToStart, makeFolder, startService, startSimulator } from '../integration/lib/service.mjs';

// One sentence: few lines, no trace, and the words that help.
function assertSays({ code, stderr }, ...words) {
	assert.notEqual(code, 0);
	assert.notEqual(code, null, `it was ended by a signal:\n${stderr}`);
	assert.ok(stderr.trim().split('\n').length <= 3, `more than a sentence:\n${stderr}`);
	for (const word of words)
		assert.match(stderr, word);
}

async function withOneConnection(t) {
	const google = await startSimulator({ t });
	const service = await startService({ t, simulator: google });
	const key = await service.key('admin');
	await service.connect({ key, branch_id: 'harbour' });
	return { google, service, key };
}

test('a_second_process_on_the_same_database_is_refused', async (t) => {
	const { service, key } = await withOneConnection(t);
	assertSays(await failToStart({ dir: service.dir }), /another|already/i, /review-fetcher\.db/);
	assert.equal((await service.token('harbour', { key })).status, 200, 'the first one suffers');
});

test('a_key_ring_that_others_may_read_is_refused_with_the_cure', async (t) => {
	const { service } = await withOneConnection(t);
	await service.stop();
	fs.chmodSync(service.vaultKey, 0o644);
	assertSays(await failToStart({ dir: service.dir }), /vault\.key/, /0?600/);
	fs.chmodSync(service.vaultKey, 0o600);
	await service.restart();
});

test('a_missing_key_ring_is_not_replaced_while_sealed_secrets_are_there', async (t) => {
	const { service, key } = await withOneConnection(t);
	await service.stop();
	const ring = fs.readFileSync(service.vaultKey);
	fs.rmSync(service.vaultKey);
	assertSays(await failToStart({ dir: service.dir }), /vault\.key|VAULT_KEY_FILE/);
	assert.ok(!fs.existsSync(service.vaultKey), 'a new key ring was put in the place of the lost one');
	fs.writeFileSync(service.vaultKey, ring, { mode: 0o600 });
	await service.restart();
	assert.equal((await service.token('harbour', { key })).status, 200);
});

test('a_key_ring_of_another_database_is_refused', async (t) => {
	const { service } = await withOneConnection(t);
	await service.stop();
	const other = await startService({ t });
	await other.stop();
	fs.copyFileSync(other.vaultKey, service.vaultKey);
	assertSays(await failToStart({ dir: service.dir }), /vault\.key|VAULT_KEY_FILE/);
});

test('a_key_ring_that_is_none_is_refused', async () => {
	const dir = makeFolder();
	fs.writeFileSync(path.join(dir, 'vault.key'), 'not a key ring', { mode: 0o600 });
	assertSays(await failToStart({ dir }), /vault\.key/);
});

test('a_file_that_is_no_database_is_refused', async () => {
	const dir = makeFolder();
	fs.writeFileSync(path.join(dir, 'review-fetcher.db'), 'no database at all, but long enough to look at '.repeat(50), { mode: 0o600 });
	assertSays(await failToStart({ dir }), /database/i);
});

test('a_port_in_use_is_named_with_the_setting', async (t) => {
	const server = net.createServer();
	await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
	t.after(() => server.close());
	const { port } = server.address();
	assertSays(await failToStart({ env: { API_PORT: port } }), new RegExp(String(port)), /API_PORT/);
});

test('a_folder_that_cannot_be_written_is_named', async () => {
	assertSays(await failToStart({ env: { TOKEN_MANAGEMENT_DATABASE_URL: 'sqlite:/proc/nowhere/x.db' } }), /\/proc\/nowhere/);
});

test('wrong_settings_stop_the_start_with_key_value_and_bounds', async () => {
	assertSays(await failToStart({ env: { TOKEN_REFRESH_MARGIN_SEC: 'soon' } }), /TOKEN_REFRESH_MARGIN_SEC/, /soon/);
	assertSays(await failToStart({ env: { API_WORKERS: '100000' } }), /API_WORKERS/, /256/);
	assertSays(await failToStart({ args: ['--api-prot=1'] }), /API_PORT|api-port/i);
	assertSays(await failToStart({ env: { API_AUTH: 'off', API_HOST: '0.0.0.0' } }), /API_AUTH/);
	assertSays(await failToStart({ env: { GOOGLE_TOKEN_URL: 'http://example.com/token' } }), /GOOGLE_TOKEN_URL/, /https/);
});

test('a_full_disk_is_a_clear_503_and_passes_when_there_is_room_again', async (t) => {
	const { service, key } = await withOneConnection(t);
	const limit = (bytes) => {
		const run = spawnSync('prlimit', ['--pid', String(service.pid), `--fsize=${bytes}:unlimited`], { encoding: 'utf8' });
		assert.equal(run.status, 0, run.stderr);
	};
	const register = (n) => service.post('/token-management/clients', {
		client_id: 'x', client_secret: 'y', redirect_uri: `${service.url}/token-management/auth/callback`,
		branch_id: `full-${n}`, workspace_email: 'a@example.com', workspace_name: 'x'.repeat(200),
	}, { key });
	limit(fs.statSync(service.db).size);
	let n = 0;
	const answer = await eventually(async () => {
		const tried = await register(n++);
		assert.equal(tried.status, 503, tried.text);
		return tried;
	});
	assert.match(answer.headers['content-type'], /^application\/problem\+json/);
	assert.match(answer.json.detail, /database|disk|full|room/i);
	assert.equal((await service.token('harbour', { key })).status, 200, 'a token in memory needs no disk');
	limit('unlimited');
	await eventually(async () => assert.equal((await register(n++)).status, 201));
});
