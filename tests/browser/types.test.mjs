// SPDX-License-Identifier: Apache-2.0
// Vite takes the types out of the console's sources without looking at them.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

test('the_compiler_finds_no_fault_in_the_console', () => {
	const { status, stdout } = spawnSync(process.execPath, [path.join(root, 'node_modules/typescript/bin/tsc'), '-p', path.join(root, 'console')], { encoding: 'utf8' });
	assert.equal(status, 0, stdout);
});
