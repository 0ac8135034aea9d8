// SPDX-License-Identifier: Apache-2.0
// The audit on the real binary: every route that changes something leaves a row, and so does every token that
// is handed out.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CookieJar, decide, eventually, send, startService, startSimulator } from './lib/service.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const WORLD = ['--users', '3', '--accounts', '1', '--locations', '2', '--reviews', '5'];
const FAST = { GOOGLE_REQUESTS_PER_MINUTE: 600000 };

async function begin(t, env) {
	const google = await startSimulator({ t, args: WORLD });
	const service = await startService({ t, simulator: google, env: { ...FAST, ...env } });
	const key = await service.key('admin');
	return { google, service, key, actor: `key:${/rf_([a-z0-9]+)_/.exec(key)[1]}` };
}

async function rows({ service, key }, query = {}) {
	const found = [];
	let cursor;
	do {
		const answer = await service.get(`/token-management/audit?${new URLSearchParams({ limit: 500, ...query, ...(cursor ? { cursor } : {}) })}`, { key });
		assert.equal(answer.status, 200, answer.text);
		found.push(...answer.json.events);
		cursor = answer.json.next_cursor;
	} while (cursor);
	return found;
}

async function signIn(it) {
	const jar = new CookieJar();
	const answer = await send('POST', `${it.service.url}/sign-in`, { jar, form: { key: it.key }, headers: { accept: 'text/html', origin: it.service.url } });
	assert.equal(answer.status, 303, answer.text);
	return jar;
}

// The table of routes as it is written down; the routes that change something.
function mutatingRoutes() {
	const folder = path.join(root, 'src/api');
	return fs.readdirSync(folder).filter((name) => name.endsWith('.c'))
		.flatMap((name) => [...fs.readFileSync(path.join(folder, name), 'utf8').matchAll(/\{\s*"(POST|PUT|PATCH|DELETE)",\s*(?:"([^"]+)"|(\w+))/g)])
		.map(([, method, where, macro]) => `${method} ${where ?? macro}`);
}

// How each of them is used with success, and the action that it must leave. A route without a row here fails the
// test below: add it, with what it does. null: it changes nothing that lasts, and says why.
const someAccount = async (it) => {
	await it.ask('POST', '/api/v1/review-fetch', { branch_id: 'harbour' });
	return eventually(async () => {
		const { accounts } = (await it.ask('GET', '/api/v1/accounts')).json;
		assert.ok(accounts.length > 0);
		return accounts[0].account_id;
	});
};

const ACTS = {
	'POST /token-management/clients': ['client.registered', (it) => it.service.register({ key: it.key, branch_id: 'fresh' })],
	'PATCH /token-management/clients/{id}': ['client.changed', (it) => it.ask('PATCH', `/token-management/clients/${it.id}`, { workspace_name: 'New' })],
	'DELETE /token-management/clients/{id}': ['client.deleted', async (it) => {
		const { client_id } = await it.service.register({ key: it.key, branch_id: 'gone' });
		return it.ask('DELETE', `/token-management/clients/${client_id}`);
	}],
	'POST /token-management/clients/{id}/connect-link': ['link.created', (it) => it.ask('POST', `/token-management/clients/${it.id}/connect-link`, {})],
	'DELETE /token-management/clients/{id}/connect-links': ['link.revoked', async (it) => {
		await it.ask('POST', `/token-management/clients/${it.id}/connect-link`, {});
		return it.ask('DELETE', `/token-management/clients/${it.id}/connect-links`);
	}],
	'DELETE /token-management/clients/{id}/connect-links/{link_id}': ['link.revoked', async (it) => {
		await it.ask('POST', `/token-management/clients/${it.id}/connect-link`, {});
		const { json } = await it.ask('GET', `/token-management/clients/${it.id}/connect-links`);
		return it.ask('DELETE', `/token-management/clients/${it.id}/connect-links/${json.links[0].id}`);
	}],
	'POST /token-management/oauth/login/{id}': ['connect.started', async (it) => {
		const { json } = await it.ask('POST', `/token-management/clients/${it.id}/connect-link`, {});
		const jar = new CookieJar();
		const pressed = await send('POST', it.service.local(json.url), { jar, form: {} });
		assert.ok([303, 307].includes(pressed.status), `${pressed.status} ${pressed.text}`);
	}],
	'POST CALLBACK_PATH': ['connect.started', async (it) => {
		const { client_id } = await it.service.register({ key: it.key, branch_id: 'again' });
		const { json } = await it.ask('POST', `/token-management/clients/${client_id}/connect-link`, {});
		const jar = new CookieJar();
		const headers = { accept: 'text/html' };
		const { headers: { location } } = await send('POST', it.service.local(json.url), { jar, form: {}, headers });
		await send('GET', it.service.local(await decide(location, { allow: false })), { jar, headers });
		const before = Math.max(...(await rows(it)).map((row) => row.id));
		const again = await send('POST', `${it.service.url}/token-management/auth/callback`, { jar, form: {}, headers });
		assert.ok([303, 307].includes(again.status), `${again.status} ${again.text}`);
		assert.ok((await rows(it, { action: 'connect.started' }))[0].id > before);
	}],
	'POST /token-management/import': ['client.imported', async (it) => {
		const { tokens } = await it.google.control('POST', '/tokens', { op: 'mint', client_id: 'demo-app.apps.googleusercontent.com', count: 1 });
		return it.ask('POST', '/token-management/import', {
			client_id: 'demo-app.apps.googleusercontent.com', client_secret: 'demo-app-secret', branch_id: 'brought', workspace_email: 'brought@example.com',
			workspace_name: 'Brought', redirect_uri: `${it.service.url}/token-management/auth/callback`, refresh_token: tokens[0].refresh_token,
		});
	}],
	'POST /token-management/events/google': ['connection.needs_reconnect', async (it) => {
		await it.service.connect({ key: it.key, branch_id: 'lost', choice: { account: it.people[2] } });
		const lines = (await send('GET', `${it.google.url}/_control/grants?tokens=1`)).text.trim().split('\n').map((line) => JSON.parse(line));
		const { refresh_token } = lines.filter((line) => line.user === 2).at(-1);
		const { token } = await it.google.control('POST', '/security_event', { client_id: 'demo-app.apps.googleusercontent.com', type: 'token-revoked', refresh_token });
		const answer = await it.service.request('POST', '/token-management/events/google', { body: token, headers: { 'content-type': 'application/secevent+jwt' } });
		assert.equal(answer.status, 202, answer.text);
	}, 'google'],
	'POST /token-management/tokens/refresh': ['token.refresh', (it) => it.ask('POST', '/token-management/tokens/refresh', { client_id: it.id })],
	'POST /token-management/tokens/{branch_id}/revoke': ['connection.revoked', async (it) => {
		await it.service.connect({ key: it.key, branch_id: 'ended', choice: { account: it.people[1] } });
		return it.ask('POST', '/token-management/tokens/ended/revoke?force=true', {});
	}],
	'POST /api/v1/review-fetch': ['job.started', (it) => it.ask('POST', '/api/v1/review-fetch', { branch_id: 'harbour' })],
	'DELETE /api/v1/jobs/{id}': ['job.cancelled', async (it) => {
		await eventually(async () => assert.ok((await it.ask('GET', '/api/v1/jobs')).json.jobs.every((job) => job.status === 'completed')));
		await it.google.fault({ target: 'accounts', latency_ms: 3000, count: 1000 });
		const { json } = await it.ask('POST', '/api/v1/review-fetch', { branch_id: 'harbour', mode: 'full' });
		await it.ask('DELETE', `/api/v1/jobs/${json.job_id}`);
		await it.google.calm();
	}],
	'POST /token-management/keys': ['key.created', (it) => it.ask('POST', '/token-management/keys', { name: 'made', scopes: ['reviews:read'] })],
	'DELETE /token-management/keys/{id}': ['key.revoked', async (it) => {
		const { json } = await it.ask('POST', '/token-management/keys', { name: 'made', scopes: ['reviews:read'] });
		return it.ask('DELETE', `/token-management/keys/${json.id}`);
	}],
	'POST /sign-in': ['session.created', (it) => signIn(it)],
	'POST /sign-out': ['session.ended', async (it) => {
		const jar = await signIn(it);
		const headers = { accept: 'text/html', origin: it.service.url };
		const page = await send('GET', `${it.service.url}/sign-out`, { jar, headers });
		const csrf = /name="csrf" value="([^"]+)"/.exec(page.text)[1];
		assert.equal((await send('POST', `${it.service.url}/sign-out`, { jar, headers, form: { csrf } })).status, 303);
	}],
	'POST /session': ['session.created', (it) => it.ask('POST', '/session')],
	'DELETE /session': ['session.ended', async (it) => {
		const jar = await signIn(it);
		const headers = { origin: it.service.url, 'x-requested-with': 'review-fetcher' };
		assert.equal((await send('DELETE', `${it.service.url}/session`, { jar, headers })).status, 200);
	}],
	'DELETE /sessions/{session_id}': ['session.ended', async (it) => {
		const { json } = await it.ask('POST', '/session');
		return it.ask('DELETE', `/sessions/${json.session_id}`);
	}],
	'POST /api/v1/notifications/google': null, // Google has one review read; that is a job, with its events
	'PUT /api/v1/accounts/{id}/notifications': ['notifications.set', async (it) => {
		const id = await someAccount(it);
		return it.ask('PUT', `/api/v1/accounts/${id}/notifications`, { topic: 'projects/p/topics/t' });
	}],
	'DELETE /api/v1/accounts/{id}/notifications': ['notifications.removed', async (it) => {
		const id = await someAccount(it);
		return it.ask('DELETE', `/api/v1/accounts/${id}/notifications`);
	}],
	'PUT /api/v1/reviews/{id}/reply': ['reply.put', async (it) => {
		const { reviews } = (await it.ask('GET', '/api/v1/reviews?limit=1')).json;
		return it.ask('PUT', `/api/v1/reviews/${reviews[0].id}/reply`, { comment: 'Thank you' });
	}],
	'DELETE /api/v1/reviews/{id}/reply': ['reply.removed', async (it) => {
		const { reviews } = (await it.ask('GET', '/api/v1/reviews?limit=1')).json;
		return it.ask('DELETE', `/api/v1/reviews/${reviews[0].id}/reply`);
	}],
	'POST /api/v1/demo/nested': null, // shows what the simulator makes up, and keeps nothing
	'POST /api/v1/stream-session': null, // memory of a minute; the job that it starts is audited when it starts
};

test('every_route_that_changes_something_leaves_an_audit_row_with_its_actor_and_address', async (t) => {
	const routes = mutatingRoutes();
	assert.ok(routes.length >= 10, `${routes.length} routes found: is the table still written as it was?`);
	const it = await begin(t);
	it.people = await it.google.people();
	it.id = (await it.service.connect({ key: it.key, branch_id: 'harbour' })).client_id;
	it.ask = async (method, where, json) => {
		const answer = await it.service.request(method, where, { key: it.key, json });
		assert.ok(answer.status < 300, `${method} ${where} answered ${answer.status}: ${answer.text}`);
		return answer;
	};
	for (const route of routes) {
		assert.ok(route in ACTS, `${route} is not in the table of this test: say how it is used and what it leaves in the audit`);
		if (ACTS[route] === null)
			continue;
		const [action, act, by] = ACTS[route];
		const before = Math.max(0, ...(await rows(it)).map((row) => row.id));
		await act(it);
		const fresh = (await rows(it, { action })).filter((row) => row.id > before);
		assert.ok(fresh.length >= 1, `${route} left no ${action} in the audit`);
		assert.ok(by || fresh[0].remote, `${route}: ${action} does not say from where`);
		assert.ok(by ? fresh[0].actor === by : [it.actor, 'link', 'browser'].includes(fresh[0].actor), `${route}: ${action} was done by ${fresh[0].actor}`);
	}
	for (const route of Object.keys(ACTS))
		assert.ok(routes.includes(route), `${route} is in the table of this test, but no longer a route`);
});

test('what_the_command_line_does_is_in_the_audit', async (t) => {
	const it = await begin(t);
	const made = it.service.cli('key', 'create', '--name', 'second', '--scope', 'tokens:read');
	const id = /rf_([a-z0-9]+)_/.exec(made.stdout)[1];
	assert.equal(it.service.cli('key', 'revoke', id).code, 0);
	assert.equal(it.service.cli('vault', 'rotate').code, 0);
	const all = await rows(it);
	for (const [action, about] of [['key.created', id], ['key.revoked', id], ['vault.rotated', '']]) {
		const row = all.find((r) => r.action === action && JSON.stringify(r.detail).includes(about));
		assert.ok(row, `no ${action}`);
		assert.match(row.actor, /^cli/);
	}
	assert.ok(!JSON.stringify(all).includes(made.stdout.match(/rf_[A-Za-z0-9_-]+/)[0]));
});

test('each_ending_of_a_consent_is_in_the_audit', async (t) => {
	const it = await begin(t);
	const { client_id } = await it.service.register({ key: it.key, branch_id: 'harbour' });
	const refused = await it.service.login({ key: it.key, id: client_id });
	await send('GET', await decide(refused.location, { allow: false }), { jar: refused.jar });
	const narrow = await it.service.login({ key: it.key, id: client_id });
	await send('GET', await decide(narrow.location, { scopes: [] }), { jar: narrow.jar });
	await it.service.reconnect({ key: it.key, id: client_id });
	await it.service.reconnect({ key: it.key, id: client_id });
	const all = await rows(it, { branch_id: 'harbour' });
	assert.ok(all.every((row) => row.remote), JSON.stringify(all.filter((row) => !row.remote)));
	const actions = all.map((row) => row.action).reverse();
	for (const action of ['client.registered', 'connect.started', 'connect.refused', 'connect.missing_scope', 'connection.connected', 'connection.renewed'])
		assert.ok(actions.includes(action), `no ${action} in ${actions}`);
	assert.equal(actions.filter((action) => action === 'connect.started').length, 4);
});

const reads = async (it, query = {}) => rows(it, { action: 'token.read', ...query });
const read = async (it, branch, n, key = it.key) => {
	for (let i = 0; i < n; i++)
		assert.equal((await it.service.token(branch, { key })).status, 200);
};

test('tokens_handed_out_are_counted_by_key_and_branch_and_a_stop_loses_none', async (t) => {
	const it = await begin(t);
	await it.service.connect({ key: it.key, branch_id: 'harbour' });
	await it.service.connect({ key: it.key, branch_id: 'station' });
	const other = await it.service.key('tokens:read', { name: 'other' });
	await read(it, 'harbour', 7);
	await read(it, 'station', 3);
	await read(it, 'harbour', 5, other);
	assert.equal((await it.service.token('nobody', { key: other })).status, 404);
	await it.service.restart();
	const sum = (found) => found.reduce((n, row) => n + row.detail.reads, 0);
	assert.equal(sum(await reads(it, { branch_id: 'harbour', actor: it.actor })), 7);
	assert.equal(sum(await reads(it, { branch_id: 'station' })), 3);
	assert.equal(sum(await reads(it, { actor: `key:${/rf_([a-z0-9]+)_/.exec(other)[1]}` })), 5);
	assert.equal(sum(await reads(it)), 15);
});

test('each_token_handed_out_has_a_row_with_its_time_and_address_when_all_are_wanted', async (t) => {
	const it = await begin(t, { TOKEN_READ_AUDIT: 'all' });
	await it.service.connect({ key: it.key, branch_id: 'harbour' });
	await read(it, 'harbour', 4);
	await eventually(async () => assert.equal((await reads(it)).length, 4));
	for (const row of await reads(it)) {
		assert.equal(row.branch_id, 'harbour');
		assert.equal(row.actor, it.actor);
		assert.match(row.remote, /127\.0\.0\.1/);
		assert.ok(Math.abs(Date.now() - Date.parse(row.at)) < 60000);
	}
});

test('a_sample_is_each_nth_and_off_is_none', async (t) => {
	const it = await begin(t, { TOKEN_READ_AUDIT: 'sample:5', API_WORKERS: 1 });
	await it.service.connect({ key: it.key, branch_id: 'harbour' });
	await read(it, 'harbour', 1); /* from the database, on a worker of its own */
	await read(it, 'harbour', 24);
	await it.service.restart();
	const found = (await reads(it)).length;
	assert.ok(found >= 4 && found <= 5, `${found} of 25`);
	await it.service.restart({ env: { TOKEN_READ_AUDIT: 'off' } });
	await read(it, 'harbour', 10);
	await it.service.restart();
	assert.equal((await reads(it)).length, found);
});

test('a_wrong_way_of_noting_reads_is_refused_at_the_start', async (t) => {
	const { service } = await begin(t);
	for (const wrong of ['sample:0', 'sample:', 'sometimes']) {
		const { code, stderr } = service.cli('serve', `--token-read-audit=${wrong}`);
		assert.notEqual(code, 0);
		assert.match(stderr, /TOKEN_READ_AUDIT.*sample:N/);
	}
});

test('the_audit_is_read_by_branch_actor_action_and_time_and_pages_without_a_gap', async (t) => {
	const it = await begin(t);
	for (const branch_id of ['a', 'b', 'c'])
		await it.service.register({ key: it.key, branch_id });
	const all = await rows(it, { limit: 2 });
	assert.deepEqual(all.map((row) => row.id), [...new Set(all.map((row) => row.id))].sort((x, y) => y - x));
	assert.deepEqual((await rows(it, { branch_id: 'b' })).map((row) => row.action), ['client.registered']);
	assert.equal((await rows(it, { actor: it.actor, action: 'client.registered' })).length, 3);
	assert.equal((await rows(it, { actor: it.actor, until: all.at(-1).at })).length, 0);
	assert.ok((await rows(it, { since: all[0].at })).length >= 1);
});
