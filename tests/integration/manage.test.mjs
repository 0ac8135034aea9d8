// SPDX-License-Identifier: Apache-2.0
// Looking after connections: changing a client, changing its secret without a gap, and reading who did what.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { eventually, send, startService, startSimulator } from './lib/service.mjs';

let google;
let service;
let key;

before(async () => {
	google = await startSimulator();
	service = await startService({ simulator: google });
	key = await service.key('admin');
});
after(async () => {
	await service?.end();
	await google?.end();
});
beforeEach(async () => {
	await google.calm();
});

const change = (id, json, as = key) => service.request('PATCH', `/token-management/clients/${id}`, { json, key: as });
const audit = async (query) => {
	const answer = await service.get(`/token-management/audit?${new URLSearchParams(query)}`, { key });
	assert.equal(answer.status, 200, answer.text);
	return answer.json;
};

describe('changing a client', () => {
	test('names_and_addresses_change_and_the_rest_stays', async () => {
		const { client_id: id } = await service.register({ key, branch_id: 'renamed' });
		const answer = await change(id, { workspace_name: 'Corner', workspace_email: 'corner@example.com', redirect_uri: 'http://localhost:1/cb' });
		assert.equal(answer.status, 200, answer.text);
		assert.equal(answer.json.workspace_name, 'Corner');
		assert.equal(answer.json.email, 'corner@example.com');
		assert.equal(answer.json.redirect_uri, 'http://localhost:1/cb');
		assert.equal(answer.json.branch_identifier, 'renamed');
		const now = await service.get(`/token-management/clients/${id}`, { key });
		assert.equal(now.json.workspace_name, 'Corner');
		assert.equal(now.json.status, 'pending');
	});

	test('every_bad_field_is_listed_and_what_cannot_change_is_refused', async () => {
		const { client_id: id } = await service.register({ key, branch_id: 'refused' });
		const answer = await change(id, { workspace_email: 7, is_active: 'yes', branch_id: 'other' });
		assert.equal(answer.status, 422, answer.text);
		assert.deepEqual(answer.json.errors.map((e) => e.loc.at(-1)).sort(), ['branch_id', 'is_active', 'workspace_email']);
		assert.equal((await change(id, {})).status, 422);
		assert.equal((await change(id, { workspace_email: 'nobody' })).status, 422);
		assert.equal((await change(999999, { workspace_name: 'x' })).status, 404);
		const bound = await service.key('clients:write', { branches: ['elsewhere'] });
		assert.equal((await change(id, { workspace_name: 'x' }, bound)).status, 404);
	});

	test('a_branch_that_is_switched_off_hands_out_no_token_until_it_is_on_again', async () => {
		const { client_id: id } = await service.connect({ key, branch_id: 'switch' });
		assert.equal((await service.token('switch', { key })).status, 200);
		assert.equal((await change(id, { is_active: false })).json.status, 'inactive');
		assert.equal((await service.token('switch', { key })).status, 409);
		assert.equal((await change(id, { is_active: true })).json.status, 'connected');
		assert.equal((await service.token('switch', { key })).status, 200);
	});

	test('a_secret_changes_without_a_gap_whichever_side_is_first', async () => {
		const app = 'rotating-app.apps.googleusercontent.com';
		const set = (...secrets) => google.control('POST', '/clients', { client_id: app, client_secrets: secrets,
			redirect_uris: [`${service.url}/token-management/auth/callback`] });
		await set('one');
		const { client_id: id } = await service.connect({ key, branch_id: 'rotating', client_id: app, client_secret: 'one' });
		const refresh = () => service.post('/token-management/tokens/refresh', { client_id: id }, { key });

		const changed = await change(id, { client_secret: 'two' }); // here first: Google knows only the old one
		assert.equal(changed.status, 200, changed.text);
		assert.ok(!changed.text.includes('two'));
		let answer = await refresh();
		assert.equal(answer.status, 200, answer.text);
		assert.equal(answer.json.degraded, undefined);
		await set('two'); // now Google too
		answer = await refresh();
		assert.equal(answer.status, 200, answer.text);
		await service.reconnect({ key, id });
		await set('three'); // Google first: the app is refused until it is told here
		assert.equal((await refresh()).json.degraded, true);
		assert.equal((await change(id, { client_secret: 'three' })).status, 200);
		answer = await refresh(); // at once, however long it was to be left alone
		assert.equal(answer.status, 200, answer.text);
		assert.equal(answer.json.degraded, undefined);
	});
});

describe('revoking', () => {
	const revoke = (branch, as = key, query = '') => service.post(`/token-management/tokens/${branch}/revoke${query}`, undefined, { key: as });
	const remove = (id, query = '', as = key) => service.request('DELETE', `/token-management/clients/${id}${query}`, { key: as });
	const clientOf = async (id) => (await service.get(`/token-management/clients/${id}`, { key })).json;
	const statusOf = async (id) => (await clientOf(id)).status;
	// An app of a Google project: branches of two projects share nothing.
	const app = async (project, name = 'app') => {
		const id = `${project}-${name}.apps.googleusercontent.com`;
		await google.control('POST', '/clients', { client_id: id, client_secrets: ['s'],
			redirect_uris: [`${service.url}/token-management/auth/callback`] });
		return { client_id: id, client_secret: 's' };
	};
	const connect = async (branch_id, project, name, account) =>
		service.connect({ key, branch_id, ...await app(project, name), choice: { account } });

	test('a_revoked_branch_is_ended_at_google_and_here_and_can_connect_again', async () => {
		const people = await google.people();
		const { client_id: id } = await connect('ended', 'ended', 'app', people[0]);
		const { access_token: token } = (await service.token('ended', { key })).json;
		const answer = await revoke('ended');
		assert.equal(answer.status, 200, answer.text);
		assert.equal(answer.json.status, 'revoked');
		assert.equal(await statusOf(id), 'revoked');
		assert.equal((await service.token('ended', { key })).status, 409);
		const there = await send('GET', `${google.url}/v1/accounts`, { headers: { authorization: `Bearer ${token}` } });
		assert.equal(there.status, 401, 'Google still takes the token');
		assert.equal((await revoke('ended')).status, 200);
		await service.reconnect({ key, id });
		assert.equal((await service.token('ended', { key })).status, 200);
	});

	test('an_outage_leaves_it_revoking_and_a_restart_does_not_forget_it', async () => {
		const { client_id: id } = await connect('outlasted', 'outlasted');
		await google.fault({ target: 'revoke', status: 503, retry_after: 3600 });
		const answer = await revoke('outlasted');
		assert.equal(answer.status, 202, answer.text);
		assert.equal(answer.json.status, 'revoking');
		assert.ok(Number(answer.headers['retry-after']) > 0);
		assert.equal(await statusOf(id), 'revoking');
		assert.equal((await service.token('outlasted', { key })).status, 409);
		await google.calm();
		await service.restart();
		await eventually(async () => assert.equal(await statusOf(id), 'revoked'));
	});

	test('deleting_is_not_revoking_and_says_so', async () => {
		const connected = await service.connect({ key, branch_id: 'deleted' });
		assert.match((await remove(connected.client_id)).json.warning, /lives on/);
		const revoked = await connect('deleted-after', 'after');
		assert.equal((await revoke('deleted-after')).status, 200);
		assert.equal((await remove(revoked.client_id)).json.warning, null);
		const pending = await service.register({ key, branch_id: 'deleted-early' });
		assert.equal((await remove(pending.client_id)).json.warning, null);
	});

	test('siblings_of_a_shared_grant_are_named_before_it_is_revoked_and_hear_of_it_after', async () => {
		const people = await google.people();
		const first = await connect('family-1', 'family', 'one', people[0]);
		const second = await connect('family-2', 'family', 'two', people[0]);
		await connect('family-other', 'family', 'one', people[1]);
		await connect('stranger', 'strangers', 'one', people[0]);
		assert.equal((await service.token('family-2', { key })).status, 200);

		const refused = await revoke('family-1');
		assert.equal(refused.status, 409, refused.text);
		assert.match(refused.headers['content-type'], /problem\+json/);
		assert.deepEqual(refused.json.siblings, ['family-2']);
		assert.equal(refused.json.siblings_total, 1);
		assert.match(refused.json.detail, /Google would kill/);
		assert.equal(await statusOf(first.client_id), 'connected');
		const bound = await service.key('tokens:manage,clients:write,clients:read', { branches: ['family-1'] });
		for (const answer of [await revoke('family-1', bound), await remove(first.client_id, '?revoke=true', bound)]) {
			assert.equal(answer.status, 409, answer.text);
			assert.deepEqual(answer.json.siblings, []);
			assert.equal(answer.json.siblings_total, 1);
			assert.ok(!answer.text.includes('family-2'));
		}

		const done = await revoke('family-1', bound, '?force=true');
		assert.equal(done.status, 200, done.text);
		assert.equal(done.json.siblings_ended, 1);
		assert.ok(!done.text.includes('family-2'));
		const sibling = await clientOf(second.client_id);
		assert.equal(sibling.status, 'needs_reconnect');
		assert.match(sibling.status_reason, /another branch.*revoked/);
		assert.ok(!sibling.status_reason.includes('family-1'));
		assert.equal(sibling.next_refresh_at, null);
		assert.equal((await service.token('family-2', { key })).status, 409);
		assert.equal((await audit({ branch_id: 'family-2', action: 'connection.needs_reconnect' })).events.length, 1);
		for (const branch of ['family-other', 'stranger'])
			assert.equal((await service.token(branch, { key })).status, 200, branch);
		await service.reconnect({ key, id: second.client_id, choice: { account: people[0] } });
		assert.equal((await service.token('family-2', { key })).status, 200);
		assert.equal((await revoke('family-2')).status, 200, 'a revoked branch is no sibling');
	});

	test('a_delete_that_revokes_names_the_siblings_first_and_then_ends_all_of_it', async () => {
		const people = await google.people();
		const first = await connect('house-1', 'house', 'one', people[0]);
		const second = await connect('house-2', 'house', 'one', people[0]);
		const { access_token: token } = (await service.token('house-2', { key })).json;
		const refused = await remove(first.client_id, '?revoke=true');
		assert.equal(refused.status, 409, refused.text);
		assert.deepEqual(refused.json.siblings, ['house-2']);
		assert.equal(await statusOf(first.client_id), 'connected');
		const done = await remove(first.client_id, '?revoke=true&force=true');
		assert.equal(done.status, 200, done.text);
		assert.equal(done.json.deleted, true);
		assert.equal(done.json.siblings_ended, 1);
		assert.equal((await service.get(`/token-management/clients/${first.client_id}`, { key })).status, 404);
		assert.equal(await statusOf(second.client_id), 'needs_reconnect');
		const there = await send('GET', `${google.url}/v1/accounts`, { headers: { authorization: `Bearer ${token}` } });
		assert.equal(there.status, 401, 'Google still takes the sibling\'s token');
		const alone = await connect('house-3', 'house', 'one', people[0]);
		assert.equal((await remove(alone.client_id, '?revoke=true')).json.deleted, true);
		const pending = await service.register({ key, branch_id: 'house-early' });
		assert.equal((await remove(pending.client_id, '?revoke=true')).status, 200);
	});

	test('a_delete_that_cannot_revoke_keeps_the_client_and_says_what_will_happen', async () => {
		const { client_id: id } = await connect('kept', 'kept');
		await google.fault({ target: 'revoke', status: 503, retry_after: 1 });
		const answer = await remove(id, '?revoke=true');
		assert.equal(answer.status, 202, answer.text);
		assert.equal(answer.json.status, 'revoking');
		assert.equal(answer.json.deleted, false);
		assert.match(answer.json.message, /delete it again when its status is revoked/);
		assert.ok(Number(answer.headers['retry-after']) > 0);
		assert.equal((await service.token('kept', { key })).status, 409);
		await google.calm();
		await eventually(async () => assert.equal(await statusOf(id), 'revoked'));
		assert.equal((await remove(id, '?revoke=true')).json.deleted, true);
		assert.equal((await service.get(`/token-management/clients/${id}`, { key })).status, 404);
	});

	test('what_cannot_be_revoked_says_why', async () => {
		await service.register({ key, branch_id: 'unconnected' });
		assert.equal((await revoke('unconnected')).status, 409);
		assert.equal((await revoke('nobody')).status, 404);
		assert.equal((await revoke('unconnected', await service.key('tokens:read'))).status, 403);
		assert.equal((await revoke('unconnected', await service.key('tokens:manage', { branches: ['elsewhere'] }))).status, 404);
	});
});

describe('the audit', () => {
	test('it_says_who_did_what_newest_first_page_by_page', async () => {
		const { client_id: id } = await service.connect({ key, branch_id: 'watched', workspace_email: (await google.people())[0] });
		await change(id, { workspace_name: 'Seen', client_secret: 'demo-app-secret' });
		const all = (await audit({ branch_id: 'watched' })).events;
		assert.deepEqual(all.map((e) => e.action), ['client.changed', 'connection.connected', 'connect.started', 'client.registered']);
		assert.match(all[0].actor, /^key:/);
		assert.equal(all[0].remote, '127.0.0.1');
		assert.equal(all[0].detail.workspace_name, 'Seen');
		assert.equal(all[0].detail.client_secret, true);
		assert.ok(!JSON.stringify(all).includes('demo-app-secret'));

		const first = await audit({ branch_id: 'watched', limit: 3 });
		assert.equal(first.events.length, 3);
		const second = await audit({ branch_id: 'watched', limit: 3, cursor: first.next_cursor });
		assert.deepEqual(second.events, all.slice(3));
		assert.equal(second.next_cursor, null);
		assert.equal((await audit({ branch_id: 'watched', action: 'client.registered' })).events.length, 1);
		assert.equal((await audit({ branch_id: 'watched', actor: all[0].actor })).events.length, 3);
		assert.equal((await audit({ branch_id: 'watched', until: all[3].at })).events.length, 0);
		assert.equal((await audit({ branch_id: 'watched', since: all[0].at })).events[0].action, 'client.changed');
	});

	test('only_an_admin_reads_it_and_nobody_writes_it', async () => {
		assert.equal((await service.get('/token-management/audit')).status, 401);
		const writer = await service.key('clients:write');
		assert.equal((await service.get('/token-management/audit', { key: writer })).status, 403);
		const bound = await service.key('admin', { branches: ['watched'] });
		assert.equal((await service.get('/token-management/audit', { key: bound })).status, 403);
		for (const method of ['POST', 'PATCH', 'DELETE'])
			assert.equal((await service.request(method, '/token-management/audit', { key, json: {} })).status, 405);
		const wrong = await service.get('/token-management/audit?since=yesterday&limit=0&cursor=x', { key });
		assert.equal(wrong.status, 422, wrong.text);
		assert.equal(wrong.json.errors.length, 3);
	});
});
