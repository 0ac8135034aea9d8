// SPDX-License-Identifier: Apache-2.0
// What is changed through one process holds in all others within two seconds, also where a token lies ready in
// their memory: directly, where they hear of it (LISTEN), behind a pooler, where they look for it, and when the
// connection that hears is lost.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startFleet } from './lib/fleet.mjs';
import { startPostgres } from './lib/postgres.mjs';
import { eventually, startSimulator } from './lib/service.mjs';

const PROMISE_MS = 2000;
let postgres;

before(async () => {
	postgres = await startPostgres({ pooler: true });
});
after(() => postgres?.remove());

for (const pooled of [false, true])
	describe(pooled ? 'behind a pooler' : 'directly', () => {
		let google;
		let fleet;
		const took = [];

		before(async () => {
			google = await startSimulator();
			fleet = await startFleet({ simulator: google, postgres, pooled, count: 3 });
		});
		after(async () => {
			for (const service of fleet?.all ?? [])
				await service.end();
			await google?.end();
		});

		const others = () => fleet.all.slice(1);
		const listeners = () => fleet.query("SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND datname = current_database()").length;

		// A branch whose token is in the memory of every process.
		async function warm(branch_id, fields = {}) {
			const client = await fleet.first.connect({ key: fleet.key, branch_id, ...fields });
			const tokens = new Set();
			for (const service of [...fleet.all, ...fleet.all]) {
				const answer = await service.token(branch_id, { key: fleet.key });
				assert.equal(answer.status, 200, answer.text);
				tokens.add(answer.json.access_token);
			}
			assert.equal(tokens.size, 1);
			return { id: client.client_id, token: [...tokens][0] };
		}

		// From the answer to the change until each other process answers as it should.
		async function holdsElsewhere(what, check) {
			const began = performance.now();
			await Promise.all(others().map((service) => eventually(() => check(service), { every: 5 })));
			const ms = Math.round(performance.now() - began);
			took.push(`${what} ${ms}`);
			assert.ok(ms <= PROMISE_MS, `${what} held everywhere after ${ms} ms`);
		}

		const read = (branch, status, word) => async (service) => {
			const answer = await service.token(branch, { key: fleet.key });
			assert.equal(answer.status, status, answer.text);
			if (word)
				assert.equal(answer.json.connection_status, word);
		};
		const change = (id, json) => fleet.first.request('PATCH', `/token-management/clients/${id}`, { json, key: fleet.key });

		test('every_process_listens_where_it_can', async () => {
			await eventually(() => assert.equal(listeners(), pooled ? 0 : 3));
		});

		test('a_revoked_branch_is_served_nowhere', async () => {
			await warm('revoked');
			const answer = await fleet.first.post('/token-management/tokens/revoked/revoke', undefined, { key: fleet.key });
			assert.equal(answer.status, 200, answer.text);
			await holdsElsewhere('revoke', read('revoked', 409, 'revoked'));
		});

		test('a_branch_that_is_switched_off_and_on_is_so_everywhere', async () => {
			const { id } = await warm('switched');
			assert.equal((await change(id, { is_active: false })).status, 200);
			await holdsElsewhere('deactivate', read('switched', 409, 'inactive'));
			assert.equal((await change(id, { is_active: true })).status, 200);
			await holdsElsewhere('activate', read('switched', 200));
		});

		test('a_deleted_branch_exists_nowhere', async () => {
			const { id } = await warm('deleted');
			assert.equal((await fleet.first.request('DELETE', `/token-management/clients/${id}`, { key: fleet.key })).status, 200);
			await holdsElsewhere('delete', read('deleted', 404));
		});

		test('a_new_consent_replaces_the_token_everywhere', async () => {
			const { id, token } = await warm('again');
			await fleet.first.reconnect({ key: fleet.key, id });
			const fresh = (await fleet.first.token('again', { key: fleet.key })).json.access_token;
			assert.notEqual(fresh, token);
			await holdsElsewhere('reconnect', async (service) => {
				assert.equal((await service.token('again', { key: fleet.key })).json.access_token, fresh);
			});
		});

		test('a_key_that_is_made_or_revoked_is_so_everywhere', async () => {
			const key = await fleet.first.key('admin', { name: 'passing' });
			const answers = (status) => async (service) => assert.equal((await service.get('/token-management/clients', { key })).status, status);
			await holdsElsewhere('key', answers(200));
			const id = fleet.query("SELECT id FROM api_keys WHERE name = 'passing'")[0][0];
			const { code, stderr } = fleet.first.cli('key', 'revoke', id);
			assert.equal(code, 0, stderr);
			await holdsElsewhere('key revoke', answers(401));
		});

		test('a_key_of_some_branches_is_bound_and_revoked_everywhere', async () => {
			await warm('bound');
			await warm('beyond');
			const made = await fleet.first.post('/token-management/keys', { name: 'bound', scopes: ['tokens:read'], branches: ['bound'] }, { key: fleet.key });
			assert.equal(made.status, 201, made.text);
			const { key, id } = made.json;
			const answers = (inside, outside) => async (service) => {
				assert.equal((await service.token('bound', { key })).status, inside);
				assert.equal((await service.token('beyond', { key })).status, outside);
			};
			await holdsElsewhere('bound key', answers(200, 404));
			assert.ok((await fleet.first.request('DELETE', `/token-management/keys/${id}`, { key: fleet.key })).status < 300);
			await holdsElsewhere('bound key revoke', answers(401, 401));
		});

		test('a_session_is_known_everywhere_and_ends_with_its_key_or_by_itself', async () => {
			for (const how of ['sign out', 'key revoke']) {
				const key = await fleet.first.key('admin', { name: how });
				const made = await fleet.first.post('/session', undefined, { key });
				assert.equal(made.status, 201, made.text);
				const headers = { cookie: made.headers['set-cookie'][0].split(';')[0], origin: fleet.first.url, 'x-requested-with': 'review-fetcher' };
				const answers = (status) => async (service) => assert.equal((await service.get('/token-management/clients', { headers })).status, status);
				await holdsElsewhere('session', answers(200));
				if (how === 'sign out')
					assert.ok((await fleet.first.request('DELETE', '/session', { headers })).status < 300);
				else
					assert.equal(fleet.first.cli('key', 'revoke', key.split('_')[1]).code, 0);
				await holdsElsewhere(`session, ${how}`, answers(401));
			}
		});

		test('a_new_client_secret_is_used_everywhere', async () => {
			const app = `rotating${pooled ? '-pooled' : ''}.apps.googleusercontent.com`;
			const { id } = await warm('secret', { client_id: app, client_secret: 'one' });
			const patched = await change(id, { client_secret: 'two' });
			assert.equal(patched.status, 200, patched.text);
			const set = await google.control('GET', '/clients');
			assert.ok(JSON.stringify(set).includes(app));
			await google.control('POST', '/clients', { client_id: app, client_secrets: ['two'],
				redirect_uris: [`${fleet.first.url}/token-management/auth/callback`] });
			await holdsElsewhere('secret', async (service) => {
				const answer = await service.post('/token-management/tokens/refresh', { client_id: id }, { key: fleet.key });
				assert.equal(answer.status, 200, answer.text);
			});
		});

		if (!pooled)
			test('a_connection_that_hears_may_be_lost_without_harm_and_is_made_again', async () => {
				const { id } = await warm('deaf');
				const ended = fleet.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND datname = current_database()");
				assert.equal(ended.length, 3);
				assert.equal((await change(id, { is_active: false })).status, 200);
				await holdsElsewhere('deactivate, deaf', read('deaf', 409, 'inactive'));
				await eventually(() => assert.equal(listeners(), 3));
				for (const service of fleet.all)
					assert.equal(service.logs().filter((line) => line.level === 'error').length, 0, 'nobody is to be troubled by it');
			});

		test('a_burst_of_changes_is_all_heard', async (t) => {
			const names = Array.from({ length: 30 }, (_, i) => `burst-${i}`);
			const ids = await fleet.connect(names);
			for (const service of fleet.all)
				for (const name of names)
					assert.equal((await service.token(name, { key: fleet.key })).status, 200);
			await Promise.all(names.map(async (name) => assert.equal((await change(ids[name], { is_active: false })).status, 200)));
			await holdsElsewhere('burst', async (service) => {
				for (const name of names)
					await read(name, 409, 'inactive')(service);
			});
			t.diagnostic(`held everywhere after ms: ${took.join(', ')}`);
		});
	});
