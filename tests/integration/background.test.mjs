// SPDX-License-Identifier: Apache-2.0
// Background refresh through the real binary: tokens that nobody reads stay fresh, over restarts and outages.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { eventually, startService, startSimulator } from './lib/service.mjs';

const BRANCHES = 5;

let google;
let service;
let key;

before(async () => {
	google = await startSimulator({ args: ['--token-ttl', '4'] });
	service = await startService({ simulator: google, env: { TOKEN_BACKGROUND_REFRESH: 'on' } });
	key = await service.key('admin');
	for (let n = 0; n < BRANCHES; n++)
		await service.connect({ key, branch_id: `unread-${n}` });
});
after(async () => {
	await service?.end();
	await google?.end();
});
beforeEach(async () => {
	await google.calm();
});

const refreshes = async () => (await google.counts()).token_refresh ?? 0;

async function clients() {
	const answer = await service.get('/token-management/clients', { key });
	assert.equal(answer.status, 200, answer.text);
	return answer.json.clients ?? answer.json.items ?? answer.json;
}

async function assertAllFresh() {
	const all = await clients();
	assert.equal(all.length, BRANCHES);
	for (const one of all)
		assert.ok(Date.parse(one.expires_at) > Date.now(), `${one.branch_id} is stale: ${JSON.stringify(one)}`);
}

// So many more refreshes of unread branches come.
async function refreshesOn(more) {
	const wanted = (await refreshes()) + more;
	await eventually(async () => assert.ok((await refreshes()) >= wanted));
	await eventually(assertAllFresh);
}

describe('in the background', () => {
	test('tokens_of_branches_that_nobody_reads_stay_fresh', async () => {
		await refreshesOn(3 * BRANCHES);
	});

	test('after_kill_9_they_go_on_from_the_rows', async () => {
		await service.kill();
		await service.start();
		await eventually(assertAllFresh);
		await refreshesOn(2 * BRANCHES);
	});

	test('after_an_outage_all_are_fresh_again_and_none_was_lost', async () => {
		await google.fault({ target: 'token_refresh', status: 503 });
		await service.waitForLog('due.provider_failing');
		await google.calm();
		await service.waitForLog('due.provider_answers');
		await eventually(assertAllFresh);
		assert.deepEqual((await clients()).map((one) => one.status).filter((s) => s === 'needs_reconnect'), []);
	});
});
