// SPDX-License-Identifier: Apache-2.0
// A service, a simulated Google and Debian's Chromium; pages that are signed in; pictures, and what axe says of a page.
// SCREENSHOTS=FOLDER keeps a picture of each page.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import fs from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { startService, startSimulator } from '../../integration/lib/service.mjs';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
export const WIDE = { width: 1360, height: 900 }, PHONE = { width: 390, height: 844 };
const shots = process.env.SCREENSHOTS;

// Ended by end().
export async function openStage({ world = ['--users', '2', '--accounts', '1', '--locations', '3', '--reviews', '8'], env = {} } = {}) {
	const google = await startSimulator({ args: world });
	const service = await startService({ simulator: google, env: { GOOGLE_REQUESTS_PER_MINUTE: 600000, ...env } });
	const key = await service.key('admin', { name: 'people' });
	const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
	return {
		google, service, key, browser,
		async end() {
			await browser.close();
			await service.end();
			await google.end();
		},
		signIn: (t, options) => signIn(t, { service, key, browser }, options),
		idOf: async (branch) => (await service.get(`/token-management/clients?q=${branch}`, { key })).json.clients[0].client_id,
		// A manager's browser: it knows no key.
		async manager(t, options = {}) {
			const context = await browser.newContext({ viewport: PHONE, ...options });
			context.setDefaultTimeout(30000);
			t.after(() => context.close());
			return context.newPage();
		},
		async link(id) {
			return service.local((await service.post(`/token-management/clients/${id}/connect-link`, {}, { key })).json.url);
		},
	};
}

// A browser of its own, signed in by a one-time link as ./run prints it. What its scripts complain of fails the test.
async function signIn(t, { service, key, browser }, options = {}) {
	const context = await browser.newContext({ baseURL: service.url, viewport: WIDE, ...options });
	context.setDefaultTimeout(30000);
	const page = await context.newPage();
	page.faults = [];
	page.elsewhere = [];
	page.on('pageerror', (error) => page.faults.push(error.message));
	page.on('console', (message) => message.type() === 'error' && !/status of (404|409|422)/.test(message.text()) && page.faults.push(message.text()));
	page.on('request', (request) => new URL(request.url()).origin === service.url || page.elsewhere.push(request.url()));
	t.after(() => context.close());
	const link = service.local(service.cli('key', 'sign-in-link', key.split('_')[1]).stdout.trim());
	await page.goto(link);
	await page.getByRole('button').first().click();
	await page.getByRole('heading', { name: 'Overview' }).waitFor();
	return page;
}

export async function picture(page, name, options = {}) {
	if (shots) {
		fs.mkdirSync(shots, { recursive: true });
		await page.screenshot({ path: path.join(shots, `${name}.png`), ...options });
	}
}

// By way of the DevTools protocol, since the page's policy lets nobody put a script into it.
export async function faultsOf(page) {
	const client = await page.context().newCDPSession(page);
	await client.send('Runtime.evaluate', { expression: fs.readFileSync(AXE, 'utf8') });
	const { result } = await client.send('Runtime.evaluate', { awaitPromise: true, returnByValue: true,
		expression: "axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations.filter((v) => v.impact === 'serious' || v.impact === 'critical').map((v) => v.id + ': ' + v.nodes.map((n) => n.target.join(' ')).slice(0, 4).join(', ')))" });
	await client.detach();
	assert.ok(Array.isArray(result.value), JSON.stringify(result));
	return result.value;
}
