// SPDX-License-Identifier: Apache-2.0
// A broker of Kafka in a process of its own (kafka_broker.c), read through Debian's kcat: a client that nobody
// here wrote.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import readline from 'node:readline';
import { DEADLINE_MS, SERVICE_BIN } from './service.mjs';
import { within } from './process.mjs';

const BROKER_BIN = path.join(path.dirname(SERVICE_BIN), '../tests/integration/kafka-broker');

export class Kafka {
	async start() {
		this.child = spawn('setpriv', ['--pdeathsig', 'KILL', BROKER_BIN], { stdio: ['pipe', 'pipe', 'ignore'] });
		this.lines = readline.createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
		this.servers = await this.answer();
		return this;
	}

	async answer() {
		const { value, done } = await within(DEADLINE_MS, this.lines.next(), () => 'the broker says nothing');
		assert.ok(!done, 'the broker has ended');
		return value;
	}

	async tell(words) {
		this.child.stdin.write(`${words}\n`);
		await this.answer();
	}

	down() {
		return this.tell('down');
	}

	up() {
		return this.tell('up');
	}

	// The next n produce requests fail with that code of the protocol.
	refuse(n, code) {
		return this.tell(`refuse ${n} ${code}`);
	}

	kill() {
		this.child.kill('SIGKILL');
	}

	// All messages of a topic, in the order of each key: { key, partition, offset, value }.
	read(topic) {
		const { stdout, stderr, status } = spawnSync('kcat', ['-C', '-b', this.servers, '-t', topic, '-o', 'beginning', '-e', '-q', '-f', '%p\\t%o\\t%k\\t%s\\n'],
			{ encoding: 'utf8', timeout: DEADLINE_MS, maxBuffer: 1 << 28 });
		if (status !== 0 && /Unknown topic/.test(stderr))
			return [];
		assert.equal(status, 0, `kcat (Debian's package kcat): ${stderr}`);
		return stdout.split('\n').filter((line) => line !== '').map((line) => {
			const [partition, offset, key, ...rest] = line.split('\t');
			return { partition: Number(partition), offset: Number(offset), key, value: JSON.parse(rest.join('\t')) };
		});
	}
}

export async function startKafka({ t }) {
	const kafka = new Kafka();
	t.after(() => kafka.kill());
	return kafka.start();
}
