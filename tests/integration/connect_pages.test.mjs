// SPDX-License-Identifier: Apache-2.0
// What a branch manager sees: the page before Google, whose button alone uses the link, and the page after,
// whose address holds no code and which a reload shows again.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CookieJar, send, startService, startSimulator } from './lib/service.mjs';

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

const HTML = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };

async function makeLink(branch, fields = {}) {
	const { client_id: id } = await service.register({ key, branch_id: branch, ...fields });
	const answer = await service.post(`/token-management/clients/${id}/connect-link`, {}, { key });
	assert.equal(answer.status, 200, answer.text);
	return service.local(answer.json.url);
}

const open = (link, jar) => send('GET', link, { jar, headers: HTML });

// Presses the page's button; answers where the provider's page is.
async function press(page, jar) {
	const action = /<form method="post" action="([^"]+)"/.exec(page.text)[1].replaceAll('&amp;', '&');
	const answer = await send('POST', service.url + action, { jar, headers: HTML, form: {} });
	return answer;
}

// The callback as a browser goes through it: the redirect, then the page.
async function comeBack(back, jar) {
	const answer = await send('GET', back, { jar, headers: HTML });
	assert.equal(answer.status, 303, answer.text);
	assert.equal(answer.headers.location, '/token-management/auth/callback');
	return open(service.url + answer.headers.location, jar);
}

describe('the page before', () => {
	test('it_says_who_asks_for_what_and_loads_nothing', async () => {
		const link = await makeLink('plain', { workspace_name: 'Tom & <Jerry>' });
		const page = await open(link, new CookieJar());
		assert.equal(page.status, 200, page.text);
		assert.match(page.text, /Tom &amp; &lt;Jerry&gt;/);
		assert.match(page.text, /plain@example\.com/);
		assert.match(page.text, /Continue to Google/);
		assert.doesNotMatch(page.text, /<script|src=|https?:/);
		assert.match(page.headers['content-security-policy'], /^default-src 'none'; style-src 'sha256-/);
		assert.equal(page.headers['referrer-policy'], 'no-referrer');
		assert.equal(page.headers['cache-control'], 'no-store');
		assert.equal(page.headers['set-cookie'], undefined);
	});

	test('a_preview_robot_does_not_use_up_the_link', async () => {
		const link = await makeLink('previewed');
		await open(link, new CookieJar());
		await send('HEAD', link);
		await send('GET', link, { headers: { accept: '*/*', 'user-agent': 'Slackbot-LinkExpanding 1.0' } });
		const jar = new CookieJar();
		const started = await press(await open(link, jar), jar);
		assert.equal(started.status, 303, started.text);
		assert.ok(started.headers.location.startsWith(google.url));
	});

	test('after_the_button_another_browser_cannot_use_the_link', async () => {
		const link = await makeLink('mine-alone');
		const jar = new CookieJar();
		await press(await open(link, jar), jar);
		const other = await open(link, new CookieJar());
		assert.equal(other.status, 403);
		assert.match(other.text, /another browser/);
		assert.equal((await open(link, jar)).status, 200);
	});

	test('programs_are_sent_on_at_once', async () => {
		assert.equal((await send('GET', await makeLink('program'))).status, 307);
		const { client_id: id } = await service.register({ key, branch_id: 'by-key' });
		const answer = await service.get(`/token-management/oauth/login/${id}`, { key, headers: HTML });
		assert.equal(answer.status, 307, answer.text);
	});
});

describe('the page after', () => {
	test('a_reload_shows_the_same_and_the_address_holds_no_code', async () => {
		const [account] = await google.people();
		const link = await makeLink('reloaded', { workspace_name: 'Reloaded', workspace_email: account });
		const jar = new CookieJar();
		const started = await press(await open(link, jar), jar);
		const page = await comeBack(await service.consent(started.headers.location), jar);
		assert.equal(page.status, 200, page.text);
		assert.match(page.text, /Reloaded is connected/);
		const again = await open(`${service.url}/token-management/auth/callback`, jar);
		assert.equal(again.text, page.text);
		assert.equal((await service.token('reloaded', { key })).status, 200);
		const used = await open(link, jar);
		assert.equal(used.status, 403);
		assert.match(used.text, /has done its work/);
	});

	test('a_refusal_has_its_page_and_the_link_can_be_tried_again', async () => {
		const link = await makeLink('refused');
		const jar = new CookieJar();
		let started = await press(await open(link, jar), jar);
		const page = await comeBack(await service.consent(started.headers.location, { allow: false }), jar);
		assert.equal(page.status, 400);
		assert.match(page.text, /You did not allow the access/);
		started = await press(await open(link, jar), jar);
		assert.match((await comeBack(await service.consent(started.headers.location), jar)).text, /is connected/);
	});

	// RFC 6749 section 4.1.2: Google adds such ones (hd, session_state), and more may come.
	test('unknown_parameters_of_the_callback_are_ignored', async () => {
		const link = await makeLink('talkative');
		const jar = new CookieJar();
		const started = await press(await open(link, jar), jar);
		const back = await service.consent(started.headers.location);
		const page = await comeBack(`${back}&hd=example.com&session_state=0&x=&error_uri=none&new=%C3%A9`, jar);
		assert.match(page.text, /is connected/);
		assert.equal((await service.token('talkative', { key })).status, 200);
	});

	// RFC 9700 section 2.1: no open redirector.
	test('nobody_is_led_to_an_address_that_a_parameter_names', async () => {
		const evil = ['return_to', 'redirect_uri', 'next', 'continue', 'url'].map((name) => `&${name}=https%3A%2F%2Fevil.example%2F`).join('');
		const link = await makeLink('led-astray');
		const jar = new CookieJar();
		const page = await open(link + evil, jar);
		assert.doesNotMatch(page.text, /evil/);
		const started = await send('POST', link + evil, { jar, headers: HTML, form: {} });
		assert.ok(started.headers.location.startsWith(google.url), started.headers.location);
		assert.doesNotMatch(started.headers.location, /evil/);
		const after = await send('GET', await service.consent(started.headers.location) + evil, { jar, headers: HTML });
		assert.equal(after.headers.location, '/token-management/auth/callback');
		assert.doesNotMatch((await open(service.url + after.headers.location, jar)).text, /evil/);
	});

	test('it_loads_nothing_from_elsewhere_and_tells_nobody_its_address', async () => {
		const jar = new CookieJar();
		const started = await press(await open(await makeLink('quiet'), jar), jar);
		const back = await service.consent(started.headers.location);
		const redirect = await send('GET', back, { jar, headers: HTML });
		const page = await open(service.url + redirect.headers.location, jar);
		assert.equal(redirect.headers['referrer-policy'], 'no-referrer');
		assert.equal(page.headers['referrer-policy'], 'no-referrer');
		assert.match(page.headers['content-security-policy'], /^default-src 'none'; style-src 'sha256-[^']+'; frame-ancestors 'none'; base-uri 'none'/);
		assert.doesNotMatch(page.text, /<script|<link|<img|src=|https?:/);
	});

	test('nobody_sees_the_page_of_another_browser', async () => {
		const page = await open(`${service.url}/token-management/auth/callback`, new CookieJar());
		assert.equal(page.status, 400);
		assert.match(page.text, /nothing to see here/);
	});
});
