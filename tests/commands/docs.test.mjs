// SPDX-License-Identifier: Apache-2.0
// Every ```sh block of README.md, docs/ and the simulator's page is run, page by page, in order and in one shell's variables,
// against a service and a simulator of the page's own. A block that cannot be run says why, in a comment before it; those are
// listed here. What stands in a sentence (`command`) is held to the command's help, or to the test that runs it; links,
// anchors, files and directories that a page names are there.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { makeDatabase, query, startPostgres } from '../integration/lib/postgres.mjs';
import { DEADLINE_MS, makeFolder, Service, SERVICE_BIN, startService, startSimulator } from '../integration/lib/service.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const APP = 'demo-app.apps.googleusercontent.com';
const pagesOf = (folder) => fs.readdirSync(path.join(root, folder)).filter((name) => name.endsWith('.md')).map((name) => path.join(folder, name));
const PAGES = ['README.md', ...pagesOf('docs'), 'simulator/README.md'];
const ALL = [...PAGES, ...pagesOf('docs/internals'), 'src/store/sql/README.md'];
const read = (page) => fs.readFileSync(path.join(root, page), 'utf8');

// { language, text, line, marks } of a page; marks are the comments since the block before.
function blocksOf(page) {
	const blocks = [];
	let open, marks = [];
	read(page).split('\n').forEach((line, n) => {
		const mark = /^<!-- (.+) -->$/.exec(line);
		const fence = /^ *```(\w*)$/.exec(line);
		if (fence && open) {
			blocks.push({ ...open, text: open.lines.join('\n') });
			[open, marks] = [undefined, []];
		} else if (fence) {
			open = { language: fence[1], line: n + 1, marks, lines: [] };
		} else if (open) {
			open.lines.push(line);
		} else if (mark) {
			marks.push(mark[1]);
		}
	});
	assert.equal(open, undefined, `a block of ${page} does not end`);
	return blocks;
}

const reason = (block) => block.marks.find((mark) => mark.startsWith('not run: '));

const OLD_ROWS = `INSERT INTO clients (client_id, client_secret, redirect_uri, branch_id, workspace_email, workspace_name)
		VALUES ('${APP}', 'demo-app-secret', 'http://localhost/cb', 'old', 'old@example.com', 'Old');
	INSERT INTO tokens (client_id, access_token, expires_at) VALUES (1, 'spent', '2024-01-01')`;

// What a page's commands are given at: a service on SQLite, one on PostgreSQL and that server, each once it is asked for.
function makeHouses(t, google, sqlite) {
	const made = {};
	const once = (name, make) => () => (made[name] ??= make());
	const server = once('server', () => startPostgres({ t }));
	const postgres = once('postgres', async () => startService({ t, simulator: google, postgres: await server() }));
	return { server, postgres, sqlite: () => sqlite };
}

class Reader {
	constructor(page, google, service, t) {
		Object.assign(this, { page, google, service, t, houses: makeHouses(t, google, service) });
		this.folder = makeFolder('docs');
		fs.symlinkSync(SERVICE_BIN, path.join(this.folder, 'review-fetcher'));
	}

	// What a person does between two blocks.
	async act(mark) {
		const [what, ...words] = mark.slice('test: '.length).split(' ');
		if (what === 'connect') {
			const { clients } = (await this.service.get(`/token-management/clients?q=${words[0]}`, { key: this.key })).json;
			// The page's redirect URI is that of a service on its usual port.
			const redirect_uri = `${this.service.url}/token-management/auth/callback`;
			await this.service.request('PATCH', `/token-management/clients/${clients[0].client_id}`, { json: { redirect_uri }, key: this.key });
			await this.service.reconnect({ key: this.key, id: clients[0].client_id });
		} else if (what === 'mint') {
			const { tokens } = await this.google.control('POST', '/tokens', { op: 'mint', client_id: APP, count: 2 });
			const lines = tokens.map(({ refresh_token }, n) => JSON.stringify({ client_id: APP, client_secret: 'demo-app-secret',
				redirect_uri: 'http://localhost:8084/token-management/auth/callback', branch_id: `minted-${n}`, workspace_email: `m${n}@example.com`,
				workspace_name: 'Minted', refresh_token }));
			words.forEach((name, n) => fs.writeFileSync(path.join(this.folder, name), `${lines[n]}\n`));
		} else if (what === 'sqlite' || what === 'postgres') {
			this.service = await this.houses[what]();
			if (what === 'postgres')
				this.key = this.keyThere ??= await this.service.key('admin');
		} else if (what === 'stop') {
			if (this.service.program?.isRunning)
				await this.service.stop();
		} else if (what === 'start') {
			await this.service.start();
		} else if (what === 'empty') {
			this.database = makeDatabase((await this.houses.server()).address, `empty-${path.basename(this.folder).toLowerCase()}`);
		} else if (what === 'original') {
			this.service = new Service({ t: this.t, simulator: this.google, postgres: await this.houses.server(), migrate: false });
			this.t.after(() => this.service.end());
			this.database = this.service.databaseUrl;
			query(this.database, fs.readFileSync(path.join(root, 'tests/integration/lib/original.sql'), 'utf8') + OLD_ROWS);
		} else {
			assert.equal(what, 'problems');
		}
	}

	// The addresses that a page names, as they are here.
	localise(text) {
		return text.replaceAll('http://localhost:8084', this.service.url).replaceAll('/var/lib/review-fetcher', this.service.dir)
			.replaceAll('localhost:8085', this.google.url)
			.replaceAll(/postgresql:\/\/[^\s']*/g, () => this.database);
	}

	run(block) {
		const script = `set -euo pipefail\n[ ! -f .state ] || . ./.state\n${this.localise(block.text)}\n` +
			'for name in api auth json id job key; do [ -z "${!name:-}" ] || declare -p "$name"; done >.state\n';
		const it = spawnSync('bash', ['-c', script], { cwd: this.folder, encoding: 'utf8', timeout: DEADLINE_MS * 2,
			env: { ...this.service.env, PATH: `${this.folder}:${process.env.PATH}`, KEY: this.key, URL: this.service.url } });
		const said = `${this.page}:${block.line}\n${it.stdout}${it.stderr}`;
		assert.equal(it.status, 0, said);
		assert.equal(/"type":"about:blank"/.test(it.stdout), block.marks.includes('test: problems'), said);
	}
}

for (const page of ALL) {
	const blocks = blocksOf(page);
	const shell = blocks.filter((block) => block.language === 'sh' && !reason(block));
	test(`the_blocks_of_${page.replace(/\W/g, '_')}_name_their_language`, () => {
		assert.deepEqual(blocks.filter((block) => !['sh', 'sql', 'json', 'yaml', 'mermaid', 'http', 'js'].includes(block.language)).map((block) => block.line), []);
	});
	if (shell.length === 0 || !PAGES.includes(page)) {
		assert.equal(shell.length, 0, `${page} has commands: put them onto a page whose commands are run`);
		continue;
	}
	test(`the_commands_of_${page.replace(/\W/g, '_')}_run`, { timeout: 180000 }, async (t) => {
		const google = await startSimulator({ t, args: ['--users', '1', '--accounts', '1', '--locations', '2', '--reviews', '5'] });
		const service = await startService({ t, simulator: google, env: { GOOGLE_REQUESTS_PER_MINUTE: 600000 } });
		const reader = new Reader(page, google, service, t);
		reader.key = await service.key('admin');
		// What the page builds on: ./run's branch, or what the page before has done.
		await service.connect({ key: reader.key, branch_id: page === 'docs/api-guide.md' ? 'harbour' : 'demo' });
		for (const block of shell) {
			for (const mark of block.marks.filter((one) => one.startsWith('test: ')))
				await reader.act(mark);
			reader.run(block);
		}
	});
}

test('what_is_not_run_is_known_with_its_reason', () => {
	const found = PAGES.flatMap((page) => blocksOf(page).filter(reason).map((block) => `${page}: ${reason(block).slice('not run: '.length)}`));
	assert.deepEqual(found, [
		'README.md: tests/commands/run.test.mjs runs it',
		'README.md: it is what runs this',
		'docs/api-guide.md: needs MOCK_GOOGLE_API=true; tests/integration/demo.test.mjs asks them all',
		'docs/connect-google.md: asks the real Google',
		'docs/getting-started.md: tests/commands/run.test.mjs runs it',
		'docs/getting-started.md: the test has a key of its own',
		'simulator/README.md: tests/integration/simulator.test.mjs starts it so',
	]);
});

// As forges make them of a heading.
const anchorsOf = (page) => new Set([...read(page).matchAll(/^#+ (.+)$/gm)].map(([, words]) => words.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-')));

test('every_link_of_the_documentation_leads_somewhere', () => {
	for (const page of ALL) {
		for (const [, target, anchor] of read(page).matchAll(/\]\(([^)#\s]*)(?:#([^)\s]+))?[^)]*\)/g)) {
			if (/^https?:/.test(target))
				continue;
			const there = target ? path.join(path.dirname(page), target) : page;
			assert.ok(fs.existsSync(path.join(root, there)), `${page}: ${target}`);
			assert.ok(!anchor || anchorsOf(there).has(anchor), `${page}: ${target}#${anchor}`);
		}
	}
});

// What stands between backticks in the sentences of a page.
const spansOf = (page) => [...read(page).replace(/^ *```[^]*?^ *```$/gm, '').matchAll(/`([^`\n]+)`/g)].map(([, text]) => text);

test('every_file_and_directory_that_a_page_names_is_there', () => {
	const homes = ['', 'src', 'docs/internals', 'tests', 'console/src'];
	const isThere = (name) => homes.some((home) => {
		const folder = path.join(root, home, path.dirname(name));
		const pattern = new RegExp(`^${path.basename(name).replace(/[.+]/g, '\\$&').replaceAll('*', '.*')}(\\.[ch])?$`);
		return fs.existsSync(folder) && fs.readdirSync(folder).some((one) => pattern.test(one));
	});
	const files = new Set(['src', 'simulator', 'tests', 'deploy'].flatMap((folder) => fs.readdirSync(path.join(root, folder), { recursive: true }).map((name) => path.basename(name))));
	const made = /^(var|build\w*|meson-logs)\//; // by running it
	const named = ALL.flatMap((page) => spansOf(page).filter((text) => /^(?:[a-z][\w.-]*\/)+[\w.*-]*$|^[\w-]+\.(c|h|py|sh|mjs|yml|build)$/.test(text) && !made.test(text))
		.map((text) => [page, text.replace(/\/$/, '')]));
	assert.ok(named.length > 50, `only ${named.length}`);
	assert.deepEqual(named.filter(([page, text]) => !files.has(text) && !isThere(text) && !isThere(path.join(path.dirname(page), text)) && !ELSEWHERE.has(text)), []);
});

// Names that look like files: Google's, and a media type.
const ELSEWHERE = new Set(['roles/riscconfigs.admin', 'accounts/-', 'text/csv']);

test('every_setting_and_every_event_of_the_log_that_a_page_names_is_one', () => {
	const settings = new Set([...read('docs/settings.md').matchAll(/^\| `([A-Z0-9_]+)`/gm)].map(([, name]) => name));
	const others = new Set(['CLIENT_DATABASE_URL', 'TOKEN_DATABASE_URL', 'KEY_FILE', 'PERMISSION_DENIED']); // other names of a setting, a pattern, a word of Google's
	const unknown = [];
	for (const page of ALL)
		for (const [, name] of read(page).matchAll(/(?:`|^ {4})([A-Z][A-Z0-9]*_[A-Z0-9_]+)[=`]/gm))
			if (!settings.has(name) && !settings.has(name.replace(/_FILE$/, '')) && !others.has(name))
				unknown.push(`${page}: ${name}`);
	const events = new Set([...read('docs/internals/events.md').matchAll(/^\| `([a-z_.]+)`/gm)].map(([, name]) => name));
	for (const page of ['docs/alerts.md', 'docs/operations.md', 'docs/webhooks.md'])
		for (const text of spansOf(page).filter((one) => /^(due|grant|vault|kafka|webhook|changes|http|delivery)\.[a-z_]+$/.test(one)))
			if (!events.has(text))
				unknown.push(`${page}: ${text}`);
	assert.deepEqual(unknown, []);
});

// Commands in sentences: what runs them, or why nothing does.
const RUN_BY = {
	'./run': 'tests/commands/run.test.mjs', './test': 'test', './bench': 'bench', 'tools/check_house.py': 'tests/house/meson.build', 'tools/openapi.py': 'src/api/meson.build',
	'tools/install.sh': 'tests/deploy/image.py', 'systemd-analyze': 'tests/deploy/files.py', 'man': 'tests/house/check_man.py',
	'systemctl': 'no test has systemd for its first process', 'journalctl': 'no test has systemd for its first process',
	'docker': 'tests/deploy/image.py builds what the Dockerfile says; no test has Docker', 'pg_dump': 'tests/commands/docs.test.mjs', 'sqlite3': 'tests/commands/docs.test.mjs',
};

test('a_command_in_a_sentence_is_one_that_there_is', () => {
	const help = (...args) => spawnSync(SERVICE_BIN, [...args, '--help'], { encoding: 'utf8' }).stdout;
	let n = 0;
	for (const page of ALL) {
		for (const text of spansOf(page)) {
			const [program, command, ...args] = text.split(/ +/);
			if (program === 'review-fetcher' && command !== undefined) {
				n++;
				if (command.startsWith('-'))
					assert.equal(spawnSync(SERVICE_BIN, [command]).status, 0, text);
				const said = command.startsWith('-') ? command : help(command);
				for (const word of [command, ...args].filter((one) => one !== '--help' && /^(--)?[a-z][a-z-]*$/.test(one)))
					assert.ok(said.includes(word), `${page}: ${text}: its help has no ${word}`);
			} else if (/^(\.\/|tools\/\w+\.|(systemctl|systemd-analyze|journalctl|docker|pg_dump|pg_restore|sqlite3|psql|man|apt-get|npm|git|sudo) )/.test(text)) {
				n++;
				assert.ok(RUN_BY[program], `${page}: ${text}: nothing runs ${program}`);
				if (/^[\w/.-]+$/.test(RUN_BY[program]))
					assert.ok(fs.existsSync(path.join(root, RUN_BY[program])), RUN_BY[program]);
				if (program === './test' && command)
					assert.match(read('test'), new RegExp(`\\b${command}\\b.*\\) ;;`), `${page}: ${text}`);
			}
		}
	}
	assert.ok(n > 25, `only ${n}`);
});

test('readme_leads_to_every_page', () => {
	const readme = read('README.md');
	assert.deepEqual(pagesOf('docs').filter((page) => !readme.includes(`(${page})`)), []);
});
