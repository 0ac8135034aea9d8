// SPDX-License-Identifier: Apache-2.0
// The command line: what it says, where, and with which exit code.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { eventually, failToStart, makeFolder, Service, startService } from './lib/service.mjs';

const COMMANDS = ['serve', 'doctor', 'migrate', 'key', 'version', 'help'];
const SETTINGS = `API_HOST API_PORT API_WORKERS API_AUTH API_MAX_CONNECTIONS PUBLIC_URL TLS_CERT TLS_KEY
	TOKEN_MANAGEMENT_DATABASE_URL CLIENT_DATABASE_URL TOKEN_DATABASE_URL VAULT_KEY_FILE MOCK_GOOGLE_API
	SIMULATOR_URL GOOGLE_AUTH_URL GOOGLE_TOKEN_URL GOOGLE_REVOKE_URL GOOGLE_ACCOUNTS_URL GOOGLE_LOCATIONS_URL
	GOOGLE_REVIEWS_URL GOOGLE_NOTIFICATIONS_URL GOOGLE_CLIENT_ID GOOGLE_CLIENT_SECRET
	GOOGLE_REQUESTS_PER_MINUTE TOKEN_REFRESH_MARGIN_SEC TOKEN_REFRESH_LEASE_SEC TOKEN_BACKGROUND_REFRESH TOKEN_REFRESH_CONCURRENCY REVIEW_SYNC_INTERVAL_SEC
	REVIEW_FULL_SYNC_INTERVAL_SEC REVIEW_RETENTION_DAYS RETRY_MAX_RETRIES RETRY_INITIAL_BACKOFF_MS
	RETRY_MAX_BACKOFF_MS RETRY_BACKOFF_MULTIPLIER KAFKA_BOOTSTRAP_SERVERS KAFKA_SECURITY_PROTOCOL
	KAFKA_SASL_MECHANISM KAFKA_USERNAME KAFKA_PASSWORD KAFKA_CA_FILE WEBHOOK_URL WEBHOOK_SECRET WEBHOOK_TIMEOUT_SEC WEBHOOK_MAX_TRIES
	WEBHOOK_GIVE_UP_SEC
	LOG_LEVEL`.split(/\s+/);

const shell = (env) => new Service({ env });

function good(service, ...args) {
	const { code, stdout, stderr } = service.cli(...args);
	assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
	return { stdout, stderr };
}

// A refusal is one sentence on stderr, nothing on stdout.
function refused(service, code, args, ...says) {
	const answer = service.cli(...args);
	assert.equal(answer.code, code, `${args.join(' ')} answered ${answer.code}: ${answer.stdout}${answer.stderr}`);
	assert.equal(answer.stdout, '', args.join(' '));
	assert.match(answer.stderr, /^review-fetcher: [^\n]+[.?!]\n$/);
	for (const words of says)
		assert.match(answer.stderr, words);
	return answer.stderr;
}

const sql = (service, statement) => {
	const { status, stderr } = spawnSync('python3', ['-c', `import sqlite3, sys
c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()`, service.db, statement], { encoding: 'utf8' });
	assert.equal(status, 0, stderr);
};

test('help_and_version_answer_on_stdout', () => {
	const service = shell();
	for (const args of [['help'], ['--help'], ['-h']]) {
		const { stdout, stderr } = good(service, ...args);
		assert.equal(stderr, '');
		for (const command of COMMANDS)
			assert.match(stdout, new RegExp(`^  ${command} `, 'm'));
	}
	for (const word of ['version', '--version'])
		assert.match(good(service, word).stdout, /^review-fetcher \d+\.\d+\.\d+\n$/);
});

test('every_command_has_its_own_help', () => {
	const service = shell();
	for (const command of COMMANDS.filter((name) => name !== 'help')) {
		const { stdout } = good(service, command, '--help');
		assert.match(stdout, new RegExp(`^Usage: review-fetcher ${command}`));
		assert.equal(good(service, 'help', command).stdout, stdout);
	}
	assert.match(good(service, 'key', 'create', '--help').stdout, /--expires/);
});

test('serve_help_lists_every_setting', () => {
	const { stdout } = good(shell(), 'serve', '--help');
	for (const key of SETTINGS)
		assert.match(stdout, new RegExp(`\\b${key}\\b`));
});

test('what_is_misspelt_is_answered_with_the_nearest_known_word', () => {
	const service = shell();
	refused(service, 2, ['sevre'], /no command sevre; did you mean serve\?/);
	refused(service, 2, ['frobnicate'], /no command frobnicate; .*help/);
	refused(service, 2, [], /say what to do/);
	refused(service, 2, ['serve', '--api-prot=1'], /unknown flag --api-prot; did you mean --api-port\?/);
	refused(service, 2, ['key', 'create', '--nmae', 'x'], /unknown flag --nmae; did you mean --name\?/);
	refused(service, 2, ['key', 'crate'], /not crate/);
	refused(service, 2, ['migrate', 'sideways'], /not sideways/);
	refused(service, 2, ['serve', 'now'], /unexpected argument now/);
});

test('a_wrong_setting_stops_the_start_with_key_value_bounds_and_cure', async () => {
	const port = refused(shell({ API_PORT: '99999' }), 2, ['serve'], /API_PORT=99999 \(environment\)/, /0 to 65535; try 65535/);
	assert.doesNotMatch(port, /[{}]/);
	refused(shell({ API_HOST: '0.0.0.0', API_AUTH: 'off' }), 2, ['serve'], /API_AUTH=off/, /loopback/);
	refused(shell({ TLS_CERT: 'x.pem' }), 2, ['serve'], /TLS_KEY is not/);
	refused(shell({ GOOGLE_TOKEN_URL: 'http://example.com/token' }), 2, ['serve'], /is http beyond loopback/);
	const secret = refused(shell({ WEBHOOK_SECRET: 'canary\x01' }), 2, ['serve'], /WEBHOOK_SECRET/);
	assert.doesNotMatch(secret, /canary/);
});

test('a_secret_is_not_taken_from_the_command_line', () => {
	const says = refused(shell(), 2, ['serve', '--google-client-secret', 'canary'], /GOOGLE_CLIENT_SECRET is a secret/);
	assert.doesNotMatch(says, /canary/);
});

test('a_wrong_line_of_the_settings_file_is_named', () => {
	const file = path.join(makeFolder(), 'settings.conf');
	fs.writeFileSync(file, '# ours\nLOG_LEVEL=info\nAPI_PROT=1\n');
	refused(shell(), 2, ['serve', '--config', file], /settings\.conf:3: unknown setting API_PROT; did you mean API_PORT\?/);
	refused(shell(), 2, ['serve', '--config', `${file}.not`], /cannot read the settings file .*No such file/);
});

test('the_settings_file_feeds_every_command', async (t) => {
	const dir = makeFolder();
	const file = path.join(dir, 'settings.conf');
	fs.writeFileSync(file, `TOKEN_MANAGEMENT_DATABASE_URL="sqlite:${dir}/from-file.db"\n`);
	const service = shell({ TOKEN_MANAGEMENT_DATABASE_URL: '' });
	good(service, 'migrate', 'up', '--config', file);
	assert.ok(fs.existsSync(`${dir}/from-file.db`));
});

test('a_new_key_stands_alone_on_stdout_and_nowhere_else', () => {
	const service = shell();
	const { stdout, stderr } = good(service, 'key', 'create', '--name', 'reports', '--scope', 'reviews:read,tokens:read',
		'--branch', 'north, south', '--branch', 'east', '--expires', '90d');
	assert.match(stdout, /^rf_[A-Za-z0-9]+_[A-Za-z0-9_-]{43}\n$/);
	const id = stdout.split('_')[1];
	assert.match(stderr, new RegExp(`key ${id}\\..*shown this once`));
	const list = good(service, 'key', 'list').stdout;
	const row = list.split('\n').find((line) => line.startsWith(id));
	assert.match(row, /reports .*good .*reviews:read/);
	assert.match(row, /north,south,east$/);
	const [, expires] = row.match(/\d{4}-\d\d-\d\dT\S+Z/g);
	assert.ok(Math.abs(new Date(expires) - Date.now() - 90 * 86400e3) < 120e3, expires);
	const secret = stdout.trim().slice(-43);
	assert.ok(!list.includes(secret));
	for (const name of fs.readdirSync(service.dir))
		assert.ok(!fs.readFileSync(path.join(service.dir, name)).includes(secret), `the key stands in ${name}`);
});

test('key_create_says_what_is_missing_or_wrong', () => {
	const service = shell();
	const base = ['key', 'create', '--name', 'x', '--scope', 'admin'];
	refused(service, 2, ['key'], /key create, key list, key revoke or key sign-in-link/);
	refused(service, 2, ['key', 'create', '--scope', 'admin'], /needs --name and --scope/);
	refused(service, 2, ['key', 'create', '--name', 'x'], /needs --name and --scope/);
	refused(service, 2, ['key', 'create', '--name'], /--name needs a value/);
	refused(service, 2, ['key', 'create', '--name', 'x', '--scope', 'reviews:raed'], /reviews:raed.*reviews:read/);
	refused(service, 2, [...base, '--branch', 'a,,b'], /names nothing between two commas/);
	for (const time of ['90', 'd', '0d', '-1d', '1.5h', '90 d', '3651d', '99999999999999999999d', 'soon'])
		refused(service, 2, [...base, `--expires=${time}`], /must be a whole number of minutes, hours, days or weeks/);
	refused(service, 2, [...base, '--name', 'y'], /--name is given twice/);
	refused(service, 2, ['key', 'list', '--name', 'x'], /key list takes no --name/);
	refused(service, 2, ['key', 'revoke'], /say which key/);
	refused(service, 2, ['key', 'revoke', 'rf_abc_def'], /the key's id, not the key/);
	assert.ok(!fs.existsSync(service.db));
});

test('keys_are_not_listed_from_a_database_that_is_not_there', () => {
	refused(shell(), 1, ['key', 'list'], /the database is empty/);
	const service = shell();
	good(service, 'migrate', 'up');
	assert.match(good(service, 'key', 'list').stdout, /no keys yet/);
	refused(service, 1, ['key', 'revoke', 'nobody'], /no such key/);
});

test('a_running_server_hears_of_new_and_revoked_keys', async (t) => {
	const service = await startService({ t });
	const key = await service.key('clients:read');
	assert.equal((await service.get('/token-management/clients', { key })).status, 200);
	good(service, 'key', 'revoke', key.split('_')[1]);
	await eventually(async () => assert.equal((await service.get('/token-management/clients', { key })).status, 401));
	assert.match(good(service, 'key', 'list').stdout, /revoked/);
});

test('migrate_goes_up_and_down_and_asks_before_it_destroys', () => {
	const service = shell();
	assert.match(good(service, 'migrate').stdout, /^Schema version 0 of (\d+): \1 to apply/);
	assert.match(good(service, 'migrate', 'up').stdout, /applied/);
	assert.match(good(service, 'migrate', 'up').stdout, /nothing to do/);
	assert.match(good(service, 'migrate', 'status').stdout, /up to date/);
	good(service, 'key', 'create', '--name', 'x', '--scope', 'admin');
	refused(service, 2, ['migrate', 'down', '0'], /destroys .*API keys 1,/, /--yes/);
	refused(service, 2, ['migrate', 'down'], /down to which version/);
	refused(service, 2, ['migrate', 'down', 'all'], /all is not a schema version/);
	refused(service, 2, ['migrate', 'down', '-1'], /-1 is not a schema version/);
	refused(service, 2, ['migrate', 'down', '99'], /cannot go down to 99/);
	assert.match(good(service, 'key', 'list').stdout, /good/);
	assert.match(good(service, 'migrate', 'down', '0', '--yes').stdout, /undone/);
	assert.match(good(service, 'migrate').stdout, /^Schema version 0 of/);
});

test('a_schema_newer_than_the_program_is_refused_by_everyone', async () => {
	const service = shell();
	good(service, 'migrate', 'up');
	sql(service, "INSERT INTO schema_migrations (version, name, applied_at_ms) VALUES (99, 'later', 1)");
	refused(service, 1, ['migrate'], /version 99/);
	refused(service, 1, ['key', 'list'], /version 99/);
	const { code, stderr } = await failToStart({ dir: service.dir });
	assert.equal(code, 1);
	assert.match(stderr, /^review-fetcher: the database has schema version 99, and this program knows versions up to \d+/m);
});

test('one_database_is_served_once_and_its_schema_left_alone_meanwhile', async (t) => {
	const service = await startService({ t });
	const { code, stderr } = await failToStart({ dir: service.dir });
	assert.equal(code, 1);
	assert.match(stderr, new RegExp(`process ${service.pid} serves`));
	refused(service, 1, ['migrate', 'down', '0', '--yes'], /serves/);
	assert.match(good(service, 'migrate', 'up').stdout, /nothing to do/);
});

test('a_port_that_is_taken_is_named_with_the_cure', async (t) => {
	const other = net.createServer().listen(0, '127.0.0.1');
	t.after(() => other.close());
	await new Promise((resolve) => other.once('listening', resolve));
	const { port } = other.address();
	const { code, stderr } = await failToStart({ env: { API_PORT: port } });
	assert.equal(code, 1);
	assert.match(stderr, new RegExp(`^review-fetcher: .*127\\.0\\.0\\.1:${port} is already in use`, 'm'));
});

test('the_daemon_leaves_no_core_and_no_file_for_others', async (t) => {
	const service = await startService({ t });
	const proc = (name) => fs.readFileSync(`/proc/${service.pid}/${name}`, 'utf8');
	assert.match(proc('limits'), /^Max core file size +0 +0 /m);
	assert.match(proc('status'), /^NoNewPrivs:\s+1$/m);
	for (const name of fs.readdirSync(service.dir))
		assert.equal(fs.statSync(path.join(service.dir, name)).mode & 0o077, 0, `${name} is open to others`);
});

test('a_start_logs_where_it_listens_and_a_stop_logs_its_end', async (t) => {
	const service = await startService({ t });
	const started = service.logs().find((line) => line.event === 'serve.started');
	assert.equal(started.address, '127.0.0.1');
	assert.match(started.version, /^\d+\.\d+\.\d+$/);
	assert.ok(started.took_ms < 2000);
	assert.deepEqual(service.noise(), []);
	await service.stop();
	assert.deepEqual(service.logs().slice(-2).map((line) => line.event), ['serve.stopping', 'serve.stopped']);
});

test('a_second_signal_ends_a_stop_that_waits_for_a_request', async (t) => {
	const service = await startService({ t });
	const key = await service.key();
	const client = net.connect(service.port, '127.0.0.1');
	t.after(() => client.destroy());
	client.on('error', () => {});
	client.write(`POST /token-management/clients HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\n`
		+ 'Content-Type: application/json\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n');
	const [go] = await once(client, 'data');
	assert.match(go.toString(), /^HTTP\/1\.1 100 /);
	process.kill(service.pid, 'SIGINT');
	await service.waitForLog('serve.stopping');
	const since = performance.now();
	await eventually(() => {
		if (service.program.isRunning)
			process.kill(service.pid, 'SIGTERM');
		assert.ok(!service.program.isRunning);
	});
	assert.equal(service.program.result.code, 130);
	assert.ok(performance.now() - since > 400, 'a signal right behind the first is the same wish');
});
