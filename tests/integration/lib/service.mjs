// SPDX-License-Identifier: Apache-2.0
// The real binaries under test. startSimulator() and startService() run them in a folder of their own, on
// ports of their own choosing, and wait on conditions, never on the clock. Whatever a test forgets to end
// is ended here, also when this process dies (each child asks the kernel for that). A sanitizer report on
// stderr fails the test that ends the process.
//
//	const google = await startSimulator({ t });
//	const service = await startService({ t, simulator: google });
//	const key = await service.key('admin');
//	const branch = await service.connect({ key, branch_id: 'harbour' });
//	const answer = await service.get('/token-management/tokens/harbour', { key });
//
// On PostgreSQL: the option `postgres` (postgres.mjs), or TEST_POSTGRES_URL in the environment for all that do not
// say `postgres: null`. Each folder of a service has a database of its own.
import { spawn, spawnSync } from 'node:child_process';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeDatabase } from './postgres.mjs';
import { collect, eventually, SANITIZER, within } from './process.mjs';

export { eventually, within } from './process.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const binary = (variable, fallback) => process.env[variable] ?? path.join(root, fallback);
export const SERVICE_BIN = binary('REVIEW_FETCHER_BIN', 'build-asan/src/review-fetcher');
export const SIMULATOR_BIN = binary('SIMULATOR_BIN', 'build-asan/simulator/google-simulator');
export const DEADLINE_MS = Number(process.env.TEST_DEADLINE_MS ?? 30000);

// ---- folders ----

const folders = new Set();
export function makeFolder(name = 'review-fetcher') {
	const folder = fs.mkdtempSync(path.join(os.tmpdir(), `${name}-`));
	folders.add(folder);
	return folder;
}
process.on('exit', () => {
	for (const folder of folders)
		fs.rmSync(folder, { recursive: true, force: true });
});

// ---- HTTP, on node:http for control over connections, methods and raw headers ----

export const keepAlive = new http.Agent({ keepAlive: true, maxSockets: 64 });
process.on('exit', () => keepAlive.destroy());

// One request; redirects are never followed. Answers { status, headers, text, json } where json is
// undefined when the body is not JSON. `headers` in the answer are Node's lower-cased ones.
export function send(method, url, options = {}) {
	const { key, json, form, body, headers = {}, jar, agent, timeout = DEADLINE_MS } = options;
	const out = { ...headers };
	let data = body;
	if (json !== undefined) {
		data = JSON.stringify(json);
		out['content-type'] ??= 'application/json';
	} else if (form !== undefined) {
		data = new URLSearchParams(form).toString();
		out['content-type'] ??= 'application/x-www-form-urlencoded';
	}
	if (key)
		out.authorization = `Bearer ${key}`;
	if (jar?.header(url))
		out.cookie = jar.header(url);
	if (data !== undefined && out['transfer-encoding'] === undefined)
		out['content-length'] ??= Buffer.byteLength(data);
	return new Promise((resolve, reject) => {
		const request = http.request(url, { method, headers: out, agent: agent ?? false, timeout }, (response) => {
			const pieces = [];
			response.on('data', (piece) => pieces.push(piece));
			response.on('error', reject);
			response.on('end', () => {
				jar?.take(url, response.headers['set-cookie']);
				const text = Buffer.concat(pieces).toString();
				let parsed;
				try {
					parsed = JSON.parse(text);
				} catch {
					// not JSON: json stays undefined
				}
				resolve({ status: response.statusCode, headers: response.headers, text, json: parsed });
			});
		});
		request.on('timeout', () => request.destroy(new Error(`${method} ${url}: no answer in ${timeout} ms`)));
		request.on('error', reject);
		request.end(data);
	});
}

// A browser's cookies, as far as our flows need them: by host and port, name and path.
export class CookieJar {
	cookies = new Map();

	take(url, lines = []) {
		for (const line of lines) {
			const [pair, ...attributes] = line.split(';').map((part) => part.trim());
			const at = pair.indexOf('=');
			const found = Object.fromEntries(attributes.map((a) => [a.split('=')[0].toLowerCase(), a.split('=')[1] ?? '']));
			const id = `${new URL(url).host} ${pair.slice(0, at)}`;
			if (found['max-age'] !== undefined && Number(found['max-age']) <= 0)
				this.cookies.delete(id);
			else
				this.cookies.set(id, { host: new URL(url).host, path: found.path || '/', pair });
		}
	}

	header(url) {
		const { host, pathname } = new URL(url);
		return [...this.cookies.values()]
			.filter((cookie) => cookie.host === host && pathname.startsWith(cookie.path))
			.map((cookie) => cookie.pair)
			.join('; ');
	}
}

// ---- processes ----

const running = new Set();
process.on('exit', () => {
	for (const child of running)
		child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
	process.on(signal, () => process.exit(128));
const parent = process.ppid;
setInterval(() => process.ppid === parent || process.exit(128), 1000).unref();

class Program {
	constructor(bin, args, { env, cwd, wrap = [] }) {
		assert.ok(fs.existsSync(bin), `${bin} is not there: build it first, or say where it is (./test does both)`);
		this.command = [bin, ...args];
		const full = [...wrap, 'setpriv', '--pdeathsig', 'KILL', bin, ...args];
		this.child = spawn(full[0], full.slice(1), { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
		this.pid = this.child.pid;
		running.add(this.child);
		this.output = collect(this.child);
		this.exited = new Promise((resolve) => {
			this.child.on('close', (code, signal) => {
				running.delete(this.child);
				this.result = { code, signal };
				this.output.end();
				resolve(this.result);
			});
			this.child.on('error', (error) => {
				running.delete(this.child);
				this.result = { code: -1, signal: null, error };
				this.output.end();
				resolve(this.result);
			});
		});
	}

	get isRunning() {
		return this.result === undefined;
	}

	// The end of every life: no sanitizer may have spoken.
	assertNoReport() {
		const report = this.output.noise.join('\n');
		assert.ok(!SANITIZER.test(report), `a sanitizer report from ${this.command[0]}:\n${report.slice(0, 12000)}`);
	}

	async stop(signal = 'SIGTERM') {
		if (this.isRunning)
			this.child.kill(signal);
		const { code, signal: by } = await within(DEADLINE_MS, this.exited, () => `${this.command[0]} did not stop on ${signal}:\n${this.output.tail()}`);
		this.assertNoReport();
		assert.equal(code, 0, `${this.command[0]} ended with ${code ?? by} instead of 0:\n${this.output.tail()}`);
	}

	async kill() {
		this.child.kill('SIGKILL');
		await this.exited;
		this.assertNoReport();
	}

	// Ends it however it stands. When that goes wrong, nobody may come to end the others, and a process
	// that still runs would keep this one from ending: so all go.
	async end() {
		try {
			if (this.isRunning)
				await this.stop();
			this.assertNoReport();
		} catch (error) {
			for (const child of running)
				child.kill('SIGKILL');
			throw error;
		}
	}
}

// Waits until the program has logged that it listens; answers its port.
async function waitForPort(program, event) {
	const found = await program.output.waitFor((line) => line.event === event, DEADLINE_MS, () => `${event} of ${program.command.join(' ')}`);
	return Number(found.port);
}

function baseEnv(extra) {
	const env = { PATH: process.env.PATH, HOME: process.env.HOME ?? '/', LANG: 'C.UTF-8' };
	for (const name of ['ASAN_OPTIONS', 'UBSAN_OPTIONS', 'TSAN_OPTIONS', 'LSAN_OPTIONS'])
		if (process.env[name])
			env[name] = process.env[name];
	for (const [name, value] of Object.entries(extra))
		if (value !== undefined && value !== null)
			env[name] = String(value);
	return env;
}

// ---- the simulator ----

export class Simulator {
	constructor(options) {
		this.options = options;
		this.dir = options.dir ?? makeFolder('simulator');
		this.port = options.port ?? 0;
	}

	async start() {
		this.program = new Program(SIMULATOR_BIN, ['--port', String(this.port), ...(this.options.args ?? [])],
			{ env: baseEnv(this.options.env ?? {}), cwd: this.dir });
		this.pid = this.program.pid;
		this.port = await waitForPort(this.program, 'simulator.started');
		this.url = `http://127.0.0.1:${this.port}`;
		return this;
	}

	// Settings that point the service's every Google address here.
	get env() {
		return {
			GOOGLE_AUTH_URL: `${this.url}/o/oauth2/v2/auth`,
			GOOGLE_TOKEN_URL: `${this.url}/token`,
			GOOGLE_REVOKE_URL: `${this.url}/revoke`,
			GOOGLE_ACCOUNTS_URL: this.url,
			GOOGLE_LOCATIONS_URL: this.url,
			GOOGLE_REVIEWS_URL: this.url,
			GOOGLE_NOTIFICATIONS_URL: this.url,
			GOOGLE_JWKS_URL: `${this.url}/oauth2/v3/certs`,
		};
	}

	async control(method, where, json) {
		const answer = await send(method, `${this.url}/_control${where}`, { json });
		assert.ok(answer.status < 300, `control ${method} ${where} answered ${answer.status}: ${answer.text}`);
		return answer.json;
	}

	counts() {
		return this.control('GET', '/counts');
	}

	// Switches a fault on: { target: 'token_refresh', status: 503, count: 2 } and so on.
	fault(description) {
		return this.control('POST', '/faults', description);
	}

	// Ends all faults.
	calm() {
		return this.control('DELETE', '/faults');
	}

	// The people who can be picked on the consent page, as it names them.
	async people() {
		const answer = await this.control('GET', '/world/users');
		return answer.users.map((user) => user.email);
	}

	stop() {
		return this.program.stop();
	}

	kill() {
		return this.program.kill();
	}

	// Same port, same state file if it has one.
	async restart() {
		if (this.program.isRunning)
			await this.stop();
		return this.start();
	}

	end() {
		return this.program?.end();
	}
}

export async function startSimulator(options = {}) {
	const simulator = new Simulator(options);
	options.t?.after(() => simulator.end());
	return simulator.start();
}

// ---- the service ----

export class Service {
	constructor(options) {
		this.options = options;
		this.bin = options.bin ?? SERVICE_BIN;
		this.dir = options.dir ?? makeFolder();
		this.db = path.join(this.dir, 'review-fetcher.db');
		this.databaseUrl = options.databaseUrl ?? this.chooseDatabase();
		this.vaultKey = path.join(this.dir, 'vault.key');
		this.port = 0;
		this.past = []; // log lines of earlier lives
	}

	chooseDatabase() {
		const { postgres, pooled } = this.options;
		const address = postgres ? (pooled ? postgres.poolerAddress : postgres.address) : process.env.TEST_POSTGRES_URL;
		if (postgres === null || !address)
			return `sqlite:${this.db}`;
		return makeDatabase(address, path.basename(this.dir).toLowerCase());
	}

	get isOnPostgres() {
		return this.databaseUrl.startsWith('postgres');
	}

	get env() {
		return baseEnv({
			API_PORT: this.port,
			TOKEN_MANAGEMENT_DATABASE_URL: this.databaseUrl,
			VAULT_KEY_FILE: this.vaultKey,
			TOKEN_BACKGROUND_REFRESH: 'off', // tests count requests; those of the background switch it on
			LOG_LEVEL: 'debug',
			// What reads by itself would be in the counts of tests that are about something else.
			REVIEW_SYNC_INTERVAL_SEC: '0',
			REVIEW_FULL_SYNC_INTERVAL_SEC: '0',
			...(this.options.simulator?.env ?? {}),
			...(this.options.env ?? {}),
		});
	}

	launch() {
		this.program = new Program(this.bin, ['serve', ...(this.options.args ?? [])],
			{ env: this.env, cwd: this.dir, wrap: this.options.wrap });
		this.pid = this.program.pid;
	}

	// On SQLite the service brings its schema up to date by itself.
	migrate() {
		const { code, stdout, stderr } = this.cli('migrate', 'up');
		assert.equal(code, 0, `migrate up: ${stdout}${stderr}`);
	}

	async start() {
		if (this.isOnPostgres && !this.isMigrated && this.options.migrate !== false) {
			this.migrate();
			this.isMigrated = true;
		}
		this.launch();
		this.port = await waitForPort(this.program, 'serve.started');
		this.url = `http://127.0.0.1:${this.port}`;
		return this;
	}

	// The log lines of all lives, parsed, in order; and what was on stderr that is no log line.
	logs() {
		return [...this.past, ...this.program.output.lines];
	}

	noise() {
		return this.program.output.noise;
	}

	waitForLog(event, predicate = () => true, timeout = DEADLINE_MS) {
		return this.program.output.waitFor((line) => line.event === event && predicate(line), timeout, () => `log event ${event}`);
	}

	// ---- lives ----

	async stop() {
		await this.program.stop();
	}

	async kill() {
		await this.program.kill();
	}

	// Stops it unless it is dead already, and starts it again on the same port, data and settings
	// (changed by `env`).
	async restart({ env } = {}) {
		if (this.program.isRunning)
			await this.stop();
		this.past.push(...this.program.output.lines);
		if (env)
			this.options = { ...this.options, env: { ...this.options.env, ...env } };
		return this.start();
	}

	end() {
		return this.program?.end();
	}

	// ---- the command line ----

	cli(...args) {
		const result = spawnSync(this.bin, args, { env: this.env, cwd: this.dir, encoding: 'utf8', timeout: DEADLINE_MS });
		assert.doesNotMatch(result.stderr ?? '', SANITIZER, `a sanitizer report from ${args.join(' ')}`);
		return { code: result.status, stdout: result.stdout, stderr: result.stderr };
	}

	// Makes an API key and waits until the running service knows it.
	async key(scopes = 'admin', { name = 'test', branches, expires, args = [] } = {}) {
		const all = ['key', 'create', '--name', name, '--scope', [scopes].flat().join(',')];
		if (branches)
			all.push('--branch', [branches].flat().join(','));
		if (expires)
			all.push('--expires', expires);
		const { code, stdout, stderr } = this.cli(...all, ...args);
		assert.equal(code, 0, `key create failed: ${stdout}${stderr}`);
		const key = /rf_[A-Za-z0-9_-]+/.exec(stdout)?.[0];
		assert.ok(key, `no key in what key create printed: ${stdout}`);
		if (this.program?.isRunning && this.url)
			await eventually(async () => {
				const { status } = await this.get('/token-management/tokens/-nobody-', { key });
				assert.notEqual(status, 401, 'the service does not know the new key');
			});
		return key;
	}

	// ---- HTTP ----

	request(method, where, options) {
		return send(method, this.url + where, options);
	}

	get(where, options) {
		return this.request('GET', where, options);
	}

	post(where, json, options) {
		return this.request('POST', where, { json, ...options });
	}

	token(branch, options) {
		return this.get(`/token-management/tokens/${encodeURIComponent(branch)}`, options);
	}

	// An address under PUBLIC_URL as one of this process, whatever port it got.
	local(url) {
		const { pathname, search } = new URL(url);
		return this.url + pathname + search;
	}

	async register({ key, ...fields }) {
		const branch = fields.branch_id ?? 'harbour';
		const answer = await this.post('/token-management/clients', {
			client_id: 'demo-app.apps.googleusercontent.com',
			client_secret: 'demo-app-secret',
			redirect_uri: `${this.url}/token-management/auth/callback`,
			branch_id: branch,
			workspace_email: `${branch}@example.com`,
			workspace_name: `Branch ${branch}`,
			...fields,
		}, { key });
		assert.equal(answer.status, 201, `register answered ${answer.status}: ${answer.text}`);
		return answer.json;
	}

	// Starts the consent flow in a browser (a cookie jar); answers where the provider's page is.
	async login({ key, id, jar = new CookieJar() }) {
		const answer = await this.get(`/token-management/oauth/login/${id}`, { key, jar });
		assert.equal(answer.status, 307, `login answered ${answer.status}: ${answer.text}`);
		return { location: answer.headers.location, jar };
	}

	// What a person does at the provider's page; answers the address the provider sends the browser to.
	async consent(location, choice = {}) {
		const { simulator } = this.options;
		return simulator.consent ? simulator.consent(location, choice) : decide(location, choice);
	}

	// The whole way of one branch: register → login → consent → callback. Answers what registering said.
	async connect({ key, choice, jar = new CookieJar(), ...fields }) {
		const client = await this.register({ key, ...fields });
		await this.reconnect({ key, id: client.client_id, choice, jar });
		return client;
	}

	// Consent again for a client that is registered; answers the callback's answer.
	async reconnect({ key, id, choice, jar = new CookieJar() }) {
		const { location } = await this.login({ key, id, jar });
		const back = await this.consent(location, choice);
		const answer = await send('GET', back, { jar });
		assert.equal(answer.status, 200, `callback answered ${answer.status}: ${answer.text}`);
		return answer;
	}
}

// Presses a button on the simulator's consent page by what its form says, as a browser would.
export async function decide(location, { account, allow = true, scopes } = {}) {
	const page = await send('GET', location);
	assert.equal(page.status, 200, `consent page answered ${page.status}: ${page.text}`);
	const form = readForm(page.text);
	const fields = new URLSearchParams();
	for (const input of form.inputs) {
		if (input.type === 'radio' && !(account ? input.value === account : input.isChecked))
			continue;
		if (input.type === 'checkbox' && scopes && !scopes.includes(input.value))
			continue;
		if (input.type !== 'submit' && input.name)
			fields.append(input.name, input.value);
	}
	const button = form.buttons.find((b) => /allow|continue/i.test(b.value) === allow);
	assert.ok(button, `no button to ${allow ? 'allow' : 'refuse'} on the consent page`);
	fields.append(button.name, button.value);
	const answer = await send(form.method, new URL(form.action, location), { form: fields });
	assert.ok([302, 303].includes(answer.status), `consent answered ${answer.status}: ${answer.text}`);
	return answer.headers.location;
}

function readForm(html) {
	const attributes = (text) => {
		const found = {};
		for (const [, name, , value] of text.matchAll(/([\w-]+)(=(?:"([^"]*)"))?/g))
			found[name.toLowerCase()] ??= unescapeHtml(value ?? '');
		return found;
	};
	const form = attributes(/<form\b([^>]*)>/i.exec(html)?.[1] ?? '');
	const inputs = [...html.matchAll(/<input\b([^>]*)>/gi)].map(([, text]) => {
		const a = attributes(text);
		return { type: a.type || 'text', name: a.name, value: a.value ?? 'on', isChecked: a.checked !== undefined };
	});
	const buttons = [...html.matchAll(/<button\b([^>]*)>/gi)].map(([, text]) => attributes(text));
	return { action: form.action ?? '', method: (form.method || 'POST').toUpperCase(), inputs, buttons };
}

function unescapeHtml(text) {
	const names = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'", '#x27': "'" };
	return text.replace(/&(amp|lt|gt|quot|#39|#x27);/g, (_, name) => names[name]);
}

export async function startService(options = {}) {
	const service = new Service(options);
	options.t?.after(() => service.end());
	return service.start();
}

// A start that must fail: answers its exit code and what it said.
export async function failToStart(options = {}) {
	const service = new Service(options);
	service.launch();
	const { child } = service.program;
	const { code } = await within(DEADLINE_MS, service.program.exited, () => {
		child.kill('SIGKILL');
		return `${service.bin} started, but should not have:\n${service.program.output.tail()}`;
	});
	service.program.assertNoReport();
	const { lines, noise } = service.program.output;
	return { code, lines, noise, stderr: service.program.output.tail(100) };
}
