// SPDX-License-Identifier: Apache-2.0
// Signed delivery to a webhook by the real binary. The receiver verifies as docs/webhooks.md says.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import path from 'node:path';
import { startPostgres } from './lib/postgres.mjs';
import { eventually, makeFolder, startService, startSimulator } from './lib/service.mjs';

const WORLD = ['--users', '1', '--accounts', '1', '--locations', '2', '--reviews', '4'];
const SECRET = `whsec_${crypto.randomBytes(32).toString('base64')}`;
const FAST = { GOOGLE_REQUESTS_PER_MINUTE: 600000, RETRY_INITIAL_BACKOFF_MS: 10, RETRY_MAX_BACKOFF_MS: 100 };
const SLOW = { timeout: 60000, every: 100 };

// The program that the documentation shows, as it stands there.
async function documentedVerify() {
	const text = fs.readFileSync(new URL('../../docs/webhooks.md', import.meta.url), 'utf8');
	const [, code] = /```js\n([\s\S]*?)```/.exec(text);
	const file = path.join(makeFolder('webhook'), 'verify.mjs');
	fs.writeFileSync(file, code);
	return (await import(pathToFileURL(file))).verify;
}

// Keeps what came: { id, headers, body, event }. `answer` says what each gets: a status, or { status, headers }.
class Receiver {
	calls = [];
	answer = () => 204;
	inHand = 0;
	mostInHand = 0;

	async start(t) {
		this.server = http.createServer(async (request, response) => {
			this.mostInHand = Math.max(this.mostInHand, ++this.inHand);
			const pieces = [];
			for await (const piece of request)
				pieces.push(piece);
			const body = Buffer.concat(pieces).toString();
			const call = { id: request.headers['webhook-id'], method: request.method, headers: request.headers, body, event: JSON.parse(body) };
			const said = await this.answer(call, this.calls.length);
			this.calls.push(call);
			const { status, headers } = typeof said === 'number' ? { status: said } : said;
			call.status = status;
			this.inHand--;
			response.writeHead(status, headers).end();
		});
		await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
		this.url = `http://127.0.0.1:${this.server.address().port}/hook`;
		t.after(() => this.server.closeAllConnections());
		t.after(() => this.server.close());
		return this;
	}

	taken() {
		return this.calls.filter((call) => call.status < 300);
	}
}

async function begin(t, { env, args = WORLD, ...options } = {}) {
	const receiver = await new Receiver().start(t);
	const google = await startSimulator({ t, args });
	const all = { ...FAST, WEBHOOK_URL: receiver.url, WEBHOOK_SECRET: SECRET, ...env };
	const service = await startService({ t, simulator: google, env: all, ...options });
	return { receiver, google, service, env: all, key: await service.key('admin') };
}

async function runJob(service, key, branch_id = 'harbour') {
	const started = await service.post('/api/v1/review-fetch', { branch_id }, { key });
	assert.equal(started.status, 202, started.text);
	return eventually(async () => {
		const all = await stored(service, key);
		assert.ok(all.some((e) => e.ref === started.json.job_id && /completed|partial|failed/.test(e.event)));
		return all;
	}, SLOW);
}

const stored = async (service, key) =>
	(await service.get('/api/v1/events?limit=500', { key, headers: { accept: 'application/json' } })).json.events;
const standing = async (service, key) => (await service.get('/api/v1/deliveries', { key })).json.deliveries.find((d) => d.consumer === 'webhook');
const caughtUp = (service, key) => eventually(async () => {
	const state = await standing(service, key);
	assert.equal(state.lag, 0, JSON.stringify(state));
	return state;
}, SLOW);

test('each_event_is_posted_once_with_a_signature_that_the_documented_program_accepts', async (t) => {
	const verify = await documentedVerify();
	const { receiver, service, key } = await begin(t);
	await service.connect({ key, branch_id: 'harbour' });
	const events = await runJob(service, key);
	await caughtUp(service, key);
	assert.deepEqual(receiver.calls.map((c) => c.id).sort(), events.map((e) => e.event_id).sort());
	for (const call of receiver.calls) {
		assert.equal(call.method, 'POST');
		assert.equal(call.headers['content-type'], 'application/json');
		assert.equal(verify(SECRET, call.headers, call.body), true);
		assert.equal(verify(SECRET, call.headers, `${call.body} `), false);
		assert.equal(verify(`whsec_${crypto.randomBytes(32).toString('base64')}`, call.headers, call.body), false);
		assert.equal(verify(SECRET, { ...call.headers, 'webhook-timestamp': String(Math.floor(Date.now() / 1000) - 600) }, call.body), false);
		assert.equal(call.event.event_id, call.id);
		assert.ok(Math.abs(Number(call.headers['webhook-timestamp']) - Date.now() / 1000) < 120);
	}
	const token = (await service.get('/token-management/tokens/harbour', { key })).json.access_token;
	assert.ok(!JSON.stringify(receiver.calls).includes(token));
	assert.ok(!JSON.stringify(service.logs()).includes(SECRET.slice(6)));
	assert.ok(receiver.mostInHand <= 8);
});

test('two_secrets_sign_both_ways_while_one_replaces_the_other', async (t) => {
	const verify = await documentedVerify();
	const second = 'a plain text of enough bytes'.replaceAll(' ', '-');
	const { receiver, service, key } = await begin(t, { env: { WEBHOOK_SECRET: `${SECRET} ${second}` } });
	await service.connect({ key, branch_id: 'harbour' });
	await eventually(() => assert.ok(receiver.calls.length > 0), SLOW);
	const [call] = receiver.calls;
	assert.equal(verify(SECRET, call.headers, call.body), true);
	assert.equal(verify(second, call.headers, call.body), true);
});

test('events_of_one_review_come_in_order_also_when_some_are_refused_for_a_while', async (t) => {
	const { receiver, service, key } = await begin(t);
	let n = 0;
	receiver.answer = () => (n++ % 3 === 1 ? 500 : 200);
	await service.connect({ key, branch_id: 'harbour' });
	await runJob(service, key);
	const events = await runJob(service, key);
	await caughtUp(service, key);
	const order = new Map(events.map((e) => [e.event_id, e.position]));
	const seen = new Map();
	for (const { id, event } of receiver.taken()) {
		assert.ok(order.get(id) > (seen.get(event.ref) ?? 0), `${event.event} of ${event.ref} came late`);
		seen.set(event.ref, order.get(id));
	}
	assert.equal(receiver.taken().length, events.length);
	assert.equal((await standing(service, key)).parked_total, 0);
});

test('one_event_that_is_always_refused_is_set_aside_and_seen_and_the_others_go_on', async (t) => {
	const { receiver, service, key } = await begin(t, { env: { WEBHOOK_MAX_TRIES: 4 } });
	receiver.answer = ({ event }) => (event.event === 'connection.connected' ? { status: 307, headers: { location: receiver.url } } : 200);
	await service.connect({ key, branch_id: 'harbour' });
	const events = await runJob(service, key);
	const state = await caughtUp(service, key);
	assert.equal(state.parked_total, 1);
	const [parked] = state.parked;
	assert.equal(parked.event, 'connection.connected');
	assert.equal(parked.status, 307);
	assert.match(parked.error, /redirects are not followed/);
	assert.ok(parked.tries >= 4);
	assert.equal(receiver.calls.filter((c) => c.id === parked.event_id).length, parked.tries);
	assert.equal(new Set(receiver.taken().map((c) => c.id)).size, events.length - 1);
	await service.waitForLog('webhook.parked', (line) => line.event_id === parked.event_id);
	assert.match((await service.get('/metrics', { key })).text, /deliveries_total\{consumer="webhook",outcome="parked"\} 1\n/);
});

test('a_receiver_that_is_away_is_asked_by_one_at_a_time_and_loses_nothing', async (t) => {
	const { receiver, service, key } = await begin(t, { env: { WEBHOOK_MAX_TRIES: 2 } });
	receiver.answer = () => ({ status: 503, headers: { 'retry-after': '0' } });
	await service.connect({ key, branch_id: 'harbour' });
	const events = await runJob(service, key);
	await service.waitForLog('webhook.lost');
	await eventually(() => assert.ok(receiver.calls.length > 12), SLOW);
	assert.equal((await service.get('/api/v1/ready')).status, 200);
	assert.equal((await standing(service, key)).parked_total, 0);
	receiver.answer = () => 200;
	await caughtUp(service, key);
	await service.waitForLog('webhook.works_again');
	assert.deepEqual(new Set(receiver.taken().map((c) => c.id)), new Set(events.map((e) => e.event_id)));
	assert.equal(service.logs().filter((line) => line.event === 'webhook.lost').length, 1);
});

test('a_receiver_that_takes_nothing_for_too_long_has_its_events_set_aside', async (t) => {
	const { receiver, service, key } = await begin(t, { env: { WEBHOOK_GIVE_UP_SEC: 1 } });
	receiver.answer = () => 400;
	await service.connect({ key, branch_id: 'harbour' });
	const state = await eventually(async () => {
		const now = await standing(service, key);
		assert.ok(now.parked_total >= 1);
		return now;
	}, SLOW);
	assert.equal(state.parked[0].status, 400);
	assert.ok(receiver.taken().length === 0);
});

test('410_stops_deliveries_until_the_next_start', async (t) => {
	const { receiver, service, key } = await begin(t);
	receiver.answer = () => 410;
	await service.connect({ key, branch_id: 'harbour' });
	await service.waitForLog('webhook.gone');
	const n = receiver.calls.length;
	await runJob(service, key);
	assert.ok((await standing(service, key)).lag > 0);
	assert.equal((await standing(service, key)).connected, false);
	assert.equal(receiver.calls.length, n);
	receiver.answer = () => 200;
	await service.restart();
	await caughtUp(service, key);
	const events = await stored(service, key);
	assert.deepEqual(receiver.taken().map((c) => c.id).sort(), events.map((e) => e.event_id).sort());
});

test('a_slow_receiver_is_given_up_after_its_time_and_holds_eight_at_most', async (t) => {
	const { receiver, service, key } = await begin(t, { env: { WEBHOOK_TIMEOUT_SEC: 1 } });
	let open;
	const gate = new Promise((resolve) => (open = resolve));
	receiver.answer = async () => {
		await gate;
		return 200;
	};
	await service.connect({ key, branch_id: 'harbour' });
	await runJob(service, key);
	await service.waitForLog('webhook.lost', (line) => line.status === 0, 60000);
	assert.equal((await service.get('/api/v1/ready')).status, 200);
	open();
	receiver.answer = () => 200;
	await caughtUp(service, key);
	assert.deepEqual(new Set(receiver.calls.map((c) => c.id)), new Set((await stored(service, key)).map((e) => e.event_id)));
});

test('kill_9_repeats_at_most_what_was_in_hand_and_another_process_goes_on', async (t) => {
	const postgres = await startPostgres({ t });
	const { receiver, google, service, env, key } = await begin(t, { postgres });
	const other = await startService({ t, simulator: google, env, dir: service.dir, databaseUrl: service.databaseUrl });
	const taken = (one) => one.logs().some((line) => line.event === 'delivery.taken');
	await eventually(() => assert.ok(taken(service) || taken(other)), SLOW);
	const [holder, heir] = taken(service) ? [service, other] : [other, service];
	let held = 0;
	receiver.answer = async ({ id }) => {
		if (holder.program.isRunning && ++held === 6) {
			await holder.kill();
			assert.ok(id);
		}
		return 200;
	};
	await heir.connect({ key, branch_id: 'harbour' });
	const events = await runJob(heir, key);
	await heir.waitForLog('delivery.taken', () => true, 60000);
	await caughtUp(heir, key);
	assert.ok(!holder.program.isRunning);
	const ids = receiver.calls.map((c) => c.id);
	assert.deepEqual(new Set(ids), new Set(events.map((e) => e.event_id)));
	// Behind the oldest that has no answer, up to a window of 64 may have been taken.
	assert.ok(ids.length - new Set(ids).size <= 64, `${ids.length - new Set(ids).size} repeated`);
});

test('settings_that_cannot_work_stop_the_start', async (t) => {
	const service = await startService({ t });
	await service.stop();
	const refused = (env) => {
		service.options = { ...service.options, env: { ...FAST, ...env } };
		const { code, stderr } = service.cli('serve');
		assert.notEqual(code, 0);
		return stderr;
	};
	assert.match(refused({ WEBHOOK_URL: 'http://shop.example/hook', WEBHOOK_SECRET: SECRET }), /WEBHOOK_URL.*https/);
	assert.match(refused({ WEBHOOK_URL: 'https://shop.example/hook', WEBHOOK_SECRET: 'short' }), /WEBHOOK_SECRET.*16/);
	assert.match(refused({ WEBHOOK_URL: 'https://shop.example/hook', WEBHOOK_SECRET: 'whsec_§§' }), /WEBHOOK_SECRET.*base64/);
	assert.match(refused({ KAFKA_BOOTSTRAP_SERVERS: 'a:1', KAFKA_SECURITY_PROTOCOL: 'sasl_ssl' }), /KAFKA_USERNAME/);
});
