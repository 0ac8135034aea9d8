// SPDX-License-Identifier: Apache-2.0
// Connections that come with a refresh token: one by one and by the thousand, against the real binaries.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fs from 'node:fs';
import path from 'node:path';
import { startPostgres } from './lib/postgres.mjs';
import { eventually, startService, startSimulator } from './lib/service.mjs';

const APP = { client_id: 'demo-app.apps.googleusercontent.com', client_secret: 'demo-app-secret' };
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

const mint = async (count = 1) =>
	(await google.control('POST', '/tokens', { op: 'mint', client_id: APP.client_id, count })).tokens.map((t) => t.refresh_token);
const connection = (branch, token, more = {}) => ({
	...APP,
	redirect_uri: 'http://localhost:8084/token-management/auth/callback',
	branch_id: branch,
	workspace_email: `${branch}@example.com`,
	workspace_name: `Branch ${branch}`,
	refresh_token: token,
	...more,
});
const one = (body, query = '') => service.post(`/token-management/import${query}`, body, { key });
const many = (lines, query = '', options = {}) => service.request('POST', `/token-management/import${query}`, {
	key, body: typeof lines === 'string' ? lines : lines.map((l) => JSON.stringify(l)).join('\n'),
	headers: { 'content-type': 'application/x-ndjson' }, ...options,
});
const status = async (id) => (await service.get(`/token-management/imports/${id}`, { key })).json;
const finished = (id) => eventually(async () => {
	const s = await status(id);
	assert.equal(s.status, 'completed', JSON.stringify(s));
	return s;
});
const report = async (id, lines = 'unverified') =>
	(await service.get(`/token-management/imports/${id}/report?lines=${lines}`, { key })).text
		.split('\n').filter(Boolean).map((line) => JSON.parse(line));
const client = async (branch) => (await service.get(`/token-management/clients?q=${branch}`, { key })).json.clients[0];

describe('one connection', () => {
	test('is_answered_when_the_provider_has_verified_its_token', async () => {
		const [token] = await mint();
		await google.control('POST', '/counts/reset', {});
		const answer = await one(connection('one', token, { granted_at: '2025-02-03T04:05:06Z' }));
		assert.equal(answer.status, 201, answer.text);
		assert.equal(answer.json.status, 'connected');
		assert.equal(answer.json.branch_identifier, 'one');
		assert.ok(!answer.text.includes(token));
		assert.ok(Date.parse(answer.json.next_refresh_at) > Date.now(), 'no next refresh as after a consent');
		assert.equal((await google.counts()).token_refresh, 1);
		const read = await service.token('one', { key });
		assert.equal(read.status, 200, read.text);
	});

	test('a_dead_token_is_told_with_the_way_to_reconnect', async () => {
		const answer = await one(connection('one-dead', '1//dead-token-of-nobody'));
		assert.equal(answer.status, 409, answer.text);
		assert.equal(answer.json.connection_status, 'needs_reconnect');
		assert.match(answer.json.reconnect_url, /oauth\/login\/\d+$/);
		assert.ok(!answer.text.includes('dead-token-of-nobody'));
		assert.equal((await client('one-dead')).status, 'needs_reconnect');
	});

	test('a_wrong_app_is_told_at_its_field_and_the_same_token_may_come_again_with_the_right_one', async () => {
		const [token] = await mint();
		const wrong = await one(connection('one-app', token, { client_secret: 'not-the-secret' }));
		assert.equal(wrong.status, 422, wrong.text);
		assert.equal(wrong.json.errors[0].loc[1], 'client_secret');
		assert.ok(!wrong.text.includes('not-the-secret'));
		assert.equal((await client('one-app')).status, 'pending');
		const right = await one(connection('one-app', token));
		assert.equal(right.status, 201, right.text);
	});

	test('an_outage_takes_it_in_and_verifies_it_later', async () => {
		const [token] = await mint();
		await google.fault({ target: 'token', status: 503, count: 1 });
		const answer = await one(connection('one-outage', token));
		assert.equal(answer.status, 202, answer.text);
		assert.equal(answer.json.waiting, 1);
		const done = await finished(answer.json.import_id);
		assert.equal(done.verified, 1);
	});

	test('every_bad_field_is_named_with_its_value_but_for_secrets', async () => {
		const answer = await one({ ...connection('x', 'tok\u0001en'), workspace_email: 'nobody', redirect_uri: 'http://elsewhere.example/x',
			provider: 'nobody', granted_at: 'yesterday', branch_id: ' ' });
		assert.equal(answer.status, 422, answer.text);
		const fields = answer.json.errors.map((e) => e.loc[1]).sort();
		assert.deepEqual(fields, ['branch_id', 'granted_at', 'provider', 'redirect_uri', 'refresh_token', 'workspace_email']);
		assert.match(answer.text, /'nobody'/);
		assert.match(answer.text, /'yesterday'/);
		assert.ok(!/tok[^e]|\Wen\W/.test(answer.text), answer.text);
	});

	test('a_branch_that_exists_is_kept_unless_told_to_replace', async () => {
		const [first, second] = await mint(2);
		assert.equal((await one(connection('kept', first))).status, 201);
		const kept = await one(connection('kept', second, { workspace_name: 'Another' }));
		assert.equal(kept.status, 409, kept.text);
		assert.match(kept.json.detail, /^Branch ID already exists/);
		assert.equal((await client('kept')).workspace_name, 'Branch kept');
		const replaced = await one(connection('kept', second, { workspace_name: 'Another' }), '?on_conflict=replace');
		assert.equal(replaced.status, 201, replaced.text);
		assert.equal(replaced.json.workspace_name, 'Another');
		const audit = await service.get('/token-management/audit?branch_id=kept', { key });
		assert.ok(audit.json.entries?.some((e) => e.action === 'client.replaced') ?? audit.text.includes('client.replaced'), audit.text);
	});

	test('the_same_token_again_never_replaces_what_the_provider_rotated_since', async () => {
		const [token] = await mint();
		await google.fault({ target: 'token', rotate_refresh_tokens: true, reuse_detection: true });
		const first = await one(connection('rotated', token));
		assert.equal(first.status, 201, first.text);
		const again = await one(connection('rotated', token), '?on_conflict=replace');
		assert.equal(again.status, 201, again.text);
		const refreshed = await service.post('/token-management/tokens/refresh', { client_id: first.json.client_id }, { key });
		assert.equal(refreshed.status, 200, refreshed.text);
		assert.equal((await google.counts()).refresh_reused ?? 0, 0);
		await google.calm();
	});
});

describe('many connections', () => {
	test('each_line_is_accounted_for_and_the_report_says_why', async () => {
		const tokens = await mint(6);
		const lines = [
			connection('m-0', tokens[0]),
			connection('m-dead', '1//nobody-knows-this'),
			connection('m-1', tokens[1], { workspace_email: 'no-address' }),
			'this is not JSON and has a s3cret',
			connection('one', tokens[2]),
			connection('m-2', tokens[3], { client_secret: 'wrong-s3cret' }),
			'',
			connection('m-3', tokens[4]),
		].map((l) => (typeof l === 'string' ? l : JSON.stringify(l))).join('\r\n');
		const answer = await many(lines);
		assert.equal(answer.status, 202, answer.text);
		assert.equal(answer.headers.location, `/token-management/imports/${answer.json.import_id}`);
		const s = await finished(answer.json.import_id);
		assert.deepEqual([s.lines, s.verified, s.failed, s.app_refused, s.invalid, s.exists, s.percent], [8, 2, 1, 1, 2, 1, 100]);
		const bad = await report(answer.json.import_id);
		assert.deepEqual(bad.map((row) => [row.line, row.state]),
			[[2, 'failed'], [3, 'invalid'], [4, 'invalid'], [5, 'exists'], [6, 'app_refused']]);
		assert.match(bad[0].reason, /invalid_grant/);
		assert.match(bad[1].reason, /workspace_email is 'no-address'/);
		assert.match(bad[2].reason, /not valid JSON/);
		assert.match(bad[3].reason, /on_conflict=replace/);
		assert.match(bad[4].reason, /invalid_client/);
		assert.equal((await report(answer.json.import_id, 'all')).length, 7);
		const all = JSON.stringify(await report(answer.json.import_id, 'all'));
		for (const secret of [...tokens, 's3cret', 'nobody-knows-this'])
			assert.ok(!all.includes(secret), 'a secret in the report');
	});

	test('a_mended_app_heals_its_line', async () => {
		const { id } = { id: (await client('m-2')).client_id };
		const answer = await service.request('PATCH', `/token-management/clients/${id}`, { key, json: { client_secret: APP.client_secret } });
		assert.equal(answer.status, 200, answer.text);
		await eventually(async () => assert.equal((await client('m-2')).status, 'connected'));
		const { imports } = (await service.get('/token-management/imports?limit=1', { key })).json;
		assert.equal(imports[0].app_refused, 0);
		assert.equal(imports[0].verified, 3);
	});

	test('an_upload_larger_than_any_body_is_taken_and_the_same_file_again_is_harmless', async () => {
		const tokens = await mint(1500);
		const lines = tokens.map((token, i) => connection(`big-${i}`, token, { workspace_name: 'n'.repeat(250) }));
		const text = lines.map((l) => JSON.stringify({ ...l, filler: 'x'.repeat(400) })).join('\n');
		assert.ok(text.length > 1024 * 1024);
		await google.control('POST', '/counts/reset', {});
		const answer = await many(text);
		assert.equal(answer.status, 202, answer.text);
		assert.equal(answer.json.accepted, 1500);
		const s = await finished(answer.json.import_id);
		assert.equal(s.verified, 1500);
		assert.equal((await google.counts()).token_refresh, 1500);
		const again = await many(text);
		const s2 = await finished(again.json.import_id);
		assert.equal(s2.verified, 1500);
		assert.equal((await google.counts()).token_refresh, 1500, 'tokens were verified twice');
		assert.equal((await report(again.json.import_id, 'all'))[700].state, 'verified');
	});

	test('no_secret_of_an_import_reaches_the_disk_or_the_log_in_the_clear', async () => {
		const [token] = await mint();
		const answer = await many([connection('quiet', token)]);
		await finished(answer.json.import_id);
		await service.stop();
		for (const name of fs.readdirSync(service.dir).filter((n) => n.startsWith('review-fetcher.db')))
			assert.ok(!fs.readFileSync(path.join(service.dir, name)).includes(token), `the token stands in ${name}`);
		assert.ok(!service.program.output.tail(100000).includes(token));
		await service.restart();
	});

	test('an_outage_postpones_and_fails_no_line', async () => {
		const tokens = await mint(30);
		await google.fault({ target: 'token', status: 503 });
		const answer = await many(tokens.map((token, i) => connection(`out-${i}`, token)));
		await eventually(async () => assert.ok((await google.counts()).token_refresh > 0));
		const during = await status(answer.json.import_id);
		assert.equal(during.failed + during.app_refused, 0);
		assert.equal(during.status, 'verifying');
		await google.calm();
		const s = await finished(answer.json.import_id);
		assert.equal(s.verified, 30);
	});

	test('a_key_that_is_bound_to_branches_imports_those_only', async () => {
		const bound = await service.key('clients:write,clients:read', { branches: ['mine'] });
		const tokens = await mint(2);
		const answer = await many([connection('mine', tokens[0]), connection('theirs', tokens[1])], '', { key: bound });
		assert.equal(answer.status, 202, answer.text);
		const s = await finished(answer.json.import_id);
		assert.deepEqual([s.verified, s.invalid], [1, 1]);
		assert.equal((await service.get(`/token-management/imports/${answer.json.import_id}`, { key: bound })).status, 200);
		const other = (await service.get('/token-management/imports', { key })).json.imports.find((i) => i.import_id !== answer.json.import_id);
		assert.equal((await service.get(`/token-management/imports/${other.import_id}`, { key: bound })).status, 404);
		assert.equal((await service.get('/token-management/imports', { key: bound })).json.imports.length, 1);
	});

	test('what_is_neither_kind_of_json_is_refused_with_the_two_that_are', async () => {
		const answer = await service.request('POST', '/token-management/import', { key, body: 'a=b', headers: { 'content-type': 'application/x-www-form-urlencoded' } });
		assert.equal(answer.status, 415);
		assert.match(answer.json.detail, /application\/x-ndjson/);
	});

	test('a_line_beyond_its_limit_is_one_bad_line', async () => {
		const [token] = await mint();
		const long = JSON.stringify(connection('long', token, { filler: 'y'.repeat(70000) }));
		const answer = await many(`${long}\n${JSON.stringify(connection('short', token))}\n`);
		const s = await finished(answer.json.import_id);
		assert.deepEqual([s.lines, s.invalid, s.verified], [2, 1, 1]);
		assert.match((await report(answer.json.import_id))[0].reason, /65536 bytes/);
	});
});

test('over_postgresql_the_same_lines_come_to_the_same_ends', async (t) => {
	const postgres = await startPostgres({ t });
	const there = await startService({ t, simulator: google, postgres });
	const admin = await there.key('admin');
	const tokens = await mint(3);
	const post = (lines, query = '') => there.request('POST', `/token-management/import${query}`, {
		key: admin, body: lines.map((l) => JSON.stringify(l)).join('\n'), headers: { 'content-type': 'application/x-ndjson' },
	});
	const end = (id) => eventually(async () => {
		const s = (await there.get(`/token-management/imports/${id}`, { key: admin })).json;
		assert.equal(s.status, 'completed', JSON.stringify(s));
		return s;
	});
	const lines = [connection('p-0', tokens[0]), connection('p-dead', '1//not-one-of-ours'), connection('p-1', tokens[1], { workspace_name: '' })];
	const first = await post(lines);
	assert.equal(first.status, 202, first.text);
	const s = await end(first.json.import_id);
	assert.deepEqual([s.verified, s.failed, s.invalid], [1, 1, 1]);
	const again = await end((await post(lines, '?on_conflict=replace')).json.import_id);
	assert.deepEqual([again.verified, again.failed, again.invalid], [1, 1, 1]);
	const single = await there.post('/token-management/import?on_conflict=replace', connection('p-dead', tokens[2]), { key: admin });
	assert.equal(single.status, 201, single.text);
	const rows = (await there.get(`/token-management/imports/${first.json.import_id}/report`, { key: admin })).text.trim().split('\n');
	assert.equal(rows.length, 2);
});
