// SPDX-License-Identifier: Apache-2.0
// A reporter for `node --test` that counts cases, not containers: one line a case as it ends, the details
// of those that failed, and "# PASSED FAILED" at the end. A file that ran no case is a failure.
import path from 'node:path';
import { inspect } from 'node:util';

export default async function* reporter(source) {
	const children = new Map(); // file and depth → cases that ended below the next one to end
	const isFile = (data) => /\.test\.mjs$/.test(data.name);
	let passed = 0;
	let failed = 0;
	for await (const { type, data } of source) {
		if (type === 'test:stderr' || type === 'test:stdout') {
			yield data.message;
			continue;
		}
		if (type !== 'test:pass' && type !== 'test:fail')
			continue;
		const file = data.file ?? '';
		const own = children.get(`${file} ${data.nesting + 1}`) ?? 0;
		children.delete(`${file} ${data.nesting + 1}`);
		children.set(`${file} ${data.nesting}`, (children.get(`${file} ${data.nesting}`) ?? 0) + 1);
		const isContainer = own > 0 || data.details?.type === 'suite' || isFile(data);
		if (type === 'test:pass') {
			if (isContainer || data.skip !== undefined || data.todo !== undefined)
				continue;
			passed++;
			yield `ok: ${data.name} (${Math.round(data.details.duration_ms)} ms)\n`;
			continue;
		}
		const { error } = data.details;
		if (error?.failureType === 'subtestsFailed')
			continue; // the subtest itself was reported
		failed++;
		yield `not ok: ${path.basename(file)}: ${data.name}\n${indent(describe(error))}\n`;
	}
	yield `# ${passed} ${failed}\n`;
}

function describe(error) {
	const cause = error?.cause ?? error;
	return cause instanceof Error ? cause.stack ?? cause.message : inspect(cause);
}

function indent(text) {
	return text.split('\n').map((line) => `    ${line}`).join('\n');
}
