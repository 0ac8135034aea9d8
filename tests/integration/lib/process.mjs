// SPDX-License-Identifier: Apache-2.0
// Waiting on conditions, and what a child process says: JSON lines apart from everything else.
import readline from 'node:readline';

export const SANITIZER = /(Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|runtime error:/;

// The promise's result, or a failure with what `describe` says once the time is up.
export async function within(ms, promise, describe) {
	let timer;
	const late = new Promise((_, reject) => {
		timer = setTimeout(() => reject(new Error(describe())), ms);
	});
	try {
		return await Promise.race([promise, late]);
	} finally {
		clearTimeout(timer);
	}
}

// Calls check until it does not throw, and answers what it answered.
export async function eventually(check, { timeout = Number(process.env.TEST_DEADLINE_MS ?? 30000), every = 20 } = {}) {
	const end = performance.now() + timeout;
	for (;;) {
		try {
			return await check();
		} catch (error) {
			if (performance.now() > end)
				throw error;
		}
		await new Promise((resolve) => setTimeout(resolve, every));
	}
}

// Reads a child's stdout and stderr. lines: parsed JSON lines of stderr and stdout; noise: the rest.
export function collect(child) {
	const lines = [];
	const noise = [];
	const raw = [];
	const waiters = new Set();
	let hasEnded = false;
	const take = (text) => {
		raw.push(text);
		let line;
		try {
			line = JSON.parse(text);
		} catch {
			noise.push(text);
			return;
		}
		lines.push(line);
		for (const waiter of waiters)
			if (waiter.wants(line))
				waiter.resolve(line);
	};
	for (const stream of [child.stdout, child.stderr])
		readline.createInterface({ input: stream, crlfDelay: Infinity }).on('line', take);
	const tail = (n = 20) => raw.slice(-n).join('\n');
	return {
		lines,
		noise,
		raw,
		tail,
		// The first line, past or coming, that fits.
		waitFor(wants, ms, describe) {
			const seen = lines.find(wants);
			if (seen)
				return Promise.resolve(seen);
			if (hasEnded)
				return Promise.reject(new Error(`it ended without: ${describe()}\n${tail()}`));
			let waiter;
			const found = new Promise((resolve, reject) => {
				waiter = { wants, resolve, reject, describe };
				waiters.add(waiter);
			});
			return within(ms, found, () => `waited in vain for: ${describe()}\n${tail()}`).finally(() => waiters.delete(waiter));
		},
		end() {
			hasEnded = true;
			for (const waiter of waiters)
				waiter.reject(new Error(`it ended without: ${waiter.describe()}\n${tail()}`));
		},
	};
}
