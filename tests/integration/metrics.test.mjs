// SPDX-License-Identifier: Apache-2.0
// /metrics of the real binary after a day's work in small: named by Prometheus' rules, told on docs/metrics.md, and with all
// that the dashboard and the alerts of deploy/ ask for. METRICS_WRITE=1 writes the page anew.
import { spawnSync } from 'node:child_process';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, startService, startSimulator } from './lib/service.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const read = (name) => fs.readFileSync(path.join(root, name), 'utf8');
let google;
let service;
let key;
let families; // name → { help, type, samples: [{ name, labels, value }] }
const state = (name) => families.get('review_fetcher_connections').samples.find((one) => one.labels.state === name).value;

function parse(text) {
	const found = new Map();
	let at;
	for (const line of text.trimEnd().split('\n')) {
		const help = /^# HELP (\S+) (.+)$/.exec(line);
		const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
		const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (-?\d+(?:\.\d+)?)$/.exec(line);
		if (help) {
			assert.ok(!found.has(help[1]), `${help[1]} comes twice`);
			at = { name: help[1], help: help[2], samples: [] };
			found.set(help[1], at);
		} else if (type) {
			assert.equal(type[1], at.name);
			at.type = type[2];
		} else {
			assert.ok(sample, `no line of the format: ${line}`);
			assert.ok(at.type && sample[1].startsWith(at.name), `${line} stands below ${at.name}`);
			const labels = Object.fromEntries([...(sample[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name, value]));
			at.samples.push({ name: sample[1], labels, text: `${sample[1]}{${sample[2] ?? ''}}`, value: Number(sample[3]) });
		}
	}
	return found;
}

const measured = async () => parse((await service.get('/metrics', { key })).text);

before(async () => {
	google = await startSimulator({ args: ['--users', '1', '--accounts', '1', '--locations', '2', '--reviews', '5'] });
	service = await startService({ simulator: google, env: { GOOGLE_REQUESTS_PER_MINUTE: 600000, TOKEN_BACKGROUND_REFRESH: 'on' } });
	key = await service.key('admin');
	const { client_id } = await service.connect({ key, branch_id: 'harbour' });
	await service.register({ key, branch_id: 'pier' });
	await service.post('/token-management/tokens/refresh', { client_id }, { key });
	const { json } = await service.post('/api/v1/review-fetch', { branch_id: 'harbour' }, { key });
	await eventually(async () => assert.equal((await service.get(`/api/v1/status/${json.job_id}`, { key })).json.status, 'completed'), { timeout: 60000 });
	families = await measured();
});
after(async () => {
	await service?.end();
	await google?.end();
});

// What promtool check metrics asks for, and the naming page of Prometheus.
test('names_help_types_and_labels_follow_the_rules_of_prometheus', () => {
	for (const { name, help, type, samples } of families.values()) {
		assert.match(name, /^(review_fetcher|process)_[a-z][a-z_]*$/);
		assert.ok(help.length > 10 && help.endsWith('.'), `${name}: ${help}`);
		assert.equal(type === 'counter', name.endsWith('_total'), `${name} is a ${type}`);
		assert.doesNotMatch(name, /_(count|sum|bucket|info_total)$|(^|_)(gauge|counter|histogram)(_|$)/);
		assert.doesNotMatch(name, /_(milli|micro|nano|kilo|mega|giga)|_(ms|us|ns|sec|secs|minutes|hours|days|kb|mb|percent)(_|$)/, `${name} is in no base unit`);
		if (type === 'histogram')
			assert.match(name, /_(seconds|bytes)$/);
		assert.equal(new Set(samples.map((one) => one.text)).size, samples.length, `${name} has a sample twice`);
		for (const one of samples) {
			for (const label of Object.keys(one.labels))
				assert.match(label, /^[a-z][a-z_]*$/);
			assert.ok(one.labels.le === undefined || type === 'histogram');
			assert.ok(one.labels.job === undefined && one.labels.instance === undefined, 'labels of the scraper');
		}
		const kinds = new Set(samples.filter((one) => !one.name.endsWith('_bucket')).map((one) => Object.keys(one.labels).sort().join()));
		assert.equal(kinds.size, 1, `${name} has samples of different labels: ${[...kinds].join(' | ')}`);
	}
});

test('a_histogram_adds_up', () => {
	const { samples } = families.get('review_fetcher_token_refresh_duration_seconds');
	const buckets = samples.filter((one) => one.name.endsWith('_bucket'));
	assert.deepEqual(buckets.map((one) => one.value), [...buckets].map((one) => one.value).sort((a, b) => a - b));
	assert.equal(buckets.at(-1).labels.le, '+Inf');
	assert.equal(buckets.at(-1).value, samples.find((one) => one.name.endsWith('_count')).value);
	assert.ok(buckets.at(-1).value >= 1, 'the refresh was not timed');
});

test('what_happened_is_counted_where_it_belongs', async () => {
	assert.equal(state('connected'), 1);
	assert.equal(state('pending'), 1);
	const of = (name, labels) => families.get(name).samples.find((one) => Object.entries(labels).every(([k, v]) => one.labels[k] === v))?.value;
	assert.equal(of('review_fetcher_http_requests_total', { method: 'POST', route: '/api/v1/review-fetch', status: '2xx' }), 1);
	assert.ok(of('review_fetcher_google_calls_total', { outcome: 'page' }) >= 4);
	assert.equal(of('review_fetcher_google_quota_per_minute', { api: 'reviews' }), 600000);
	const left = of('review_fetcher_google_quota_left', { api: 'reviews' });
	assert.ok(left < 600000 && left >= 0, `${left}`);
	assert.equal(of('review_fetcher_google_calls_total', { outcome: 'throttled' }), 0);
	assert.equal(of('review_fetcher_database_up', {}), 1);
	assert.ok(Math.abs(of('process_start_time_seconds', {}) - Date.now() / 1000) < 600);
	await service.get('/no/such/route', { key });
	families = await measured();
	assert.ok(of('review_fetcher_http_requests_total', { method: '', route: '', status: '4xx' }) >= 1);
});

// A family goes by its name; the parts of a histogram by theirs.
const known = () => new Set([...families.values()].flatMap((one) => [one.name, ...one.samples.map((sample) => sample.name)]));
const namesIn = (text) => new Set(text.match(/\b(?:review_fetcher|process)_[a-z_]+/g));

for (const file of ['deploy/grafana-dashboard.json', 'deploy/alerts.yml']) {
	test(`every_metric_named_in_${file.replace(/\W/g, '_')}_exists_with_its_labels`, () => {
		const text = read(file).replaceAll('\\"', '"');
		const names = [...namesIn(text)];
		assert.ok(names.length > 10);
		assert.deepEqual(names.filter((name) => !known().has(name)), []);
		for (const [, name, selector] of text.matchAll(/\b(review_fetcher_[a-z_]+)\{([^}]*)\}/g)) {
			const samples = [...families.values()].flatMap((one) => one.samples).filter((one) => one.name === name);
			for (const [, label, operator, value] of selector.matchAll(/(\w+)(=~|=)"([^"]*)"/g)) {
				if (label === 'job')
					continue;
				const wanted = new RegExp(`^(?:${operator === '=~' ? value : value.replace(/\W/g, '\\$&')})$`);
				if (name !== 'review_fetcher_http_requests_total' || label !== 'status')
					assert.ok(samples.some((one) => wanted.test(one.labels[label] ?? '')), `${name} has no ${label} ${value}`);
			}
		}
	});
}

test('what_is_summed_by_a_label_has_it', () => {
	const expressions = [...read('deploy/grafana-dashboard.json').matchAll(/"expr": "((?:\\\\.|[^"])*)"/g), ...read('deploy/alerts.yml').matchAll(/expr: ((?:.|\n {10})*)/g)].map(([, one]) => one);
	const samples = [...families.values()].flatMap((one) => one.samples);
	let n = 0;
	for (const expression of expressions)
		for (const [, labels] of expression.matchAll(/\bby \(([^)]*)\)/g))
			for (const label of labels.split(', ').filter((one) => one !== 'instance')) {
				n++;
				assert.ok(samples.some((one) => one.labels[label] !== undefined && namesIn(expression).has(one.name)), `nothing in ${expression} has a label ${label}`);
			}
	assert.ok(n > 10, `only ${n}`);
});

test('each_alert_says_what_to_do_and_has_a_name_of_its_own', () => {
	const alerts = read('deploy/alerts.yml').split(/^ {6}- alert: /m).slice(1), runbook = read('docs/alerts.md');
	assert.equal(runbook.match(/^## ReviewFetcher/gm).length, alerts.length);
	assert.ok(alerts.length > 10);
	assert.equal(new Set(alerts.map((one) => one.split('\n')[0])).size, alerts.length);
	for (const alert of alerts) {
		assert.match(alert, /^ {8}expr: /m, alert);
		assert.match(alert, /severity: (page|ticket)/);
		assert.match(alert, /^ {10}summary: .{20}/m);
		const name = alert.split('\n')[0], severity = /severity: (\w+)/.exec(alert)[1];
		assert.ok(alert.includes(`runbook: docs/alerts.md#${name.toLowerCase()}\n`), name);
		assert.match(runbook, new RegExp(`^## ${name}\n\n\\*${severity}\\.\\* .{40}`, 'm'));
		const expression = /^ {8}expr: ((?:.|\n {10})*)/m.exec(alert)[1];
		for (const [, label] of alert.matchAll(/\$labels\.(\w+)/g))
			assert.ok(!/\b(sum|max|min|avg|count)\b/.test(expression) || [...expression.matchAll(/ by \(([^)]*)\)/g)].some(([, by]) => by.split(', ').includes(label)),
				`${name} speaks of a label ${label} that its expression drops`);
		const words = /description: >-\n((?: {12}.*\n)+)/.exec(alert)?.[1].replace(/\s+/g, ' ').trim();
		assert.ok(words?.length > 120 && words.endsWith('.'), `no sentence for the operator: ${alert}`);
	}
});

// With Prometheus's own tool, where it is installed; its package brings a server along, so ./test does not install it.
test('promtool_finds_nothing_wrong_with_the_metrics_and_each_alert_fires_when_it_should', async (t) => {
	if (spawnSync('promtool', ['--version']).status !== 0)
		return t.skip('promtool is not installed');
	for (const [args, input] of [[['check', 'metrics'], (await service.get('/metrics', { key })).text], [['check', 'rules', 'deploy/alerts.yml']], [['test', 'rules', 'tests/deploy/alerts_test.yml']]]) {
		const { status, stdout, stderr } = spawnSync('promtool', args, { cwd: root, input, encoding: 'utf8' });
		assert.equal(status, 0, `${args.join(' ')}: ${stdout}${stderr}`);
	}
});

test('docs_metrics_md_tells_each_of_them', () => {
	const rows = [...families.values()].map(({ name, type, help, samples }) => {
		const labels = [...new Set(samples.flatMap((one) => Object.keys(one.labels)))].filter((label) => label !== 'le');
		return `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(' ')} | ${help} |`;
	}).sort();
	const page = read('docs/metrics.md');
	const [before_, , behind] = page.split(/(?<=<!-- metrics -->\n)|(?=<!-- end -->)/);
	const wanted = `${before_}| metric | type | labels | what it says |\n|---|---|---|---|\n${rows.join('\n')}\n${behind}`;
	if (process.env.METRICS_WRITE)
		fs.writeFileSync(path.join(root, 'docs/metrics.md'), wanted);
	else
		assert.equal(page, wanted);
});
