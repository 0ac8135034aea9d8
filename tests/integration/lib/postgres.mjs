// SPDX-License-Identifier: Apache-2.0
// A PostgreSQL server in a temporary folder on a free port of loopback, and PgBouncer in transaction mode
// before it. Both run as an ordinary user, for PostgreSQL refuses root.
//
//	const postgres = await startPostgres({ t });
//	const service = await startService({ t, simulator, postgres });            // directly
//	const other = await startService({ t, simulator, postgres, pooled: true }); // through PgBouncer
//
// Shell: node tests/integration/lib/postgres.mjs COMMAND… runs COMMAND with POSTGRES_URL and PGBOUNCER_URL in
// its environment (a path with the database's name goes behind; 'contract' is there) and ends both after it.
import { spawn, spawnSync } from 'node:child_process';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { eventually, within } from './process.mjs';

const USER = 'token_user';
export const PASSWORD = 'p@ss/word%1'; // each of these must be escaped in a URL
const DEADLINE_MS = 60000;
const ACCOUNT = `${USER}:${encodeURIComponent(PASSWORD)}`;

function binFolder() {
	const base = '/usr/lib/postgresql';
	const versions = fs.existsSync(base) ? fs.readdirSync(base).filter((v) => fs.existsSync(`${base}/${v}/bin/postgres`)) : [];
	assert.ok(versions.length > 0, 'PostgreSQL is not installed: Debian has it as postgresql-15 (./test installs it)');
	return `${base}/${versions.sort((a, b) => Number(b) - Number(a))[0]}/bin`;
}

// Who it runs as: we ourselves, or Debian's account for it when we are root.
function owner() {
	if (process.getuid() !== 0)
		return null;
	const fields = fs.readFileSync('/etc/passwd', 'utf8').split('\n').map((line) => line.split(':'));
	const found = fields.find((line) => line[0] === 'postgres') ?? fields.find((line) => line[0] === 'nobody');
	return { uid: Number(found[2]), gid: Number(found[3]) };
}

function freePort() {
	return new Promise((resolve, reject) => {
		const server = net.createServer().on('error', reject);
		server.listen(0, '127.0.0.1', () => {
			const { port } = server.address();
			server.close(() => resolve(port));
		});
	});
}

const running = new Set();
const folders = new Set();
process.on('exit', () => {
	for (const child of running)
		child.kill('SIGKILL');
	for (const folder of folders)
		fs.rmSync(folder, { recursive: true, force: true });
});

export class Postgres {
	constructor() {
		this.bin = binFolder();
		this.owner = owner();
		this.env = { PATH: `${this.bin}:${process.env.PATH}`, LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8' };
	}

	command(program, args, options = {}) {
		const result = spawnSync(program, args, { ...this.owner, env: { ...this.env, PGPASSWORD: PASSWORD }, cwd: this.dir, encoding: 'utf8', timeout: DEADLINE_MS, ...options });
		assert.equal(result.status, 0, `${program} failed: ${result.error ?? ''}${result.stdout}${result.stderr}`);
		return result.stdout;
	}

	file(name, text) {
		const where = path.join(this.dir, name);
		fs.writeFileSync(where, text, { mode: 0o600 });
		if (this.owner)
			fs.chownSync(where, this.owner.uid, this.owner.gid);
		return where;
	}

	async prepare() {
		this.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'postgres-'));
		folders.add(this.dir);
		if (this.owner)
			fs.chownSync(this.dir, this.owner.uid, this.owner.gid);
		const password = this.file('password', `${PASSWORD}\n`);
		this.command('initdb', ['-D', path.join(this.dir, 'data'), '-U', USER, '-A', 'scram-sha-256', `--pwfile=${password}`,
			'-E', 'UTF8', '--locale=C.UTF-8', '--no-sync', '--no-instructions']);
		this.port = await freePort();
		this.poolerPort = await freePort();
		return this;
	}

	launch(program, args, log) {
		const out = fs.openSync(path.join(this.dir, log), 'a');
		const identity = this.owner ? ['--reuid', String(this.owner.uid), '--regid', String(this.owner.gid), '--clear-groups'] : [];
		const child = spawn('setpriv', [...identity, '--pdeathsig', 'KILL', program, ...args], { env: this.env, cwd: this.dir, stdio: ['ignore', out, out] });
		fs.closeSync(out);
		running.add(child);
		child.ended = new Promise((resolve) => {
			child.on('close', () => {
				running.delete(child);
				resolve();
			});
		});
		return child;
	}

	// On the same port with the same data as before.
	async start() {
		this.server = this.launch(path.join(this.bin, 'postgres'), ['-D', path.join(this.dir, 'data'), '-p', String(this.port),
			'-c', 'listen_addresses=127.0.0.1', '-c', `unix_socket_directories=${this.dir}`, '-c', 'max_connections=200',
			'-c', 'shared_buffers=32MB', '-c', 'fsync=off', '-c', 'log_min_messages=warning'], 'postgres.log');
		await eventually(async () => this.command('pg_isready', ['-q', '-h', '127.0.0.1', '-p', String(this.port)]), { timeout: DEADLINE_MS, every: 50 });
		return this;
	}

	async startPooler() {
		this.file('users', `"${USER}" "${PASSWORD}"\n`);
		this.file('pgbouncer.ini', ['[databases]', `* = host=127.0.0.1 port=${this.port}`, '[pgbouncer]', 'listen_addr = 127.0.0.1',
			`listen_port = ${this.poolerPort}`, `unix_socket_dir = ${this.dir}`, 'pool_mode = transaction', 'auth_type = scram-sha-256',
			'auth_file = users', 'max_client_conn = 500', 'default_pool_size = 12', 'server_login_retry = 1', 'query_wait_timeout = 3', ''].join('\n'));
		this.pooler = this.launch('/usr/sbin/pgbouncer', ['pgbouncer.ini'], 'pgbouncer.log');
		await eventually(async () => this.command('pg_isready', ['-q', '-h', '127.0.0.1', '-p', String(this.poolerPort)]), { timeout: DEADLINE_MS, every: 50 });
		return this;
	}

	// 'SIGINT' ends its connections, 'SIGQUIT' all of it at once, as a crash would: the next start recovers.
	async end(child, signal) {
		if (!child || !running.has(child))
			return;
		child.kill(signal);
		await within(DEADLINE_MS, child.ended, () => `${child.spawnargs.join(' ')} did not end on ${signal}: ${this.log()}`);
	}

	stop(signal = 'SIGINT') {
		return this.end(this.server, signal);
	}

	async restart(signal) {
		await this.stop(signal);
		return this.start();
	}

	async remove() {
		await this.end(this.pooler, 'SIGTERM');
		await this.stop('SIGQUIT');
		fs.rmSync(this.dir, { recursive: true, force: true });
		folders.delete(this.dir);
	}

	log() {
		return fs.readFileSync(path.join(this.dir, 'postgres.log'), 'utf8');
	}

	get address() {
		return `postgresql://${ACCOUNT}@127.0.0.1:${this.port}`;
	}

	get poolerAddress() {
		return `postgresql://${ACCOUNT}@127.0.0.1:${this.poolerPort}`;
	}

	// The rows that psql answers, each a list of texts.
	query(database, sql) {
		return query(`${this.address}/${database}`, sql);
	}
}

export function query(url, sql) {
	const result = spawnSync('psql', ['-X', '-q', '-A', '-t', '-F', '\t', '-v', 'ON_ERROR_STOP=1', url], { input: sql, encoding: 'utf8', timeout: DEADLINE_MS });
	assert.equal(result.status, 0, `psql: ${result.error ?? ''}${result.stderr}\n${sql.slice(0, 400)}`);
	return result.stdout.split('\n').filter((line) => line !== '').map((line) => line.split('\t'));
}

// Makes the database unless it is there; answers its URL.
export function makeDatabase(address, name) {
	const there = query(`${address}/postgres`, `SELECT 1 FROM pg_database WHERE datname = '${name}'`);
	if (there.length === 0)
		query(`${address}/postgres`, `CREATE DATABASE "${name}"`);
	return `${address}/${name}`;
}

export async function startPostgres({ t, pooler = false } = {}) {
	const postgres = await new Postgres().prepare();
	t?.after(() => postgres.remove());
	await postgres.start();
	if (pooler)
		await postgres.startPooler();
	return postgres;
}

async function main(words) {
	const postgres = await startPostgres({ pooler: true });
	const env = { ...process.env, POSTGRES_URL: postgres.address, PGBOUNCER_URL: postgres.poolerAddress };
	makeDatabase(postgres.address, 'contract');
	const child = spawn(words[0], words.slice(1), { env, stdio: 'inherit' });
	for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
		process.on(signal, () => child.kill(signal));
	const code = await new Promise((resolve) => {
		child.on('error', () => resolve(127));
		child.on('close', (status) => resolve(status ?? 128));
	});
	await postgres.remove();
	process.exit(code);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href)
	await main(process.argv.slice(2));
