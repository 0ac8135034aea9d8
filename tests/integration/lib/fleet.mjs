// SPDX-License-Identifier: Apache-2.0
// Several processes of the service on one PostgreSQL database, as behind a balancer, and branches that are
// connected without a browser.
//
//	const fleet = await startFleet({ t, simulator: google, postgres, count: 3 });
//	await fleet.connect(['harbour', 'quay']);
//	fleet.query("UPDATE tokens SET …");
//	await fleet.all[1].token('harbour', { key: fleet.key });
import assert from 'node:assert/strict';
import net from 'node:net';
import { query } from './postgres.mjs';
import { DEADLINE_MS, eventually, Service } from './service.mjs';

export const APP = 'demo-app.apps.googleusercontent.com';

export class Fleet {
	constructor({ t, simulator, postgres, pooled = false, env = {} }) {
		Object.assign(this, { t, simulator, postgres, pooled, env, all: [] });
	}

	get first() {
		return this.all[0];
	}

	// One more process, not started; `env` is its own.
	add({ env = {}, wrap } = {}) {
		const shared = this.first && { databaseUrl: this.first.databaseUrl, migrate: false };
		const own = { ...this.env, ...(this.first && { VAULT_KEY_FILE: this.first.vaultKey }), ...env };
		const service = new Service({ simulator: this.simulator, postgres: this.postgres, pooled: this.pooled, ...shared, env: own, wrap });
		this.t?.after(() => service.end());
		this.all.push(service);
		return service;
	}

	query(sql) {
		return query(this.first.databaseUrl.replace(this.postgres.poolerAddress, this.postgres.address), sql);
	}

	// Imports branches with refresh tokens that the provider gave; answers { name: client row }.
	async connect(names, app = APP) {
		const { tokens } = await this.simulator.control('POST', '/tokens', { op: 'mint', client_id: app, count: names.length });
		const lines = names.map((name, i) => JSON.stringify({
			client_id: app, client_secret: 'demo-app-secret', branch_id: name, workspace_email: `${name}@example.com`,
			workspace_name: `Branch ${name}`, refresh_token: tokens[i].refresh_token,
		}));
		const answer = await this.first.request('POST', '/token-management/import', {
			key: this.key, body: lines.join('\n'), headers: { 'content-type': 'application/x-ndjson' } });
		assert.equal(answer.status, 202, answer.text);
		await eventually(async () => {
			const { json } = await this.first.get(`/token-management/imports/${answer.json.import_id}`, { key: this.key });
			assert.equal(json.status, 'completed', JSON.stringify(json));
			assert.equal(json.verified, names.length, JSON.stringify(json));
		}, { timeout: 60000, every: 50 });
		return Object.fromEntries(this.query('SELECT branch_id, id FROM clients').map(([name, id]) => [name, Number(id)]));
	}

	// All access tokens in the rows are of the past, further than any clock here is wrong.
	expireRows() {
		this.query('UPDATE tokens SET expires_at_ms = expires_at_ms - 2 * 3600 * 1000');
	}
}

export async function startFleet({ count, ...options }) {
	const fleet = new Fleet(options);
	if (count === 0)
		return fleet;
	await fleet.add().start();
	fleet.key = await fleet.first.key('admin');
	for (let i = 1; i < count; i++)
		fleet.add();
	await Promise.all(fleet.all.slice(1).map((service) => service.start()));
	return fleet;
}

// One reader with one connection that stays open: reads the branches one after the other. Answers { branch, status,
// token } for each.
export function readOneByOne({ port, key, branches }) {
	return new Promise((resolve, reject) => {
		const socket = net.connect(port, '127.0.0.1');
		const answers = [];
		let text = '';
		const ask = () => socket.write(`GET /token-management/tokens/${branches[answers.length]} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${key}\r\n\r\n`);
		socket.setTimeout(DEADLINE_MS * 2, () => socket.destroy(new Error('no answer in time')));
		socket.setNoDelay(true);
		socket.on('connect', ask);
		socket.on('error', reject);
		socket.on('close', () => (answers.length < branches.length ? reject(new Error(`closed after ${answers.length} answers: ${text.slice(0, 300)}`)) : resolve(answers)));
		socket.on('data', (piece) => {
			text += piece;
			const end = text.indexOf('\r\n\r\n');
			const length = Number(/content-length: *(\d+)/i.exec(text.slice(0, end + 2))?.[1]);
			if (end < 0 || text.length < end + 4 + length)
				return;
			const body = JSON.parse(text.slice(end + 4, end + 4 + length));
			answers.push({ branch: branches[answers.length], status: Number(text.slice(9, 12)), token: body.access_token });
			text = '';
			if (answers.length < branches.length)
				ask();
			else
				socket.end();
		});
	});
}
