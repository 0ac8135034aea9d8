// SPDX-License-Identifier: Apache-2.0
// Moving house: all that one database holds, written to a file and read into another one, on either engine.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import fs from 'node:fs';
import path from 'node:path';
import { startPostgres } from './lib/postgres.mjs';
import { eventually, makeFolder, startService, startSimulator } from './lib/service.mjs';

let google;
let postgres;
let home;
let key;
let token;
const folder = makeFolder('house-move');
const passphrase = path.join(folder, 'passphrase');
const other = path.join(folder, 'other');

before(async () => {
	fs.writeFileSync(passphrase, 'correct horse battery staple\n', { mode: 0o600 });
	fs.writeFileSync(other, 'another passphrase entirely\n', { mode: 0o600 });
	google = await startSimulator({ args: ['--users', '2', '--locations', '3', '--reviews', '5'] }).catch(() => startSimulator());
	postgres = await startPostgres();
	home = await startService({ simulator: google });
	key = await home.key('admin');
	for (const branch of ['one', 'two', 'zürich "3"'])
		await home.connect({ key, branch_id: branch, workspace_email: 'm@example.com' });
	const job = await home.post('/api/v1/review-fetch', { branch_id: 'one', mode: 'full' }, { key });
	assert.equal(job.status, 202, job.text);
	await eventually(async () => {
		const s = await home.get(`/api/v1/status/${job.json.job_id}`, { key });
		assert.ok(['completed', 'partial', 'failed'].includes(s.json.status), s.text);
	}, { timeout: 60000 });
	token = (await home.token('one', { key })).json.access_token;
});
after(async () => {
	await home?.end();
	await google?.end();
	await postgres?.remove();
});

function exported(service, name, what = 'all', secret = passphrase) {
	const { code, stdout, stderr } = service.cli('export', '--what', what, '--passphrase-file', secret);
	assert.equal(code, 0, stderr);
	const file = path.join(folder, name);
	fs.writeFileSync(file, stdout, { mode: 0o600 });
	return file;
}
const imported = (service, file, ...args) => service.cli('import', file, '--passphrase-file', passphrase, ...args);

// What can be compared: without the header, whose salt is new each time, and the seals, whose nonces are.
// PostgreSQL sorts texts in another way.
const content = (file) => fs.readFileSync(file, 'utf8').split('\n').slice(1)
	.map((line) => line.replace(/\{"s":"[^"]*"\}/g, 'SEALED')).sort();

async function emptyHouse(t, options = {}) {
	const service = await startService({ t, simulator: google, ...options });
	await service.stop();
	return service;
}

// Everything answers as it did, and every secret is of use.
async function assertLives(service) {
	await service.restart();
	const read = await service.token('one', { key });
	assert.equal(read.status, 200, read.text);
	assert.equal(read.json.access_token, token);
	const { clients } = (await service.get('/token-management/clients', { key })).json;
	assert.deepEqual(clients.map((c) => c.branch_identifier), ['one', 'two', 'zürich "3"']);
	for (const c of clients) {
		const again = await service.post('/token-management/tokens/refresh', { client_id: c.client_id }, { key });
		assert.equal(again.status, 200, again.text);
	}
	const mine = (await home.get('/api/v1/reviews?limit=500', { key })).json.reviews;
	const theirs = (await service.get('/api/v1/reviews?limit=500', { key })).json.reviews;
	assert.ok(mine.length > 0);
	assert.deepEqual(theirs.map((r) => r.review_id ?? r.id).sort(), mine.map((r) => r.review_id ?? r.id).sort());
	const fresh = await service.register({ key, branch_id: `new-${Math.random()}` }); // numbers go on behind those that came
	assert.ok(fresh.client_id > Math.max(...clients.map((c) => c.client_id)));
	await service.stop();
}

test('from_sqlite_to_postgresql_and_back_everything_is_kept', async (t) => {
	const first = exported(home, 'first');
	const text = fs.readFileSync(first, 'utf8');
	assert.ok(!text.includes(token) && !text.includes('demo-app-secret'), 'a secret stands in the export');
	const there = await emptyHouse(t, { postgres });
	const went = imported(there, first);
	assert.equal(went.code, 0, went.stderr);
	const second = exported(there, 'second');
	assert.deepEqual(content(second), content(first));
	const back = await emptyHouse(t);
	const came = imported(back, second);
	assert.equal(came.code, 0, came.stderr);
	assert.deepEqual(content(exported(back, 'third')), content(first));
	await assertLives(there);
	await assertLives(back);
});

test('a_wrong_passphrase_writes_nothing', async (t) => {
	const file = exported(home, 'for-wrong');
	const there = await emptyHouse(t);
	const refused = there.cli('import', file, '--passphrase-file', other);
	assert.equal(refused.code, 1);
	assert.match(refused.stderr, /passphrase is not the one/);
	assert.equal(imported(there, file).code, 0, 'something had been written');
});

test('a_file_of_a_newer_program_is_refused_and_nothing_is_written', async (t) => {
	const file = exported(home, 'of-now');
	const text = fs.readFileSync(file, 'utf8');
	const there = await emptyHouse(t);
	for (const newer of [text.replace(/"schema":\d+/, '"schema":999'), text.replace('"version":1', '"version":2')]) {
		assert.notEqual(newer, text);
		fs.writeFileSync(path.join(folder, 'newer'), newer);
		const refused = imported(there, path.join(folder, 'newer'));
		assert.notEqual(refused.code, 0);
		assert.match(refused.stderr, /made by a newer program/);
	}
	assert.equal(imported(there, file).code, 0, 'something had been written');
});

// Before numbers stood at its end.
test('an_older_file_is_taken', async (t) => {
	const file = exported(home, 'of-today');
	const older = path.join(folder, 'older');
	fs.writeFileSync(older, fs.readFileSync(file, 'utf8').replace(/"schema":\d+/, '"schema":12').replace(/,"numbers":\{[^}]*\}/, ''));
	const there = await emptyHouse(t);
	const taken = imported(there, older);
	assert.equal(taken.code, 0, taken.stderr);
	assert.deepEqual(content(exported(there, 'from-older')), content(file));
});

test('a_file_that_was_cut_off_goes_on_when_it_comes_whole', async (t) => {
	const file = exported(home, 'whole');
	const text = fs.readFileSync(file, 'utf8');
	const part = path.join(folder, 'part');
	const there = await emptyHouse(t);
	const lines = text.split('\n');
	fs.writeFileSync(part, lines.slice(0, Math.floor(lines.length / 2)).join('\n'));
	const cut = imported(there, part);
	assert.equal(cut.code, 2);
	assert.match(cut.stderr, /cut off/);
	const whole = imported(there, file);
	assert.equal(whole.code, 0, whole.stderr);
	assert.deepEqual(content(exported(there, 'whole-again')), content(file));
	const again = imported(there, file);
	assert.equal(again.code, 0, again.stderr);
	assert.deepEqual(content(exported(there, 'whole-again')), content(file));
});

test('killed_in_the_middle_it_goes_on', async (t) => {
	const file = exported(home, 'killed');
	const there = await emptyHouse(t);
	const lines = fs.readFileSync(file, 'utf8').split('\n');
	// The reader gets half of it, and then waits for more when it is killed.
	const script = '( head -n "$2" "$1"; sleep 4 ) | "$3" import - --passphrase-file "$4" & child=$!; sleep 2; kill -9 $child';
	spawnSync('bash', ['-c', script, 'x', file, String(Math.floor(lines.length / 2)), there.bin, passphrase],
		{ env: there.env, cwd: there.dir, timeout: 20000 });
	const went = imported(there, file);
	assert.equal(went.code, 0, went.stderr);
	assert.deepEqual(content(exported(there, 'killed-again')), content(file));
});

test('a_house_that_is_not_empty_is_refused_unless_told_to_merge', async (t) => {
	const file = exported(home, 'for-merge');
	const there = await startService({ t, simulator: google });
	const mine = await there.key('admin');
	const served = imported(there, file);
	assert.equal(served.code, 1);
	assert.match(served.stderr, /a server runs on this database/);
	await there.stop();
	const full = imported(there, file);
	assert.equal(full.code, 1);
	assert.match(full.stderr, /not empty.*--merge/);
	const merged = imported(there, file, '--merge');
	assert.equal(merged.code, 0, merged.stderr);
	await there.restart();
	assert.equal((await there.token('one', { key: mine })).status, 200);
	assert.equal((await there.token('one', { key })).status, 200);
});

test('a_merge_that_would_mix_two_branches_up_is_refused', async (t) => {
	const file = exported(home, 'for-clash', 'connections');
	const there = await startService({ t, simulator: google });
	const mine = await there.key('admin');
	await there.connect({ key: mine, branch_id: 'somebody-else' });
	await there.stop();
	const refused = imported(there, file, '--merge');
	assert.equal(refused.code, 1);
	assert.match(refused.stderr, /cannot be merged/);
	await there.restart();
	assert.equal((await there.token('somebody-else', { key: mine })).status, 200);
});

test('reviews_alone_need_no_passphrase_and_hold_no_secret', () => {
	const { code, stdout, stderr } = home.cli('export', '--what', 'reviews');
	assert.equal(code, 0, stderr);
	assert.ok(!stdout.includes('"s":'));
	assert.match(stdout, /"table":"reviews"/);
	assert.doesNotMatch(stdout, /"table":"(clients|tokens|api_keys)"/);
	const refused = home.cli('export');
	assert.equal(refused.code, 2);
	assert.match(refused.stderr, /--passphrase-file/);
});

test('a_passphrase_that_others_can_read_or_guess_is_refused', () => {
	const open = path.join(folder, 'open');
	fs.writeFileSync(open, 'correct horse battery staple\n', { mode: 0o644 });
	assert.match(home.cli('export', '--passphrase-file', open).stderr, /chmod 600/);
	const short = path.join(folder, 'short');
	fs.writeFileSync(short, 'secret\n', { mode: 0o600 });
	assert.match(home.cli('export', '--passphrase-file', short).stderr, /at least 12/);
});
