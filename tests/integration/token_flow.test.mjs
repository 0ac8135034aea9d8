// SPDX-License-Identifier: Apache-2.0
// From registering a branch to a token that works now, through the real binary and a Google played on
// loopback: the five routes, refreshing once, rotation, outages and dead grants.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, beforeEach, describe, test } from 'node:test';
import { CookieJar, eventually, send, startService, startSimulator } from './lib/service.mjs';
import { readTogether } from './lib/crowd.mjs';

const SCOPE = 'https://www.googleapis.com/auth/business.manage';

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
beforeEach(async () => {
	await google.calm();
});

// What Google says of an access token: the accounts that it opens.
async function accountsOf(token) {
	const answer = await send('GET', `${google.url}/v1/accounts`, { headers: { authorization: `Bearer ${token}` } });
	assert.equal(answer.status, 200, `Google refused the token: ${answer.text}`);
	return answer.json.accounts.map((account) => account.name).sort();
}

async function readToken(branch, options = {}) {
	const answer = await service.token(branch, { key, ...options });
	assert.equal(answer.status, 200, answer.text);
	return answer.json;
}

// Connects a branch whose first access token lives only so long, and whose later ones live as usual.
async function connectShortLived(branch, seconds) {
	await google.fault({ target: 'token_code', expires_in: seconds });
	const client = await service.connect({ key, branch_id: branch });
	await google.calm();
	return client;
}

const lifeLeft = (json) => Date.parse(json.expires_at) - Date.now();

describe('the five routes', () => {
	test('a_branch_registers_logs_in_and_hands_out_a_token_that_google_accepts', async () => {
		const redirect = `${service.url}/token-management/auth/callback`;
		const client = await service.register({ key, branch_id: 'five-routes', workspace_name: 'Five Routes' });
		assert.equal(client.success, true);
		assert.ok(Number.isInteger(client.client_id));
		assert.ok(Number.isInteger(client.branch_id));
		assert.equal(client.branch_identifier, 'five-routes');
		assert.equal(client.client_oauth_id, 'demo-app.apps.googleusercontent.com');
		assert.equal(client.workspace_name, 'Five Routes');
		assert.equal(client.email, 'five-routes@example.com');
		assert.equal(client.redirect_uri, redirect);
		assert.match(client.created_at, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
		assert.ok(!JSON.stringify(client).includes('demo-app-secret'));

		const { location, jar } = await service.login({ key, id: client.client_id });
		const asked = new URL(location).searchParams;
		assert.equal(asked.get('response_type'), 'code');
		assert.equal(asked.get('redirect_uri'), redirect);
		assert.equal(asked.get('access_type'), 'offline');
		assert.equal(asked.get('prompt'), 'consent');
		assert.equal(asked.get('code_challenge_method'), 'S256');
		assert.match(asked.get('code_challenge'), /^[A-Za-z0-9_-]{43}$/);
		assert.ok(asked.get('state').length >= 22);
		assert.ok(asked.get('scope').split(' ').includes(SCOPE));

		const back = await service.consent(location);
		const callback = await send('GET', back, { jar });
		assert.equal(callback.status, 200, callback.text);
		assert.equal(callback.json.success, true);
		assert.equal(callback.json.client_id, 'demo-app.apps.googleusercontent.com');
		assert.ok(lifeLeft(callback.json) > 3000 * 1000);
		assert.equal(callback.json.access_token, undefined);
		assert.equal(callback.json.refresh_token, undefined);

		const token = await readToken('five-routes');
		assert.equal(token.success, true);
		assert.equal(token.token_type, 'Bearer');
		assert.equal(token.refresh_token, null);
		assert.ok(token.scope.split(' ').includes(SCOPE));
		assert.ok(token.expires_in > 3000 && token.expires_in <= 3600);
		assert.ok((await accountsOf(token.access_token)).length > 0);

		const refreshed = await service.post('/token-management/tokens/refresh', { client_id: client.client_id }, { key });
		assert.equal(refreshed.status, 200, refreshed.text);
		assert.notEqual(refreshed.json.access_token, token.access_token);
		assert.equal(refreshed.json.refresh_token, null);
		assert.equal((await readToken('five-routes')).access_token, refreshed.json.access_token);
	});

	test('a_branch_that_is_there_already_is_a_conflict', async () => {
		await service.register({ key, branch_id: 'twice' });
		const again = await service.post('/token-management/clients', {
			client_id: 'x', client_secret: 'y', redirect_uri: `${service.url}/token-management/auth/callback`,
			branch_id: 'twice', workspace_email: 'twice@example.com', workspace_name: 'Twice',
		}, { key });
		assert.equal(again.status, 409, again.text);
		assert.equal(again.json.detail, 'Branch ID already exists');
		assert.match(again.headers['content-type'], /^application\/problem\+json/);
	});

	test('a_branch_that_never_connected_is_told_to', async () => {
		await service.register({ key, branch_id: 'never-connected' });
		const answer = await service.token('never-connected', { key });
		assert.equal(answer.status, 409, answer.text);
	});

	test('an_unknown_branch_is_not_there', async () => {
		assert.equal((await service.token('nobody', { key })).status, 404);
	});

	test('no_token_without_a_key_and_none_with_a_key_of_another_scope', async () => {
		await service.connect({ key, branch_id: 'guarded' });
		assert.equal((await service.token('guarded')).status, 401);
		assert.equal((await service.token('guarded', { key: 'rf_nobody_nothing' })).status, 401);
		const reader = await service.key('reviews:read');
		assert.equal((await service.token('guarded', { key: reader })).status, 403);
		const bound = await service.key('tokens:read', { branches: ['elsewhere'] });
		assert.equal((await service.token('guarded', { key: bound })).status, 404);
	});
});

describe('connecting', () => {
	test('two_branches_with_one_app_and_one_redirect_uri_never_mix', async () => {
		const first = await service.register({ key, branch_id: 'mix-a' });
		const second = await service.register({ key, branch_id: 'mix-b' });
		const a = await service.login({ key, id: first.client_id });
		const b = await service.login({ key, id: second.client_id });
		const people = await google.people();
		assert.ok(people.length >= 2, 'the simulator offers two accounts to choose from');
		// Both flows are open at once, and end in the other order.
		const backA = await service.consent(a.location, { account: people[0] });
		const backB = await service.consent(b.location, { account: people[1] });
		assert.equal((await send('GET', backB, { jar: b.jar })).json.branch_id, second.branch_identifier);
		assert.equal((await send('GET', backA, { jar: a.jar })).json.branch_id, first.branch_identifier);
		const seenA = await accountsOf((await readToken('mix-a')).access_token);
		const seenB = await accountsOf((await readToken('mix-b')).access_token);
		assert.deepEqual(seenA.filter((name) => seenB.includes(name)), []);
	});

	test('a_callback_in_another_browser_connects_nothing', async () => {
		const client = await service.register({ key, branch_id: 'other-browser' });
		const { location, jar } = await service.login({ key, id: client.client_id });
		const back = await service.consent(location);
		const before = await google.counts();
		const stolen = await send('GET', back, { jar: new CookieJar() });
		assert.equal(stolen.status, 400, stolen.text);
		assert.equal((await google.counts()).token_code, before.token_code, 'the code was sent on');
		assert.ok(jar.cookies.size > 0);
	});

	test('a_callback_counts_once', async () => {
		const client = await service.register({ key, branch_id: 'once' });
		const { location, jar } = await service.login({ key, id: client.client_id });
		const back = await service.consent(location);
		assert.equal((await send('GET', back, { jar })).status, 200);
		const before = await google.counts();
		assert.equal((await send('GET', back, { jar })).status, 400);
		assert.equal((await google.counts()).token_code, before.token_code, 'the code was sent twice');
		assert.equal((await service.token('once', { key })).status, 200);
	});

	test('a_person_who_refuses_leaves_the_branch_as_it_was', async () => {
		const client = await service.register({ key, branch_id: 'refused' });
		const { location, jar } = await service.login({ key, id: client.client_id });
		const back = await service.consent(location, { allow: false });
		const answer = await send('GET', back, { jar });
		assert.equal(answer.status, 400, answer.text);
		assert.equal((await service.token('refused', { key })).status, 409);
		await service.reconnect({ key, id: client.client_id });
		assert.equal((await service.token('refused', { key })).status, 200);
	});

	test('an_unticked_review_scope_keeps_no_token', async () => {
		const client = await service.register({ key, branch_id: 'unticked' });
		const { location, jar } = await service.login({ key, id: client.client_id });
		const back = await service.consent(location, { scopes: [] });
		const answer = await send('GET', back, { jar });
		assert.equal(answer.status, 403, answer.text);
		assert.equal((await service.token('unticked', { key })).status, 409);
	});

	test('a_connect_link_needs_no_key_and_serves_one_browser', async () => {
		const client = await service.register({ key, branch_id: 'by-link' });
		const made = await service.post(`/token-management/clients/${client.client_id}/connect-link`, {}, { key });
		assert.ok(made.status === 200 || made.status === 201, made.text);
		const link = service.local(made.json.url);
		assert.ok(Date.parse(made.json.expires_at) > Date.now());
		const jar = new CookieJar();
		const opened = await send('GET', link, { jar });
		assert.equal(opened.status, 307, opened.text);
		const stranger = await send('GET', link, { jar: new CookieJar() });
		assert.notEqual(stranger.status, 307, 'a second browser got in');
		const back = await service.consent(opened.headers.location);
		assert.equal((await send('GET', back, { jar })).status, 200);
		assert.equal((await service.token('by-link', { key })).status, 200);
		const late = await send('GET', link, { jar });
		assert.notEqual(late.status, 307, 'a spent link still works');
	});

	test('a_browser_gets_a_page_and_no_token_in_it', async () => {
		const client = await service.register({ key, branch_id: 'page' });
		const { location, jar } = await service.login({ key, id: client.client_id });
		const back = await service.consent(location);
		const headers = { accept: 'text/html,application/xhtml+xml' };
		const sent = await send('GET', back, { jar, headers });
		assert.equal(sent.status, 303, sent.text);
		const page = await send('GET', new URL(sent.headers.location, back), { jar, headers });
		assert.equal(page.status, 200);
		assert.match(page.headers['content-type'], /^text\/html/);
		const { access_token: token } = await readToken('page');
		assert.ok(!page.text.includes(token));
		assert.ok(!JSON.stringify(sent.headers).includes(token));
	});
});

describe('refreshing', () => {
	test('a_fresh_token_is_served_from_memory_without_asking_google', async () => {
		await service.connect({ key, branch_id: 'calm' });
		const before = await google.counts();
		const first = await readToken('calm');
		for (let i = 0; i < 20; i++)
			assert.equal((await readToken('calm')).access_token, first.access_token);
		assert.equal((await google.counts()).token_refresh, before.token_refresh);
	});

	test('a_token_with_less_life_than_the_margin_is_refreshed_before_it_ends', async () => {
		await connectShortLived('margin', 6); // the margin is at most half of a token's life
		const before = await google.counts();
		const first = await readToken('margin');
		assert.equal((await google.counts()).token_refresh, before.token_refresh, 'refreshed too early');
		await eventually(async () => assert.notEqual((await readToken('margin')).access_token, first.access_token));
		assert.ok(lifeLeft(first) > 0, 'it was refreshed only after it had ended');
		assert.equal((await google.counts()).token_refresh, before.token_refresh + 1);
	});

	test('ten_thousand_readers_of_one_expired_token_cost_one_refresh', async (t) => {
		const crowd = Number(process.env.TEST_CROWD ?? 10000); // fewer where a sanitizer slows all down
		const wide = await startService({ t, simulator: google, env: { API_MAX_CONNECTIONS: crowd + 1000, LOG_LEVEL: 'info' } });
		const reader = await wide.key('admin');
		await google.fault({ target: 'token_code', expires_in: 1 });
		await wide.connect({ key: reader, branch_id: 'crowd' });
		await google.calm();
		const old = await wide.token('crowd', { key: reader });
		await eventually(() => assert.ok(Date.parse(old.json.expires_at) < Date.now()));
		const before = await google.counts();
		await google.fault({ target: 'token_refresh', latency_ms: 3000, count: 1 });
		const answers = await readTogether({ port: wide.port, path: '/token-management/tokens/crowd', key: reader, count: crowd });
		const counts = await google.counts();
		assert.equal(answers.length, crowd);
		assert.deepEqual([...new Set(answers.map((a) => a.status))], [200]);
		const tokens = new Set(answers.map((a) => a.json.access_token));
		assert.equal(tokens.size, 1);
		assert.ok(!tokens.has(old.json.access_token));
		assert.equal(counts.token_refresh - before.token_refresh, 1);
	});

	test('a_rotated_refresh_token_replaces_the_old_one_also_over_a_restart', async () => {
		await google.fault({ target: 'token', rotate_refresh_tokens: true, reuse_detection: true });
		const client = await service.connect({ key, branch_id: 'rotating' });
		const refresh = () => service.post('/token-management/tokens/refresh', { client_id: client.client_id }, { key });
		for (let i = 0; i < 3; i++)
			assert.equal((await refresh()).status, 200);
		await service.kill();
		await service.restart();
		for (let i = 0; i < 3; i++)
			assert.equal((await refresh()).status, 200);
		assert.equal((await google.counts()).refresh_reused, 0);
	});

	test('a_response_without_refresh_token_keeps_the_old_one', async () => {
		const client = await service.connect({ key, branch_id: 'keeps' });
		for (let i = 0; i < 2; i++) {
			const answer = await service.post('/token-management/tokens/refresh', { client_id: client.client_id }, { key });
			assert.equal(answer.status, 200, answer.text);
		}
		await service.restart();
		const answer = await service.post('/token-management/tokens/refresh', { client_id: client.client_id }, { key });
		assert.equal(answer.status, 200, answer.text);
	});

	test('a_response_without_expires_in_still_serves', async () => {
		await google.fault({ target: 'token', omit_expires_in: true });
		await service.connect({ key, branch_id: 'endless' });
		const token = await readToken('endless');
		assert.ok(lifeLeft(token) > 0);
	});

	test('a_token_survives_a_restart_without_a_refresh', async () => {
		await service.connect({ key, branch_id: 'lasting' });
		const first = await readToken('lasting');
		const before = await google.counts();
		await service.restart();
		assert.equal((await readToken('lasting')).access_token, first.access_token);
		assert.equal((await google.counts()).token_refresh, before.token_refresh);
	});

	test('min_ttl_asks_for_more_life_than_the_margin', async () => {
		await connectShortLived('long-life', 120);
		const short = await readToken('long-life');
		assert.ok(short.expires_in <= 120);
		const wish = await service.get('/token-management/tokens/long-life?min_ttl=bad', { key });
		assert.equal(wish.status, 422, wish.text);
	});
});

describe('when google fails', () => {
	test('a_token_with_life_left_is_served_degraded_then_503_then_all_is_well_again', async () => {
		const client = await connectShortLived('outage', 6);
		const first = await readToken('outage');
		await google.fault({ target: 'token_refresh', status: 503 });
		const degraded = await eventually(async () => {
			const answer = await service.token('outage', { key });
			assert.equal(answer.json.degraded, true);
			return answer;
		});
		assert.equal(degraded.status, 200);
		assert.equal(degraded.json.access_token, first.access_token);
		assert.ok(degraded.headers.warning);
		const forced = await service.post('/token-management/tokens/refresh', { client_id: client.client_id }, { key });
		if (forced.status === 200)
			assert.match(forced.json.message, /could not be refreshed/);
		const gone = await eventually(async () => {
			const answer = await service.token('outage', { key });
			assert.equal(answer.status, 503);
			return answer;
		});
		assert.ok(Number(gone.headers['retry-after']) > 0, gone.text);
		assert.match(gone.headers['content-type'], /^application\/problem\+json/);
		await google.calm();
		await eventually(async () => {
			const answer = await service.token('outage', { key });
			assert.equal(answer.status, 200);
			assert.equal(answer.json.degraded ?? false, false);
		}, { timeout: 60000 });
	});

	test('an_outage_is_not_asked_again_by_every_reader', async () => {
		await connectShortLived('patient', 1);
		await google.fault({ target: 'token_refresh', status: 503 });
		const before = await google.counts();
		await eventually(async () => assert.equal((await service.token('patient', { key })).status, 503));
		for (let i = 0; i < 100; i++)
			await service.token('patient', { key });
		assert.ok((await google.counts()).token_refresh - before.token_refresh <= 10);
	});

	for (const fault of [
		{ name: 'a_reset', reset: true },
		{ name: 'a_truncated_answer', truncate: true },
		{ name: 'a_page_instead_of_json', non_json: true },
		{ name: 'an_empty_answer', empty: true },
		{ name: 'too_many_requests', status: 429, retry_after: 1 },
		{ name: 'a_server_error', status: 500 },
	]) {
		test(`${fault.name}_from_the_token_endpoint_kills_no_grant`, async () => {
			const branch = `fault-${fault.name.replaceAll('_', '-')}`;
			await connectShortLived(branch, 1);
			const { name, ...rest } = fault;
			assert.ok(name);
			await google.fault({ target: 'token_refresh', ...rest });
			await eventually(async () => assert.equal((await service.token(branch, { key })).status, 503));
			await google.calm();
			await eventually(async () => assert.equal((await service.token(branch, { key })).status, 200), { timeout: 60000 });
		});
	}

	test('a_dead_grant_needs_reconnecting_and_is_not_asked_again', async () => {
		const client = await connectShortLived('dead', 1);
		await google.fault({ target: 'token_refresh', error: 'invalid_grant', status: 400 });
		const answer = await eventually(async () => {
			const dead = await service.token('dead', { key });
			assert.equal(dead.status, 409);
			return dead;
		});
		assert.ok(answer.json.reconnect_url, answer.text);
		const before = await google.counts();
		for (let i = 0; i < 10; i++)
			assert.equal((await service.token('dead', { key })).status, 409);
		assert.equal((await google.counts()).token_refresh, before.token_refresh);
		const shown = await service.get(`/token-management/clients/${client.client_id}`, { key });
		assert.equal(shown.json.status, 'needs_reconnect', shown.text);
		await google.calm();
		await service.reconnect({ key, id: client.client_id });
		assert.equal((await service.token('dead', { key })).status, 200);
	});
});

describe('the process', () => {
	test('it_drains_and_leaves_with_0_and_logs_json_lines_only', async (t) => {
		const apart = await startSimulator({ t }); // where nobody else is refreshing
		const own = await startService({ t, simulator: apart });
		const admin = await own.key('admin');
		const { client_id: id } = await own.connect({ key: admin, branch_id: 'drain' });
		await apart.fault({ target: 'token_refresh', latency_ms: 700 });
		const slow = own.post('/token-management/tokens/refresh', { client_id: id }, { key: admin });
		await eventually(async () => assert.ok((await apart.counts()).in_flight >= 1));
		const stopped = own.stop();
		assert.equal((await slow).status, 200, 'a request under way was not answered');
		await stopped;
		assert.deepEqual(own.noise(), []);
	});

	test('its_files_are_nobody_elses_business', () => {
		for (const file of service.isOnPostgres ? [service.vaultKey] : [service.db, service.vaultKey])
			assert.equal(fs.statSync(file).mode & 0o077, 0, file);
	});
});
