// SPDX-License-Identifier: Apache-2.0
// A box to start ./run in: a copy of the scripts beside the binaries under test, with a PATH of its own in
// which the tools that install and build are stand-ins. So each failure can be had in a second, and nothing
// is installed or built.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { DEADLINE_MS, makeFolder, SERVICE_BIN, SIMULATOR_BIN } from '../integration/lib/service.mjs';
import { within } from '../integration/lib/process.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

const REAL = ['awk', 'basename', 'bash', 'cat', 'chmod', 'curl', 'cut', 'dirname', 'env', 'find', 'grep', 'head', 'id', 'mkdir',
	'mktemp', 'mv', 'python3', 'rm', 'sed', 'setpriv', 'setsid', 'sh', 'sha256sum', 'sleep', 'sort', 'tail', 'tr', 'xargs'];

export const STAND_INS = {
	'gcc': 'case $1 in --version) echo "gcc (Debian) 12.2.0";; *) echo 12.2.0;; esac',
	'meson': 'case $1 in --version) echo 1.0.1;; setup) mkdir -p $2; touch $2/build.ninja;; esac',
	'ninja': 'echo "ninja: no work to do."',
	'pkg-config': 'exit 0',
	'dpkg-query': 'shift 3; for p; do echo "$p installed"; done',
	'apt-get': 'echo "$*" >>"$BOX/apt-was-called"; exit 1',
};

// The system's own first: a version manager's stand-in would not work here.
const find = (name) => ['/usr/bin', '/bin', ...process.env.PATH.split(':')].map((dir) => path.join(dir, name)).find((file) => fs.existsSync(file));

export class Box {
	constructor(standIns = {}) {
		this.dir = makeFolder('box');
		fs.chmodSync(this.dir, 0o755);
		for (const name of ['run', 'test', 'bench', 'tools'])
			fs.cpSync(path.join(root, name), path.join(this.dir, name), { recursive: true });
		this.bin = path.join(this.dir, 'bin');
		fs.mkdirSync(this.bin);
		for (const name of REAL)
			if (find(name))
				fs.symlinkSync(fs.realpathSync(find(name)), path.join(this.bin, name));
		for (const [name, script] of Object.entries({ ...STAND_INS, ...standIns }))
			if (script)
				fs.writeFileSync(path.join(this.bin, name), `#!/bin/bash\nBOX='${this.dir}'\n${script}\n`, { mode: 0o755 });
		for (const [name, bin] of [['src/review-fetcher', SERVICE_BIN], ['simulator/google-simulator', SIMULATOR_BIN]]) {
			fs.mkdirSync(path.join(this.dir, 'build-run', path.dirname(name)), { recursive: true });
			if (fs.existsSync(bin))
				fs.copyFileSync(bin, path.join(this.dir, 'build-run', name));
		}
		// What npm brings counts as installed.
		const lock = '{}\n';
		fs.writeFileSync(path.join(this.dir, 'package-lock.json'), lock);
		fs.mkdirSync(path.join(this.dir, 'node_modules'));
		fs.writeFileSync(path.join(this.dir, 'node_modules/.installed'), `${createHash('sha256').update(lock).digest('hex')}  - console\n`);
		// The build folder counts as set up for this place, so that nothing is set up anew.
		fs.mkdirSync(path.join(this.dir, 'build-run/log'));
		fs.writeFileSync(path.join(this.dir, 'build-run/build.ninja'), '');
		fs.writeFileSync(path.join(this.dir, 'build-run/log/setup.args'), `${fs.realpathSync(this.dir)} gcc --buildtype=release -Dtests=false`);
	}

	file(name) {
		return path.join(this.dir, name);
	}

	// Starts a command in the box; { stdout, stderr } grow while it runs, and `ended` gives its code.
	start(command = ['./run'], { env = {}, wrap = [], detached = true } = {}) {
		const [bin, ...args] = [...wrap, ...command];
		const child = spawn(bin, args, { cwd: this.dir, detached, env: { PATH: this.bin, HOME: '/', ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
		const it = { child, stdout: '', stderr: '' };
		child.stdout.on('data', (piece) => (it.stdout += piece));
		child.stderr.on('data', (piece) => (it.stderr += piece));
		it.ended = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal })));
		return it;
	}

	async finish(...args) {
		const it = this.start(...args);
		const { code } = await within(DEADLINE_MS, it.ended, () => `it does not end:\n${it.stdout}${it.stderr}`);
		return { ...it, code };
	}
}
