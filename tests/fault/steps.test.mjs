// SPDX-License-Identifier: Apache-2.0
// Faults at each step of the refresh protocol (docs/internals/refresh.md), with rotation and reuse detection on:
// many processes stand at their steps at once, their clocks five minutes before or behind; all are killed, or
// stopped past the lease; one that is well is then asked for everything. A connection may be lost only where the
// provider has spent its refresh token and the answer to that is not committed.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import path from 'node:path';
import { APP, startFleet } from '../integration/lib/fleet.mjs';
import { startPostgres } from '../integration/lib/postgres.mjs';
import { collect, eventually } from '../integration/lib/process.mjs';
import { makeGate, startProxy } from '../integration/lib/proxy.mjs';
import { SERVICE_BIN, startSimulator } from '../integration/lib/service.mjs';

const SKEW = path.resolve(path.dirname(SERVICE_BIN), '../tests/fault/skew.so');
const STEADY_APP = 'steady-app.apps.googleusercontent.com'; // its refresh tokens are not replaced
const MINUTES = 60 * 1000;
const BOUND_MS = 45000; // the lease, and a transaction that a stopped process left open, with room
const INSIDE = 1;
const AT_COMMIT = 2;
let postgres;

before(async () => {
	postgres = await startPostgres();
});
after(() => postgres?.remove());

// A session of psql that holds what it locks.
class Session {
	constructor(url) {
		this.child = spawn('psql', ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', url], { stdio: ['pipe', 'pipe', 'pipe'] });
		this.output = collect(this.child);
		this.n = 0;
	}

	run(sql) {
		this.n++;
		this.child.stdin.write(`${sql};\n\\echo '{"done":${this.n}}'\n`);
		const n = this.n;
		return this.output.waitFor((line) => line.done === n, 30000, () => sql);
	}

	end() {
		this.child.stdin.end();
	}
}

// Doors inside the database: a transaction that changes a branch's tokens waits before the change, or in the
// middle of its commit, while the session holds the lock of that door.
class Doors {
	constructor(fleet) {
		this.fleet = fleet;
		fleet.query(['inside', 'at_commit'].map((where, i) => `
			CREATE FUNCTION door_${where}() RETURNS trigger LANGUAGE plpgsql AS
				$$ BEGIN PERFORM pg_advisory_xact_lock_shared(${i + 1}, NEW.client_id::int); RETURN NEW; END $$;`).join('') + `
			CREATE TRIGGER door_inside BEFORE UPDATE ON tokens FOR EACH ROW EXECUTE FUNCTION door_inside();
			CREATE CONSTRAINT TRIGGER door_at_commit AFTER UPDATE ON tokens DEFERRABLE INITIALLY DEFERRED
				FOR EACH ROW EXECUTE FUNCTION door_at_commit();`);
		this.session = new Session(fleet.first.databaseUrl);
	}

	close(where, id) {
		return this.session.run(`SELECT pg_advisory_lock(${where}, ${id})`);
	}

	// Until somebody stands before it.
	arrived(where, id) {
		return eventually(() => assert.equal(this.fleet.query(`SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
			AND classid = ${where} AND objid = ${id} AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).length, 1), { every: 50 });
	}

	openAll() {
		return this.session.run('SELECT pg_advisory_unlock_all()');
	}

	// Nobody has a transaction open any more that was let through.
	passed() {
		return eventually(() => assert.equal(this.fleet.query(`SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND xact_start IS NOT NULL
			AND pid <> pg_backend_pid() AND datname = current_database()`).length, 0), { every: 50 });
	}
}

// One process that is to fail, and the branches that it stands at a step with.
class Actor {
	constructor(parts) {
		Object.assign(this, parts, { reads: [], gates: [] });
	}

	async start(t) {
		this.proxy = await startProxy({ t, target: this.google.url });
		this.service = this.fleet.add({ env: {
			...this.proxy.env(this.google), SKEW_MS: this.skew, LD_PRELOAD: SKEW,
			ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:verify_asan_link_order=0`,
		} });
		await this.service.start();
	}

	read(branch) {
		const asked = this.service.token(branch, { key: this.fleet.key, timeout: 120000 }).catch((error) => ({ status: 0, error }));
		this.reads.push({ branch, asked });
	}

	// The next refresh is held before the provider or, 'after', its answer.
	hold(where, then = () => undefined) {
		const gate = makeGate();
		this.proxy[where] = async (call) => {
			if (!call.body.includes('grant_type=refresh_token'))
				return;
			this.proxy[where] = undefined;
			await gate.pass(call);
			then();
		};
		this.gates.push(gate);
		return gate;
	}

	async holdRequest(branch) {
		const gate = this.hold('before', () => {
			throw new Error('it never reached the provider');
		});
		this.read(branch);
		await gate.arrived;
	}

	async holdAnswer(branch) {
		const gate = this.hold('after');
		this.read(branch);
		await gate.arrived;
	}

	async standAtClaim(branch, id, where) {
		await this.doors.close(where, id);
		this.read(branch);
		await this.doors.arrived(where, id);
	}

	async standAtStore(branch, id, where) {
		const gate = this.hold('after');
		this.read(branch);
		await gate.arrived;
		await this.doors.close(where, id);
		gate.open();
		await this.doors.arrived(where, id);
	}
}

// asks: how many requests the provider may see for its branch in all, its own and that of who comes after it.
// commits: the database carries the commit out without it; the row is to say so.
const CLAIMING = { step: 'claiming', stand: (actor, branch, id) => actor.standAtClaim(branch, id, INSIDE), asks: 1 };
const CLAIMED = { step: 'claimed', stand: (actor, branch, id) => actor.standAtClaim(branch, id, AT_COMMIT), asks: 1, commits: 'held' };
const LOST = { step: 'lost', stand: (actor, branch) => actor.holdRequest(branch), asks: 1 };
const HELD = { step: 'held', stand: (actor, branch) => actor.holdAnswer(branch), asks: 2, isWindow: true };
const STORING = { step: 'storing', stand: (actor, branch, id) => actor.standAtStore(branch, id, INSIDE), asks: 2, isWindow: true };
const STORED = { step: 'stored', stand: (actor, branch, id) => actor.standAtStore(branch, id, AT_COMMIT), asks: 1, commits: 'free' };

// Who stands where. A process waits with all its transactions while one of them waits, so that one comes last.
function makeCast() {
	const cast = [];
	for (const skew of [5 * MINUTES, -5 * MINUTES])
		for (const steps of [[CLAIMED], [STORED], [LOST, HELD, CLAIMING], [STORING]])
			cast.push({ skew, steps });
	cast.push({ skew: 5 * MINUTES, isSteady: true, steps: [LOST, HELD, STORING] });
	for (const [n, one] of cast.entries())
		one.branches = one.steps.map(({ step }) => `${step}-${one.isSteady ? 'steady-' : ''}${n}`);
	return cast;
}

async function setUp(t) {
	const actors = [];
	t.after(() => actors.filter(({ service }) => service.program.isRunning).forEach(({ service }) => process.kill(service.pid, 'SIGCONT')));
	const google = await startSimulator({ t });
	await google.fault({ target: 'token', match: APP, rotate_refresh_tokens: true, reuse_detection: true });
	const fleet = await startFleet({ t, simulator: google, postgres, count: 1, env: { TOKEN_REFRESH_LEASE_SEC: 5 } });
	const cast = makeCast();
	await fleet.connect(cast.filter((one) => !one.isSteady).flatMap((one) => one.branches));
	const ids = await fleet.connect(cast.filter((one) => one.isSteady).flatMap((one) => one.branches), STEADY_APP);
	const doors = new Doors(fleet);
	t.after(() => doors.session.end());
	for (const one of cast) {
		const actor = new Actor({ fleet, google, doors, ...one });
		await actor.start(t);
		actors.push(actor);
	}
	fleet.expireRows();
	await google.control('POST', '/counts/reset', {});
	return { google, fleet, doors, actors, ids };
}

async function stand(actor, ids) {
	for (const [i, step] of actor.steps.entries())
		await step.stand(actor, actor.branches[i], ids[actor.branches[i]]);
}

// Brings all to their steps and the fault upon them. What is to commit does so alone: among open transactions,
// PostgreSQL may refuse it.
async function strike({ fleet, doors, actors, ids }, fail) {
	for (const actor of actors.filter(({ steps }) => steps[0].commits)) {
		await stand(actor, ids);
		await fail(actor);
		await doors.openAll();
		await doors.passed();
		const [[owner]] = fleet.query(`SELECT lease_owner IS NULL FROM tokens WHERE client_id = ${ids[actor.branches[0]]}`);
		assert.equal(owner === 't' ? 'free' : 'held', actor.steps[0].commits, `${actor.branches[0]} did not commit`);
	}
	const others = actors.filter(({ steps }) => !steps[0].commits);
	await Promise.all(others.map((actor) => stand(actor, ids)));
	await Promise.all(others.map(fail));
	await doors.openAll();
}

const allSteps = (actors) => actors.flatMap((actor) => actor.steps.map((step, i) =>
	({ ...step, actor, branch: actor.branches[i], isLost: Boolean(step.isWindow && !actor.isSteady) })));

// The one that is well is asked for every branch at once.
async function askAll({ fleet, actors }, t) {
	const began = performance.now();
	const all = allSteps(actors);
	await Promise.all(all.map(async (one) => {
		one.answer = await fleet.first.token(one.branch, { key: fleet.key, timeout: BOUND_MS });
		one.took = Math.round(performance.now() - began);
	}));
	t.diagnostic(`answered after ms: ${all.map((one) => `${one.branch} ${one.took}`).join(', ')}`);
	for (const { branch, answer, isLost } of all) {
		assert.equal(answer.status, isLost ? 409 : 200, `${branch}: ${answer.text}`);
		if (isLost)
			assert.equal(answer.json.connection_status, 'needs_reconnect', answer.text);
	}
	return all;
}

// What the provider saw, and what became of the connections.
async function assertOutcome({ google, fleet }, all) {
	const counts = await google.counts();
	assert.equal(counts.token_refresh, all.reduce((sum, one) => sum + one.asks, 0), 'requests at the provider');
	assert.equal(counts.refresh_reused, all.filter((one) => one.isLost).length, 'refresh tokens shown twice');
	const lost = all.filter((one) => one.isLost).map((one) => one.branch).sort();
	const status = new Map(fleet.query('SELECT branch_id, status FROM clients').map(([branch, word]) => [branch, word]));
	for (const { branch, isLost } of all)
		assert.equal(status.get(branch), isLost ? 'needs_reconnect' : 'connected', branch);
	const told = fleet.query("SELECT branch_id FROM audit WHERE action = 'connection.needs_reconnect' ORDER BY branch_id").map(([branch]) => branch);
	assert.deepEqual(told, lost, 'each lost connection is told of once');
}

// What is stored can be used again: no refresh token was lost behind the provider's back.
async function assertGoesOn({ google, fleet, ids }, all, serviceOf) {
	const { refresh_reused: before } = await google.counts();
	for (const one of all.filter(({ isLost }) => !isLost)) {
		const answer = await serviceOf(one).post('/token-management/tokens/refresh', { client_id: ids[one.branch] }, { key: fleet.key });
		assert.equal(answer.status, 200, `${one.branch}: ${answer.text}`);
	}
	assert.equal((await google.counts()).refresh_reused, before);
}

test('killed_at_any_step_a_connection_is_lost_in_the_one_window_only', async (t) => {
	const scene = await setUp(t);
	await strike(scene, (actor) => actor.service.kill());
	const all = await askAll(scene, t);
	await assertOutcome(scene, all);
	await assertGoesOn(scene, all, () => scene.fleet.first);
	for (const gate of scene.actors.flatMap((actor) => actor.gates))
		gate.open();
});

test('stopped_past_the_lease_at_any_step_it_sends_no_used_token_and_overwrites_nothing', async (t) => {
	const scene = await setUp(t);
	await strike(scene, (actor) => process.kill(actor.service.pid, 'SIGSTOP'));
	const all = await askAll(scene, t);
	for (const gate of scene.actors.flatMap((actor) => actor.gates))
		gate.open(); // answers lie ready when they wake up
	for (const actor of scene.actors)
		process.kill(actor.service.pid, 'SIGCONT');
	for (const one of all) {
		const own = await one.actor.reads.find((read) => read.branch === one.branch).asked;
		assert.ok([one.answer.status, 503].includes(own.status), `${one.branch}: ${own.status} ${own.text ?? own.error}`);
		await eventually(async () => {
			const again = await one.actor.service.token(one.branch, { key: scene.fleet.key });
			assert.equal(again.status, one.answer.status, `${one.branch}: ${again.text}`);
			assert.equal(again.json.access_token, one.answer.json.access_token, one.branch);
		});
	}
	await assertOutcome(scene, all);
	await assertGoesOn(scene, all, (one) => one.actor.service);
});
