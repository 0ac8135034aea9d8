// SPDX-License-Identifier: Apache-2.0
// Delivery to Kafka by the real binary, to a broker that goes and comes back.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { startKafka } from './lib/kafka.mjs';
import { startPostgres } from './lib/postgres.mjs';
import { eventually, startService, startSimulator } from './lib/service.mjs';

const WORLD = ['--users', '1', '--accounts', '1', '--locations', '3', '--reviews', '8'];
const FAST = { GOOGLE_REQUESTS_PER_MINUTE: 600000, RETRY_INITIAL_BACKOFF_MS: 10, RETRY_MAX_BACKOFF_MS: 200, RETRY_MAX_RETRIES: 1 };
const SLOW = { timeout: 60000, every: 200 };

async function begin(t, options = {}) {
	const kafka = await startKafka({ t });
	const google = await startSimulator({ t, args: options.args ?? WORLD });
	const env = { ...FAST, KAFKA_BOOTSTRAP_SERVERS: kafka.servers };
	const service = await startService({ t, simulator: google, env, ...options });
	return { kafka, google, service, env, key: await service.key('admin') };
}

async function runJob(service, key, branch_id = 'harbour') {
	const started = await service.post('/api/v1/review-fetch', { branch_id }, { key });
	assert.equal(started.status, 202, started.text);
	await eventually(async () => {
		const { json } = await service.get(`/api/v1/status/${started.json.job_id}`, { key });
		assert.match(json.status, /completed|partial|failed/);
		// On PostgreSQL an event has its place in the order a moment after its commit.
		const events = (await service.get('/api/v1/events?kind=job&limit=500', { key, headers: { accept: 'application/json' } })).json.events;
		assert.ok(events.some((e) => e.ref === started.json.job_id && e.event === `job.${json.status}`));
	}, SLOW);
	return started.json.job_id;
}

const health = async (service) => (await service.get('/api/v1/health')).json;
const stored = async (service, key) => {
	const { json } = await service.get('/api/v1/events?kind=review&limit=500', { key, headers: { accept: 'application/json' } });
	return json.events;
};
const standing = async (service, key) => (await service.get('/api/v1/deliveries', { key })).json.deliveries.find((d) => d.consumer === 'kafka');
const caughtUp = (service, key) => eventually(async () => {
	const state = await standing(service, key);
	assert.equal(state.lag, 0, JSON.stringify(state));
	return state;
}, SLOW);
const ids = (messages) => messages.map((m) => m.value.event_id);

test('every_review_change_reaches_reviews_raw_once_in_the_original_fields_and_without_a_token', async (t) => {
	const { kafka, google, service, key } = await begin(t);
	await eventually(async () => assert.equal((await health(service)).kafka_connected, true), SLOW);
	await service.connect({ key, branch_id: 'harbour' });
	await runJob(service, key);
	const events = await stored(service, key);
	assert.ok(events.length >= 10);
	await caughtUp(service, key);
	const messages = kafka.read('reviews-raw');
	assert.deepEqual(ids(messages).sort(), events.map((e) => e.event_id).sort());
	for (const m of messages) {
		assert.equal(m.key, m.value.review_id);
		assert.equal(m.value.type, 'review_raw');
		assert.equal(m.value.event, 'review.new');
		assert.equal(m.value.branch_id, 'harbour');
		for (const field of ['job_id', 'location_id', 'account_id', 'rating', 'text', 'reviewer_name', 'timestamp', 'change_time',
			'google_review_id', 'comment', 'review_created_time', 'reply_text', 'reply_time', 'created_at', 'updated_at'])
			assert.ok(field in m.value, field);
	}
	const token = (await service.get('/token-management/tokens/harbour', { key })).json.access_token;
	assert.ok(token.length > 10);
	assert.ok(!JSON.stringify(messages).includes(token));
	assert.ok(google);
	const metrics = (await service.get('/metrics', { key })).text;
	assert.match(metrics, /review_fetcher_deliveries_total\{consumer="kafka",outcome="delivered"\} \d\d\n/);
	assert.match(metrics, /review_fetcher_delivery_lag\{consumer="kafka"\} 0\n/);
	assert.match(metrics, /review_fetcher_kafka_connected 1\n/);
	// A second life goes on behind what was acknowledged.
	await service.restart();
	await runJob(service, key);
	await caughtUp(service, key);
	assert.equal(kafka.read('reviews-raw').length, events.length);
});

test('a_broker_that_goes_away_costs_nothing_but_time_and_is_said_once', async (t) => {
	const { kafka, service, key } = await begin(t);
	await service.waitForLog('kafka.connected');
	await kafka.down();
	await service.waitForLog('kafka.lost');
	await service.connect({ key, branch_id: 'harbour' });
	await runJob(service, key);
	assert.equal((await health(service)).kafka_connected, false);
	assert.equal((await service.get('/api/v1/ready')).status, 200);
	assert.ok((await standing(service, key)).lag >= 10);
	await eventually(async () => { // told although nobody can deliver
		const { text } = await service.get('/metrics', { key });
		assert.match(text, /review_fetcher_delivery_lag\{consumer="kafka"\} [1-9]\d/);
		assert.match(text, /review_fetcher_delivery_lag_seconds\{consumer="kafka"\} [1-9]/);
	}, SLOW);
	await kafka.up();
	await caughtUp(service, key);
	assert.deepEqual(new Set(ids(kafka.read('reviews-raw'))), new Set((await stored(service, key)).map((e) => e.event_id)));
	assert.equal((await health(service)).kafka_connected, true);
	const said = service.logs().filter((line) => /^kafka\.(lost|connected)$/.test(line.event)).map((line) => line.event);
	assert.deepEqual(said, ['kafka.connected', 'kafka.lost', 'kafka.connected']);
});

test('a_broker_that_refuses_for_a_while_gets_all_in_the_order_of_each_review', async (t) => {
	const { kafka, google, service, key } = await begin(t);
	await service.waitForLog('kafka.connected');
	await service.connect({ key, branch_id: 'harbour' });
	await kafka.refuse(4, 19); // NOT_ENOUGH_REPLICAS: to be tried again
	await runJob(service, key);
	await caughtUp(service, key);
	const messages = kafka.read('reviews-raw');
	assert.deepEqual([...new Set(ids(messages))].sort(), (await stored(service, key)).map((e) => e.event_id).sort());
	assert.ok(google);
});

test('what_failed_of_a_job_is_a_dead_letter_under_its_id', async (t) => {
	const { kafka, google, service, key } = await begin(t);
	await service.connect({ key, branch_id: 'harbour' });
	await google.fault({ target: 'reviews', status: 500 });
	const job = await runJob(service, key);
	await caughtUp(service, key);
	const letters = kafka.read('reviews-dlq');
	assert.equal(letters.length, 3, JSON.stringify(letters));
	for (const { key: letterKey, value } of letters) {
		assert.equal(letterKey, job);
		assert.equal(value.type, 'dlq');
		assert.equal(value.job_id, job);
		assert.equal(value.original_topic, 'fetch-reviews');
		assert.equal(value.original_message.type, 'fetch_reviews');
		assert.ok(value.original_message.location_id && value.original_message.account_id);
		assert.ok(!('access_token' in value.original_message));
		assert.ok(value.error.length > 0);
		assert.equal(value.error_code, '500');
	}
	assert.equal(new Set(letters.map((l) => l.value.event_id)).size, 3);
});

test('another_process_takes_over_after_kill_9_and_an_event_that_is_too_large_does_not_stop_the_rest', async (t) => {
	const postgres = await startPostgres({ t });
	const { kafka, google, service, env, key } = await begin(t, { postgres });
	const other = await startService({ t, simulator: google, env, dir: service.dir, databaseUrl: service.databaseUrl });
	const taken = (one) => one.logs().some((line) => line.event === 'delivery.taken');
	await eventually(() => assert.ok(taken(service) || taken(other)), SLOW);
	const [holder, heir] = taken(service) ? [service, other] : [other, service];
	await heir.connect({ key, branch_id: 'harbour' });
	await runJob(heir, key);
	await caughtUp(heir, key);
	const events = await stored(heir, key);
	assert.deepEqual(ids(kafka.read('reviews-raw')).sort(), events.map((e) => e.event_id).sort(), 'two processes, each event once');
	await holder.kill();
	postgres.query(service.databaseUrl.split('/').pop(), `INSERT INTO events (event_id, kind, ref, data, at_ms)
		VALUES ('00000000000000000000000000000001', 'review.new', 'huge', '{"job_id":"job-1","text":"' || repeat('x', 3000000) || '"}', 1),
		('00000000000000000000000000000002', 'review.new', 'small', '{"event_id":"00000000000000000000000000000002"}', 2)`);
	await heir.waitForLog('delivery.taken', () => true, 60000);
	await eventually(() => assert.ok(ids(kafka.read('reviews-raw')).includes('00000000000000000000000000000002')), SLOW);
	const [letter] = kafka.read('reviews-dlq').filter((l) => l.key === 'job-1');
	assert.equal(letter.value.original_topic, 'reviews-raw');
	assert.equal(letter.value.original_message.review_id, 'huge');
	assert.match((await heir.get('/metrics', { key })).text, /deliveries_total\{consumer="kafka",outcome="parked"\} 1\n/);
	assert.equal(new Set(ids(kafka.read('reviews-raw'))).size, events.length + 1);
});

test('doctor_asks_the_brokers_and_names_what_to_mend', async (t) => {
	const { kafka, service } = await begin(t);
	assert.match(service.cli('doctor').stdout, /^ok +kafka +127\.0\.0\.1:\d+ answers, of 1 broker$/m);
	await kafka.down();
	assert.match(service.cli('doctor').stdout, /^WRONG +kafka .*KAFKA_BOOTSTRAP_SERVERS/m);
});

test('a_process_without_kafka_does_not_load_its_library', async (t) => {
	const google = await startSimulator({ t, args: WORLD });
	const service = await startService({ t, simulator: google });
	const { stdout } = spawnSync('cat', [`/proc/${service.pid}/maps`], { encoding: 'utf8' });
	assert.match(stdout, /libcurl/);
	assert.doesNotMatch(stdout, /librdkafka/);
	assert.equal((await health(service)).kafka_connected, false);
});
