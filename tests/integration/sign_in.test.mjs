// SPDX-License-Identifier: Apache-2.0
// People at a browser: signing in by key or one-time link, what a session may do, and what other sites
// cannot make it do.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CookieJar, eventually, send, startService, startSimulator } from './lib/service.mjs';

let google;
let service;
let key;

before(async () => {
	google = await startSimulator();
	service = await startService({ simulator: google, env: { CONNECT_WRONG_ACCOUNT: 'refuse' } });
	key = await service.key('admin', { name: 'people' });
});
after(async () => {
	await service?.end();
	await google?.end();
});

const HTML = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };
const OURS = () => ({ origin: service.url, 'sec-fetch-site': 'same-origin' });
const page = (where, jar, headers = {}) => send('GET', service.url + where, { jar, headers: { ...HTML, ...headers } });
const post = (where, form, jar, headers = OURS()) => send('POST', service.url + where, { jar, form, headers: { ...HTML, ...headers } });

async function signIn(withKey = key) {
	const jar = new CookieJar();
	const answer = await post('/sign-in', { key: withKey, next: '/console' }, jar);
	assert.equal(answer.status, 303, answer.text);
	return { jar, answer };
}

describe('signing in', () => {
	test('a_browser_without_a_session_is_led_to_sign_in_and_back', async () => {
		for (const where of ['/', '/console', '/reviews-viewer', '/demo']) {
			const away = await page(where);
			assert.equal(away.status, 303);
			assert.equal(away.headers.location, `/sign-in?next=${encodeURIComponent(where)}`);
		}
		const form = await page('/sign-in?next=%2Fdemo');
		assert.equal(form.status, 200);
		assert.match(form.text, /name="next" value="\/demo"/);
		assert.match(form.headers['content-security-policy'], /form-action 'self'$/);
		assert.doesNotMatch(form.text, /<script|src=|https?:/);
		const { jar, answer } = await signIn();
		assert.equal(answer.headers.location, '/console');
		assert.equal((await page('/', jar)).headers.location, '/console');
		assert.match((await page('/console', jar)).text, /<div id="app">/);
		assert.match((await page('/sign-out', jar)).text, /You are signed in/);
		assert.equal((await page('/sign-in?next=%2Fdemo', jar)).headers.location, '/demo');
	});

	test('programs_get_the_identity_as_json', async () => {
		for (const where of ['/', '/console', '/reviews-viewer', '/demo']) {
			const answer = await service.get(where, { key });
			assert.equal(answer.json.service, 'review-fetcher');
		}
		assert.equal((await service.get('/console')).status, 401);
	});

	test('the_cookie_is_out_of_reach_of_scripts_and_other_sites', async () => {
		const { answer } = await signIn();
		const [cookie] = answer.headers['set-cookie'];
		assert.match(cookie, /^rf_session=[a-z2-7]{8}_[\w-]{43}; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Lax$/);
		assert.ok(!cookie.includes(key));
	});

	test('under_https_the_cookie_is_for_this_host_alone', async (t) => {
		const secure = await startService({ t, env: { PUBLIC_URL: 'https://reviews.example' } });
		const own = await secure.key('admin');
		const answer = await secure.post('/session', undefined, { key: own });
		assert.equal(answer.status, 201, answer.text);
		assert.match(answer.headers['set-cookie'][0], /^__Host-rf_session=.*; Path=\/; .*HttpOnly; SameSite=Lax; Secure$/);
	});

	test('next_leads_nowhere_else', async () => {
		for (const next of ['//evil.example', 'https://evil.example', '/\\evil.example', 'evil', '/a\n/b', '/\t/evil.example']) {
			const answer = await post('/sign-in', { key, next }, new CookieJar());
			assert.equal(answer.headers.location, '/console', next);
			assert.doesNotMatch((await page(`/sign-in?next=${encodeURIComponent(next)}`)).text, /evil/);
		}
	});

	test('a_wrong_key_is_told_and_not_repeated', async () => {
		const answer = await post('/sign-in', { key: `${key}x`, next: '/console' }, new CookieJar());
		assert.equal(answer.status, 401);
		assert.match(answer.text, /not known/);
		assert.ok(!answer.text.includes(key));
		assert.equal(answer.headers['set-cookie'], undefined);
	});

	test('a_one_time_link_signs_in_by_its_button_once', async () => {
		const id = key.split('_')[1];
		const made = service.cli('key', 'sign-in-link', id);
		assert.equal(made.code, 0, made.stderr);
		const link = service.local(made.stdout.trim());
		const where = new URL(link).pathname + new URL(link).search;
		const shown = await page(where);
		assert.match(shown.text, /people/);
		await page(where); // looking at it does not use it up
		const field = /name="link" value="([^"]+)"/.exec(shown.text)[1];
		const jar = new CookieJar();
		const taken = await post('/sign-in', { link: field, next: '/console' }, jar);
		assert.equal(taken.status, 303, taken.text);
		assert.equal((await page('/console', jar)).status, 200);
		assert.equal((await post('/sign-in', { link: field, next: '/console' }, new CookieJar())).status, 403);
		assert.match((await page(where)).text, /used already/);
	});

	test('the_command_line_wants_the_id_of_a_good_key', async () => {
		assert.equal(service.cli('key', 'sign-in-link').code, 2);
		assert.equal(service.cli('key', 'sign-in-link', key).code, 2);
		assert.equal(service.cli('key', 'sign-in-link', 'aaaaaaaa').code, 1);
		assert.equal(service.cli('key', 'sign-in-link', key.split('_')[1], '--expires', '8d').code, 2);
		assert.equal(service.cli('key', 'sign-in-link', key.split('_')[1], '--name', 'x').code, 2);
	});
});

describe('a session', () => {
	test('it_has_the_scopes_and_branches_of_its_key', async () => {
		const { client_id: mine } = await service.register({ key, branch_id: 'seen' });
		const { client_id: other } = await service.register({ key, branch_id: 'unseen' });
		const bound = await service.key('clients:read', { branches: 'seen' });
		const { jar } = await signIn(bound);
		const who = await send('GET', `${service.url}/session`, { jar });
		assert.deepEqual(who.json.scopes, ['clients:read']);
		assert.deepEqual(who.json.branches, ['seen']);
		assert.equal((await send('GET', `${service.url}/token-management/clients/${mine}`, { jar })).status, 200);
		assert.equal((await send('GET', `${service.url}/token-management/clients/${other}`, { jar })).status, 404);
		assert.equal((await send('GET', `${service.url}/token-management/tokens/seen`, { jar })).status, 403);
	});

	test('it_changes_nothing_for_another_site', async () => {
		const { jar } = await signIn();
		const wanted = { client_id: 'a', client_secret: 'b', branch_id: 'forged', workspace_email: 'a@b.example', workspace_name: 'x' };
		const ask = (headers) => send('POST', `${service.url}/token-management/clients`, { jar, json: wanted, headers });
		const ours = { 'x-requested-with': 'review-fetcher' };
		assert.equal((await ask(ours)).status, 403); // nobody says who sent it
		assert.equal((await ask({ ...ours, origin: 'https://evil.example' })).status, 403);
		assert.equal((await ask({ ...ours, origin: 'null' })).status, 403);
		assert.equal((await ask({ ...ours, 'sec-fetch-site': 'same-site' })).status, 403);
		assert.equal((await ask({ ...ours, ...OURS(), 'sec-fetch-site': 'cross-site' })).status, 403);
		assert.equal((await ask({ ...ours, ...OURS(), origin: 'http://127.0.0.1:1' })).status, 403);
		assert.equal((await ask(OURS())).status, 403); // a plain form could send that
		assert.equal((await ask({ ...OURS(), ...ours })).status, 201);
	});

	test('nobody_is_signed_in_by_another_site', async () => {
		for (const headers of [{}, { origin: 'https://evil.example' }, { 'sec-fetch-site': 'cross-site' }]) {
			const answer = await post('/sign-in', { key, next: '/console' }, new CookieJar(), headers);
			assert.equal(answer.status, 403);
			assert.equal(answer.headers['set-cookie'], undefined);
		}
	});

	test('it_begins_a_consent_from_our_pages_and_not_from_elsewhere', async () => {
		const { client_id: id } = await service.register({ key, branch_id: 'by-session' });
		const { jar } = await signIn();
		const where = `/token-management/oauth/login/${id}`;
		assert.equal((await page(where, jar, { 'sec-fetch-site': 'same-origin' })).status, 307);
		assert.equal((await page(where, jar, { 'sec-fetch-site': 'none' })).status, 307);
		assert.equal((await page(where, jar, { 'sec-fetch-site': 'cross-site' })).status, 403);
		assert.equal((await page(where)).status, 401);
	});

	test('signing_out_needs_the_token_of_the_form_and_ends_it', async () => {
		const { jar } = await signIn();
		const token = /name="csrf" value="([^"]+)"/.exec((await page('/sign-out', jar)).text)[1];
		assert.equal((await post('/sign-out', { csrf: 'guessed' }, jar)).status, 403);
		assert.equal((await post('/sign-out', { csrf: token }, jar, { origin: 'https://evil.example' })).status, 403);
		const kept = new CookieJar();
		kept.cookies = new Map(jar.cookies);
		assert.equal((await post('/sign-out', { csrf: token }, jar)).headers.location, '/sign-in');
		assert.equal(jar.cookies.size, 0);
		assert.equal((await page('/console', kept)).status, 303);
		assert.equal((await send('GET', `${service.url}/session`, { jar: kept })).status, 401);
	});

	test('sessions_are_listed_and_ended_by_their_own_key_or_an_admin', async () => {
		const small = await service.key('reviews:read');
		const { jar } = await signIn(small);
		const { json: who } = await send('GET', `${service.url}/session`, { jar });
		const own = await service.get('/sessions', { key: small });
		assert.deepEqual(own.json.sessions.map((s) => s.id), [who.session_id]);
		const stranger = await service.key('reviews:read');
		assert.equal((await service.request('DELETE', `/sessions/${who.session_id}`, { key: stranger })).status, 404);
		assert.ok((await service.get('/sessions', { key })).json.sessions.length > 1);
		assert.equal((await service.request('DELETE', `/sessions/${who.session_id}`, { key })).status, 200);
		assert.equal((await send('GET', `${service.url}/session`, { jar })).status, 401);
	});

	test('it_ends_with_its_key_and_outlives_a_restart', async () => {
		const short = await service.key('reviews:read');
		const { jar } = await signIn(short);
		await service.restart();
		assert.equal((await send('GET', `${service.url}/session`, { jar })).status, 200);
		assert.equal(service.cli('key', 'revoke', short.split('_')[1]).code, 0);
		await eventually(async () => assert.equal((await send('GET', `${service.url}/session`, { jar })).status, 401));
	});
});

describe('links and accounts', () => {
	const links = (id) => `/token-management/clients/${id}/connect-links`;
	const open = (link, jar) => send('GET', link, { jar, headers: HTML });

	async function makeLink(branch, fields = {}) {
		const { client_id: id } = await service.register({ key, branch_id: branch, ...fields });
		const { json } = await service.post(`/token-management/clients/${id}/connect-link`, {}, { key });
		return { id, link: service.local(json.url) };
	}

	// Through the provider's page and back, as a browser goes.
	async function go(location, jar, choice) {
		const back = await service.consent(location, choice);
		const away = await send('GET', back, { jar, headers: HTML });
		assert.equal(away.headers.location, '/token-management/auth/callback', away.text);
		return page(away.headers.location, jar);
	}

	async function press(shown, jar) {
		const action = /<form method="post" action="([^"]+)"/.exec(shown.text)[1].replaceAll('&amp;', '&');
		const answer = await send('POST', service.url + action, { jar, headers: HTML, form: {} });
		assert.equal(answer.status, 303, answer.text);
		return answer.headers.location;
	}

	test('an_open_link_can_be_revoked_and_then_says_so', async () => {
		const { id, link } = await makeLink('recalled');
		const listed = await service.get(links(id), { key });
		assert.equal(listed.json.links.length, 1);
		assert.match(listed.json.links[0].created_by, /^key:/);
		assert.ok(!listed.text.includes(new URL(link).searchParams.get('ticket')));
		const reader = await service.key('clients:read');
		assert.equal((await service.get(links(id), { key: reader })).status, 403);
		assert.equal((await service.request('DELETE', `${links(id)}/${listed.json.links[0].id}`, { key })).json.revoked, 1);
		assert.equal((await service.request('DELETE', `${links(id)}/${listed.json.links[0].id}`, { key })).status, 404);
		const shown = await open(link, new CookieJar());
		assert.equal(shown.status, 403);
		assert.match(shown.text, /was withdrawn/);
		assert.doesNotMatch(shown.text, /recalled/); // nothing of the branch
		assert.equal((await service.request('DELETE', links(id), { key })).json.revoked, 0);
	});

	test('another_account_is_refused_and_the_next_try_may_choose', async () => {
		const [expected, other] = await google.people();
		const { id, link } = await makeLink('choosy', { workspace_email: expected.toUpperCase() });
		const jar = new CookieJar();
		const refused = await go(await press(await open(link, jar), jar), jar, { account: other });
		assert.equal(refused.status, 403);
		assert.match(refused.text, /That was another account/);
		assert.ok(refused.text.includes(other));
		assert.ok(!refused.text.toUpperCase().includes(expected.toUpperCase()));
		assert.equal((await service.get(`/token-management/clients/${id}`, { key })).json.status, 'pending');
		const location = await press(refused, jar);
		assert.equal(new URL(location).searchParams.get('prompt'), 'select_account consent');
		const done = await go(location, jar, { account: expected });
		assert.match(done.text, /is connected/);
		const client = (await service.get(`/token-management/clients/${id}`, { key })).json;
		assert.equal(client.connected_email, expected);
		assert.equal(client.status_reason, null);
	});

	test('an_unticked_box_is_named_in_plain_words', async () => {
		const { link } = await makeLink('unticked');
		const jar = new CookieJar();
		const shown = await go(await press(await open(link, jar), jar), jar, { scopes: [] });
		assert.match(shown.text, /A box was left unticked/);
		assert.match(shown.text, /See, edit, create and delete your Google business listings/);
		assert.match(shown.text, /Try again/);
	});

	test('each_other_ending_has_its_page', async () => {
		const { link } = await makeLink('endings', { workspace_email: (await google.people())[0] });
		const jar = new CookieJar();
		const location = await press(await open(link, jar), jar);
		const { searchParams } = new URL(location);
		const back = `${service.url}/token-management/auth/callback?state=${searchParams.get('state')}`;
		assert.match((await open(`${back}&code=x`, new CookieJar())).text, /stay in one browser/);
		const busy = await send('GET', `${back}&error=temporarily_unavailable`, { jar, headers: HTML });
		assert.match((await page(busy.headers.location, jar)).text, /Google is busy just now/);
		assert.match((await open(`${back}&code=x`, jar)).text, /This step is done already/);
		const next = new URL(await press(await open(link, jar), jar)).searchParams.get('state');
		const wrong = await send('GET', `${service.url}/token-management/auth/callback?state=${next}&error=org_internal`, { jar, headers: HTML });
		const shown = await page(wrong.headers.location, jar);
		assert.equal(shown.status, 502);
		assert.match(shown.text, /Something has to be set right first/);
		assert.match(shown.text, /org_internal.*make it external/s);
		const json = await send('GET', `${service.url}/token-management/auth/callback?state=${next}&code=x`, { jar });
		assert.equal(json.status, 400);
	});
});
