// SPDX-License-Identifier: Apache-2.0
// Providers beside Google, against a real OAuth server that nobody here wrote.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readTogether } from './lib/crowd.mjs';
import { makeKey, startOAuthServer } from './lib/oidc.mjs';
import { CookieJar, eventually, failToStart, makeFolder, send, startService } from './lib/service.mjs';

const SECRET = 'a secret with: + % and more than 32 bytes';
const ec = makeKey('EC');
const rsa = makeKey('RSA');
const folder = makeFolder('providers');
const file = path.join(folder, 'providers.json');
const servers = {};
let service;
let key;

const write = (providers) => fs.writeFileSync(file, JSON.stringify({ providers }));

before(async () => {
	const kinds = {
		basic: { token_endpoint_auth_method: 'client_secret_basic', client_secret: SECRET },
		post: { token_endpoint_auth_method: 'client_secret_post', client_secret: SECRET },
		signed: { token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks: { keys: [ec.jwk] } },
		shared: { token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'PS256', jwks: { keys: [rsa.jwk] } },
		public: { token_endpoint_auth_method: 'none' },
	};
	for (const [name, client] of Object.entries(kinds))
		servers[name] = await startOAuthServer({ name, client });
	fs.writeFileSync(path.join(folder, 'key.pem'), rsa.pem, { mode: 0o600 });
	write([
		servers.basic.record(),
		servers.post.record(),
		servers.signed.record(),
		servers.shared.record({ private_key_file: 'key.pem', key_id: rsa.id, assertion_alg: 'PS256', assertion_audience: 'token_url' }),
		servers.public.record(),
		{ name: 'dumb', authorization_url: 'https://dumb.example/auth', token_url: 'https://dumb.example/token' },
	]);
	service = await startService({ env: { PROVIDERS_FILE: file } });
	key = await service.key('admin');
	for (const name of Object.keys(servers))
		await service.waitForLog('provider.discovered', (line) => line.provider === name);
});
after(async () => {
	await service?.end();
	for (const server of Object.values(servers))
		await server.end();
});

const credentials = {
	basic: { client_secret: SECRET },
	post: { client_secret: SECRET },
	signed: { private_key: ec.pem, key_id: ec.id },
	shared: {},
	public: {},
};

async function register(name, branch, more = {}) {
	const answer = await service.post('/token-management/clients', { provider: name, client_id: `app-${name}`,
		branch_id: branch, workspace_email: 'owner@example.com', workspace_name: `Shop ${branch}`,
		redirect_uri: servers[name]?.redirectUri, ...credentials[name], ...more }, { key });
	return answer;
}

async function start(id, jar) {
	const begun = await send('GET', `${service.url}/token-management/oauth/login/${id}`, { key, jar });
	assert.equal(begun.status, 307, begun.text);
	return begun.headers.location;
}

// change: (URL) of the callback, on the way to the service.
async function connect(name, branch, { change = () => {}, more } = {}) {
	const made = await register(name, branch, more);
	assert.equal(made.status, 201, made.text);
	const jar = new CookieJar();
	const back = new URL(await servers[name].browse(await start(made.json.client_id, jar)));
	change(back);
	return send('GET', `${service.url}${back.pathname}${back.search}`, { jar });
}

const token = (branch, query = '') => service.get(`/token-management/tokens/${branch}${query}`, { key });
const client = async (branch) => {
	const answer = await service.get(`/token-management/clients?q=${branch}`, { key });
	return answer.json.clients.find((one) => one.branch_identifier === branch);
};

describe('each way to show the app', () => {
	for (const name of Object.keys(credentials))
		test(`a_branch_connects_refreshes_and_is_revoked_by_${name}`, async () => {
			const server = servers[name];
			const branch = `way-${name}`;
			const done = await connect(name, branch);
			assert.equal(done.status, 200, done.text);
			const first = await token(branch);
			assert.equal(first.status, 200, first.text);
			const forced = await service.post('/token-management/tokens/refresh', { client_id: (await client(branch)).client_id }, { key });
			assert.equal(forced.status, 200, forced.text);
			assert.notEqual(forced.json.access_token, first.json.access_token);
			const shown = await client(branch);
			assert.equal(shown.provider, name);
			assert.equal(shown.status, 'connected');
			const revoked = await service.post(`/token-management/tokens/${branch}/revoke`, undefined, { key });
			assert.equal(revoked.status, 200, revoked.text);
			assert.deepEqual(server.calls.map((call) => call.status), [200, 200, 200]);
			assert.equal(server.calls.at(-1).path, '/token/revocation');
		});

	test('one_method_a_request_and_the_secret_nowhere_else', () => {
		for (const call of servers.basic.calls) {
			assert.match(call.authorization, /^Basic /);
			assert.equal(call.body.client_secret, undefined);
		}
		for (const name of ['post', 'signed', 'shared', 'public'])
			for (const call of servers[name].calls)
				assert.equal(call.authorization, '');
	});

	test('an_assertion_is_short_lived_unique_and_for_the_audience_of_the_record', () => {
		const seen = new Set();
		for (const [name, alg, audience] of [['signed', 'ES256', servers.signed.issuer], ['shared', 'PS256', `${servers.shared.issuer}/token`]])
			for (const call of servers[name].calls) {
				assert.equal(call.body.client_assertion_type, 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer');
				const [header, claims] = call.body.client_assertion.split('.').slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url')));
				assert.equal(header.alg, alg);
				assert.equal(header.kid, name === 'signed' ? ec.id : rsa.id);
				assert.equal(claims.iss, `app-${name}`);
				assert.equal(claims.sub, `app-${name}`);
				assert.equal(claims.aud, audience);
				assert.ok(claims.exp - claims.iat <= 60);
				assert.ok(!seen.has(claims.jti));
				seen.add(claims.jti);
			}
		assert.equal(seen.size, 6);
	});

	test('no_private_key_is_in_a_log_line_or_in_the_database', () => {
		const inside = ec.pem.split('\n')[1];
		const files = fs.readdirSync(service.dir).map((name) => fs.readFileSync(path.join(service.dir, name), 'latin1'));
		assert.ok(!JSON.stringify(service.logs()).includes(inside));
		assert.ok(!files.some((text) => text.includes(inside)));
	});
});

describe('rotation', () => {
	test('two_hundred_readers_of_a_rotating_grant_cost_one_refresh_and_it_survives', async () => {
		const server = servers.basic;
		server.lifetime = 1;
		assert.equal((await connect('basic', 'crowd')).status, 200);
		const { expires_at } = await client('crowd');
		await eventually(() => assert.ok(Date.now() > Date.parse(expires_at)));
		server.lifetime = 3600;
		for (const round of [1, 2]) {
			const before = server.count('refresh_token');
			const answers = await readTogether({ count: 200, port: service.port, key, path: '/token-management/tokens/crowd' });
			assert.deepEqual([...new Set(answers.map((one) => one.status))], [200]);
			assert.equal(new Set(answers.map((one) => one.json.access_token)).size, 1);
			assert.equal(server.count('refresh_token') - before, round === 1 ? 1 : 0);
		}
		const forced = await service.post('/token-management/tokens/refresh', { client_id: (await client('crowd')).client_id }, { key });
		assert.equal(forced.status, 200, forced.text);
	});

	test('a_refresh_token_that_comes_again_ends_the_grant_there_and_is_reported_here', async () => {
		const server = servers.basic;
		const spent = server.calls.filter((call) => call.params.grant_type === 'refresh_token').at(-1).params.refresh_token;
		const credential = Buffer.from(['app-basic', SECRET].map(encodeURIComponent).join(':')).toString('base64');
		const again = await send('POST', `${server.issuer}/token`, { form: { grant_type: 'refresh_token', refresh_token: spent },
			headers: { authorization: `Basic ${credential}` } });
		assert.equal(again.json.error, 'invalid_grant', again.text);
		const forced = await service.post('/token-management/tokens/refresh', { client_id: (await client('crowd')).client_id }, { key });
		assert.equal(forced.status, 409, forced.text);
		assert.equal((await client('crowd')).status, 'needs_reconnect');
	});
});

describe('whose answer it is', () => {
	async function assertRefused(branch, change, name = 'post') {
		const before = servers[name].count('authorization_code');
		const done = await connect(name, branch, { change });
		assert.ok(done.status >= 400, done.text);
		assert.equal(servers[name].count('authorization_code'), before);
		assert.equal((await token(branch)).status, 409);
	}

	test('an_answer_without_its_issuer_spends_no_code', () => assertRefused('iss-none', (url) => url.searchParams.delete('iss')));
	test('an_answer_of_another_issuer_spends_no_code', () => assertRefused('iss-other', (url) => url.searchParams.set('iss', servers.basic.issuer)));
	test('an_issuer_with_a_slash_more_is_another', () => assertRefused('iss-slash', (url) => url.searchParams.set('iss', `${servers.post.issuer}/`)));
	test('an_answer_at_the_callback_of_another_provider_spends_no_code', () => assertRefused('path-other', (url) => {
		url.pathname = url.pathname.replace('/post', '/basic');
	}));
	test('a_provider_that_sends_no_issuer_has_a_callback_of_its_own', async () => {
		const plain = await register('dumb', 'dumb-1', { client_secret: 'x', redirect_uri: 'https://broker.example/token-management/auth/callback' });
		assert.equal(plain.status, 422, plain.text);
		assert.match(plain.text, /callback\/dumb/);
		const made = await register('dumb', 'dumb-1', { client_secret: 'x' });
		assert.equal(made.status, 201, made.text);
		assert.match(made.json.redirect_uri, /\/token-management\/auth\/callback\/dumb$/);
		const jar = new CookieJar();
		const state = new URL(await start(made.json.client_id, jar)).searchParams.get('state');
		const stray = await send('GET', `${service.url}/token-management/auth/callback?state=${state}&code=c`, { jar });
		assert.ok(stray.status >= 400);
		assert.match(stray.text, /does not come from the issuer/);
	});
});

describe('registering', () => {
	test('an_unknown_provider_is_refused_with_the_nearest', async () => {
		const answer = await register('basik', 'b-1', { client_secret: SECRET });
		assert.equal(answer.status, 422, answer.text);
		assert.match(answer.text, /is 'basic' meant/);
	});
	test('a_credential_that_the_provider_does_not_take_is_refused', async () => {
		for (const [name, more, words] of [
			['signed', { client_secret: 'x' }, /private_key_jwt/],
			['signed', { private_key: rsa.pem }, undefined],
			['signed', { private_key: 'not a key' }, /PEM/],
			['public', { client_secret: 'x' }, /none/],
			['basic', { client_secret: undefined }, /client_secret/],
			['shared', { private_key: ec.pem }, /PS256/],
		]) {
			const answer = await register(name, 'b-2', more);
			if (words === undefined) {
				assert.equal(answer.status, 201, answer.text);
				continue;
			}
			assert.equal(answer.status, 422, answer.text);
			assert.match(answer.text, words);
		}
	});
	test('a_branch_may_ask_for_its_own_scope', async () => {
		const made = await register('basic', 'own-scope', { scope: 'openid offline_access email' });
		assert.equal(made.status, 201, made.text);
		const url = new URL(await start(made.json.client_id, new CookieJar()));
		assert.equal(url.searchParams.get('scope'), 'openid offline_access email');
		assert.equal(url.searchParams.get('code_challenge_method'), 'S256');
		assert.equal(url.searchParams.get('prompt'), 'consent');
	});
});

describe('a link', () => {
	test('shows_whose_page_comes_next_and_its_button_may_lead_there', async () => {
		const made = await register('signed', 'linked');
		const link = await service.post(`/token-management/clients/${made.json.client_id}/connect-link`, {}, { key });
		const at = new URL(link.json.url);
		const page = await send('GET', `${service.url}${at.pathname}${at.search}`, { headers: { accept: 'text/html' } });
		assert.equal(page.status, 200, page.text);
		assert.match(page.text, /Continue to Test signed/);
		assert.doesNotMatch(page.text, /Google/);
		assert.ok(page.headers['content-security-policy'].includes(`form-action 'self' ${servers.signed.issuer}`), page.headers['content-security-policy']);
	});
});

describe('a key that is changed', () => {
	test('leaves_the_one_before_usable_until_the_server_knows_the_new_one', async () => {
		assert.equal((await connect('signed', 'keyed')).status, 200);
		const fresh = makeKey('EC');
		const id = (await client('keyed')).client_id;
		const changed = await service.request('PATCH', `/token-management/clients/${id}`, { key, json: { private_key: fresh.pem, key_id: fresh.id } });
		assert.equal(changed.status, 200, changed.text);
		const forced = await service.post('/token-management/tokens/refresh', { client_id: id }, { key });
		assert.equal(forced.status, 200, forced.text);
		assert.equal(servers.signed.calls.at(-2).answer.error, 'invalid_client');
	});
});

describe('a server without issuer and revocation', () => {
	let bare;
	let other;
	before(async () => {
		bare = await startOAuthServer({ name: 'bare', client: { token_endpoint_auth_method: 'client_secret_post', client_secret: SECRET } });
		const own = path.join(folder, 'bare.json');
		fs.writeFileSync(own, JSON.stringify({ providers: [{ name: 'bare', authorization_url: `${bare.issuer}/auth`, token_url: `${bare.issuer}/token`,
			scopes: ['openid', 'offline_access'], client_auth: 'client_secret_post', authorization_params: { prompt: 'consent' } }] }));
		other = await startService({ env: { PROVIDERS_FILE: own } });
	});
	after(async () => {
		await other?.end();
		await bare.end();
	});

	test('its_own_callback_tells_whose_answer_it_is_and_revoking_says_that_it_is_here_only', async () => {
		const otherKey = await other.key('admin');
		const made = await other.post('/token-management/clients', { provider: 'bare', client_id: 'app-bare', client_secret: SECRET, branch_id: 'b',
			workspace_email: 'owner@example.com', workspace_name: 'Shop', redirect_uri: bare.redirectUri }, { key: otherKey });
		assert.equal(made.status, 201, made.text);
		const jar = new CookieJar();
		const begun = await send('GET', `${other.url}/token-management/oauth/login/${made.json.client_id}`, { key: otherKey, jar });
		const back = new URL(await bare.browse(begun.headers.location));
		const done = await send('GET', `${other.url}${back.pathname}${back.search}`, { jar });
		assert.equal(done.status, 200, done.text);
		const revoked = await other.post('/token-management/tokens/b/revoke', undefined, { key: otherKey });
		assert.equal(revoked.status, 200, revoked.text);
		assert.match(revoked.json.message, /dropped here only/);
		const shown = await other.get(`/token-management/clients/${made.json.client_id}`, { key: otherKey });
		assert.equal(shown.json.status, 'revoked');
		assert.match(shown.json.status_reason, /revoked here only/);
		assert.equal((await other.get('/token-management/tokens/b', { key: otherKey })).status, 409);
		assert.ok(!bare.calls.some((call) => call.path.includes('revocation')));
	});
});

describe('discovery', () => {
	async function startWith(twist, isAway = false) {
		const server = await startOAuthServer({ name: 'late', client: { token_endpoint_auth_method: 'client_secret_post', client_secret: SECRET } });
		const own = path.join(folder, 'late.json');
		server.twist = twist;
		server.isAway = isAway;
		fs.writeFileSync(own, JSON.stringify({ providers: [server.record()] }));
		return { server, late: await startService({ env: { PROVIDERS_FILE: own } }) };
	}

	async function registerAt(late) {
		const lateKey = await late.key('admin');
		const made = await late.post('/token-management/clients', { provider: 'late', client_id: 'app-late', client_secret: SECRET,
			branch_id: 'b', workspace_email: 'owner@example.com', workspace_name: 'Shop' }, { key: lateKey });
		assert.equal(made.status, 201, made.text);
		return () => send('GET', `${late.url}/token-management/oauth/login/${made.json.client_id}`, { key: lateKey });
	}

	test('the_service_starts_without_the_issuer_and_finds_it_when_it_is_there', async () => {
		const { server, late } = await startWith(undefined, true);
		try {
			await late.waitForLog('provider.not_discovered');
			const login = await registerAt(late);
			const early = await login();
			assert.equal(early.status, 503, early.text);
			assert.match(early.text, /metadata of Test late/);
			server.isAway = false;
			await eventually(async () => assert.equal((await login()).status, 307));
		} finally {
			await late.end();
			await server.end();
		}
	});

	for (const [name, twist, words] of [
		['the_metadata_of_another_issuer', (document) => ({ ...document, issuer: `${document.issuer}/` }), /another issuer/],
		['metadata_without_a_token_endpoint', ({ token_endpoint: _, ...document }) => document, /lacks token_endpoint/],
		['an_endpoint_in_plain_http', (document) => ({ ...document, token_endpoint: 'http://elsewhere.example/token' }), /https/],
	])
		test(`${name}_is_not_believed`, async () => {
			const { server, late } = await startWith(twist);
			try {
				const line = await late.waitForLog('provider.not_discovered');
				assert.match(line.reason, words);
				assert.equal((await (await registerAt(late))()).status, 503);
			} finally {
				await late.end();
				await server.end();
			}
		});
});

describe('a provider that is taken out of the file', () => {
	test('loses_nothing_and_says_what_to_do', async () => {
		assert.equal((await connect('post', 'stays')).status, 200);
		write([servers.basic.record()]);
		await service.restart();
		const shown = await client('stays');
		assert.equal(shown.provider, 'post');
		assert.match(shown.status_reason, /no provider is called 'post' any more: put its record back into PROVIDERS_FILE/);
		assert.equal((await token('stays')).status, 200); // what lives is served
		const revoke = await service.post('/token-management/tokens/stays/revoke', undefined, { key });
		assert.equal(revoke.status, 202, revoke.text);
		write([servers.basic.record(), servers.post.record()]);
		await service.restart();
		await eventually(async () => assert.equal((await client('stays')).status, 'revoked'));
	});

	test('a_file_that_is_not_sound_stops_the_start_with_its_place', async () => {
		write([{ ...servers.basic.record(), authorization_params: { state: 'x' } }]);
		const { code, stderr } = await failToStart({ env: { PROVIDERS_FILE: file } });
		assert.notEqual(code, 0);
		assert.match(stderr, /providers\.json: providers\[0\]\.authorization_params .*'state'/);
	});
});
