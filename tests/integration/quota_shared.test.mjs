// SPDX-License-Identifier: Apache-2.0
// Several processes on one PostgreSQL: one budget, one schedule, each job once, and a dead process's work goes on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeDatabase, startPostgres } from './lib/postgres.mjs';
import { Service, eventually, startService } from './lib/service.mjs';
import { startSimulator } from './lib/simulator.mjs';

const PATIENT = { timeout: 150000, every: 100 };

// A minute of this Google lasts six seconds, so its 300 a minute are the processes' 3,000 together.
test('three_processes_share_budget_and_jobs_and_take_up_what_a_dead_one_left', async (t) => {
	const postgres = await startPostgres({ t, pooler: true });
	makeDatabase(postgres.address, 'shared');
	const google = await startSimulator({ t, args: ['--users', '6', '--accounts', '1', '--locations', '4', '--reviews', '700'] });
	await google.control('quota', { per_minute: 300, slack_percent: 0, minute_ms: 6000 });
	const env = { GOOGLE_REQUESTS_PER_MINUTE: '3000', TOKEN_MANAGEMENT_DATABASE_URL: `${postgres.address}/shared` };
	const migrated = new Service({ simulator: google, env }).cli('migrate', 'up');
	assert.equal(migrated.code, 0, migrated.stderr);
	const first = await startService({ t, simulator: google, env });
	const key = await first.key('admin');
	const others = [];
	for (const address of [postgres.poolerAddress, postgres.poolerAddress])
		others.push(await startService({ t, simulator: google,
			env: { ...env, TOKEN_MANAGEMENT_DATABASE_URL: `${address}/shared`, VAULT_KEY_FILE: first.vaultKey } }));
	const branches = ['b1', 'b2', 'b3', 'b4', 'b5', 'b6'];
	for (const branch_id of branches)
		await first.connect({ key, branch_id });
	const ids = [];
	for (const branch_id of branches) {
		const service = [first, ...others][ids.length % 3];
		const answer = await service.post('/api/v1/review-fetch', { branch_id }, { key });
		assert.equal(answer.status, 202, answer.text);
		ids.push(answer.json.job_id);
	}
	const job = async (id) => (await first.get(`/api/v1/status/${id}`, { key })).json;
	await eventually(async () => assert.ok((await google.counts()).reviews > 60, 'it is well under way'), PATIENT);
	await others[1].kill();
	await eventually(async () => {
		for (const id of ids)
			assert.equal((await job(id)).status, 'completed');
	}, PATIENT);
	assert.equal((await google.counts()).quota_refused, 0);
	const ends = [first, ...others].flatMap((service) => service.logs()).filter((line) => line.event === 'job.ended');
	assert.deepEqual(ends.map((line) => line.job).sort(), [...ids].sort());
	for (const id of ids) {
		const { google_calls: calls, pages } = await job(id);
		assert.ok(calls <= pages + 8, `${calls} calls for ${pages} pages`);
	}
});
