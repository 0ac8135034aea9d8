// SPDX-License-Identifier: Apache-2.0
// The harness itself, against a stand-in for the service: that it waits, cleans up, and can fail.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { CookieJar, makeFolder, send, startService } from './lib/service.mjs';

// A program that does what the script says in place of the service.
function standIn(script) {
	const bin = path.join(makeFolder('stand-in'), 'service');
	fs.writeFileSync(bin, `#!/usr/bin/env node\n'use strict';\n${script}`, { mode: 0o755 });
	return bin;
}

const HONEST = `
const server = require('node:http').createServer((request, response) => {
	response.setHeader('set-cookie', ['a=1; Path=/x; HttpOnly', 'gone=; Max-Age=0']);
	response.end(JSON.stringify({ url: request.url, cookie: request.headers.cookie }));
});
server.listen(Number(process.env.API_PORT), '127.0.0.1', () =>
	console.error(JSON.stringify({ event: 'serve.started', port: server.address().port })));
process.on('SIGTERM', () => process.exit(0));
`;

test('a_service_is_ready_when_it_says_so_and_keeps_its_port_over_a_restart', async (t) => {
	const service = await startService({ t, bin: standIn(HONEST) });
	const { port } = service;
	assert.equal((await service.get('/a?b=1')).json.url, '/a?b=1');
	await service.kill();
	await service.restart();
	assert.equal(service.port, port);
	assert.equal(service.logs().filter((line) => line.event === 'serve.started').length, 2);
});

test('cookies_go_back_to_their_host_and_path_only', async (t) => {
	const service = await startService({ t, bin: standIn(HONEST) });
	const jar = new CookieJar();
	await send('GET', `${service.url}/x`, { jar });
	assert.equal((await send('GET', `${service.url}/x/y`, { jar })).json.cookie, 'a=1');
	assert.equal((await send('GET', `${service.url}/y`, { jar })).json.cookie, undefined);
});

test('a_service_that_dies_before_it_is_ready_fails_the_start_with_its_words', async () => {
	const bin = standIn("console.error('no luck'); process.exit(3);");
	await assert.rejects(startService({ bin }), /no luck/);
});

test('an_exit_code_other_than_0_fails_the_stop', async () => {
	const service = await startService({ bin: standIn(HONEST.replace('exit(0)', 'exit(7)')) });
	await assert.rejects(service.stop(), /ended with 7/);
});

test('a_sanitizer_report_fails_the_stop', async () => {
	const report = 'ERROR: AddressSanitizer: heap-use-after-free';
	const service = await startService({ bin: standIn(HONEST.replace('process.exit(0)', `{ console.error('${report}'); process.exit(0); }`)) });
	await assert.rejects(service.stop(), /sanitizer report/);
});
