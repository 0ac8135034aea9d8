// SPDX-License-Identifier: Apache-2.0
// Four processes on one database, 500 readers at each, and 200 branches whose tokens end together, with
// rotation and reuse detection on: the provider is asked once for each branch, by whichever process.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readOneByOne, startFleet } from '../integration/lib/fleet.mjs';
import { startPostgres } from '../integration/lib/postgres.mjs';
import { eventually, startSimulator } from '../integration/lib/service.mjs';

const PROCESSES = 4;
const READERS = 500;
const BRANCHES = 200;
const READS_EACH = 3; // so that each branch is read seven times at each process
let postgres;

before(async () => {
	postgres = await startPostgres({ pooler: true });
});
after(() => postgres?.remove());

const names = Array.from({ length: BRANCHES }, (_, i) => `branch-${i}`);

// Reader r begins at another branch than its neighbours; each process in an order of its own.
function readAll(fleet) {
	const readers = [];
	for (const [p, { port }] of fleet.all.entries())
		for (let r = 0; r < READERS; r++) {
			const branches = Array.from({ length: READS_EACH }, (_, i) => names[(r + p * 53 + i * 67) % BRANCHES]);
			readers.push(readOneByOne({ port, key: fleet.key, branches }).then((answers) => answers.map((a) => ({ ...a, process: p }))));
		}
	return Promise.all(readers);
}

function assertOneTokenEach(answers) {
	const seen = new Map(names.map((name) => [name, { tokens: new Set(), processes: new Set() }]));
	for (const { branch, status, token, process } of answers) {
		assert.equal(status, 200, branch);
		seen.get(branch).tokens.add(token);
		seen.get(branch).processes.add(process);
	}
	for (const [name, { tokens, processes }] of seen) {
		assert.equal(tokens.size, 1, `${name}: ${tokens.size} tokens`);
		assert.equal(processes.size, PROCESSES, `${name} was not read at every process`);
	}
}

const countRefreshes = (service) => service.logs().filter((line) => line.event === 'grant.refreshed').length;

for (const pooled of [false, true]) {
	const how = pooled ? 'behind_a_pooler' : 'directly';

	test(`tokens_that_end_together_are_refreshed_once_each_over_all_processes_${how}`, async (t) => {
		const google = await startSimulator({ t });
		await google.fault({ target: 'token', rotate_refresh_tokens: true, reuse_detection: true });
		const fleet = await startFleet({ t, simulator: google, postgres, pooled, count: PROCESSES });
		await fleet.connect(names);
		// Those of the import. A process that still has one of them in its window of due rows may be the first
		// to refresh it once it has ended, so all is counted from here.
		const before = await eventually(() => {
			const counts = fleet.all.map(countRefreshes);
			assert.equal(counts.reduce((sum, n) => sum + n), BRANCHES);
			return counts;
		});
		await google.control('POST', '/counts/reset', {});
		// Before anybody has read them, no process has a token in memory.
		fleet.expireRows();
		await google.fault({ target: 'token_refresh', latency_ms: 100 }); // time for all to come while it is asked
		const began = performance.now();
		const answers = (await readAll(fleet)).flat();
		const took = Math.round(performance.now() - began);
		t.diagnostic(`${answers.length} reads by ${PROCESSES * READERS} readers in ${took} ms`);
		assertOneTokenEach(answers);
		const counts = await google.counts();
		assert.equal(counts.token_refresh, BRANCHES);
		assert.equal(counts.refresh_reused, 0);
		const shares = fleet.all.map((service, i) => countRefreshes(service) - before[i]);
		t.diagnostic(`refreshed by process: ${shares.join(' ')}`);
		assert.equal(shares.reduce((sum, n) => sum + n), BRANCHES);
		for (const service of fleet.all)
			await service.stop();
	});
}
