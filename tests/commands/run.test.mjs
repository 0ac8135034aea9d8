// SPDX-License-Identifier: Apache-2.0
// ./run as a person meets it: what it prints works, Ctrl-C leaves nothing behind, and whatever is missing
// is one clear sentence.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import { CookieJar, decide, eventually, send } from '../integration/lib/service.mjs';
import { Box } from './box.mjs';

const freePort = () => new Promise((resolve) => {
	const server = net.createServer();
	server.listen(0, '127.0.0.1', () => {
		const { port } = server.address();
		server.close(() => resolve(port));
	});
});

const isAlive = (pid) => {
	try {
		return !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
	} catch {
		return false;
	}
};

const programOf = (pid) => fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[0];

// The processes whose program lies in the box.
const processesOf = (box) => fs.readdirSync('/proc').filter((name) => {
	try {
		return /^\d+$/.test(name) && programOf(name).startsWith(`${box.dir}/`);
	} catch {
		return false;
	}
}).map(Number);

const gone = (box) => eventually(() => assert.deepEqual(processesOf(box), [], 'something is still running'));

async function startRun(t, box, options = {}) {
	const env = { API_PORT: String(await freePort()), SIMULATOR_PORT: String(await freePort()), ...options.env };
	const it = box.start(['./run'], { ...options, env });
	t.after(() => {
		it.child.kill('SIGKILL');
		for (const pid of processesOf(box))
			process.kill(pid, 'SIGKILL');
	});
	it.env = env;
	const early = it.ended.then(() => assert.fail(`it ended:\n${it.stdout}${it.stderr}`));
	await Promise.race([early, eventually(() => assert.match(it.stdout, /Ctrl-C stops everything/), { timeout: 60000 })]);
	early.catch(() => undefined);
	it.key = /rf_[A-Za-z0-9_-]+/.exec(it.stdout)[0];
	it.console = /http:\S+sign-in\?link=\S+/.exec(it.stdout)[0];
	it.link = /http:\S+ticket=\S+/.exec(it.stdout)[0];
	it.curls = it.stdout.split('\n').filter((line) => line.trim().startsWith('curl '));
	return it;
}

const paste = (line) => JSON.parse(execFileSync('bash', ['-c', line], { encoding: 'utf8' }));

async function clickLink(link) {
	const jar = new CookieJar();
	const opened = await send('GET', link, { jar });
	assert.equal(opened.status, 307, opened.text);
	const answer = await send('GET', await decide(opened.headers.location), { jar });
	assert.equal(answer.status, 200, answer.text);
}

// The page of the link, its button, and the console behind it.
async function signIn(link) {
	const jar = new CookieJar();
	const headers = { accept: 'text/html', origin: new URL(link).origin };
	const page = await send('GET', link, { jar, headers });
	assert.equal(page.status, 200, page.text);
	const form = { link: new URL(link).searchParams.get('link'), next: '/console' };
	const taken = await send('POST', new URL('/sign-in', link), { jar, headers, form });
	assert.equal(taken.status, 303, taken.text);
	assert.equal((await send('GET', new URL('/console', link).href, { jar, headers })).status, 200);
}

function assertSentence({ code, stderr }, ...words) {
	assert.equal(code, 1, stderr);
	assert.ok(stderr.trim().split('\n').length === 1, `more than one sentence:\n${stderr}`);
	assert.match(stderr, /^\.\/run: /);
	for (const word of words)
		assert.match(stderr, word);
}

// ---- it works ----

test('what_it_prints_works_in_order_and_a_second_run_still_has_it_all', { timeout: 180000 }, async (t) => {
	const box = new Box();
	const first = await startRun(t, box);
	assert.equal(first.curls.length, 3);
	const early = paste(first.curls[0]);
	assert.equal(early.status, 409);
	assert.match(early.detail, /connect/i, 'it does not say what to do before the link was clicked');
	await signIn(first.console);
	await clickLink(first.link);
	assert.ok(paste(first.curls[0]).access_token);
	assert.ok(paste(first.curls[1]).job_id);
	await eventually(() => assert.ok(paste(first.curls[2]).reviews.length > 0), { every: 200 });
	assert.equal(fs.statSync(box.file('var/demo.key')).mode & 0o777, 0o600);

	process.kill(-first.child.pid, 'SIGINT');
	assert.deepEqual(await first.ended, { code: 0, signal: null }, first.stderr);
	await gone(box);

	const begun = performance.now();
	const second = await startRun(t, box, { env: first.env });
	assert.ok(performance.now() - begun < 20000);
	assert.equal(second.key, first.key);
	assert.match(second.stdout, /is connected/);
	assert.ok(paste(second.curls[0]).access_token);
	assert.ok(paste(second.curls[2]).reviews.length > 0);
	await signIn(second.console);
	await clickLink(second.link);
	process.kill(second.child.pid, 'SIGTERM');
	assert.deepEqual(await second.ended, { code: 0, signal: null });
	await gone(box);
	assert.ok(!fs.existsSync(box.file('apt-was-called')), 'apt-get was started although nothing is missing');
});

test('killed_itself_it_leaves_nothing_running', async (t) => {
	const box = new Box();
	const it = await startRun(t, box);
	assert.equal(processesOf(box).length, 2);
	process.kill(it.child.pid, 'SIGKILL');
	await gone(box);
});

test('it_ends_when_the_one_who_started_it_dies', async (t) => {
	const box = new Box();
	const it = await startRun(t, box, { wrap: ['bash', '-c', '"$@" & wait', 'parent'] });
	assert.equal(processesOf(box).length, 2);
	process.kill(it.child.pid, 'SIGKILL');
	await gone(box);
});

test('when_one_of_the_two_dies_it_says_so_and_stops_the_other', async (t) => {
	for (const [name, pattern] of [['google-simulator', /the simulator stopped by itself/], ['review-fetcher', /the service stopped by itself/]]) {
		const box = new Box();
		const it = await startRun(t, box);
		const pid = processesOf(box).find((one) => programOf(one).endsWith(name));
		process.kill(pid, 'SIGKILL');
		assert.equal((await it.ended).code, 1);
		assert.match(it.stderr, pattern);
		await gone(box);
		assert.ok(!isAlive(pid));
	}
});

// ---- it does not work, and says why ----

test('a_port_in_use_is_named_with_its_owner_and_the_way_out', async (t) => {
	const server = net.createServer();
	await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
	t.after(() => server.close());
	const port = String(server.address().port);
	for (const variable of ['API_PORT', 'SIMULATOR_PORT']) {
		const env = { API_PORT: String(await freePort()), SIMULATOR_PORT: String(await freePort()), [variable]: port };
		const it = await new Box().finish(['./run'], { env });
		assertSentence(it, new RegExp(`port ${port} is in use`), new RegExp(`process ${process.pid}`), new RegExp(`${variable}=\\d+ ./run`));
	}
});

test('a_port_that_is_no_number_is_named', async () => {
	assertSentence(await new Box().finish(['./run'], { env: { API_PORT: 'http' } }), /API_PORT is 'http'/);
	assertSentence(await new Box().finish(['./run'], { env: { SIMULATOR_PORT: '70000' } }), /SIMULATOR_PORT is '70000'/);
});

const asNobody = process.getuid() === 0 ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : [];

test('a_folder_that_cannot_be_written_is_named', async (t) => {
	const box = new Box();
	fs.rmSync(box.file('build-run'), { recursive: true });
	fs.chmodSync(box.dir, 0o555);
	t.after(() => fs.chmodSync(box.dir, 0o755));
	assertSentence(await box.finish(['./run'], { wrap: asNobody }), /cannot be written/, new RegExp(box.dir));
});

const MISSING = 'exit 1'; // dpkg-query knows none of them

test('without_apt_get_it_says_what_to_install', async () => {
	const box = new Box({ 'apt-get': '', 'dpkg-query': '', 'pkg-config': '[ "$2" != libsodium ]', 'meson': '' });
	const it = await box.finish();
	assertSentence(it, /no apt-get/, /meson/, /libsodium/);
	assert.ok(!it.stderr.includes('sqlite'), 'it asks for what is there');
});

test('without_root_and_sudo_it_says_what_to_install_as_root', async (t) => {
	const box = new Box({ 'dpkg-query': MISSING });
	fs.chmodSync(box.dir, 0o777);
	for (const name of ['build-run', 'build-run/log'])
		fs.chmodSync(box.file(name), 0o777);
	if (process.getuid() !== 0 && fs.existsSync('/usr/bin/sudo'))
		t.diagnostic('sudo is outside of the box');
	assertSentence(await box.finish(['./run'], { wrap: asNobody }), /neither root/, /apt-get install .*libsodium-dev/);
});

test('without_a_network_it_says_so', async () => {
	const box = new Box({ 'dpkg-query': MISSING, 'apt-get': 'echo "E: Failed to fetch http://x  Could not resolve host"; exit 100' });
	assertSentence(await box.finish(), /offline/);
});

test('another_failure_of_apt_get_shows_its_last_words', async () => {
	const box = new Box({ 'dpkg-query': MISSING, 'apt-get': 'for i in 1 2 3 4 5 6 7 8 9; do echo "line $i"; done; exit 100' });
	const it = await box.finish();
	assert.equal(it.code, 1);
	assert.match(it.stderr, /line 9[\s\S]*could not install/);
	assert.ok(it.stderr.split('\n').length < 10, it.stderr);
});

test('an_old_compiler_is_named_with_what_is_needed', async () => {
	const box = new Box({ gcc: 'case $1 in --version) echo "gcc 8.3.0";; *) echo 8.3.0;; esac' });
	fs.rmSync(box.file('build-run/build.ninja'));
	assertSentence(await box.finish(), /8\.3\.0/, /12 or newer/);
});

test('a_failed_build_shows_its_last_lines_and_where_the_rest_is', async () => {
	const box = new Box({ ninja: 'for i in $(seq 50 2>/dev/null || echo 1); do echo "error $i"; done; exit 1' });
	const it = await box.finish();
	assert.equal(it.code, 1);
	assert.match(it.stdout, /building .* failed/);
	assert.match(it.stderr, /the build failed.*build-run\/log\/build\.log/);
	assert.ok(it.stderr.split('\n').length < 25, it.stderr);
});
