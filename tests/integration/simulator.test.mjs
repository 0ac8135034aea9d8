// SPDX-License-Identifier: Apache-2.0
// The simulated Google, held to what google-api.md and Google's pages say about the real one.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { SCOPE, startSimulator } from './lib/simulator.mjs';

const CLIENT = '4711-shop.apps.googleusercontent.com';
const SECRET = 'a secret that is none: +/&=%ü';
const CALLBACK = 'http://localhost:8084/token-management/auth/callback?keep=1';
const MASK = 'name,title,storeCode,languageCode,storefrontAddress,phoneNumbers,categories,metadata';

const form = (fields) => new URLSearchParams(fields);
async function json(answer) {
	return { status: answer.status, headers: answer.headers, body: await answer.json() };
}

async function api(google, token, where, options = {}) {
	return json(await fetch(google.url + where, { ...options, headers: { authorization: `Bearer ${token}`, ...options.headers } }));
}

function pkce() {
	const verifier = crypto.randomBytes(48).toString('base64url');
	return { verifier, challenge: crypto.createHash('sha256').update(verifier).digest('base64url') };
}

function authUrl(google, fields = {}) {
	const url = new URL(`${google.url}/o/oauth2/v2/auth`);
	const all = { client_id: CLIENT, redirect_uri: CALLBACK, response_type: 'code', scope: SCOPE, access_type: 'offline', prompt: 'consent', state: 's t&a=t%e', ...fields };
	for (const [name, value] of Object.entries(all))
		if (value !== undefined)
			url.searchParams.set(name, value);
	return url;
}

async function token(google, fields, headers = {}) {
	return json(await fetch(`${google.url}/token`, { method: 'POST', headers, body: form(fields) }));
}

const withSecret = { client_id: CLIENT, client_secret: SECRET };
const exchange = (google, code, more = {}) => token(google, { grant_type: 'authorization_code', ...withSecret, code, redirect_uri: CALLBACK, ...more });
const refresh = (google, refresh_token, more = {}) => token(google, { grant_type: 'refresh_token', ...withSecret, refresh_token, ...more });

async function connect(google, { choice, ...fields } = {}) {
	const { verifier, challenge } = pkce();
	const back = new URL(await google.consent(authUrl(google, { code_challenge: challenge, code_challenge_method: 'S256', ...fields }), choice));
	const answer = await exchange(google, back.searchParams.get('code'), { code_verifier: verifier });
	assert.equal(answer.status, 200, JSON.stringify(answer.body));
	return answer.body;
}

// Every page of a list, following nextPageToken.
async function pages(google, access, where, key) {
	const rows = [];
	let page, count = 0;
	do {
		const url = new URL(google.url + where);
		if (page)
			url.searchParams.set('pageToken', page);
		const { status, body } = await api(google, access, url.pathname + url.search);
		assert.equal(status, 200, JSON.stringify(body));
		rows.push(...(body[key] ?? []));
		page = body.nextPageToken;
		count++;
	} while (page);
	return { rows, count };
}

// ---- consent and codes ----

test('consent_gives_a_code_the_state_as_it_came_and_the_issuer', async (t) => {
	const google = await startSimulator({ t });
	const back = new URL(await google.consent(authUrl(google)));
	assert.equal(back.origin + back.pathname, 'http://localhost:8084/token-management/auth/callback');
	assert.equal(back.searchParams.get('keep'), '1');
	assert.equal(back.searchParams.get('state'), 's t&a=t%e');
	assert.equal(back.searchParams.get('iss'), 'https://accounts.google.com');
	assert.match(back.searchParams.get('code'), /^4\/0A/);
	assert.equal(back.searchParams.get('scope'), SCOPE);
});

test('the_page_says_that_it_is_a_simulator_and_its_form_leads_back', async (t) => {
	const google = await startSimulator({ t });
	const page = await fetch(authUrl(google, { state: '"><script>alert(1)</script>' }));
	const html = await page.text();
	assert.equal(page.status, 200);
	assert.match(html, /Simulator<\/strong> This is not Google/);
	assert.doesNotMatch(html, /<script/);
	assert.match(page.headers.get('content-security-policy'), /form-action 'self' http:\/\/localhost:8084;/);
	const fields = form([...html.matchAll(/type="hidden" name="([^"]*)" value="([^"]*)"/g)].map(([, name, value]) =>
		[name, value.replace(/&(lt|gt|quot|amp);/g, (_, e) => ({ lt: '<', gt: '>', quot: '"', amp: '&' })[e])]));
	fields.set('account', 'manager-2@shop.example');
	fields.set('grant', SCOPE);
	fields.set('decision', 'allow');
	const answer = await fetch(`${google.url}/o/oauth2/v2/auth/decide`, { method: 'POST', body: fields, redirect: 'manual' });
	assert.equal(answer.status, 302);
	const back = new URL(answer.headers.get('location'));
	assert.equal(back.searchParams.get('state'), '"><script>alert(1)</script>');
	assert.ok(back.searchParams.get('code'));
});

test('refusing_gives_access_denied_and_any_error_can_be_simulated', async (t) => {
	const google = await startSimulator({ t });
	const denied = new URL(await google.consent(authUrl(google), { allow: false }));
	assert.equal(denied.searchParams.get('error'), 'access_denied');
	assert.equal(denied.searchParams.get('state'), 's t&a=t%e');
	assert.equal(denied.searchParams.get('code'), null);
	const other = new URL(await google.consent(authUrl(google), { error: 'server_error' }));
	assert.equal(other.searchParams.get('error'), 'server_error');
});

test('an_unticked_scope_is_not_granted', async (t) => {
	const google = await startSimulator({ t });
	const back = new URL(await google.consent(authUrl(google, { scope: `openid email ${SCOPE}` }), { scopes: [] }));
	assert.equal(back.searchParams.get('scope'), 'openid https://www.googleapis.com/auth/userinfo.email');
	const answer = await exchange(google, back.searchParams.get('code'));
	const { status, body } = await api(google, answer.body.access_token, '/v1/accounts');
	assert.equal(status, 403);
	assert.equal(body.error.details[0].reason, 'ACCESS_TOKEN_SCOPE_INSUFFICIENT');
	const none = new URL(await google.consent(authUrl(google), { scopes: [] }));
	assert.equal(none.searchParams.get('error'), 'access_denied');
});

test('a_request_that_is_wrong_in_itself_ends_on_a_page', async (t) => {
	const google = await startSimulator({ t });
	await google.control('clients', { client_id: CLIENT, client_secret: SECRET, redirect_uris: [CALLBACK] });
	for (const [fields, words] of [
		[{ client_id: undefined }, /client_id/],
		[{ redirect_uri: 'https://evil.example/' }, /redirect_uri_mismatch/],
		[{ redirect_uri: `${CALLBACK}/` }, /redirect_uri_mismatch/],
		[{ redirect_uri: 'http://shop.example/' }, /must be https/],
		[{ response_type: 'token' }, /unsupported_response_type/],
		[{ scope: undefined }, /scope/],
		[{ code_challenge: 'x'.repeat(43), code_challenge_method: 'plain' }, /S256/],
		[{ code_challenge: 'short', code_challenge_method: 'S256' }, /43 characters/],
	]) {
		const answer = await fetch(authUrl(google, fields), { redirect: 'manual' });
		assert.equal(answer.status, 400, JSON.stringify(fields));
		assert.match(await answer.text(), words);
	}
	const doubled = await fetch(`${authUrl(google)}&state=again`, { redirect: 'manual' });
	assert.equal(doubled.status, 400);
});

test('a_code_is_good_once_for_its_client_its_redirect_uri_and_its_verifier', async (t) => {
	const google = await startSimulator({ t });
	const { verifier, challenge } = pkce();
	const code = async () => new URL(await google.consent(authUrl(google, { code_challenge: challenge, code_challenge_method: 'S256' }))).searchParams.get('code');
	const bad = async (more, error) => {
		const answer = await exchange(google, await code(), { code_verifier: verifier, ...more });
		assert.equal(answer.status, 400);
		assert.equal(answer.body.error, error);
	};
	await bad({ code_verifier: pkce().verifier }, 'invalid_grant');
	await bad({ redirect_uri: CALLBACK.replace('localhost', '127.0.0.1') }, 'redirect_uri_mismatch');
	await bad({ client_id: 'another-client', client_secret: 'x' }, 'invalid_grant');
	const once = await code();
	assert.equal((await exchange(google, once, { code_verifier: verifier })).status, 200);
	assert.equal((await exchange(google, once, { code_verifier: verifier })).body.error, 'invalid_grant');
	assert.equal((await google.counts()).code_reused, 1);
});

// ---- tokens ----

test('a_token_answer_has_the_shape_of_googles', async (t) => {
	const google = await startSimulator({ t });
	const tokens = await connect(google);
	assert.match(tokens.access_token, /^ya29\./);
	assert.match(tokens.refresh_token, /^1\/\/0g/);
	assert.equal(tokens.expires_in, 3599);
	assert.equal(tokens.token_type, 'Bearer');
	assert.equal(tokens.scope, SCOPE);
	const again = await refresh(google, tokens.refresh_token);
	assert.equal(again.status, 200);
	assert.equal(again.body.refresh_token, undefined);
	assert.notEqual(again.body.access_token, tokens.access_token);
	assert.equal(again.headers.get('cache-control'), 'no-store');
});

test('a_refresh_token_comes_only_with_offline_access_and_the_first_consent_or_a_prompt', async (t) => {
	const google = await startSimulator({ t });
	assert.equal((await connect(google, { access_type: undefined })).refresh_token, undefined);
	assert.ok((await connect(google, { prompt: undefined, choice: { account: 'manager-2@shop.example' } })).refresh_token);
	assert.equal((await connect(google, { prompt: undefined, choice: { account: 'manager-2@shop.example' } })).refresh_token, undefined);
	assert.ok((await connect(google, { choice: { account: 'manager-2@shop.example' } })).refresh_token);
});

test('a_client_authenticates_in_one_way_and_its_secret_must_match', async (t) => {
	const google = await startSimulator({ t });
	const { refresh_token } = await connect(google);
	const basic = (id, secret) => ({ authorization: `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64')}` });
	const fields = { grant_type: 'refresh_token', refresh_token };
	assert.equal((await token(google, fields, basic(CLIENT, SECRET))).status, 200);
	const wrong = await token(google, fields, basic(CLIENT, 'wrong'));
	assert.equal(wrong.status, 401);
	assert.equal(wrong.body.error, 'invalid_client');
	assert.equal((await refresh(google, refresh_token, { client_secret: 'wrong' })).body.error, 'invalid_client');
	assert.equal((await token(google, { ...fields, ...withSecret }, basic(CLIENT, SECRET))).body.error, 'invalid_request');
	await google.control('clients', { client_id: CLIENT, client_secrets: [SECRET, 'the new one'] });
	assert.equal((await refresh(google, refresh_token, { client_secret: 'the new one' })).status, 200);
	assert.equal((await refresh(google, refresh_token)).status, 200);
	await google.control('clients', { client_id: CLIENT, disabled: true });
	assert.equal((await refresh(google, refresh_token)).body.error, 'disabled_client');
	await google.settings({ strict_clients: true });
	assert.equal((await refresh(google, refresh_token, { client_id: 'nobody' })).body.error, 'invalid_client');
});

test('the_token_endpoint_refuses_what_is_no_token_request', async (t) => {
	const google = await startSimulator({ t });
	assert.equal((await token(google, { ...withSecret, grant_type: 'password' })).body.error, 'unsupported_grant_type');
	assert.equal((await token(google, withSecret)).body.error, 'invalid_request');
	const doubled = form({ ...withSecret, grant_type: 'refresh_token', refresh_token: 'x' });
	doubled.append('refresh_token', 'y');
	assert.equal((await json(await fetch(`${google.url}/token`, { method: 'POST', body: doubled }))).body.error, 'invalid_request');
	const query = await fetch(`${google.url}/token?${form({ ...withSecret, grant_type: 'refresh_token', refresh_token: 'x' })}`, { method: 'POST' });
	assert.equal(query.status, 400);
	assert.equal((await refresh(google, 'nonsense')).body.error, 'invalid_grant');
});

test('an_access_token_expires_and_all_can_be_made_to', async (t) => {
	const google = await startSimulator({ t });
	const { access_token, refresh_token } = await connect(google);
	assert.equal((await api(google, access_token, '/v1/accounts')).status, 200);
	await google.control('tokens', { op: 'expire_access' });
	const { status, body, headers } = await api(google, access_token, '/v1/accounts');
	assert.equal(status, 401);
	assert.equal(body.error.status, 'UNAUTHENTICATED');
	assert.match(headers.get('www-authenticate'), /invalid_token/);
	const fresh = await refresh(google, refresh_token);
	assert.equal((await api(google, fresh.body.access_token, '/v1/accounts')).status, 200);
	const missing = await fetch(`${google.url}/v1/accounts`);
	assert.equal(missing.status, 401);
});

test('revoking_one_token_ends_the_whole_projects_grants_of_that_user', async (t) => {
	const google = await startSimulator({ t });
	const [a] = await google.mint({ client_id: '77-a', client_secret: 's', count: 1 });
	const [b] = await google.mint({ client_id: '77-b', client_secret: 's', count: 1 });
	const [other] = await google.mint({ client_id: '78-a', client_secret: 's', count: 1 });
	const [stranger] = await google.mint({ client_id: '77-a', client_secret: 's', user: 1, count: 1 });
	const alive = async (x) => (await refresh(google, x.refresh_token, { client_id: x.client_id, client_secret: 's' })).status;
	const answer = await fetch(`${google.url}/revoke`, { method: 'POST', body: form({ token: a.access_token }) });
	assert.equal(answer.status, 200);
	assert.deepEqual([await alive(a), await alive(b), await alive(other), await alive(stranger)], [400, 400, 200, 200]);
	assert.equal((await api(google, b.access_token, '/v1/accounts')).status, 401);
	const again = await json(await fetch(`${google.url}/revoke`, { method: 'POST', body: form({ token: a.refresh_token }) }));
	assert.equal(again.status, 400);
	assert.equal(again.body.error, 'invalid_token');
});

test('the_hundred_and_first_refresh_token_ends_the_oldest', async (t) => {
	const google = await startSimulator({ t });
	await google.settings({ max_refresh_tokens: 3 });
	const tokens = [];
	for (let i = 0; i < 4; i++)
		tokens.push((await connect(google)).refresh_token);
	const states = [];
	for (const refresh_token of tokens)
		states.push((await refresh(google, refresh_token)).status);
	assert.deepEqual(states, [400, 200, 200, 200]);
});

test('an_id_token_verifies_against_the_published_key', async (t) => {
	const google = await startSimulator({ t });
	const { id_token } = await connect(google, { scope: `openid email ${SCOPE}`, nonce: 'n-1' });
	const about = (await json(await fetch(`${google.url}/.well-known/openid-configuration`))).body;
	assert.equal(about.issuer, 'https://accounts.google.com');
	const { keys } = (await json(await fetch(`${google.url}${new URL(about.jwks_uri).pathname}`))).body;
	const [header, claims, signature] = id_token.split('.');
	const parsed = JSON.parse(Buffer.from(header, 'base64url'));
	const jwk = keys.find((key) => key.kid === parsed.kid);
	const key = crypto.createPublicKey({ key: jwk, format: 'jwk' });
	assert.equal(parsed.alg, 'RS256');
	assert.ok(crypto.verify('sha256', Buffer.from(`${header}.${claims}`), key, Buffer.from(signature, 'base64url')));
	const body = JSON.parse(Buffer.from(claims, 'base64url'));
	assert.equal(body.aud, CLIENT);
	assert.equal(body.nonce, 'n-1');
	assert.equal(body.email, 'manager-1@shop.example');
	assert.equal(body.sub.length, 21);
});

// ---- the APIs ----

test('accounts_come_twenty_at_most_and_the_personal_one_first', async (t) => {
	const google = await startSimulator({ t, args: ['--users', '2', '--accounts', '45', '--locations', '1'] });
	const { access_token } = await google.mint();
	const first = await api(google, access_token, '/v1/accounts?pageSize=500');
	assert.equal(first.body.accounts.length, 20);
	assert.equal(first.body.accounts[0].type, 'PERSONAL');
	const { rows, count } = await pages(google, access_token, '/v1/accounts?pageSize=7', 'accounts');
	assert.equal(count, 7);
	assert.equal(new Set(rows.map((row) => row.name)).size, 45);
	assert.ok(rows.every((row) => /^accounts\/\d{21}$/.test(row.name)));
	const groups = await pages(google, access_token, '/v1/accounts?filter=type%3DUSER_GROUP', 'accounts');
	assert.ok(groups.rows.length > 0 && groups.rows.every((row) => row.type === 'USER_GROUP'));
	assert.equal((await api(google, access_token, '/v1/accounts?pageSize=-1')).status, 400);
	assert.equal((await api(google, access_token, '/v1/accounts?pageToken=stale')).status, 400);
});

test('locations_need_a_read_mask_and_have_no_account_in_their_name', async (t) => {
	const google = await startSimulator({ t, args: ['--accounts', '2', '--locations', '230'] });
	const { access_token } = await google.mint();
	const { rows: [, account] } = await pages(google, access_token, '/v1/accounts', 'accounts');
	const list = (query) => api(google, access_token, `/v1/${account.name}/locations${query}`);
	const missing = await list('');
	assert.equal(missing.status, 400);
	assert.equal(missing.body.error.details[0].fieldViolations[0].field, 'read_mask');
	assert.equal((await list('?readMask=name,nonsense')).status, 400);
	assert.equal((await list('?readMask=categories.additionalCategories.displayName')).status, 400);
	assert.equal((await list('?readMask=name&pageSize=101')).status, 400);
	assert.equal((await list('?readMask=name')).body.locations.length, 10);
	const { rows, count } = await pages(google, access_token, `/v1/${account.name}/locations?readMask=${MASK}&pageSize=100`, 'locations');
	assert.equal(count, 3);
	assert.equal(new Set(rows.map((row) => row.name)).size, 230);
	assert.ok(rows.every((row) => /^locations\/\d{19,21}$/.test(row.name)));
	assert.ok(rows.some((row) => !row.storefrontAddress) && rows.some((row) => row.storefrontAddress));
	const titles = await list('?readMask=title');
	assert.deepEqual(Object.keys(titles.body.locations[0]), ['title']);
	const wildcard = await pages(google, access_token, '/v1/accounts/-/locations?readMask=name&pageSize=100', 'locations');
	assert.equal(new Set(wildcard.rows.map((row) => row.name)).size, 460);
	const sorted = await pages(google, access_token, `/v1/${account.name}/locations?readMask=title&pageSize=100&orderBy=title%20desc`, 'locations');
	const order = sorted.rows.map((row) => row.title);
	assert.deepEqual(order, [...order].sort((a, b) => (Buffer.compare(Buffer.from(b), Buffer.from(a)))));
	const one = await list(`?readMask=title&filter=${encodeURIComponent(`title="${order[3]}"`)}`);
	assert.deepEqual([one.body.locations.length, one.body.totalSize], [1, 1]);
});

test('a_shared_location_shows_under_several_accounts', async (t) => {
	const google = await startSimulator({ t, args: ['--locations', '3', '--shared', '2'] });
	const { access_token } = await google.mint();
	const { rows: accounts } = await pages(google, access_token, '/v1/accounts', 'accounts');
	const names = async (account) => (await pages(google, access_token, `/v1/${account.name}/locations?readMask=name`, 'locations')).rows.map((row) => row.name);
	const [own, group] = [await names(accounts[0]), await names(accounts[1])];
	assert.deepEqual([own.length, group.length], [3, 5]);
	assert.equal(own.filter((name) => group.includes(name)).length, 2);
	assert.equal((await api(google, access_token, `/v4/${accounts[1].name}/${own[0]}/reviews`)).status, 200);
	assert.equal((await api(google, access_token, `/v4/${accounts[1].name}/${own[2]}/reviews`)).status, 404);
});

test('reviews_come_in_every_order_each_once_and_agree_with_their_totals', async (t) => {
	const google = await startSimulator({ t, args: ['--users', '1', '--accounts', '1', '--locations', '1', '--reviews', '530', '--reviews-exact'] });
	const { access_token } = await google.mint();
	const [location] = await google.locations();
	const truth = await google.reviews({ location: location.id });
	const stars = { ONE: 1, TWO: 2, THREE: 3, FOUR: 4, FIVE: 5 };
	assert.equal(truth.length, 530);
	const one = await api(google, access_token, `/v4/${location.name}/reviews?pageSize=200`);
	assert.equal(one.body.reviews.length, 50);
	assert.equal(one.body.totalReviewCount, 530);
	const rated = truth.map((review) => stars[review.starRating]).filter(Boolean);
	assert.equal(one.body.averageRating, Math.round(rated.reduce((a, b) => a + b) / rated.length * 10) / 10);
	for (const [order, size] of [['', 50], ['updateTime desc', 7], ['rating', 50], ['rating desc', 33]]) {
		const { rows } = await pages(google, access_token, `/v4/${location.name}/reviews?pageSize=${size}&orderBy=${encodeURIComponent(order)}`, 'reviews');
		assert.deepEqual(new Set(rows.map((row) => row.reviewId)).size, 530, order);
		assert.equal(rows.length, 530);
		const keys = rows.map((row) => order.startsWith('rating') ? stars[row.starRating] ?? 0 : Date.parse(row.updateTime));
		for (let i = 1; i < keys.length; i++)
			assert.ok(order === 'rating' ? keys[i - 1] <= keys[i] : keys[i - 1] >= keys[i], order);
	}
	assert.equal((await api(google, access_token, `/v4/${location.name}/reviews?orderBy=updateTime`)).status, 400);
});

test('reviews_have_all_that_careless_readers_stumble_over', async (t) => {
	const google = await startSimulator({ t, args: ['--users', '1', '--reviews', '600'] });
	const all = await google.reviews();
	const some = (what, check) => assert.ok(all.some(check), what);
	some('rating only', (r) => r.comment === undefined);
	some('anonymous', (r) => r.reviewer.isAnonymous && r.reviewer.displayName === undefined);
	some('emoji', (r) => r.comment?.includes('👨') || r.comment?.includes('👩') || r.comment?.includes('☕'));
	some('4096 bytes', (r) => r.comment && Buffer.byteLength(r.comment) === 4096);
	some('translated', (r) => r.comment?.startsWith('(Translated by Google)') && r.comment.includes('(Original)'));
	some('unknown field', (r) => r.fieldOfTheFuture);
	some('unknown enum', (r) => r.reviewReply?.reviewReplyState === 'STATE_OF_THE_FUTURE');
	some('rejected reply', (r) => r.reviewReply?.reviewReplyState === 'REJECTED' && r.reviewReply.policyViolation);
	some('unrated', (r) => r.starRating === 'STAR_RATING_UNSPECIFIED');
	some('media', (r) => r.reviewMediaItems?.length);
	some('edited', (r) => r.createTime !== r.updateTime);
	for (const digits of [0, 3, 6, 9])
		some(`${digits} digits`, (r) => (/\.(\d+)Z$/.exec(r.createTime)?.[1].length ?? 0) === digits);
	assert.equal(new Set(all.map((r) => r.reviewId)).size, all.length);
	const empty = (await google.locations()).find((l) => l.reviews === 0);
	if (empty) {
		const { access_token } = await google.mint();
		assert.deepEqual((await api(google, access_token, `/v4/${empty.name}/reviews`)).body, {});
	}
});

test('one_review_can_be_asked_for_until_it_is_deleted', async (t) => {
	const google = await startSimulator({ t });
	const { access_token } = await google.mint();
	const [review] = await google.reviews();
	const get = () => api(google, access_token, `/v4/${review.name}`);
	assert.deepEqual((await get()).body, review);
	await google.world({ op: 'delete', review: review.name });
	assert.equal((await get()).body.error.status, 'NOT_FOUND');
	await google.world({ op: 'restore', review: review.name });
	assert.deepEqual((await get()).body, review);
	assert.equal((await api(google, access_token, `/v4/${review.name}x`)).status, 404);
});

test('a_bare_location_name_is_a_page_not_found', async (t) => {
	const google = await startSimulator({ t });
	const { access_token } = await google.mint();
	const [location] = await google.locations();
	const answer = await fetch(`${google.url}/v4/locations/${location.id}/reviews`, { headers: { authorization: `Bearer ${access_token}` } });
	assert.equal(answer.status, 404);
	assert.match(answer.headers.get('content-type'), /text\/html/);
});

test('nobody_sees_what_belongs_to_another', async (t) => {
	const google = await startSimulator({ t });
	const { access_token } = await google.mint({ user: 1 });
	const [location] = await google.locations();
	assert.equal((await api(google, access_token, `/v4/${location.name}/reviews`)).status, 404);
	assert.equal((await api(google, access_token, `/v1/accounts/${location.account}/locations?readMask=name`)).status, 403);
});

test('a_batch_gives_all_reviews_of_its_locations_newest_first', async (t) => {
	const google = await startSimulator({ t, args: ['--locations', '60', '--reviews', '12'] });
	const { access_token } = await google.mint();
	const mine = (await google.locations()).filter((l) => l.user === 'manager-1@shop.example').slice(0, 50);
	const ask = (body) => api(google, access_token, `/v4/accounts/${mine[0].account}/locations:batchGetReviews`, { method: 'POST', body: JSON.stringify(body) });
	for (const orderBy of ['updateTime desc', 'rating']) {
		const rows = [];
		let pageToken;
		do {
			const { status, body } = await ask({ locationNames: mine.map((l) => l.name), pageSize: 50, pageToken, orderBy });
			assert.equal(status, 200, JSON.stringify(body));
			assert.equal(body.totalReviewCount, undefined);
			rows.push(...body.locationReviews);
			({ nextPageToken: pageToken } = body);
		} while (pageToken);
		assert.equal(rows.length, mine.reduce((sum, l) => sum + l.reviews, 0));
		assert.equal(new Set(rows.map((row) => row.review.name)).size, rows.length);
		assert.ok(rows.every((row) => row.review.name.startsWith(`${row.name}/reviews/`)));
		if (orderBy !== 'rating')
			for (let i = 1; i < rows.length; i++)
				assert.ok(Date.parse(rows[i - 1].review.updateTime) >= Date.parse(rows[i].review.updateTime));
	}
	assert.equal((await ask({ locationNames: [] })).status, 400);
	assert.equal((await ask({ locationNames: Array(51).fill(mine[0].name) })).status, 400);
	await google.settings({ batch_empty: true });
	assert.deepEqual((await ask({ locationNames: [mine[0].name] })).body, {});
});

test('a_reply_has_at_most_4096_bytes_and_is_read_back', async (t) => {
	const google = await startSimulator({ t });
	const { access_token } = await google.mint();
	const review = (await google.reviews({ user: 'manager-1@shop.example' })).find((r) => !r.reviewReply);
	const put = (comment) => api(google, access_token, `/v4/${review.name}/reply`, { method: 'PUT', body: JSON.stringify({ comment }) });
	assert.equal((await put('ä'.repeat(2049))).status, 400);
	assert.equal((await put('')).status, 400);
	const { status, body } = await put('ä'.repeat(2048));
	assert.equal(status, 200);
	assert.equal(body.reviewReplyState, 'APPROVED');
	const now = (await api(google, access_token, `/v4/${review.name}`)).body;
	assert.deepEqual(now.reviewReply, body);
	assert.equal(now.updateTime, review.updateTime);
	const remove = () => api(google, access_token, `/v4/${review.name}/reply`, { method: 'DELETE' });
	assert.deepEqual((await remove()).body, {});
	assert.equal((await remove()).status, 404);
	assert.equal((await google.counts()).reply_put, 3);
});

test('the_notification_setting_needs_its_update_mask', async (t) => {
	const google = await startSimulator({ t });
	const { access_token } = await google.mint();
	const [{ account }] = await google.locations();
	const where = `/v1/accounts/${account}/notificationSetting`;
	const patch = (query, body) => api(google, access_token, where + query, { method: 'PATCH', body: JSON.stringify(body) });
	const setting = { pubsubTopic: 'projects/p/topics/t', notificationTypes: ['NEW_REVIEW', 'UPDATED_REVIEW'] };
	assert.deepEqual((await api(google, access_token, where)).body, { name: where.slice(4) });
	assert.equal((await patch('', setting)).status, 400);
	assert.equal((await patch('?updateMask=pubsubTopic', { pubsubTopic: 'nonsense' })).status, 400);
	assert.deepEqual((await patch('?updateMask=pubsubTopic,notificationTypes', setting)).body, { name: where.slice(4), ...setting });
	assert.deepEqual((await patch('?updateMask=notificationTypes', {})).body, { name: where.slice(4), pubsubTopic: setting.pubsubTopic });
});

// ---- a world that changes ----

test('a_page_token_stays_right_while_the_world_changes', async (t) => {
	const google = await startSimulator({ t, args: ['--users', '1', '--accounts', '1', '--locations', '1', '--reviews', '200', '--reviews-exact'] });
	const { access_token } = await google.mint();
	const [location] = await google.locations();
	const seen = [];
	let pageToken = '';
	do {
		const { body } = await api(google, access_token, `/v4/${location.name}/reviews?pageSize=20&pageToken=${pageToken}`);
		seen.push(...body.reviews.map((r) => r.reviewId));
		pageToken = body.nextPageToken ?? '';
		await google.world({ op: 'add', location: location.id, count: 3 }, { op: 'delete', review: `${location.name}/reviews/${seen[0]}` }, { op: 'restore', review: `${location.name}/reviews/${seen[0]}` });
	} while (pageToken);
	assert.equal(seen.length, 200);
	assert.equal(new Set(seen).size, 200);
	const { body } = await api(google, access_token, `/v4/${location.name}/reviews`);
	assert.equal(body.totalReviewCount, 230);
	await google.world({ op: 'expire_page_tokens' });
	assert.equal((await api(google, access_token, `/v4/${location.name}/reviews?pageToken=${body.nextPageToken}`)).status, 400);
});

test('changes_show_in_lists_totals_and_order', async (t) => {
	const google = await startSimulator({ t });
	const { access_token } = await google.mint();
	const location = (await google.locations()).find((l) => l.reviews > 20);
	const list = async () => (await api(google, access_token, `/v4/${location.name}/reviews`)).body;
	const before = await list();
	const { applied: [added] } = await google.world({ op: 'add', location: location.id, rating: 1, comment: 'Worst 🍕 ever' });
	let now = await list();
	assert.equal(now.totalReviewCount, before.totalReviewCount + 1);
	assert.equal(now.reviews[0].reviewId, added.review);
	assert.equal(now.reviews[0].comment, 'Worst 🍕 ever');
	const old = before.reviews[7];
	await google.world({ op: 'edit', review: old.name, rating: 'SIX_OF_THE_FUTURE', comment: null });
	now = await list();
	assert.deepEqual([now.reviews[0].reviewId, now.reviews[0].starRating, now.reviews[0].comment], [old.reviewId, 'SIX_OF_THE_FUTURE', undefined]);
	const done = await google.world({ op: 'answer', location: location.id, count: 2, comment: 'Thanks', reply_state: 'PENDING' });
	assert.equal(done.count, 2);
	const answered = (await google.reviews({ location: location.id })).filter((r) => r.reviewReply?.comment === 'Thanks');
	assert.equal(answered.length, 2);
	await google.world({ op: 'change_reply', review: answered[0].name, comment: 'Thanks!' }, { op: 'remove_reply', review: answered[1].name });
	const after = await google.reviews({ location: location.id });
	assert.equal(after.find((r) => r.reviewId === answered[0].reviewId).reviewReply.comment, 'Thanks!');
	assert.equal(after.find((r) => r.reviewId === answered[1].reviewId).reviewReply, undefined);
	assert.equal(after.length, (await list()).totalReviewCount);
});

test('a_fraction_of_all_locations_can_be_changed_at_once', async (t) => {
	const google = await startSimulator({ t, args: ['--users', '1', '--accounts', '10', '--locations', '1000', '--reviews', '20', '--reviews-exact'] });
	const { count, applied } = await google.world({ op: 'edit', fraction: 0.01, count: 2 });
	assert.ok(count > 120 && count < 290, `${count}`);
	assert.equal(applied.length, 100);
	const { changes, reviews } = await google.control('world');
	assert.deepEqual([changes, reviews], [count, 200000]);
	assert.equal((await google.world({ op: 'delete', all: true })).count, 10000);
	assert.equal((await google.control('world')).reviews, 190000);
});

test('a_location_can_lose_its_verification_or_vanish_and_come_back', async (t) => {
	const google = await startSimulator({ t, args: ['--unverified-every', '4'] });
	const { access_token } = await google.mint();
	const [location, , , unverified] = await google.locations();
	const get = (l) => api(google, access_token, `/v4/${l.name}/reviews`);
	const { status, body } = await get(unverified);
	assert.equal(status, 400);
	assert.ok(body.error.details.some((d) => d.reason === 'UNVERIFIED_LOCATION'));
	await google.world({ op: 'verify', location: unverified.id }, { op: 'unverify', location: location.id });
	assert.deepEqual([(await get(unverified)).status, (await get(location)).status], [200, 400]);
	await google.world({ op: 'vanish', location: location.name });
	assert.equal((await get(location)).status, 404);
	const { rows } = await pages(google, access_token, `/v1/accounts/${location.account}/locations?readMask=name`, 'locations');
	assert.ok(!rows.some((row) => row.name === `locations/${location.id}`));
	await google.world({ op: 'return', location: location.id });
	assert.equal((await get(location)).status, 200);
});

test('one_seed_makes_one_world', async (t) => {
	const args = ['--end', '2026-01-01T00:00:00Z', '--locations', '2', '--reviews', '30'];
	const [a, b, c] = await Promise.all([startSimulator({ t, args }), startSimulator({ t, args }), startSimulator({ t, args: [...args, '--seed', '2'] })]);
	const [x, y, z] = await Promise.all([a.reviews(), b.reviews(), c.reviews()]);
	assert.deepEqual(x, y);
	assert.notDeepEqual(x, z);
});

// ---- faults ----

test('each_fault_does_what_it_says', async (t) => {
	const google = await startSimulator({ t });
	const { access_token } = await google.mint();
	const get = (options) => fetch(`${google.url}/v1/accounts`, { headers: { authorization: `Bearer ${access_token}` }, ...options });
	const under = async (fault) => {
		await google.clearFaults();
		await google.fault({ target: 'accounts', ...fault });
		return get();
	};
	const limited = await json(await under({ status: 429, retry_after: 7 }));
	assert.deepEqual([limited.status, limited.headers.get('retry-after'), limited.body.error.status], [429, '7', 'RESOURCE_EXHAUSTED']);
	const dated = await under({ status: 503, retry_after: 60, retry_after_date: true });
	assert.ok(Math.abs(Date.parse(dated.headers.get('retry-after')) - Date.now() - 60000) < 5000);
	const info = await json(await under({ status: 429, retry_info: 30 }));
	assert.deepEqual([info.headers.get('retry-after'), info.body.error.details[0].retryDelay], [null, '30s']);
	assert.equal((await json(await under({ status: 429 }))).body.error.details, undefined);
	assert.equal((await json(await under({ status: 503 }))).body.error.status, 'UNAVAILABLE');
	const disabled = await json(await under({ status: 403, reason: 'SERVICE_DISABLED' }));
	assert.equal(disabled.body.error.details[0].reason, 'SERVICE_DISABLED');
	assert.deepEqual((await json(await under({ status: 418, body: { any: ['thing'] } }))).body, { any: ['thing'] });
	await assert.rejects(under({ reset: true }), (error) => error.cause?.code === 'ECONNRESET' || error.cause?.code === 'UND_ERR_SOCKET');
	const cut = await under({ truncate: true });
	assert.equal(cut.status, 200);
	await assert.rejects(cut.text());
	const html = await under({ non_json: true });
	assert.deepEqual([html.status, (await html.text()).startsWith('<!DOCTYPE html>')], [200, true]);
	assert.equal(await (await under({ empty: true, status: 502 })).text(), '');
	const start = performance.now();
	await under({ latency_ms: 300 });
	assert.ok(performance.now() - start >= 295);
	const { by_kind, throttled } = await google.counts();
	assert.deepEqual(by_kind.accounts, { 200: 3, 403: 1, 418: 1, 429: 3, 502: 1, 503: 2, reset: 1 });
	assert.equal(throttled, 3);
});

test('a_fault_can_wait_its_turn_and_choose_its_victims', async (t) => {
	const google = await startSimulator({ t });
	const { access_token } = await google.mint();
	const mine = (await google.locations()).slice(0, 2);
	await google.fault({ target: 'v4', match: mine[1].id, status: 500, skip: 1, count: 2 });
	const statuses = { [mine[0].id]: [], [mine[1].id]: [] };
	for (let i = 0; i < 4; i++)
		for (const location of mine)
			statuses[location.id].push((await api(google, access_token, `/v4/${location.name}/reviews`)).status);
	assert.deepEqual(statuses[mine[0].id], [200, 200, 200, 200]);
	assert.deepEqual(statuses[mine[1].id], [200, 500, 500, 200]);
	const { faults: [fault] } = await google.control('faults');
	assert.equal(fault.hits, 2);
});

test('token_faults_change_the_answer', async (t) => {
	const google = await startSimulator({ t });
	const { refresh_token } = await connect(google);
	const under = async (fault) => {
		await google.clearFaults();
		await google.fault({ target: 'token_refresh', ...fault });
		return refresh(google, refresh_token);
	};
	assert.equal((await under({ omit_expires_in: true })).body.expires_in, undefined);
	assert.equal((await under({ expires_in: 5 })).body.expires_in, 5);
	assert.equal((await under({ token_type: 'mac' })).body.token_type, 'mac');
	assert.equal((await under({ omit_scope: true })).body.scope, undefined);
	const long = (await under({ token_bytes: 16384 })).body.access_token;
	assert.equal(long.length, 16384);
	const found = await new Promise((resolve, reject) => http.get(`${google.url}/v1/accounts`,
		{ headers: { authorization: `Bearer ${long}` } }, (answer) => resolve(answer.resume().statusCode)).on('error', reject));
	assert.equal(found, 200);
	const dead = await under({ error: 'invalid_grant', error_description: 'Bad Request' });
	assert.deepEqual([dead.status, dead.body], [400, { error: 'invalid_grant', error_description: 'Bad Request' }]);
	assert.equal((await under({ error: 'invalid_client' })).status, 401);
	assert.equal((await under({ status: 503 })).body.error, 'temporarily_unavailable');
	const client = await under({ error: 'invalid_grant', match: CLIENT });
	assert.equal(client.status, 400);
	assert.equal((await under({ error: 'invalid_grant', match: 'another' })).status, 200);
});

test('a_rotated_refresh_token_dies_at_once_and_its_reuse_can_end_the_grant', async (t) => {
	const google = await startSimulator({ t });
	const { refresh_token: first } = await connect(google);
	await google.fault({ target: 'token_refresh', rotate_refresh_tokens: true });
	const { body: { refresh_token: second } } = await refresh(google, first);
	assert.notEqual(second, first);
	assert.equal((await refresh(google, first)).body.error, 'invalid_grant');
	const { body: { refresh_token: third } } = await refresh(google, second);
	await google.fault({ target: 'token_refresh', reuse_detection: true });
	assert.equal((await refresh(google, second)).status, 400);
	assert.equal((await refresh(google, third)).status, 400);
	assert.equal((await google.counts()).refresh_reused, 2);
});

test('an_answer_can_be_lost_after_the_work_was_done', async (t) => {
	const google = await startSimulator({ t });
	const { refresh_token } = await connect(google);
	await google.fault({ target: 'token_refresh', rotate_refresh_tokens: true }, { target: 'token_refresh', reset: true, after: true, count: 1 });
	await assert.rejects(refresh(google, refresh_token));
	assert.equal((await refresh(google, refresh_token)).body.error, 'invalid_grant');
	assert.equal((await google.counts()).refresh_reused, 1);
});

test('a_thousand_slow_requests_wait_side_by_side', async (t) => {
	const google = await startSimulator({ t });
	const { refresh_token } = await connect(google);
	await google.fault({ target: 'token_refresh', latency_ms: 500 });
	const start = performance.now();
	const all = await Promise.all(Array.from({ length: 1000 }, () => refresh(google, refresh_token)));
	assert.ok(all.every((answer) => answer.status === 200));
	const { token_refresh, max_token_in_flight, in_flight } = await google.counts();
	assert.equal(token_refresh, 1000);
	assert.ok(max_token_in_flight > 100, `${max_token_in_flight} at a time`);
	assert.equal(in_flight, 0);
	t.diagnostic(`1000 requests of 500 ms: ${Math.round(performance.now() - start)} ms, ${max_token_in_flight} at a time`);
});

test('the_quota_is_one_per_project_and_api', async (t) => {
	const google = await startSimulator({ t });
	await google.control('quota', { per_minute: 10, slack_percent: 0 });
	const [a] = await google.mint({ client_id: '9-a', count: 1 });
	const [b] = await google.mint({ client_id: '9-b', user: 1, count: 1 });
	const [c] = await google.mint({ client_id: '8-a', count: 1 });
	const get = async (x, where) => (await api(google, x.access_token, where)).status;
	for (let i = 0; i < 10; i++)
		assert.equal(await get(i % 2 ? a : b, '/v1/accounts'), 200);
	const { status, body } = await api(google, a.access_token, '/v1/accounts');
	assert.deepEqual([status, body.error.status, body.error.details[0].reason], [429, 'RESOURCE_EXHAUSTED', 'RATE_LIMIT_EXCEEDED']);
	assert.equal(await get(b, '/v1/accounts'), 429);
	assert.equal(await get(c, '/v1/accounts'), 200);
	assert.equal(await get(a, '/v1/accounts/-/locations?readMask=name'), 200);
	const counts = await google.counts();
	assert.deepEqual([counts.throttled, counts.quota_refused], [2, 2]);
	await google.control('quota', { per_minute: 0 });
	assert.equal(await get(c, '/v1/accounts/-/locations?readMask=name'), 429);
	await google.control('quota', { per_minute: null, edits_per_minute: 1 });
	const review = (await google.reviews({ user: 'manager-1@shop.example' })).find((r) => !r.reviewReply);
	const put = () => api(google, a.access_token, `/v4/${review.name}/reply`, { method: 'PUT', body: '{"comment":"Thanks"}' });
	assert.deepEqual([(await put()).status, (await put()).status], [200, 429]);
});

// ---- life ----

test('with_a_state_file_grants_and_changes_outlive_a_restart', async (t) => {
	const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'simulator-'));
	t.after(() => fs.rmSync(folder, { recursive: true }));
	const args = ['--state', path.join(folder, 'state.jsonl')];
	const google = await startSimulator({ t, args });
	const kept = await connect(google, { choice: { account: 'manager-2@shop.example' } });
	const lost = await connect(google);
	await fetch(`${google.url}/revoke`, { method: 'POST', body: form({ token: lost.refresh_token }) });
	await google.fault({ target: 'token_refresh', rotate_refresh_tokens: true });
	const { body: { refresh_token } } = await refresh(google, kept.refresh_token);
	const [location] = await google.locations();
	await google.world({ op: 'add', location: location.id, comment: 'after all' }, { op: 'delete', location: location.id }, { op: 'answer', location: location.id }, { op: 'edit', fraction: 0.5 });
	const before = await google.reviews();
	await google.kill();
	await google.start();
	assert.deepEqual(await google.reviews(), before);
	assert.equal((await refresh(google, refresh_token)).status, 200);
	assert.equal((await refresh(google, kept.refresh_token)).status, 400);
	assert.equal((await refresh(google, lost.refresh_token)).status, 400);
	assert.equal((await refresh(google, refresh_token, { client_secret: 'wrong' })).status, 401);
	assert.equal((await api(google, kept.access_token, '/v1/accounts')).status, 200);
	await google.stop();
	await assert.rejects(startSimulator({ args: [...args, '--seed', '99'] }), /another world/);
});

test('it_says_what_it_is_and_ends_at_once_even_with_requests_waiting', async (t) => {
	const google = await startSimulator({ t });
	assert.match(google.said[0], /^simulated Google on http:\/\/localhost:\d+ — 3 users × .* nothing here is real$/);
	assert.match(await (await fetch(google.url)).text(), /Simulated Google/);
	assert.match(await google.control(''), /rotate_refresh_tokens/);
	await google.fault({ target: 'any', latency_ms: 600000 });
	const waiting = fetch(`${google.url}/v1/accounts`).catch(() => {});
	while ((await google.counts()).in_flight === 0)
		await new Promise((resolve) => setImmediate(resolve));
	const start = performance.now();
	const { code } = await google.stop();
	assert.equal(code, 0);
	assert.ok(performance.now() - start < 3000);
	await waiting;
});

test('control_says_what_is_wrong', async (t) => {
	const google = await startSimulator({ t });
	for (const [where, body, words] of [
		['faults', { target: 'nothing' }, /target must be/],
		['faults', { target: 'any', stauts: 1 }, /no field \\"stauts\\"/],
		['faults', { target: 'any', status: 42 }, /200 to 599/],
		['world', { op: 'explode', all: true }, /no such op/],
		['world', { op: 'edit' }, /say where/],
		['world', { op: 'edit', location: '1' }, /no such location/],
		['tokens', { op: 'mint' }, /needs client_id/],
		['tokens', { op: 'kill' }, /say whose/],
		['quota', { per_minute: 'many' }, /whole number/],
		['settings', { auto_consent: 'maybe' }, /ask, allow or deny/],
	])
		await assert.rejects(google.control(where, body), words);
	await assert.rejects(google.control('nowhere'), /404/);
	const foreign = await new Promise((resolve, reject) => http.request(`${google.url}/_control/counts/reset`,
		{ method: 'POST', headers: { 'sec-fetch-site': 'cross-site' } }, (answer) => resolve(answer.resume().statusCode)).on('error', reject).end());
	assert.equal(foreign, 403);
	const broken = await fetch(`${google.url}/_control/faults`, { method: 'POST', body: '{' });
	assert.equal(broken.status, 400);
	await assert.rejects(startSimulator({ args: ['--users', 'many'] }), /whole number/);
	await assert.rejects(startSimulator({ args: ['--port', String(google.port)] }), /in use/);
});
