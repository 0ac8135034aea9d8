// SPDX-License-Identifier: Apache-2.0
// Starts the simulated Google for a test, and speaks its control routes. Built-in fetch only.
//
//	const google = await startSimulator({ t, args: ['--reviews', '10'] });
//	await google.fault({ target: 'token_refresh', status: 503, count: 2 });
//	…
//	assert.equal((await google.counts()).token_refresh, 3);
import { spawn } from 'node:child_process';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
export const SIMULATOR_BIN = process.env.SIMULATOR_BIN ?? path.join(root, 'build-asan/simulator/google-simulator');
export const SCOPE = 'https://www.googleapis.com/auth/business.manage';

const running = new Set();
process.on('exit', () => {
	for (const child of running)
		child.kill('SIGKILL');
});

// Answers { url, port, pid, env, stop(), kill(), restart(), control(path, body?, method?), counts(), … }.
// With `t` (a node:test context) it is stopped when the test ends. A sanitizer report fails stop().
export async function startSimulator({ t, args = [], env = {}, port = 0 } = {}) {
	const simulator = new Simulator(args, env, port);
	t?.after(() => simulator.stop());
	await simulator.start();
	return simulator;
}

class Simulator {
	constructor(args, env, port) {
		this.args = args;
		this.extraEnv = env;
		this.port = port;
	}

	async start() {
		this.noise = [];
		this.said = [];
		this.child = spawn(SIMULATOR_BIN, ['--port', String(this.port), ...this.args],
			{ env: { ...process.env, ...this.extraEnv }, stdio: ['ignore', 'pipe', 'pipe'] });
		this.pid = this.child.pid;
		running.add(this.child);
		this.exited = new Promise((resolve) => this.child.once('close', (code, signal) => {
			running.delete(this.child);
			resolve({ code, signal });
		}));
		readline.createInterface({ input: this.child.stderr }).on('line', (line) => this.noise.push(line));
		this.url = await new Promise((resolve, reject) => {
			readline.createInterface({ input: this.child.stdout }).on('line', (line) => {
				this.said.push(line);
				const found = /^listening on (http:\S+)/.exec(line);
				if (found)
					resolve(found[1]);
			});
			this.child.once('error', reject);
			this.child.once('close', (code) => reject(new Error(`${SIMULATOR_BIN} ended with ${code}: ${this.noise.join('\n')}`)));
		});
		this.port = Number(new URL(this.url).port);
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
		};
	}

	async #end(signal) {
		if (this.child?.exitCode === null && this.child.signalCode === null)
			this.child.kill(signal);
		const result = await this.exited;
		const report = this.noise.filter((line) => /Sanitizer|runtime error:/.test(line));
		if (report.length)
			throw new Error(`a sanitizer report from the simulator:\n${this.noise.join('\n')}`);
		return result;
	}

	stop() {
		return this.#end('SIGTERM');
	}

	kill() {
		return this.#end('SIGKILL');
	}

	// Same port, same flags.
	async restart() {
		await this.stop();
		await this.start();
	}

	// One control route: GET without a body, POST with one. Answers its JSON, or the text when it is none.
	async control(where, body, method = body === undefined ? 'GET' : 'POST') {
		const answer = await fetch(`${this.url}/_control${where ? '/' : ''}${where}`, {
			method,
			headers: body === undefined ? {} : { 'content-type': 'application/json' },
			body: body === undefined ? undefined : JSON.stringify(body),
		});
		const text = await answer.text();
		if (!answer.ok)
			throw new Error(`${method} /_control/${where} answered ${answer.status}: ${text}`);
		return answer.headers.get('content-type').startsWith('application/json') ? JSON.parse(text) : text;
	}

	counts() {
		return this.control('counts');
	}

	resetCounts() {
		return this.control('counts/reset', {});
	}

	// Switches faults on; answers their ids.
	async fault(...faults) {
		return (await this.control('faults', faults)).ids;
	}

	clearFaults() {
		return this.control('faults', undefined, 'DELETE');
	}

	// Changes the world: world({ op: 'edit', fraction: 0.01 }, …).
	world(...operations) {
		return this.control('world', operations);
	}

	settings(body) {
		return this.control('settings', body);
	}

	async lines(where) {
		const text = await this.control(where);
		return text.split('\n').filter(Boolean).map((line) => JSON.parse(line));
	}

	// The truth: every review there is, of all locations, of one (by id), or of one person's.
	reviews({ location, user } = {}) {
		if (location)
			return this.lines(`world/locations/${location}/reviews`);
		return this.lines(`world/reviews${user ? `?user=${encodeURIComponent(user)}` : ''}`);
	}

	async locations() {
		const all = [];
		for (;;) {
			const page = await this.control(`world/locations?limit=1000&offset=${all.length}`);
			all.push(...page.locations);
			if (all.length >= page.total)
				return all;
		}
	}

	// A grant without consent: { user, client_id, refresh_token, access_token, expires_in, scope }.
	async mint(fields = {}) {
		const { tokens } = await this.control('tokens', { op: 'mint', client_id: 'demo-app.apps.googleusercontent.com', user: 0, ...fields });
		return fields.count ? tokens : tokens[0];
	}

	// What a person does at the consent page: follows the authorization URL, and answers where it leads.
	async consent(location, { account, allow = true, scopes, error } = {}) {
		const url = new URL(location);
		url.searchParams.set('simulate', allow ? 'allow' : 'deny');
		if (account)
			url.searchParams.set('simulate_account', account);
		if (scopes)
			url.searchParams.set('simulate_scopes', scopes.join(' '));
		if (error)
			url.searchParams.set('simulate_error', error);
		const answer = await fetch(url, { redirect: 'manual' });
		if (answer.status !== 302)
			throw new Error(`consent answered ${answer.status}: ${await answer.text()}`);
		return answer.headers.get('location');
	}
}
