// SPDX-License-Identifier: Apache-2.0
// Security events that Google posts: what each of them does to the connections, and what is refused.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';
import { startPostgres } from './lib/postgres.mjs';
import { eventually, send, startService, startSimulator } from './lib/service.mjs';

const APP = 'demo-app.apps.googleusercontent.com';
const RISC = 'https://schemas.openid.net/secevent/risc/event-type/';
let google;
let service;
let key;
let people;

before(async () => {
	google = await startSimulator({ args: ['--users', '8'] });
	service = await startService({ simulator: google });
	key = await service.key('admin');
	people = await google.people();
});
after(async () => {
	await service?.end();
	await google?.end();
});
beforeEach(async () => {
	await google.calm();
});

const post = (token, to = service) =>
	to.request('POST', '/token-management/events/google', { body: token, headers: { 'content-type': 'application/secevent+jwt' } });
const event = async (fields, from = google) => (await from.control('POST', '/security_event', { client_id: APP, ...fields })).token;
const deliver = async (fields) => {
	const answer = await post(await event(fields));
	assert.equal(answer.status, 202, answer.text);
	assert.equal(answer.text, '');
};
// Later than any refresh so far, by more than two clocks may differ: about the grant that stands.
const soon = () => ({ iat: Math.floor(Date.now() / 1000) + 120 });
const status = async (branch) => {
	const answer = await service.get(`/token-management/clients?q=${branch}`, { key });
	return answer.json.clients.find((c) => c.branch_identifier === branch);
};
const audit = async (branch) => (await service.get(`/token-management/audit?branch_id=${branch}`, { key })).json.events;
const refreshTokenOf = async (person) => {
	const lines = (await send('GET', `${google.url}/_control/grants?tokens=1`)).text.trim().split('\n').map((line) => JSON.parse(line));
	return lines.filter((line) => line.user === person).at(-1).refresh_token;
};
const asked = async (kind, of = google) => Object.values((await of.counts()).by_kind[kind] ?? {}).reduce((sum, n) => sum + n, 0);
const connect = (branch, person, more = {}) => service.connect({ key, branch_id: branch, workspace_email: people[person], choice: { account: people[person] }, ...more });

describe('what an event does', () => {
	test('token_revoked_ends_the_one_connection_that_its_double_hash_names', async () => {
		await connect('hash-a', 0);
		await connect('hash-b', 0);
		await deliver({ type: 'token-revoked', refresh_token: await refreshTokenOf(0) });
		const ended = await status('hash-b');
		assert.equal(ended.status, 'needs_reconnect');
		assert.match(ended.status_reason, /Google has revoked this grant/);
		assert.equal((await service.token('hash-b', { key })).status, 409);
		assert.equal((await service.token('hash-a', { key })).status, 200, 'the same account, another grant');
		const [last] = await audit('hash-b');
		assert.equal(last.action, 'connection.needs_reconnect');
		assert.equal(last.actor, 'google');
	});

	test('token_revoked_is_found_by_its_first_sixteen_characters_too', async () => {
		await connect('prefix', 0);
		await deliver({ type: 'token-revoked', refresh_token: await refreshTokenOf(0), identifier: 'prefix' });
		assert.equal((await status('prefix')).status, 'needs_reconnect');
	});

	test('a_token_of_nobody_here_is_acknowledged_and_ends_nothing', async () => {
		await connect('bystander', 0);
		await deliver({ type: 'token-revoked', refresh_token: '1//0gAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' });
		assert.equal((await status('bystander')).status, 'connected');
	});

	test('tokens_revoked_ends_all_connections_of_the_account_and_project_and_no_others', async () => {
		await connect('all-a', 1);
		await connect('all-b', 1);
		await connect('all-other-app', 1, { client_id: 'other-app.apps.googleusercontent.com', client_secret: 'x' });
		await connect('all-other-person', 2);
		await deliver({ type: 'tokens-revoked', user: people[1], claims: soon() });
		assert.equal((await status('all-a')).status, 'needs_reconnect');
		assert.equal((await status('all-b')).status, 'needs_reconnect');
		assert.equal((await status('all-other-app')).status, 'connected');
		assert.equal((await status('all-other-person')).status, 'connected');
		assert.equal((await service.token('all-a', { key })).status, 409);
	});

	test('tokens_revoked_that_may_be_older_than_the_grant_asks_google_and_takes_no_living_one', async () => {
		await connect('late', 2);
		await google.control('POST', '/counts/reset');
		await deliver({ type: 'tokens-revoked', user: people[2], claims: { iat: Math.floor(Date.now() / 1000) - 30 } });
		await eventually(async () => assert.ok(await asked('token_refresh') >= 1));
		assert.ok((await audit('late')).some((a) => a.action === 'connection.checked' && a.detail.event === 'tokens-revoked'));
		await eventually(async () => assert.equal((await status('late')).status, 'connected'));
	});

	test('tokens_revoked_in_doubt_of_a_grant_that_is_dead_ends_it_by_googles_answer', async () => {
		await connect('late-dead', 3);
		await google.control('POST', '/tokens', { op: 'kill', user: people[3] });
		await deliver({ type: 'tokens-revoked', user: people[3] });
		await eventually(async () => assert.equal((await status('late-dead')).status, 'needs_reconnect'));
	});

	test('sessions_revoked_asks_google_at_once_and_keeps_a_grant_that_lives', async () => {
		await connect('sessions', 4);
		await google.control('POST', '/counts/reset');
		await deliver({ type: 'sessions-revoked', user: people[4], claims: soon() });
		await eventually(async () => assert.equal(await asked('token_refresh'), 1));
		await eventually(async () => assert.equal((await status('sessions')).status, 'connected'));
		await google.control('POST', '/tokens', { op: 'kill', user: people[4] });
		await deliver({ type: 'sessions-revoked', user: people[4], claims: soon() });
		await eventually(async () => assert.equal((await status('sessions')).status, 'needs_reconnect'));
	});

	test('a_credential_change_asks_google_at_once', async () => {
		await connect('credentials', 5);
		await google.control('POST', '/tokens', { op: 'kill', user: people[5] });
		await deliver({ type: 'account-credential-change-required', user: people[5] });
		await eventually(async () => assert.equal((await status('credentials')).status, 'needs_reconnect'));
	});

	test('account_disabled_suspends_with_its_reason_and_account_enabled_tries_the_grant_again', async () => {
		await connect('suspended', 6);
		await deliver({ type: 'account-disabled', user: people[6], reason: 'hijacking', claims: soon() });
		const c = await status('suspended');
		assert.equal(c.status, 'needs_reconnect');
		assert.match(c.status_reason, /disabled the account \(hijacking\)/);
		assert.equal((await service.token('suspended', { key })).status, 409);
		await deliver({ type: 'account-enabled', user: people[6] });
		await eventually(async () => assert.equal((await status('suspended')).status, 'connected'));
		assert.equal((await service.token('suspended', { key })).status, 200);
	});

	test('account_enabled_revives_nothing_that_google_had_revoked', async () => {
		await connect('not-revived', 7);
		await deliver({ type: 'tokens-revoked', user: people[7], claims: soon() });
		await deliver({ type: 'account-enabled', user: people[7] });
		assert.equal((await status('not-revived')).status, 'needs_reconnect');
		await service.restart();
		assert.equal((await status('not-revived')).status, 'needs_reconnect');
	});

	test('verification_and_kinds_that_nobody_knows_are_acknowledged_and_logged', async () => {
		await deliver({ type: 'verification', state: 'a-test-42' });
		await service.waitForLog('security_event.taken', (line) => line.kind === 'verification' && line.reason === 'a-test-42');
		await deliver({ type: 'account-purged', user: people[0] });
		await service.waitForLog('security_event.unknown');
	});

	test('an_event_counts_once_and_is_acknowledged_each_time', async () => {
		const client = await connect('once', 1);
		const token = await event({ type: 'tokens-revoked', user: people[1], claims: soon() });
		const answers = await Promise.all(Array.from({ length: 8 }, () => post(token)));
		assert.deepEqual(new Set(answers.map((a) => a.status)), new Set([202]));
		assert.equal((await audit('once')).filter((a) => a.action === 'connection.needs_reconnect').length, 1);
		await service.reconnect({ key, id: client.client_id, choice: { account: people[1] } });
		assert.equal((await post(token)).status, 202);
		assert.equal((await status('once')).status, 'connected');
		assert.equal((await service.token('once', { key })).status, 200);
	});
});

// ---- refusals ----

const b64 = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const other = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
const forge = (header, claims, sign) => {
	const text = `${b64(header)}.${b64(claims)}`;
	return `${text}.${sign(text)}`;
};
const rs256 = (privateKey) => (text) => crypto.sign('sha256', Buffer.from(text), privateKey).toString('base64url');

describe('what is refused', () => {
	const claims = () => ({
		iss: 'https://accounts.google.com/', aud: APP, iat: Math.floor(Date.now() / 1000), jti: crypto.randomUUID(),
		events: { [`${RISC}account-disabled`]: { subject: { subject_type: 'iss-sub', iss: 'https://accounts.google.com/', sub: '1' } } },
	});
	const refused = async (token, err) => {
		const answer = await post(token);
		assert.equal(answer.status, 400, answer.text);
		assert.match(answer.headers['content-type'], /^application\/json/);
		assert.equal(answer.json.err, err, answer.text);
		assert.deepEqual(Object.keys(answer.json).sort(), ['description', 'err']);
		return answer;
	};
	const signed = async (change, typ) => (await google.control('POST', '/sign', { claims: { ...claims(), ...change }, typ })).token;
	before(() => connect('refusals', 3)); // so that APP is one of ours

	test('whatever_is_not_signed_under_a_key_of_googles_is_refused_alike', async () => {
		const jwks = (await send('GET', `${google.url}/oauth2/v3/certs`)).json;
		const { kid } = jwks.keys[0];
		const pem = crypto.createPublicKey({ key: jwks.keys[0], format: 'jwk' }).export({ type: 'spki', format: 'pem' });
		const hmac = (text) => crypto.createHmac('sha256', pem).update(text).digest('base64url');
		await refused(forge({ alg: 'HS256', kid }, claims(), hmac), 'invalid_request');
		await refused(forge({ alg: 'none', kid }, claims(), () => ''), 'invalid_request');
		await refused(forge({ alg: 'RS256', kid, crit: ['x'], x: 1 }, claims(), rs256(other.privateKey)), 'invalid_request');
		// Ours and foreign audiences, known and unknown subjects: one answer, so that nothing can be probed.
		const texts = new Set();
		for (const aud of [APP, 'nobody.apps.googleusercontent.com'])
			for (const header of [{ alg: 'RS256', kid }, { alg: 'RS256', kid, jwk: other.publicKey.export({ format: 'jwk' }) }])
				texts.add((await refused(forge(header, { ...claims(), aud }, rs256(other.privateKey)), 'invalid_key')).text);
		texts.add((await refused(forge({ alg: 'RS256', kid }, claims(), hmac), 'invalid_key')).text);
		texts.add((await refused(forge({ alg: 'RS256', kid }, 'not json', () => ''), 'invalid_key')).text);
		assert.equal(texts.size, 1);
	});

	test('an_altered_event_is_refused', async () => {
		const [header, , signature] = (await signed({})).split('.');
		await refused(`${header}.${b64({ ...claims(), iat: 1 })}.${signature}`, 'invalid_key');
	});

	test('another_issuer_or_audience_is_refused', async () => {
		await refused(await signed({ iss: 'https://accounts.google.com.evil.example' }), 'invalid_issuer');
		await refused(await signed({ iss: undefined }), 'invalid_issuer');
		await refused(await signed({ aud: 'stranger.apps.googleusercontent.com' }), 'invalid_audience');
		await refused(await signed({ aud: undefined }), 'invalid_audience');
		await refused(await signed({ aud: [] }), 'invalid_audience');
		assert.equal((await post(await signed({ aud: ['x', APP] }))).status, 202);
	});

	test('what_is_no_security_event_is_refused', async () => {
		await refused(await signed({ events: undefined }), 'invalid_request');
		await refused(await signed({ events: {} }), 'invalid_request');
		await refused(await signed({ events: [] }), 'invalid_request');
		await refused(await signed({ jti: undefined }), 'invalid_request');
		await refused(await signed({ jti: '' }), 'invalid_request');
		await refused(await signed({ jti: 7 }), 'invalid_request');
		await refused(await signed({}, 'at+jwt'), 'invalid_request');
		assert.equal((await post(await signed({}, 'JWT'))).status, 202);
	});

	test('the_time_of_issue_must_make_sense', async () => {
		const now = Math.floor(Date.now() / 1000);
		await refused(await signed({ iat: undefined }), 'invalid_request');
		await refused(await signed({ iat: String(now) }), 'invalid_request');
		await refused(await signed({ iat: now + 3600 }), 'invalid_request');
		await refused(await signed({ iat: now - 15 * 86400 }), 'invalid_request');
		assert.equal((await post(await signed({ iat: now - 13 * 86400 }))).status, 202, 'an exp is not asked for');
	});

	test('what_is_no_token_is_refused_cheaply', async () => {
		for (const body of ['', 'x', '..', 'a.b.c', '{"set":1}', 'A'.repeat(60000), `${'A'.repeat(30000)}.e30.AA`])
			await refused(body, 'invalid_request');
		assert.equal((await post('A'.repeat(70000))).status, 413);
		assert.equal((await service.get('/token-management/events/google')).status, 405);
	});

	test('no_event_and_no_refusal_is_an_error_of_the_service', () => {
		assert.deepEqual(service.logs().filter((line) => line.level === 'error'), []);
	});
});

// ---- Google's keys ----

describe('the keys of google', () => {
	test('they_are_fetched_once_for_many_and_again_for_a_new_one_but_not_at_once', async (t) => {
		const mine = await startSimulator({ t });
		const own = await startService({ t, simulator: mine, env: { GOOGLE_CLIENT_ID: APP, GOOGLE_CLIENT_SECRET: 'x' } });
		const tokens = await Promise.all(Array.from({ length: 10 }, () => event({ type: 'verification' }, mine)));
		const answers = await Promise.all(tokens.map((token) => post(token, own)));
		assert.deepEqual(new Set(answers.map((a) => a.status)), new Set([202]), 'the default app counts as ours');
		assert.equal(await asked('certs', mine), 1);
		await mine.control('POST', '/keys', { rotate: true });
		const answer = await post(await event({ type: 'verification' }, mine), own);
		assert.equal(answer.status, 400, 'a minute has not passed');
		assert.equal(answer.json.err, 'invalid_key');
		assert.equal(await asked('certs', mine), 1);
	});

	test('while_they_cannot_be_had_google_is_told_to_come_again', async (t) => {
		const mine = await startSimulator({ t });
		const own = await startService({ t, simulator: mine, env: { GOOGLE_CLIENT_ID: APP, GOOGLE_CLIENT_SECRET: 'x' } });
		await mine.fault({ target: 'certs', status: 503 });
		const answer = await post(await event({ type: 'verification' }, mine), own);
		assert.equal(answer.status, 503, answer.text);
		assert.ok(Number(answer.headers['retry-after']) >= 1);
		await own.waitForLog('google_keys.lost');
		for (let i = 0; i < 5; i++)
			assert.equal((await post(await event({ type: 'verification' }, mine), own)).status, 503);
		assert.equal(await asked('certs', mine), 1, 'once a minute at most');
	});

	test('a_flood_of_forgeries_is_bounded', async (t) => {
		const mine = await startSimulator({ t });
		const own = await startService({ t, simulator: mine, env: { GOOGLE_CLIENT_ID: APP, GOOGLE_CLIENT_SECRET: 'x' } });
		const forged = forge({ alg: 'RS256', kid: 'simulator-1' }, { iss: 'x' }, rs256(other.privateKey));
		const seen = new Set();
		for (let round = 0; round < 40 && !seen.has(429); round++)
			for (const answer of await Promise.all(Array.from({ length: 50 }, () => post(forged, own))))
				seen.add(answer.status);
		assert.deepEqual([...seen].sort(), [400, 429]);
		assert.equal(await asked('certs', mine), 1);
	});
});

test('over_postgresql_an_event_does_the_same_and_counts_once', async (t) => {
	const postgres = await startPostgres({ t });
	const there = await startService({ t, simulator: google, postgres });
	const made = await there.key('admin');
	const one = await there.connect({ key: made, branch_id: 'pg-one', workspace_email: people[2], choice: { account: people[2] } });
	await there.connect({ key: made, branch_id: 'pg-two', workspace_email: people[2], choice: { account: people[2] } });
	const state = async (branch) => (await there.get(`/token-management/clients?q=${branch}`, { key: made })).json.clients[0].status;
	assert.equal((await post(await event({ type: 'token-revoked', refresh_token: await refreshTokenOf(2) }), there)).status, 202);
	assert.deepEqual([await state('pg-one'), await state('pg-two')], ['connected', 'needs_reconnect']);
	const disabled = await event({ type: 'account-disabled', user: people[2], claims: soon() });
	const answers = await Promise.all(Array.from({ length: 6 }, () => post(disabled, there)));
	assert.deepEqual(new Set(answers.map((a) => a.status)), new Set([202]));
	assert.equal(await state('pg-one'), 'needs_reconnect');
	assert.equal((await post(await event({ type: 'account-enabled', user: people[2] }), there)).status, 202);
	await eventually(async () => assert.equal(await state('pg-one'), 'connected'));
	assert.equal((await post(disabled, there)).status, 202);
	assert.equal(await state('pg-one'), 'connected');
	await there.reconnect({ key: made, id: one.client_id, choice: { account: people[2] } });
	assert.equal((await post(await event({ type: 'sessions-revoked', user: people[2] }), there)).status, 202);
});

test('what_one_process_hears_ends_the_token_in_the_memory_of_another_and_once_for_both', async (t) => {
	const postgres = await startPostgres({ t });
	const here = await startService({ t, simulator: google, postgres });
	const there = await startService({ t, simulator: google, postgres, dir: here.dir });
	const made = await here.key('admin');
	await here.connect({ key: made, branch_id: 'shared', workspace_email: people[4], choice: { account: people[4] } });
	await eventually(async () => assert.equal((await there.token('shared', { key: made })).status, 200));
	const gone = await event({ type: 'tokens-revoked', user: people[4], claims: soon() });
	const answers = await Promise.all([post(gone, here), post(gone, there), post(gone, here), post(gone, there)]);
	assert.deepEqual(new Set(answers.map((a) => a.status)), new Set([202]));
	await eventually(async () => assert.equal((await there.token('shared', { key: made })).status, 409));
	await eventually(async () => assert.equal((await here.token('shared', { key: made })).status, 409)); // it hears of what the other did
	const { json } = await here.get('/token-management/audit?branch_id=shared&action=connection.needs_reconnect', { key: made });
	assert.equal(json.events.length, 1);
});
