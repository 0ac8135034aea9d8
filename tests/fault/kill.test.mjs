// SPDX-License-Identifier: Apache-2.0
// kill -9 at the worst moments of a refresh, with rotation on and every old refresh token dead at once. The
// one window that cannot be closed is between the provider's taking our request and our commit: only there may
// a connection be lost, and never once a reader has the new token.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually, startService, startSimulator } from '../integration/lib/service.mjs';
import { makeGate, startProxy } from '../integration/lib/proxy.mjs';

let google;
let proxy;
let service;
let key;

before(async () => {
	google = await startSimulator();
	proxy = await startProxy({ target: google.url });
	service = await startService({ simulator: google, env: proxy.env(google) });
	key = await service.key('admin');
	await google.fault({ target: 'token', rotate_refresh_tokens: true, reuse_detection: true });
});
after(async () => {
	await service?.end();
	await google?.end();
	await proxy?.end();
});

const isRefresh = (call) => call.path === '/token' && call.body.includes('grant_type=refresh_token');

function refresh(id) {
	return service.post('/token-management/tokens/refresh', { client_id: id }, { key });
}

async function refreshesAgain(id) {
	const answer = await eventually(async () => {
		const result = await refresh(id);
		assert.notEqual(result.status, 503, result.text); // the lease of the one that died may still be held
		return result;
	}, { timeout: 60000, every: 200 });
	return answer.status === 200;
}

describe('killed during a refresh', () => {
	test('before_the_provider_was_reached_nothing_is_lost', async () => {
		const { client_id: id } = await service.connect({ key, branch_id: 'held-before' });
		const gate = makeGate();
		proxy.before = async (call) => {
			if (isRefresh(call)) {
				await gate.pass(call);
				throw new Error('the provider was never reached');
			}
		};
		const asked = refresh(id).catch(() => undefined);
		await gate.arrived;
		await service.kill();
		gate.open();
		await asked;
		proxy.before = undefined;
		await service.restart();
		assert.ok(await refreshesAgain(id));
	});

	test('once_a_reader_has_the_new_token_its_refresh_token_is_durable', async () => {
		const { client_id: id } = await service.connect({ key, branch_id: 'durable' });
		for (let round = 0; round < 10; round++) {
			const answer = await refresh(id);
			assert.equal(answer.status, 200, answer.text);
			await service.kill();
			await service.restart();
			const token = await service.token('durable', { key });
			assert.equal(token.json?.access_token, answer.json.access_token, 'another token than the one handed out');
		}
		assert.ok(await refreshesAgain(id));
		assert.equal((await google.counts()).refresh_reused, 0, 'an old refresh token was sent');
	});

	test('at_random_moments_a_connection_is_lost_in_the_one_window_only', async () => {
		const lost = [];
		for (let round = 0; round < 25; round++) {
			const branch = `random-${round}`;
			const { client_id: id } = await service.connect({ key, branch_id: branch });
			let wasSent = false;
			let wasHandedOut = false;
			proxy.before = async (call) => {
				wasSent ||= isRefresh(call);
			};
			const delay = Math.random() * 25;
			const asked = refresh(id).then((answer) => {
				wasHandedOut = answer.status === 200;
			}, () => undefined);
			await new Promise((resolve) => setTimeout(resolve, delay)); // the moment is what is random here
			await service.kill();
			await asked;
			proxy.before = undefined;
			await service.restart();
			if (!await refreshesAgain(id))
				lost.push({ round, wasSent, wasHandedOut });
		}
		assert.deepEqual(lost.filter((one) => !one.wasSent || one.wasHandedOut), []);
	});
});

test('killed_between_registering_and_consenting_the_flow_still_ends_well', async () => {
	const client = await service.register({ key, branch_id: 'mid-flow' });
	const { location, jar } = await service.login({ key, id: client.client_id });
	const back = await service.consent(location);
	await service.kill();
	await service.restart();
	const answer = await service.request('GET', back.slice(service.url.length), { jar });
	assert.equal(answer.status, 200, answer.text);
	assert.equal((await service.token('mid-flow', { key })).status, 200);
});

test('keys_and_connections_survive_ten_kills_in_a_row', async () => {
	await service.connect({ key, branch_id: 'survivor' });
	for (let i = 0; i < 10; i++) {
		await service.kill();
		await service.restart();
	}
	assert.equal((await service.token('survivor', { key })).status, 200);
});
