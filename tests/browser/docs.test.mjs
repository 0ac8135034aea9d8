// SPDX-License-Identifier: Apache-2.0
// The API page in a real browser: under its policy nothing is refused and no other host is asked; every route is drawn, and
// what "Try it out" sends is answered.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { startService, startSimulator } from '../integration/lib/service.mjs';

let google;
let service;
let browser;

before(async () => {
	google = await startSimulator({ args: ['--users', '1', '--accounts', '1', '--locations', '1', '--reviews', '2'] });
	service = await startService({ simulator: google });
	browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
});
after(async () => {
	await browser?.close();
	await service?.end();
	await google?.end();
});

test('the_api_page_draws_every_route_and_sends_what_is_tried_without_asking_another_host', async (t) => {
	const key = await service.key('admin');
	const document = (await service.get('/openapi.json')).json;
	const context = await browser.newContext({ baseURL: service.url });
	t.after(() => context.close());
	context.setDefaultTimeout(30000);
	const page = await context.newPage();
	const faults = [], elsewhere = [], local = ['data:', 'blob:'];
	page.on('pageerror', (error) => faults.push(error.message));
	page.on('console', (message) => ['error', 'warning'].includes(message.type()) && faults.push(message.text()));
	page.on('request', (request) => new URL(request.url()).origin === service.url || local.includes(new URL(request.url()).protocol) || elsewhere.push(request.url()));
	await page.goto('/docs');
	await page.locator('.opblock').first().waitFor();
	const routes = Object.values(document.paths).reduce((n, methods) => n + Object.keys(methods).length, 0);
	assert.equal(await page.locator('.opblock').count(), routes);

	await page.getByRole('button', { name: 'Authorize' }).first().click();
	await page.locator('.auth-container', { hasText: 'bearer' }).getByRole('textbox').fill(key);
	await page.locator('.auth-container', { hasText: 'bearer' }).getByRole('button', { name: /^Apply/ }).click();
	await page.getByRole('button', { name: 'Close' }).first().click();
	const list = page.locator('#operations-Branches-get_clients');
	await list.locator('.opblock-summary-control').click();
	await list.getByRole('button', { name: 'Try it out' }).click();
	await list.getByRole('button', { name: 'Execute' }).click();
	await list.locator('.live-responses-table .response-col_status', { hasText: '200' }).waitFor();
	assert.match(await list.locator('.live-responses-table').innerText(), /"next_cursor": null/);
	assert.deepEqual(faults, []);
	assert.deepEqual(elsewhere, []);
});
