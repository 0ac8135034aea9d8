// SPDX-License-Identifier: Apache-2.0
// Nothing that is secret may be found where it does not belong. Canaries – the API key, client secrets,
// authorization codes, verifiers, access and refresh tokens, as they were really spoken – are driven
// through every way that succeeds and every way that fails; then the database files, the logs, every answer
// that is not the handing out of a token, the metrics and the command lines are searched for each of them.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { eventually, makeFolder, send, SERVICE_BIN, CookieJar, startService, startSimulator } from './lib/service.mjs';
import { Proxy, startProxy } from './lib/proxy.mjs';

// With characters that every encoding on the way changes (RFC 6749 appendix A.2 allows printable ASCII).
const CLIENT_SECRET = 'canary-client-secret +/&=?"\\<%~>';
const SERVICE_USER = 54321; // anybody but root and nobody
const DEFAULT_SECRET = 'canary-default-secret-5b1f';
const BODY_SECRET = 'canary-in-a-bad-body-77d0';
const CALLER_TOKEN = 'ya29.canary-token-of-a-caller-91c3';

let google;
let proxy;
let service;
let key;
const canaries = new Map(); // value → what it is
const answers = []; // { what, text }
const asked = new Set(); // the addresses that Google was asked for, queries and all

const plant = (what, value) => typeof value === 'string' && value !== '' && canaries.set(value, what);

// ---- searching ----

// A secret in all forms in which it could slip out.
function forms(secret) {
	const bytes = Buffer.from(secret);
	return [...new Set([
		secret,
		encodeURIComponent(secret),
		new URLSearchParams({ x: secret }).toString().slice(2),
		JSON.stringify(secret).slice(1, -1),
		bytes.toString('base64').replace(/=+$/, ''),
		bytes.toString('base64url'),
		bytes.toString('hex'),
	])];
}

// Sentences about every canary in a text or buffer, but those that `allowed` accepts.
function leaksIn(where, content, allowed = () => false) {
	const haystack = Buffer.isBuffer(content) ? content : Buffer.from(content);
	const found = [];
	for (const [secret, what] of canaries)
		if (!allowed(what) && forms(secret).some((form) => haystack.includes(form)))
			found.push(`${what} in ${where}`);
	return found;
}

function leaksInFolder(folder) {
	return fs.readdirSync(folder, { recursive: true })
		.map((name) => path.join(folder, name.toString()))
		.filter((file) => fs.statSync(file).isFile())
		.flatMap((file) => leaksIn(`the file ${path.basename(file)}`, fs.readFileSync(file)));
}

// ---- driving ----

// The only answers that may bear a token, and only an access token.
const mayBearToken = (method, where, answer) => answer.status === 200
	&& ((method === 'GET' && /^\/token-management\/tokens\/[^/]+$/.test(where.split('?')[0]))
		|| (method === 'POST' && where === '/token-management/tokens/refresh'));

function record(method, where, answer) {
	const text = `${JSON.stringify(answer.headers)}\n${answer.text}`;
	answers.push({ what: `${method} ${where.split('?')[0].slice(0, 80)} ${answer.status}`, text, isToken: mayBearToken(method, where, answer) });
	if (mayBearToken(method, where, answer))
		plant('an access token', answer.json.access_token);
	return answer;
}

async function ask(method, where, options = {}) {
	return record(method, where, await send(method, service.url + where, options));
}

const post = (where, json, options) => ask('POST', where, { json, key, ...options });

// Plants whatever secret was spoken between the service and Google.
function harvest() {
	for (const call of proxy.calls.splice(0)) {
		asked.add(call.path);
		const bearer = /^Bearer (.+)$/.exec(call.headers.authorization ?? '')?.[1];
		plant('an access token', bearer);
		if (!/\/(token|revoke)$/.test(call.path))
			continue;
		const form = Proxy.form(call);
		plant('an authorization code', form.code);
		plant('a verifier', form.code_verifier);
		plant('a refresh token', form.refresh_token);
		plant('a client secret', form.client_secret);
		try {
			const answer = JSON.parse(call.answer);
			plant('an access token', answer.access_token);
			plant('a refresh token', answer.refresh_token);
			plant('an ID token', answer.id_token);
		} catch {
			// not JSON: nothing that could be a token
		}
	}
}

const client = (fields) => ({
	client_id: 'canary-app.apps.googleusercontent.com',
	client_secret: CLIENT_SECRET,
	redirect_uri: `${service.url}/token-management/auth/callback`,
	workspace_email: 'canary@example.com',
	workspace_name: 'Canary',
	...fields,
});

async function connect(branch, choice = {}, accept = 'application/json') {
	const made = await post('/token-management/clients', client({ branch_id: branch }));
	assert.equal(made.status, 201, made.text);
	const jar = new CookieJar();
	const where = `/token-management/oauth/login/${made.json.client_id}`;
	const login = record('GET', where, await send('GET', service.url + where, { key, jar }));
	const back = await service.consent(login.headers.location, choice);
	plant('an authorization code', new URL(back).searchParams.get('code'));
	record('GET', '/callback', await send('GET', back, { jar, headers: { accept } }));
	record('GET', '/callback again', await send('GET', back, { jar, headers: { accept } }));
	harvest();
	return made.json.client_id;
}

before(async () => {
	google = await startSimulator();
	proxy = await startProxy({ target: google.url });
	service = await startService({
		simulator: google,
		env: {
			...proxy.env(google),
			GOOGLE_CLIENT_ID: 'default-app.apps.googleusercontent.com',
			GOOGLE_CLIENT_SECRET: DEFAULT_SECRET,
			GOOGLE_REQUESTS_PER_MINUTE: 100000,
			RETRY_MAX_RETRIES: 1,
			RETRY_INITIAL_BACKOFF_MS: 1,
			LOG_LEVEL: 'debug',
		},
	});
	key = await service.key('admin');
	plant('the API key', key);
	plant('the secret part of the API key', /^rf_[^_]{8}_(.{43})$/.exec(key)[1]); // it may hold '_' itself
	plant('a client secret', CLIENT_SECRET);
	plant('the default client secret', DEFAULT_SECRET);
	plant('a secret in a bad body', BODY_SECRET);
	plant('the access token of a caller', CALLER_TOKEN);
});

after(async () => {
	await service?.end();
	await google?.end();
	await proxy?.end();
});

async function fetchReviews(what) {
	const job = await post('/api/v1/review-fetch', what);
	assert.equal(job.status, 202, job.text);
	await eventually(async () => {
		const state = await ask('GET', `/api/v1/status/${job.json.job_id}`, { key });
		assert.match(state.json.status, /completed|partial|failed/);
	}, { every: 100 });
}

// ---- the ways ----

async function driveSuccess() {
	const id = await connect('good');
	await connect('good-page', {}, 'text/html');
	await ask('GET', '/token-management/tokens/good', { key });
	await post('/token-management/tokens/refresh', { client_id: id });
	await post(`/token-management/clients/${id}/connect-link`, {});
	await ask('GET', `/token-management/clients/${id}`, { key });
	await ask('GET', '/token-management/clients', { key });
	await fetchReviews({ branch_id: 'good' });
	for (const where of ['jobs', 'accounts', 'locations', 'reviews', 'health', 'ready', 'metrics'])
		await ask('GET', `/api/v1/${where}`, { key });
	harvest();
}

async function driveRefusedConsent() {
	await connect('says-no', { allow: false });
	await connect('unticked', { scopes: [] });
}

async function driveBadInput() {
	const where = '/token-management/clients';
	for (const bad of [
		{ client_secret: { x: BODY_SECRET } }, { client_secret: [BODY_SECRET] }, { client_secret: BODY_SECRET.repeat(200) },
		{ client_secret: BODY_SECRET, branch_id: '' }, { client_secret: BODY_SECRET, workspace_email: 'no' },
		{ client_secret: BODY_SECRET, redirect_uri: 'ftp://x' }, { client_secret: BODY_SECRET, client_id: 7 },
		{ client_secret: BODY_SECRET, branch_id: 'x'.repeat(3000) }, { client_secret: BODY_SECRET, client_id: 'x'.repeat(3000) },
		{ client_secret: BODY_SECRET, branch_id: 'good' }, { client_secret: `${BODY_SECRET}\u0000` },
	])
		assert.ok((await post(where, client({ branch_id: 'bad', ...bad }))).status >= 400, JSON.stringify(bad).slice(0, 100));
	for (const body of [
		`{"client_secret": "${BODY_SECRET}`, `{"client_secret": "${BODY_SECRET}" x}`, `"${BODY_SECRET}"`, `[${BODY_SECRET}]`,
		`{"client_secret": ${BODY_SECRET}}`, `{"client_secret": "${BODY_SECRET}", "client_secret": "b"}`, BODY_SECRET,
		`{"client_secret": "${BODY_SECRET}\\ud800"}`,
	])
		for (const to of [where, '/token-management/tokens/refresh', '/api/v1/review-fetch'])
			await ask('POST', to, { key, body, headers: { 'content-type': 'application/json' } });
	for (const token of [BODY_SECRET.repeat(2000), [BODY_SECRET], { a: BODY_SECRET }, `${BODY_SECRET}\n`])
		await post('/api/v1/review-fetch', { access_token: token });
	await post('/token-management/tokens/refresh', { client_id: BODY_SECRET });
}

async function driveBadKeys() {
	const where = '/token-management/tokens/good';
	for (const authorization of [`Bearer ${key}x`, `Bearer ${key.slice(0, -1)}`, `Basic ${key}`, key, `Bearer ${key} ${key}`])
		await ask('GET', where, { headers: { authorization } });
	await ask('GET', `${where}?api_key=${key}&access_token=${CALLER_TOKEN}`);
	await ask('GET', where, { headers: { 'x-api-key': key, cookie: `key=${key}` } });
	await ask('GET', `/nowhere?key=${key}`, { key });
	await ask('PATCH', where, { key });
	const short = await service.key('reviews:read');
	plant('an API key', short);
	await ask('GET', where, { key: short });
}

async function driveBadCallbacks() {
	const where = '/token-management/auth/callback';
	plant('a code of nobody', 'canary-code-of-nobody-4a');
	for (const query of ['code=canary-code-of-nobody-4a', 'code=canary-code-of-nobody-4a&state=none', 'state=x', 'error=access_denied',
		`error=${'canary-code-of-nobody-4a'}%0a&state=y`, 'code=canary-code-of-nobody-4a&state=%zz'])
		for (const accept of ['application/json', 'text/html'])
			await ask('GET', `${where}?${query}`, { headers: { accept } });
}

// Google answers errors that repeat all it was told, as a proxy's error page does.
const echo = (call) => `${call.body} ${call.headers.authorization ?? ''}`;
const answersOfABrokenGoogle = {
	echo_json: (call) => ({ status: 400, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ error: 'invalid_request', error_description: echo(call) }) }),
	echo_error_code: (call) => ({ status: 400, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ error: echo(call) }) }),
	echo_page: (call) => ({ status: 502, headers: { 'content-type': 'text/html' }, body: `<html>${echo(call)}</html>` }),
	echo_ok: (call) => ({ status: 200, headers: { 'content-type': 'application/json' }, body: `{"access_token": "${encodeURIComponent(call.body)}` }),
	echo_status: (call) => ({ status: 403, headers: { 'content-type': 'application/json', 'www-authenticate': 'Bearer' }, body: JSON.stringify({ error: { code: 403, status: 'PERMISSION_DENIED', message: echo(call) } }) }),
	wrong_types: (call) => ({ status: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ access_token: [echo(call)], refresh_token: { a: echo(call) }, expires_in: 'soon', token_type: echo(call) }) }),
	invalid_client: (call) => ({ status: 401, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ error: 'invalid_client', error_description: echo(call) }) }),
	invalid_grant: (call) => ({ status: 400, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ error: 'invalid_grant', error_description: echo(call) }) }),
};

async function driveBrokenGoogle() {
	const id = await connect('broken');
	for (const [name, twist] of Object.entries(answersOfABrokenGoogle)) {
		proxy.twist = twist;
		await post('/token-management/tokens/refresh', { client_id: id });
		await ask('GET', '/token-management/tokens/broken', { key });
		harvest();
		await connect(`broken-${name.replaceAll('_', '-')}`);
		await fetchReviews({ access_token: CALLER_TOKEN });
		proxy.twist = (call) => (/\/(token|revoke)$/.test(call.path) ? undefined : twist(call));
		await fetchReviews({ branch_id: 'good' });
		proxy.twist = undefined;
		harvest();
	}
	await ask('GET', `/token-management/clients/${id}`, { key });
}

async function driveFaultsOfTheWire() {
	const id = await connect('wire');
	for (const fault of [{ reset: true }, { truncate: true }, { non_json: true }, { empty: true }, { status: 500 }, { status: 429 }]) {
		await google.fault({ target: 'token', ...fault });
		await post('/token-management/tokens/refresh', { client_id: id });
		await google.calm();
		harvest();
	}
}

// ---- the test, and the proof that it can fail ----

test('every_way_is_driven', { timeout: 300000 }, async () => {
	await driveSuccess();
	await driveRefusedConsent();
	await driveBadInput();
	await driveBadKeys();
	await driveBadCallbacks();
	await driveBrokenGoogle();
	await driveFaultsOfTheWire();
	const kinds = new Set(canaries.values());
	for (const kind of ['the API key', 'a client secret', 'an authorization code', 'a verifier', 'an access token', 'a refresh token'])
		assert.ok(kinds.has(kind), `no canary of this kind was ever spoken: ${kind}`);
	assert.ok(answers.length > 100, `only ${answers.length} answers were seen`);
	assert.ok(answers.some((answer) => answer.isToken));
});

test('no_answer_bears_a_secret_but_those_that_hand_out_a_token', () => {
	const found = answers.flatMap(({ what, text, isToken }) => leaksIn(what, text, (kind) => isToken && kind === 'an access token'));
	assert.deepEqual([...new Set(found)], []);
});

// RFC 6749 section 3.2, RFC 9700 section 4.3.2: addresses end up in the logs of whoever passes them on.
test('no_address_that_google_is_asked_for_bears_a_secret', () => {
	assert.ok(asked.size > 3, [...asked].join(' '));
	assert.ok([...asked].some((address) => address.includes('?')), 'addresses with queries were seen');
	assert.deepEqual([...asked].flatMap((address) => leaksIn(`the address ${address.split('?')[0]}`, address)), []);
});

test('no_log_line_bears_a_secret', () => {
	const lines = service.program.output.raw.map((line) => `the log: ${line}`);
	assert.ok(lines.length > 10);
	assert.deepEqual(lines.flatMap((line) => leaksIn(line.slice(0, 300), line)), []);
});

test('no_metric_bears_a_secret', async () => {
	for (const where of ['/metrics', '/api/v1/metrics']) {
		const answer = await send('GET', service.url + where, { key });
		assert.equal(answer.status, 200, where);
		assert.deepEqual(leaksIn(where, answer.text), []);
	}
});

test('no_command_line_and_no_environment_bears_what_was_learned_at_run_time', () => {
	for (const file of ['cmdline', 'environ']) {
		const text = fs.readFileSync(`/proc/${service.pid}/${file}`);
		assert.deepEqual(leaksIn(file, text, (what) => what === 'the default client secret'), []);
	}
	assert.deepEqual(leaksIn('cmdline', fs.readFileSync(`/proc/${service.pid}/cmdline`)), []);
});

test('no_secret_can_be_given_on_the_command_line', () => {
	const run = spawnSync(SERVICE_BIN, ['serve', '--google-client-secret', DEFAULT_SECRET], { env: service.env, encoding: 'utf8' });
	assert.notEqual(run.status, 0);
	assert.deepEqual(leaksIn('its words', run.stdout + run.stderr), []);
});

test('no_file_of_the_running_service_bears_a_secret', () => {
	assert.ok(fs.existsSync(`${service.db}-wal`), 'the write-ahead log is there to be searched');
	assert.deepEqual(leaksInFolder(service.dir), []);
});

test('no_file_bears_a_secret_after_it_has_stopped', async () => {
	await service.stop();
	assert.deepEqual(leaksInFolder(service.dir), []);
	await service.restart();
});

test('the_process_leaves_no_core_and_lets_nobody_look_inside', async (t) => {
	// As another user, since root may look into everything: files in /proc of what is not dumpable belong to root.
	const isRoot = process.getuid() === 0;
	const dir = makeFolder();
	const bin = path.join(dir, 'review-fetcher');
	fs.copyFileSync(SERVICE_BIN, bin);
	fs.chmodSync(bin, 0o755);
	fs.chmodSync(dir, 0o755);
	if (isRoot)
		fs.chownSync(dir, SERVICE_USER, SERVICE_USER);
	const own = await startService({ t, bin, dir, simulator: google, wrap: isRoot ? ['setpriv', `--reuid=${SERVICE_USER}`, `--regid=${SERVICE_USER}`, '--clear-groups'] : [] });
	const limits = fs.readFileSync(`/proc/${own.pid}/limits`, 'utf8');
	assert.match(limits, /^Max core file size\s+0\s+0\s/m);
	// The machine's root: inside a user namespace, which does not know him, he shows as nobody.
	const { uid } = fs.statSync(`/proc/${own.pid}/environ`);
	assert.notEqual(uid, isRoot ? SERVICE_USER : process.getuid(), 'the process is dumpable: /proc/PID/environ belongs to its user');
	if (!isRoot)
		assert.throws(() => fs.readFileSync(`/proc/${own.pid}/environ`), /EACCES/);
});

test('a_leak_anywhere_would_be_found', () => {
	const folder = makeFolder();
	for (const [secret, what] of canaries) {
		for (const form of forms(secret)) {
			assert.ok(leaksIn('x', `before ${form} after`).some((leak) => leak.startsWith(what)), `${what} would be missed`);
			fs.writeFileSync(path.join(folder, 'database-wal'), Buffer.concat([Buffer.from([0, 255, 1]), Buffer.from(form)]));
			assert.ok(leaksInFolder(folder).length > 0);
		}
	}
	assert.deepEqual(leaksIn('x', 'nothing here'), []);
	const [token] = [...canaries].find(([, what]) => what === 'an access token');
	const refresh = [...canaries].find(([, what]) => what === 'a refresh token')[0];
	const allowed = (kind) => kind === 'an access token';
	assert.deepEqual(leaksIn('an answer', token, allowed), []);
	assert.equal(leaksIn('an answer', token + refresh, allowed).length, 1, 'a refresh token beside an access token is a leak');
});
