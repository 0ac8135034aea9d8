// SPDX-License-Identifier: Apache-2.0
// Reviews out: words that are looked for, and exports of any size, on the real binary.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { eventually, startService, startSimulator } from './lib/service.mjs';

const FAST = { GOOGLE_REQUESTS_PER_MINUTE: 600000, REVIEW_SYNC_INTERVAL_SEC: 0 };
let google;
let service;
let key;
let total;

before(async () => {
	google = await startSimulator({ args: ['--users', '1', '--accounts', '1', '--locations', '10', '--reviews', '300', '--reviews-exact'] });
	service = await startService({ simulator: google, env: FAST });
	key = await service.key('admin');
	await service.connect({ key, branch_id: 'harbour' });
	const job = await service.post('/api/v1/review-fetch', { branch_id: 'harbour' }, { key });
	await eventually(async () => {
		const { json } = await service.get(`/api/v1/status/${job.json.job_id}`, { key });
		assert.equal(json.status, 'completed', JSON.stringify(json));
		total = json.reviews.total;
	}, { timeout: 120000, every: 100 });
});
after(async () => {
	await service?.end();
	await google?.end();
});

const get = (query, accept, as = key) => service.get(`/api/v1/reviews${query}`, { key: as, headers: accept ? { Accept: accept } : {} });
const lines = (text) => text.split('\n').filter((line) => line).map((line) => JSON.parse(line));

test('an_export_as_ndjson_has_every_review_once', async () => {
	const answer = await get('', 'application/x-ndjson');
	assert.equal(answer.status, 200, answer.text.slice(0, 300));
	assert.match(answer.headers['content-type'], /^application\/x-ndjson/);
	const reviews = lines(answer.text);
	assert.equal(reviews.length, total);
	assert.equal(new Set(reviews.map((one) => one.id)).size, total);
	const one = (await get(`?location_id=${reviews[0].location_id}&limit=500`)).json.reviews.find((r) => r.id === reviews[0].id);
	if (one)
		assert.deepEqual(reviews[0], one);
});

test('an_export_as_csv_has_a_header_and_a_record_a_review', async () => {
	const answer = await get('?rating=1,2', 'text/csv');
	assert.equal(answer.status, 200);
	assert.match(answer.headers['content-type'], /^text\/csv; charset=utf-8/);
	assert.ok(answer.text.startsWith('id,account_id,location_id,location_title,google_review_id,rating,comment,'));
	const wanted = lines((await get('?rating=1,2', 'application/x-ndjson')).text);
	assert.ok(wanted.length > 0 && wanted.every((one) => one.rating === 1 || one.rating === 2));
	assert.ok(answer.text.split('\r\n').length - 2 >= wanted.length);
});

test('an_export_takes_filters_and_refuses_pages', async () => {
	assert.deepEqual(lines((await get('?location_id=nowhere', 'application/x-ndjson')).text), []);
	for (const query of ['?limit=5', '?cursor=abc', '?order=oldest', '?rating=6', '?q=!!'])
		assert.equal((await get(query, 'text/csv')).status, 422, query);
});

test('accept_decides_between_a_list_and_an_export_and_head_has_no_body', async () => {
	for (const [accept, type] of [[undefined, 'application/json'], ['*/*', 'application/json'], ['application/json', 'application/json'],
		['text/csv', 'text/csv'], ['text/csv;q=0.5, application/json', 'application/json'], ['application/json;q=0.2, text/csv;q=0.9', 'text/csv'],
		['application/x-ndjson, text/csv;q=0.1', 'application/x-ndjson'], ['application/jsonl', 'application/x-ndjson'],
		['text/csv;q=0', 'application/json'], ['TEXT/CSV; header=present', 'text/csv']]) {
		const answer = await get('?q=the', accept);
		assert.equal(answer.status, 200, `${accept}: ${answer.text.slice(0, 200)}`);
		assert.ok(answer.headers['content-type'].startsWith(type), `${accept}: ${answer.headers['content-type']}`);
		const head = await service.request('HEAD', '/api/v1/reviews?q=the', { key, headers: accept ? { Accept: accept } : {} });
		assert.deepEqual([head.status, head.text, head.headers['content-type']], [200, '', answer.headers['content-type']], String(accept));
	}
});

test('a_reader_that_goes_away_leaves_nothing_open', async () => {
	const open = async () => Number(/^review_fetcher_http_streams_open (\d+)$/m.exec((await service.get('/metrics', { key })).text)[1]);
	for (let i = 0; i < 5; i++) {
		const request = http.get(`${service.url}/api/v1/reviews`, { agent: false, headers: { Accept: 'text/csv', Authorization: `Bearer ${key}` } });
		const answer = await new Promise((resolve, reject) => request.on('response', resolve).on('error', reject));
		await new Promise((resolve) => answer.once('data', resolve));
		request.destroy();
	}
	await eventually(async () => assert.equal(await open(), 0));
});

test('a_bound_key_exports_its_branches_only', async () => {
	const other = await service.key('reviews:read', { branches: ['elsewhere'] }).catch(() => null);
	if (!other)
		return;
	assert.deepEqual(lines((await get('', 'application/x-ndjson', other)).text), []);
});

test('bad_filters_are_422_and_say_which', async () => {
	for (const [query, name] of [['rating=0', 'rating'], ['rating=1,9', 'rating'], ['rating=', 'rating'], ['replied=maybe', 'replied'], ['since=yesterday', 'since'],
		['until=x', 'until'], ['order=best', 'order'], ['q=%22%22', 'q'], ['deleted=perhaps', 'deleted'], ['cursor=%21', 'cursor'], ['limit=501', 'limit']]) {
		const answer = await get(`?${query}`);
		assert.equal(answer.status, 422, `${query}: ${answer.text}`);
		assert.ok(answer.json.errors.some((error) => error.loc.includes(name)), answer.text);
	}
});

test('words_are_found_and_no_input_is_a_server_error', async () => {
	const some = lines((await get('', 'application/x-ndjson')).text).find((one) => /^[A-Za-z]{4,} [a-z]{3,}/.test(one.comment ?? ''));
	const [first, second] = some.comment.split(/[^A-Za-z]+/);
	const found = async (q) => lines((await get(`?q=${encodeURIComponent(q)}`, 'application/x-ndjson')).text);
	assert.ok((await found(first)).some((one) => one.id === some.id));
	assert.ok((await found(`"${first} ${second}"`)).some((one) => one.id === some.id));
	assert.ok((await found(`${first.slice(0, 3).toUpperCase()}*`)).some((one) => one.id === some.id));
	for (const odd of ['"', 'a"b', 'NEAR(a', 'a AND', 'x:y', '(a | b', "'", '\\', 'a & !b', '{c}:d', '😀'])
		assert.ok([200, 422].includes((await get(`?q=${encodeURIComponent(odd)}`)).status), odd);
});

// A reader that stops in the middle makes the service wait, not store.
test('a_slow_reader_of_an_export_costs_one_piece_of_memory', async (t) => {
	const resident = () => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${service.pid}/status`, 'utf8'))[1]);
	if (!service.pid)
		return t.skip('the process is not ours to look at');
	const before = resident();
	const request = http.get(`${service.url}/api/v1/reviews`, { headers: { Accept: 'application/x-ndjson', Authorization: `Bearer ${key}` } });
	const answer = await new Promise((resolve, reject) => request.on('response', resolve).on('error', reject));
	answer.pause();
	for (let i = 0; i < 3; i++)
		assert.equal((await get('?limit=5')).status, 200);
	assert.ok(resident() - before < 6 * 1024, `${resident() - before} KiB more`);
	let bytes = 0;
	answer.on('data', (piece) => { bytes += piece.length; });
	answer.resume();
	await new Promise((resolve, reject) => answer.on('end', resolve).on('error', reject));
	assert.ok(bytes > total * 200);
});
