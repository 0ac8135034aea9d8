// SPDX-License-Identifier: Apache-2.0
// What those can do who have shown nothing, and keys that are bound to some branches: against the real binary.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually, startService, startSimulator } from './lib/service.mjs';

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

describe('without a key', () => {
	const open = [
		['POST', '/sign-in'],
		['POST', '/sign-out'],
		['POST', '/token-management/events/google'],
		['POST', '/api/v1/notifications/google'],
		['POST', '/token-management/auth/callback'],
		['POST', '/token-management/oauth/login/1?ticket=none'],
	];

	test('a_stranger_can_have_no_more_than_64_KiB_held_for_it', async () => {
		for (const [method, where] of open) {
			const headers = { 'content-type': 'text/plain', accept: 'text/html' };
			const fits = await service.request(method, where, { body: 'x'.repeat(65536), headers });
			assert.notEqual(fits.status, 413, `${where}: ${fits.text}`);
			for (const more of [{}, { 'transfer-encoding': 'chunked' }]) {
				const large = await service.request(method, where, { body: 'x'.repeat(65537), headers: { ...headers, ...more } });
				assert.equal(large.status, 413, `${where}: ${large.text}`);
				assert.match(large.text, /more than 65536 bytes/);
			}
		}
	});

	test('who_has_a_key_may_send_a_mebibyte', async () => {
		const answer = await service.request('POST', '/token-management/clients', { key, body: ' '.repeat(1048576), headers: { 'content-type': 'application/json' } });
		assert.equal(answer.status, 400, answer.text);
	});
});

describe('API_AUTH=off', () => {
	test('another_site_in_the_operators_browser_changes_nothing', async (t) => {
		const lone = await startService({ t, simulator: google, env: { API_AUTH: 'off' } });
		await lone.connect({ branch_id: 'lone' });
		const revoke = (headers) => lone.request('POST', '/token-management/tokens/lone/revoke', { headers });
		const foreign = [
			{ origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' },
			{ 'sec-fetch-site': 'same-site' },
			{ origin: 'https://evil.example' },
			{ origin: 'null' },
			{ origin: 'http://localhost:1' },
		];
		for (const headers of foreign) {
			const answer = await revoke(headers);
			assert.equal(answer.status, 403, `${JSON.stringify(headers)}: ${answer.text}`);
			assert.match(answer.json.detail, /another site/);
		}
		assert.equal((await lone.token('lone')).status, 200);
		assert.equal((await revoke({ origin: lone.url, 'sec-fetch-site': 'same-origin' })).status, 200);
		assert.notEqual((await revoke({})).status, 403, 'a program that is no browser');
	});
});

describe('a key bound to branches', () => {
	test('a_mistyped_binding_makes_no_key_that_sees_all', async () => {
		const make = (fields) => service.post('/token-management/keys', { name: 'typo', scopes: ['clients:read'], ...fields }, { key });
		for (const [fields, field] of [[{ branch: ['mine'] }, 'branch'], [{ branches: ['mine\u0000'] }, 'branches'], [{ branches: [''] }, 'branches']]) {
			const answer = await make(fields);
			assert.equal(answer.status, 422, answer.text.replace(/rf_\w+/, 'a key'));
			assert.equal(answer.json.errors[0].loc[1], field);
		}
		assert.equal((await make({ branches: ['mine'] })).status, 201);
	});

	test('its_imports_are_listed_however_many_others_came_since', async () => {
		const bound = await service.key(['clients:write', 'clients:read'], { name: 'bound', branches: ['mine'] });
		const send = (by, line) => service.request('POST', '/token-management/import', { key: by, body: JSON.stringify(line), headers: { 'content-type': 'application/x-ndjson' } });
		const mine = (await send(bound, { branch_id: 'mine' })).json.import_id;
		for (let i = 0; i < 3; i++)
			assert.equal((await send(key, { branch_id: 'other' })).status, 202);
		await eventually(async () => {
			const seen = await service.get('/token-management/imports?limit=2', { key: bound });
			assert.deepEqual(seen.json.imports.map((x) => x.import_id), [mine]);
		});
		assert.equal((await service.get('/token-management/imports?limit=2', { key })).json.imports.length, 2);
	});
});
