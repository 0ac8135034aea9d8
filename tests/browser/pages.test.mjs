// SPDX-License-Identifier: Apache-2.0
// The manager's pages at each ending, on a phone and without JavaScript; links and sessions that have expired; replying and
// exporting as people do it; jobs live; the keyboard alone; and the pictures of the README (PICTURES=docs/images keeps them).
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { faultsOf, openStage, PHONE, picture } from './lib/stage.mjs';

const pictures = process.env.PICTURES;
let stage;
let service;
let google;
let key;

before(async () => {
	const end = new Date(Math.floor(Date.now() / 86400000) * 86400000).toISOString();
	stage = await openStage({ world: ['--users', '3', '--accounts', '1', '--locations', '4', '--reviews', '110', '--end', end], env: { GOOGLE_REQUESTS_PER_MINUTE: 3000 } });
	({ service, google, key } = stage);
});
after(() => stage?.end());

// What only time would do otherwise.
function inDatabase(sql) {
	const done = spawnSync('python3', ['-c', 'import sqlite3, sys; db = sqlite3.connect(sys.argv[1], 30); print(db.execute(sys.argv[2]).rowcount); db.commit()', service.db, sql], { encoding: 'utf8' });
	assert.equal(done.status, 0, done.stderr);
	assert.ok(Number(done.stdout) > 0, sql);
}

// A small page that reads well on a phone.
async function looksWell(page, name) {
	await picture(page, name, { fullPage: true });
	const { scroll, width } = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, width: innerWidth })).catch(() => ({ scroll: 0, width: 1 }));
	assert.ok(scroll <= width, `${name} is ${scroll} wide in a window of ${width}`);
}

describe('the manager on a phone, without JavaScript', () => {
	const endings = {
		success: { choice: 'allow', says: /is connected/ },
		refused: { choice: 'deny', says: /did not allow/, button: 'Try again' },
		missing_scope: { choice: 'untick', says: /unticked/, button: 'Try again' },
		wrong_account: { choice: 'other', says: /another account/, button: 'Choose another account' },
	};
	for (const [name, { choice, says, button }] of Object.entries(endings))
		test(`${name}_has_its_page`, async (t) => {
			const people = await google.people();
			const { client_id: id } = await service.register({ key, branch_id: `end-${name}`, workspace_name: 'Harbour Café', workspace_email: people[0] });
			const page = await stage.manager(t, { javaScriptEnabled: false });
			await page.goto(await stage.link(id));
			await looksWell(page, `manager-${name}-before`);
			await page.getByRole('button').first().click();
			if (choice === 'untick')
				for (const box of await page.getByRole('checkbox').all())
					await box.uncheck();
			if (choice === 'other')
				await page.getByText(people[1]).first().click();
			await page.getByRole('button', { name: choice === 'deny' ? /refuse/i : /allow|continue/i }).first().click();
			await page.waitForURL('**/auth/callback');
			assert.match(await page.getByRole('heading').first().innerText(), says);
			if (button)
				await page.getByRole('button', { name: button }).waitFor();
			await looksWell(page, `manager-${name}`);
		});

	test('a_used_link_and_an_expired_one_say_so', async (t) => {
		const { client_id: id } = await service.register({ key, branch_id: 'links', workspace_name: 'Harbour Café' });
		const used = await stage.link(id);
		const page = await stage.manager(t, { javaScriptEnabled: false });
		await page.goto(used);
		await page.getByRole('button').first().click();
		await page.getByRole('button', { name: /allow/i }).click();
		await page.waitForURL('**/auth/callback');
		await page.goto(used);
		assert.match(await page.getByRole('heading').first().innerText(), /has done its work/);
		await looksWell(page, 'manager-used');
		const late = await stage.link(id);
		inDatabase('UPDATE link_tickets SET expires_at_ms = 1 WHERE expires_at_ms > 1');
		await page.goto(late);
		assert.match(await page.getByRole('heading').first().innerText(), /expired|not valid/);
		await page.getByText(/new one/).waitFor();
		await looksWell(page, 'manager-expired');
	});

	test('axe_finds_no_serious_fault_in_either_colour', async (t) => {
		const { client_id: id } = await service.register({ key, branch_id: 'axe', workspace_name: 'Harbour Café' });
		for (const colorScheme of ['light', 'dark']) {
			const page = await stage.manager(t, { colorScheme });
			for (const [name, where] of [['before', await stage.link(id)], ['bad', `${service.url}/token-management/oauth/login/${id}?ticket=none`], ['sign-in', `${service.url}/sign-in`]]) {
				await page.goto(where);
				assert.deepEqual(await faultsOf(page), [], `${name} ${colorScheme}`);
				await looksWell(page, `manager-${name}-${colorScheme}`);
			}
		}
	});
});

describe('people at work', () => {
	before(async () => {
		const people = await google.people();
		for (const [i, name] of ['Harbour Café', 'Station Bakery', 'Old Town Books'].entries())
			await service.connect({ key, branch_id: ['harbour', 'station', 'old-town'][i], workspace_name: name, workspace_email: people[i], choice: { account: people[i] } });
		await service.register({ key, branch_id: 'riverside', workspace_name: 'Riverside Florist', workspace_email: 'florist@shop.example' });
	});

	test('jobs_are_live_and_go_on_after_a_cancel', async (t) => {
		const page = await stage.signIn(t);
		let polls = 0;
		page.on('request', (request) => { polls += /\/api\/v1\/status\//.test(request.url()); });
		await google.fault({ target: 'reviews', latency_ms: 400, count: 200 });
		await page.goto('/console/jobs');
		await page.getByRole('button', { name: 'Fetch reviews' }).first().click();
		await page.getByLabel('Branch id').fill('harbour');
		await page.getByLabel('How much').selectOption('full');
		await page.getByRole('button', { name: 'Fetch', exact: true }).click();
		await page.locator('progress[value]').waitFor(); // a percent, by the stream
		await page.getByText(/\d+ %.*left/).waitFor();
		await picture(page, 'job-running');
		assert.ok(polls < 8, `${polls} requests for what the stream says`);
		await page.getByRole('button', { name: 'Cancel' }).click();
		await page.locator('.title .pill', { hasText: 'Cancelled' }).waitFor();
		await google.calm();
		await page.getByRole('button', { name: 'Run again' }).click();
		await page.locator('.title .pill', { hasText: 'Completed' }).waitFor();
		for (const branch of ['station', 'old-town'])
			await service.post('/api/v1/review-fetch', { branch_id: branch, mode: 'full' }, { key });
		await page.goto('/console/jobs');
		await page.locator('.job .pill', { hasText: 'Completed' }).nth(2).waitFor();
		assert.deepEqual(page.faults, []);
	});

	test('a_reply_is_sent_within_its_bytes_changed_and_told_as_a_diff', async (t) => {
		const page = await stage.signIn(t);
		await page.goto('/console/reviews?branch_id=harbour&replied=false&q=music');
		if (await page.getByText('No review is like that').isVisible().catch(() => false))
			await page.goto('/console/reviews?branch_id=harbour&replied=false');
		await page.locator('.review a').first().click();
		const box = page.getByRole('textbox', { name: /answer/i });
		const send = page.getByRole('button', { name: 'Send the answer' });
		await box.fill('ü'.repeat(2049));
		await page.getByText('4,098 of 4,096 bytes, 2 too many').waitFor();
		assert.ok(await send.isDisabled());
		await box.fill('ü'.repeat(2048));
		await page.getByText('4,096 of 4,096 bytes').waitFor();
		assert.ok(await send.isEnabled());
		await box.fill('Thank you for the kind words. We hope to see you again soon.');
		await send.click();
		await page.getByText('The answer was sent to Google.').waitFor();
		await page.locator('.history').getByText('Answered').waitFor();
		await box.fill('Thank you for the kind words. We hope to see you again at the harbour.');
		await page.getByRole('button', { name: 'Change', exact: true }).click();
		await page.locator('.history').getByText('Answer changed').waitFor();
		assert.match(await page.locator('.history del').last().innerText(), /soon/);
		assert.match(await page.locator('.history ins').last().innerText(), /harbour/);
		await page.locator('.notice').first().waitFor({ state: 'detached' });
		await picture(page, 'review-diff');
		await keep(page.getByRole('dialog'), 'review');
		assert.deepEqual(await faultsOf(page), []);
		await page.getByRole('button', { name: 'Remove the answer' }).click();
		await page.locator('.history').getByText('Answer removed').waitFor();
		assert.deepEqual(page.faults, []);
	});

	test('what_is_filtered_is_downloaded_as_it_is_streamed', async (t) => {
		const page = await stage.signIn(t);
		await page.goto('/console/reviews?branch_id=harbour&rating=5');
		for (const [format, ending] of [['CSV', 'csv'], ['NDJSON', 'ndjson']]) {
			const started = page.waitForEvent('download');
			await page.getByRole('link', { name: `Export ${format}` }).click();
			const file = await started;
			assert.match(file.suggestedFilename(), new RegExp(`^reviews-harbour-\\d{4}-\\d\\d-\\d\\d\\.${ending}$`));
			const text = fs.readFileSync(await file.path(), 'utf8');
			const { json } = await service.get('/api/v1/reviews?branch_id=harbour&rating=5&limit=500', { key });
			if (format === 'NDJSON')
				assert.deepEqual(text.trim().split('\n').map((line) => JSON.parse(line).rating), json.reviews.map(() => 5));
			else
				assert.match(text, /^id,/);
		}
		assert.deepEqual(page.faults, []);
	});

	test('charts_follow_the_filters', async (t) => {
		const page = await stage.signIn(t);
		await page.goto('/console/reviews?branch_id=harbour');
		const mean = page.locator('.mean strong');
		await mean.waitFor();
		await page.getByLabel('Stars', { exact: true }).selectOption('2');
		await page.locator('.mean strong', { hasText: '2.00' }).waitFor();
	});

	test('a_session_that_ended_leads_to_the_sign_in_and_back', async (t) => {
		const page = await stage.signIn(t);
		await page.goto('/console/jobs');
		await page.getByRole('heading', { name: 'Jobs' }).waitFor();
		await page.context().clearCookies(); // as a browser does when they have expired
		// What the page asks for by itself may tell it first; it comes back to where it was.
		await page.getByRole('link', { name: 'Audit' }).click({ timeout: 3000 }).catch(() => {});
		await page.waitForURL(/sign-in\?next=%2Fconsole%2F(audit|jobs)$/);
		const where = /audit$/.test(page.url()) ? 'Audit' : 'Jobs';
		await picture(page, 'sign-in');
		await page.getByLabel('API key').fill(key);
		await page.getByRole('button', { name: 'Sign in' }).click();
		await page.waitForURL(`**/console/${where.toLowerCase()}`);
		await page.getByRole('heading', { name: where }).waitFor();
	});

	test('a_branch_is_registered_and_its_link_made_by_the_keyboard_alone', async (t) => {
		const page = await stage.signIn(t);
		const focused = () => page.evaluate(() => { const at = document.activeElement; return at.getAttribute('aria-label') || at.labels?.[0]?.innerText || at.innerText || at.id; });
		const tabTo = async (name) => {
			for (let i = 0; i < 60; i++) {
				if ((await focused()).trim() === name)
					return;
				await page.keyboard.press('Tab');
			}
			assert.fail(`the Tab key never comes to ${name}`);
		};
		await tabTo('Connections');
		const ring = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
		assert.equal(ring, 'solid');
		await page.keyboard.press('Enter');
		await page.getByRole('heading', { name: 'Connections' }).waitFor();
		await tabTo('Register a branch');
		await page.keyboard.press('Enter');
		await page.getByRole('heading', { name: 'Register a branch' }).waitFor();
		for (const [name, text] of [['Branch id', 'by-keyboard'], ['Name', 'By Keyboard'], ['Google account', 'keys@shop.example']]) {
			await tabTo(name);
			await page.keyboard.type(text);
		}
		await tabTo('An OAuth app of its own');
		await page.keyboard.press('Enter');
		for (const [name, text] of [['OAuth client id', 'demo-app.apps.googleusercontent.com'], ['OAuth client secret', 'demo-app-secret'], ['Redirect URI', `${service.url}/token-management/auth/callback`]]) {
			await tabTo(name);
			await page.keyboard.type(text);
		}
		await page.keyboard.press('Enter');
		await page.getByRole('heading', { name: 'Connect By Keyboard' }).waitFor();
		await tabTo('Copy link');
		await picture(page, 'focus');
		await page.keyboard.press('Enter');
		await page.getByRole('button', { name: 'Copied' }).waitFor();
		await page.keyboard.press('Escape');
		await tabTo('By Keyboard');
		await page.keyboard.press('Enter');
		await page.locator('.title .pill', { hasText: 'Never connected' }).waitFor();
	});

	test('the_overview_says_what_each_project_spent_and_what_google_refuses', async (t) => {
		inDatabase("UPDATE api_budgets SET diagnosis = 'Google gives this project no quota for the API: ask for access to the Business Profile APIs' WHERE api = 'accounts'");
		const page = await stage.signIn(t);
		await page.getByText('Quota by Google project').waitFor();
		await page.locator('.quota .pill', { hasText: 'Not approved' }).waitFor();
		await page.locator('.quota .num', { hasText: / of 3,000/ }).first().waitFor();
		await page.locator('.hand', { hasText: 'ask for access' }).waitFor();
		await picture(page, 'overview-quota', { fullPage: true });
		inDatabase("UPDATE api_budgets SET diagnosis = NULL WHERE api = 'accounts'");
	});

	test('every_page_of_a_phone_in_the_dark', async (t) => {
		const page = await stage.signIn(t, { viewport: PHONE, colorScheme: 'dark' });
		for (const view of ['', 'connections', 'reviews', 'jobs', 'keys', 'audit']) {
			await page.goto(`/console${view && `/${view}`}`);
			await page.locator('main h1').waitFor();
			await page.locator('.waiting').first().waitFor({ state: 'detached' }).catch(() => {});
			assert.deepEqual(await faultsOf(page), [], view);
			await looksWell(page, `dark-phone-${view || 'overview'}`);
		}
	});
});

const kept = new Set();
async function keep(page, name) {
	kept.add(name);
	if (!pictures)
		return;
	fs.mkdirSync(pictures, { recursive: true });
	await page.screenshot({ path: path.join(pictures, `${name}.png`) });
}

describe('the pictures of the README', () => {
	test('they_are_made', async (t) => {
		const page = await stage.signIn(t, { viewport: { width: 1280, height: 860 } });
		await page.locator('.chart canvas').nth(2).waitFor();
		await keep(page, 'overview');
		await page.goto('/console/connections');
		await page.locator('.rows tbody tr').nth(3).waitFor();
		await keep(page, 'connections');
		await page.goto('/console/reviews');
		await page.locator('.chart canvas').first().waitFor();
		await page.locator('.review').first().waitFor();
		await keep(page, 'reviews');
		const { client_id: id } = await service.register({ key, branch_id: 'picture', workspace_name: 'Lakeside Hotel', workspace_email: 'lakeside@shop.example' });
		const manager = await stage.manager(t);
		await manager.goto(await stage.link(id));
		await keep(manager, 'manager');
	});

	test('each_one_it_shows_is_there_is_small_and_is_made_here', () => {
		const root = new URL('../../', import.meta.url);
		const shown = [...fs.readFileSync(new URL('README.md', root), 'utf8').matchAll(/docs\/images\/([\w-]+)\.png/g)].map((found) => found[1]);
		const there = fs.readdirSync(new URL('docs/images', root)).map((file) => path.parse(file).name);
		assert.ok(shown.length > 0);
		assert.deepEqual([...new Set(shown)].sort(), there.sort());
		for (const name of shown) {
			assert.ok(kept.has(name), `${name} is made by no test`);
			assert.ok(fs.statSync(new URL(`docs/images/${name}.png`, root)).size < 150 * 1024, name);
		}
	});
});
