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

test('two_processes_divide_one_schedule_and_make_each_job_once', async (t) => {
	const postgres = await startPostgres({ t, pooler: true });
	const url = makeDatabase(postgres.address, 'schedule');
	const google = await startSimulator({ t, args: ['--users', '4', '--accounts', '1', '--locations', '3', '--reviews', '20'] });
	const env = { GOOGLE_REQUESTS_PER_MINUTE: '60000', TOKEN_MANAGEMENT_DATABASE_URL: url,
		REVIEW_SYNC_INTERVAL_SEC: '3600', REVIEW_FULL_SYNC_INTERVAL_SEC: '86400' };
	const migrated = new Service({ simulator: google, env }).cli('migrate', 'up');
	assert.equal(migrated.code, 0, migrated.stderr);
	const first = await startService({ t, simulator: google, env });
	const second = await startService({ t, simulator: google,
		env: { ...env, TOKEN_MANAGEMENT_DATABASE_URL: `${postgres.poolerAddress}/schedule`, VAULT_KEY_FILE: first.vaultKey } });
	const key = await first.key('admin');
	const branches = ['b1', 'b2', 'b3', 'b4'];
	for (const branch_id of branches)
		await first.connect({ key, branch_id });
	const jobs = () => postgres.query('schedule', 'SELECT branch_id, mode, scope, status FROM jobs ORDER BY 1, 2, 3');
	await eventually(async () => assert.deepEqual(jobs(), branches.map((b) => [b, 'full', 'all', 'completed'])), PATIENT);
	// Once known, a location is due by its own time: here all at once.
	const turn = () => postgres.query('schedule', 'UPDATE branch_schedules SET due_ms = 0');
	turn();
	// All branches show the same three places, so each place is read through one of them.
	const one = (text) => Number(postgres.query('schedule', text)[0][0]);
	await eventually(async () => assert.equal(one('SELECT count(*) FROM location_schedules'), one('SELECT count(*) FROM locations')), PATIENT);
	postgres.query('schedule', 'UPDATE location_schedules SET quick_due_ms = 0');
	turn();
	const due = "FROM jobs WHERE scope = 'due' AND mode = 'quick'";
	await eventually(async () => {
		assert.equal(one(`SELECT coalesce(sum(locations), 0) ${due}`), one('SELECT count(*) FROM locations'));
		assert.equal(one(`SELECT count(*) ${due} AND status <> 'completed'`), 0);
	}, PATIENT);
	assert.equal(one(`SELECT max(fence) ${due}`), 2, 'claimed once and ended once');
	for (const service of [first, second])
		assert.deepEqual(service.logs().filter((line) => line.level === 'error'), []);
});
