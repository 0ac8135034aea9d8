// SPDX-License-Identifier: Apache-2.0
// The console in a real browser: the story from a sign-in link to the revocation, what refusing looks like, what axe finds
// on each page, what the first page weighs and how soon it is painted.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { faultsOf, openStage, PHONE, picture, WIDE } from './lib/stage.mjs';

const TRANSFER_MOST = 120 * 1024;
let stage;
let google;
let service;
let key;
let browser;
let signIn;
let idOf;

before(async () => {
	stage = await openStage();
	({ google, service, key, browser, signIn, idOf } = stage);
});
after(() => stage?.end());

describe('the story', () => {
	test('register_connect_fetch_read_and_revoke', async (t) => {
		const page = await signIn(t);
		await page.getByText('No branch is registered yet').waitFor();
		await picture(page, 'first-overview');
		await page.getByRole('link', { name: 'Register the first branch' }).click();
		await page.getByLabel('Branch id').fill('harbour');
		await page.getByLabel('Name', { exact: true }).fill('Harbour Café');
		await page.getByLabel('Google account').fill((await google.people())[0]);
		await page.getByText('An OAuth app of its own').click();
		await page.getByLabel('OAuth client id').fill('demo-app.apps.googleusercontent.com');
		await page.getByLabel('OAuth client secret').fill('demo-app-secret');
		await page.getByLabel('Redirect URI').fill(`${service.url}/token-management/auth/callback`);
		await page.getByRole('button', { name: 'Register', exact: true }).click();
		await page.getByRole('heading', { name: 'Connect Harbour Café' }).waitFor();
		await page.getByRole('img', { name: 'The same link as a QR code' }).waitFor();
		const link = service.local(await page.getByLabel('What is copied').inputValue());
		await picture(page, 'connect');
		await page.keyboard.press('Escape');

		const manager = await (await browser.newContext({ viewport: PHONE })).newPage(); // who has no key
		manager.setDefaultTimeout(30000);
		t.after(() => manager.context().close());
		await manager.goto(link);
		await picture(manager, 'manager-before');
		assert.deepEqual(await faultsOf(manager), []);
		await manager.getByRole('button').first().click();
		await manager.getByRole('button', { name: /allow/i }).click();
		await manager.waitForURL('**/auth/callback');
		await picture(manager, 'manager-after');
		assert.deepEqual(await faultsOf(manager), []);

		await page.getByRole('link', { name: 'Harbour Café' }).click(); // the stream told it: nothing was loaded anew
		await page.locator('.title .pill', { hasText: 'Connected' }).waitFor();
		await page.getByText('business.manage').waitFor();
		await page.getByRole('button', { name: 'Refresh now' }).click();
		await page.getByText('the token was refreshed').waitFor();
		await picture(page, 'connection');
		await page.getByRole('button', { name: 'Fetch reviews' }).click();
		await page.locator('.title .pill', { hasText: 'Completed' }).waitFor();
		await page.getByRole('link', { name: 'Read the reviews of this branch' }).click();
		await page.locator('.review').first().waitFor();
		await page.getByLabel('Stars', { exact: true }).selectOption('5');
		await page.waitForURL('**rating=5**');
		await page.locator('.review a').first().click();
		await page.getByText('What happened to it').waitFor();
		await page.getByRole('textbox', { name: /answer/i }).fill('Grüße');
		await page.getByText('7 of 4,096 bytes').waitFor(); // ü and ß take two each
		await picture(page, 'review');
		await page.keyboard.press('Escape');

		await page.goto(`/console/connections/${await idOf('harbour')}`);
		await page.getByRole('button', { name: 'Revoke' }).click();
		await page.getByRole('dialog').getByRole('button', { name: 'Revoke', exact: true }).click();
		await page.locator('.title .pill', { hasText: 'Revoked' }).waitFor();
		assert.deepEqual(page.faults, []);
		assert.deepEqual(page.elsewhere, []);
	});

	test('a_consent_that_is_refused_says_so_and_the_branch_still_waits', async (t) => {
		const { client_id: id } = await service.register({ key, branch_id: 'refusing' });
		const { json } = await service.post(`/token-management/clients/${id}/connect-link`, {}, { key });
		const manager = await (await browser.newContext({ viewport: PHONE, javaScriptEnabled: false })).newPage();
		t.after(() => manager.context().close());
		await manager.goto(service.local(json.url));
		await manager.getByRole('button').first().click();
		await manager.getByRole('button', { name: /deny|cancel|refuse/i }).click();
		await manager.waitForURL('**/auth/callback');
		assert.match(await manager.locator('body').innerText(), /not connected|again/i);
		const page = await signIn(t);
		await page.goto(`/console/connections/${id}`);
		await page.locator('.title .pill', { hasText: 'Never connected' }).waitFor();
	});

	test('siblings_are_named_before_their_grants_die', async (t) => {
		const people = await google.people();
		for (const branch of ['twin-a', 'twin-b'])
			await service.connect({ key, branch_id: branch, workspace_name: branch, choice: { account: people[1] } });
		const page = await signIn(t);
		await page.goto(`/console/connections/${await idOf('twin-a')}`);
		await page.getByRole('button', { name: 'Revoke' }).click();
		await page.getByRole('dialog').getByRole('button', { name: 'Revoke', exact: true }).click();
		await page.getByRole('alert').getByText('twin-b', { exact: true }).waitFor();
		await page.getByRole('button', { name: 'End all 2 grants' }).click();
		await page.locator('.title .pill', { hasText: 'Revoked' }).waitFor();
	});

	test('a_key_is_made_shown_once_and_revoked', async (t) => {
		const page = await signIn(t);
		await page.goto('/console/keys');
		await page.getByRole('button', { name: 'Make a key' }).click();
		await page.getByLabel('Name', { exact: true }).fill('reader');
		await page.getByRole('button', { name: 'Make the key' }).click();
		await page.getByRole('alert').getByText(/scope/).waitFor(); // in the words of the service
		await page.getByRole('checkbox', { name: /reviews:read/ }).check();
		await page.getByRole('button', { name: 'Make the key' }).click();
		const made = await page.getByLabel('What is copied').inputValue();
		assert.equal((await service.get('/api/v1/jobs', { key: made })).status, 403);
		assert.equal((await service.get('/api/v1/reviews', { key: made })).status, 200);
		await page.getByRole('button', { name: 'I have kept it' }).click();
		assert.ok(!(await page.content()).includes(made));
		await page.getByRole('button', { name: 'Revoke reader' }).click();
		await page.getByRole('button', { name: 'Revoke the key' }).click();
		await page.getByText('opens nothing any more').first().waitFor();
		assert.equal((await service.get('/api/v1/reviews', { key: made })).status, 401);
	});

	test('the_keyboard_is_enough', async (t) => {
		const page = await signIn(t);
		await page.keyboard.press('Tab');
		assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the content');
		await page.getByRole('link', { name: 'Connections' }).first().focus();
		await page.keyboard.press('Enter');
		await page.getByRole('heading', { name: 'Connections' }).waitFor();
		await page.keyboard.press('/');
		await page.keyboard.type('nobody-is-called-so');
		await page.getByText('No connection is like that').waitFor();
		await page.getByRole('button', { name: 'Register a branch' }).focus();
		await page.keyboard.press('Enter');
		await page.getByRole('heading', { name: 'Register a branch' }).waitFor();
		await page.keyboard.press('Escape');
		await page.getByRole('heading', { name: 'Register a branch' }).waitFor({ state: 'detached' });
	});
});

describe('each page', () => {
	for (const [scheme, viewport, name] of [['light', WIDE, 'light'], ['dark', WIDE, 'dark'], ['light', PHONE, 'phone']]) {
		test(`axe_finds_no_serious_fault_${name}`, async (t) => {
			const page = await signIn(t, { colorScheme: scheme, viewport });
			for (const view of ['', 'connections', `connections/${await idOf('harbour')}`, 'reviews', 'jobs', 'keys', 'audit']) {
				await page.goto(`/console${view && `/${view}`}`);
				await page.locator('main h1').waitFor();
				await page.locator('.waiting').first().waitFor({ state: 'detached' }).catch(() => {});
				await picture(page, `${name}-${view.replace('/', '-') || 'overview'}`);
				assert.deepEqual(await faultsOf(page), [], view);
				const { scroll, width } = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, width: innerWidth }));
				assert.ok(scroll <= width, `/${view} is ${scroll} wide in a window of ${width}`);
			}
			assert.deepEqual(page.faults, []);
		});
	}

	test('the_first_page_is_light', async (t) => {
		const page = await signIn(t);
		const client = await page.context().newCDPSession(page);
		let bytes = 0;
		await client.send('Network.enable');
		await client.send('Network.setCacheDisabled', { cacheDisabled: true });
		client.on('Network.loadingFinished', (event) => { bytes += event.encodedDataLength; });
		await page.goto('/console');
		await page.locator('.chart canvas').first().waitFor();
		const paint = await page.evaluate(() => Math.round(performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1));
		t.diagnostic(`first page: ${(bytes / 1024).toFixed(1)} KiB over the wire, first contentful paint after ${paint} ms`);
		assert.ok(bytes > 10000 && bytes < TRANSFER_MOST, `${bytes} bytes`);
	});
});
