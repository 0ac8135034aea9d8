// SPDX-License-Identifier: Apache-2.0
// `vault rotate` beside a server that hands out and refreshes tokens all the time: nobody notices, nothing
// is lost when it is killed anywhere, and no key or secret turns up where it does not belong.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { makeFolder, startService, startSimulator } from './lib/service.mjs';
import { collect, eventually, SANITIZER } from './lib/process.mjs';

const BRANCHES = 8;
const PENDING = 300; // registered, never connected: rows for a rotation to walk
const CLIENT_SECRET = 'canary-client-secret-of-the-rotation-61f0';

let google;
let service;
let key;
const ids = [];

// ---- the command line, beside this process ----

function launch(...args) {
	const child = spawn(service.bin, ['vault', 'rotate', ...args], { env: service.env, cwd: service.dir, stdio: ['ignore', 'pipe', 'pipe'] });
	const output = collect(child);
	const ended = new Promise((resolve) => child.on('close', (code, signal) => {
		const text = output.tail(1000);
		assert.doesNotMatch(text, SANITIZER);
		resolve({ code, signal, text });
	}));
	return { child, ended };
}

async function rotate(...args) {
	const { code, text } = await launch(...args).ended;
	assert.equal(code, 0, text);
	return text;
}

// ---- the ring and what is stored ----

// The keys of the ring: [{ number, secret, state }].
function ring() {
	const lines = fs.readFileSync(service.vaultKey, 'utf8').trimEnd().split('\n').slice(1);
	return lines.map((line) => {
		const [, number, , secret, state] = line.split(' ');
		return { number: Number(number), secret, state };
	});
}

const inState = (state) => ring().filter((one) => one.state === state);

// How many sealed values there are, by the number of their key.
function storedKeys() {
	const { stdout, stderr, status } = spawnSync('python3', ['-c', `
import sqlite3, sys, json, collections
c = sqlite3.connect(sys.argv[1])
n = collections.Counter()
for table, column in (('clients', 'client_secret'), ('tokens', 'access_token'), ('tokens', 'refresh_token'), ('connect_flows', 'code_verifier')):
    for (blob,) in c.execute(f'SELECT {column} FROM {table} WHERE {column} IS NOT NULL'):
        n[int.from_bytes(blob[1:5], 'big')] += 1
print(json.dumps(n))`, service.db], { encoding: 'utf8' });
	assert.equal(status, 0, stderr);
	return JSON.parse(stdout);
}

function assertAllUnderTheActiveKey() {
	const [active, ...more] = inState('active');
	assert.deepEqual(more, []);
	const stored = storedKeys();
	assert.deepEqual(Object.keys(stored), [String(active.number)], JSON.stringify(stored));
	return stored[active.number];
}

// ---- traffic ----

const refresh = (id) => service.post('/token-management/tokens/refresh', { client_id: id }, { key });

// Reads and refreshes all branches until stopped; answers how much was done. Any answer but 200 ends it.
function startTraffic() {
	const done = { reads: 0, refreshes: 0, wrong: [] };
	let isOver = false;
	const loop = async (i) => {
		while (!isOver && done.wrong.length === 0) {
			const isRefresh = (done.reads + i) % 4 === 0;
			const answer = isRefresh ? await refresh(ids[i]) : await service.token(`busy-${i}`, { key });
			if (answer.status !== 200 || answer.json.degraded)
				done.wrong.push(`${isRefresh ? 'refresh' : 'read'} of busy-${i}: ${answer.status} ${answer.text}`);
			done[isRefresh ? 'refreshes' : 'reads'] += 1;
		}
	};
	const loops = ids.map((_, i) => loop(i));
	done.stop = async () => {
		isOver = true;
		await Promise.all(loops);
		assert.deepEqual(done.wrong, []);
	};
	return done;
}

async function assertAllRefresh() {
	for (const id of ids) {
		const answer = await refresh(id);
		assert.equal(answer.status, 200, answer.text);
	}
	assert.equal((await google.counts()).refresh_reused, 0, 'an old refresh token was sent');
}

before(async () => {
	google = await startSimulator();
	service = await startService({ simulator: google, env: { LOG_LEVEL: 'info' } });
	key = await service.key('admin');
	// The hardest provider: each refresh token is good once, and spending an old one kills the grant.
	await google.fault({ target: 'token', rotate_refresh_tokens: true, reuse_detection: true });
	for (let i = 0; i < BRANCHES; i++)
		ids.push((await service.connect({ key, branch_id: `busy-${i}`, client_secret: 'demo-app-secret' })).client_id);
	for (let i = 0; i < PENDING; i++)
		await service.register({ key, branch_id: `pending-${i}`, client_secret: CLIENT_SECRET });
});
after(async () => {
	await service?.end();
	await google?.end();
});

describe('beside full traffic', () => {
	test('three_rotations_are_noticed_by_nobody', async () => {
		const traffic = startTraffic();
		const numbers = new Set(ring().map((one) => one.number));
		for (let round = 1; round <= 3; round++) {
			const before = traffic.refreshes;
			await eventually(() => assert.ok(traffic.refreshes >= before + BRANCHES || traffic.wrong.length > 0));
			assert.match(await rotate(), /seals from now on: [1-9][0-9]* values brought under it/);
			const [active] = inState('active');
			assert.ok(!numbers.has(active.number), 'no new key');
			numbers.add(active.number);
			await service.waitForLog('vault.key_changed', (line) => line.key === active.number);
		}
		await traffic.stop();
		assert.ok(traffic.refreshes > 3 * BRANCHES && traffic.reads > 0);
		assert.equal(inState('retired').length, 3);
		assertAllUnderTheActiveKey();
		await assertAllRefresh();
	});

	test('a_restart_finds_everything_where_it_was', async () => {
		const tokens = new Map();
		for (let i = 0; i < BRANCHES; i++)
			tokens.set(i, (await service.token(`busy-${i}`, { key })).json.access_token);
		const before = await google.counts();
		await service.restart();
		for (let i = 0; i < BRANCHES; i++)
			assert.equal((await service.token(`busy-${i}`, { key })).json.access_token, tokens.get(i));
		assert.equal((await google.counts()).token_refresh, before.token_refresh);
		await assertAllRefresh();
	});

	test('killed_anywhere_it_goes_on_with_the_key_it_had_begun', async () => {
		const traffic = startTraffic();
		let interrupted = 0;
		for (let round = 0; round < 12; round++) {
			const known = new Set(ring().map((one) => one.number));
			const { child, ended } = launch();
			const poll = setInterval(() => ring().length > known.size && child.kill('SIGKILL'), 1 + round % 4);
			const { signal } = await ended;
			clearInterval(poll);
			const begun = ring().filter((one) => !known.has(one.number));
			assert.ok(begun.length <= 1);
			interrupted += signal === 'SIGKILL' && inState('retiring').length === 1;
			await rotate();
			assert.deepEqual(inState('retiring'), []);
			if (begun.length === 1 && signal === 'SIGKILL')
				assert.equal(inState('active')[0].number, begun[0].number, 'it made another key');
			assertAllUnderTheActiveKey();
		}
		await traffic.stop();
		assert.ok(interrupted > 0, 'it was never interrupted between the new key and the end');
		await assertAllRefresh();
	});

	test('ctrl_c_ends_it_with_a_word_and_it_can_go_on', async () => {
		const before = ring().length;
		const { child, ended } = launch();
		const poll = setInterval(() => {
			if (ring().length === before)
				return;
			clearInterval(poll); // a second one would end it without a word
			child.kill('SIGINT');
		}, 1);
		const { code, text } = await ended;
		clearInterval(poll);
		assert.match(text, code === 0 ? /seals from now on/ : /stopped, .* run it again to go on/);
		await rotate();
		assertAllUnderTheActiveKey();
	});
});

describe('the ring', () => {
	test('a_prepared_key_waits_for_the_next_rotation', async () => {
		const [active] = inState('active');
		assert.match(await rotate('--prepare'), /is in the ring and will seal/);
		const [next] = inState('next');
		assert.equal(inState('active')[0].number, active.number);
		assert.match(await rotate('--prepare'), /was already in the ring/);
		await rotate();
		assert.equal(inState('active')[0].number, next.number);
		assertAllUnderTheActiveKey();
	});

	test('what_is_retired_is_forgotten_when_asked_and_the_service_lives_on', async () => {
		const old = inState('retired');
		assert.ok(old.length > 3);
		const traffic = startTraffic();
		const text = await rotate('--forget-retired');
		assert.match(text, new RegExp(`Took ${old.length} older keys out`));
		await traffic.stop();
		const file = fs.readFileSync(service.vaultKey, 'utf8');
		for (const { secret } of old)
			assert.ok(!file.includes(secret), 'the key is still there');
		assert.match(await rotate('--forget-retired'), /There is no key to take out/);
		await service.restart();
		await assertAllRefresh();
		await rotate();
		await assertAllRefresh();
	});

	test('two_rotations_do_not_run_at_once', async () => {
		const holder = spawn('flock', ['-x', service.vaultKey, 'sh', '-c', 'echo held; read line'], { stdio: ['pipe', 'pipe', 'inherit'] });
		await new Promise((resolve) => holder.stdout.once('data', resolve));
		const before = ring();
		const { code, text } = await launch().ended;
		assert.equal(code, 1);
		assert.match(text, /another rotation .* is under way/);
		assert.deepEqual(ring(), before);
		holder.stdin.end();
		await new Promise((resolve) => holder.on('close', resolve));
		await rotate();
	});

	test('it_stays_private_and_leaves_nothing_beside_it', () => {
		assert.equal(fs.statSync(service.vaultKey).mode & 0o7777, 0o600);
		const beside = fs.readdirSync(service.dir).filter((name) => name.startsWith('vault.key') && name !== 'vault.key');
		assert.deepEqual(beside, []);
	});
});

test('a_value_that_was_altered_is_named_and_the_rest_comes_under_the_new_key', async () => {
	const alter = `
import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
(id, blob) = c.execute("SELECT id, client_secret FROM clients WHERE branch_id = 'pending-0'").fetchone()
c.execute('UPDATE clients SET client_secret = ? WHERE id = ?', (blob[:40] + bytes([blob[40] ^ 1]) + blob[41:], id))
c.commit()
print(id)`;
	const change = () => spawnSync('python3', ['-c', alter, service.db], { encoding: 'utf8' }).stdout.trim();
	const id = change();
	const { code, text } = await launch().ended;
	assert.equal(code, 1);
	assert.match(text, new RegExp(`clients.client_secret of row ${id} was altered`));
	assert.match(text, /1 value cannot be opened/);
	const stored = storedKeys();
	assert.equal(stored[inState('retired').at(-1).number], 1);
	change(); // back again
	await rotate();
	assertAllUnderTheActiveKey();
	await assertAllRefresh();
});

test('neither_keys_nor_secrets_are_found_in_files_or_logs', async () => {
	const secrets = ring().filter((one) => one.state !== 'forgotten').map((one) => one.secret);
	const tokens = await Promise.all(ids.map(async (_, i) => (await service.token(`busy-${i}`, { key })).json.access_token));
	await service.stop();
	const log = JSON.stringify(service.logs());
	for (const what of [...secrets, ...tokens, CLIENT_SECRET])
		assert.ok(!log.includes(what), 'a secret is in the log');
	for (const name of fs.readdirSync(service.dir)) {
		const content = fs.readFileSync(path.join(service.dir, name));
		for (const what of [CLIENT_SECRET, ...tokens, ...(name === 'vault.key' ? [] : secrets)])
			assert.ok(!content.includes(what), `a secret is in ${name}`);
	}
});

describe('used wrongly', () => {
	const wrong = (args, env = {}) => spawnSync(service.bin, ['vault', ...args],
		{ env: { ...service.env, ...env }, cwd: service.dir, encoding: 'utf8' });

	test('it_says_what_it_knows', () => {
		for (const args of [[], ['turn'], ['rotate', 'now'], ['rotate', '--forget'], ['rotate', '--prepare', '--forget-retired']]) {
			const { status, stderr } = wrong(args);
			assert.equal(status, 2, args.join(' '));
			assert.match(stderr, /^review-fetcher: .+\n$/);
		}
		assert.match(wrong(['--help']).stdout, /vault rotate/);
	});

	test('a_ring_of_another_database_is_refused_and_not_changed', () => {
		const folder = makeFolder();
		const other = path.join(folder, 'vault.key');
		const made = wrong(['rotate'], { VAULT_KEY_FILE: other });
		assert.equal(made.status, 2, made.stderr);
		assert.match(made.stderr, /is gone/);
		assert.ok(!fs.existsSync(other));
	});

	test('an_empty_database_is_told', () => {
		const folder = makeFolder();
		const { status, stderr } = wrong(['rotate'], { TOKEN_MANAGEMENT_DATABASE_URL: `sqlite:${folder}/none.db` });
		assert.equal(status, 1);
		assert.match(stderr, /the database is empty/);
	});
});
