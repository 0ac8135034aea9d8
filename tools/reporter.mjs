// SPDX-License-Identifier: Apache-2.0
// A reporter for `node --test` that counts cases, not containers: one line a case as it ends, the details
// of those that failed, and "# PASSED FAILED" at the end. A file that ran no case is a failure.
import path from 'node:path';
import { inspect } from 'node:util';

export default async function* reporter(source) {
	const children = new Map(); // file and depth → cases that ended below the next one to end
	const ran = new Map(); // file → its cases
	let passed = 0;
	let failed = 0;
	for await (const { type, data } of source) {
		if (type === 'test:stderr' || type === 'test:stdout')
			yield data.message;
		if (type !== 'test:pass' && type !== 'test:fail')
			continue;
		const file = path.basename(data.file ?? '?');
		const depth = (n) => `${file} ${n}`;
		const own = children.get(depth(data.nesting + 1)) ?? 0;
		children.delete(depth(data.nesting + 1));
		children.set(depth(data.nesting), (children.get(depth(data.nesting)) ?? 0) + 1);
		const wasSkipped = data.skip !== undefined || data.todo !== undefined;
		const isCase = own === 0 && data.details?.type !== 'suite' && !data.name.endsWith('.test.mjs');
		ran.set(file, (ran.get(file) ?? 0) + (isCase && !wasSkipped ? 1 : 0));
		if (type === 'test:fail') {
			const { error } = data.details;
			if (error?.failureType === 'subtestsFailed')
				continue; // the subtest itself was reported
			failed++;
			ran.set(file, ran.get(file) + 1);
			const details = error?.failureType === 'cancelledByParent' ? '' : `${indent(describe(error))}\n`;
			yield `not ok: ${file}: ${data.name}\n${details}`;
		} else if (isCase && !wasSkipped) {
			passed++;
			yield `ok: ${data.name} (${Math.round(data.details.duration_ms)} ms)\n`;
		}
	}
	for (const [file, cases] of ran) {
		if (cases > 0)
			continue;
		failed++;
		yield `not ok: ${file}: no case ran\n`;
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
