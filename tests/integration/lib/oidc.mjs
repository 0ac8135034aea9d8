// SPDX-License-Identifier: Apache-2.0
// An OAuth server that nobody here wrote (npm's oidc-provider), on loopback: it demands PKCE, rotates refresh
// tokens and ends a grant whose old one comes again, sends `iss`, and is discovered. Consent is given by a
// browser without a person.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import http from 'node:http';
import { CookieJar, send } from './service.mjs';

// It warns of each thing that is left at its development value; here that is meant.
async function quietly(work) {
	const { warn, info } = console;
	console.warn = console.info = () => {};
	try {
		return await work();
	} finally {
		Object.assign(console, { warn, info });
	}
}

export function makeKey(kind) {
	const { privateKey, publicKey } = kind === 'RSA'
		? crypto.generateKeyPairSync('rsa', { modulusLength: 2048 })
		: crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
	const id = crypto.randomUUID();
	return {
		id,
		pem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
		jwk: { ...publicKey.export({ format: 'jwk' }), kid: id, use: 'sig' },
	};
}

export class OAuthServer {
	calls = []; // { path, params, authorization, status, answer } of its token and revocation endpoints
	lifetime = 3600; // of access tokens from now on, in seconds
	twist = undefined; // (path, document) → another body for a GET, or undefined
	isAway = false;

	constructor({ name, client, claims = {} }) {
		this.name = name;
		this.redirectUri = `https://broker.example/token-management/auth/callback/${name}`;
		this.client = { client_id: `app-${name}`, grant_types: ['authorization_code', 'refresh_token'],
			redirect_uris: [this.redirectUri], response_types: ['code'], scope: 'openid offline_access email', ...client };
		this.claims = claims;
	}

	async start() {
		this.server = http.createServer((request, response) => this.serve(request, response));
		await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
		this.issuer = `http://127.0.0.1:${this.server.address().port}`;
		this.provider = await quietly(() => this.make());
		this.provider.use(async (ctx, next) => {
			await next();
			if (ctx.method === 'POST' && ctx.path.startsWith('/token'))
				this.calls.push({ path: ctx.path, params: { ...ctx.oidc?.params }, body: ctx.oidc?.body,
					authorization: ctx.get('authorization'), status: ctx.status, answer: ctx.body });
		});
		this.callback = this.provider.callback();
		return this;
	}

	async make() {
		const { default: Provider } = await import('oidc-provider');
		const key = makeKey('RSA');
		return new Provider(this.issuer, {
			clients: [this.client],
			claims: { openid: ['sub'], email: ['email'] },
			conformIdTokenClaims: false,
			cookies: { keys: ['a test'] },
			enabledJWA: { clientAuthSigningAlgValues: ['RS256', 'PS256', 'ES256'] },
			features: { devInteractions: { enabled: false }, revocation: { enabled: true } },
			findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, email: 'owner@example.com' }) }),
			interactions: { url: (_, interaction) => `/consent/${interaction.uid}` },
			issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
			jwks: { keys: [{ ...crypto.createPrivateKey(key.pem).export({ format: 'jwk' }), kid: key.id, use: 'sig', alg: 'RS256' }] },
			pkce: { methods: ['S256'], required: () => true },
			rotateRefreshToken: true,
			ttl: { AccessToken: () => this.lifetime, Grant: 86400, RefreshToken: 86400, Session: 86400, Interaction: 600, IdToken: 600 },
		});
	}

	async serve(request, response) {
		const { pathname } = new URL(request.url, this.issuer);
		if (this.isAway) {
			response.destroy();
		} else if (pathname.startsWith('/consent/')) {
			await this.consent(request, response);
		} else if (this.twist && pathname.startsWith('/.well-known/')) {
			const document = await this.document();
			response.writeHead(200, { 'content-type': 'application/json' });
			response.end(JSON.stringify(this.twist(document)));
		} else {
			this.callback(request, response);
		}
	}

	document() {
		const twist = this.twist;
		this.twist = undefined;
		return send('GET', `${this.issuer}/.well-known/openid-configuration`).then((answer) => {
			this.twist = twist;
			return answer.json;
		});
	}

	// Signs in as the one account there is, and allows everything.
	async consent(request, response) {
		const { prompt, params, session, grantId } = await this.provider.interactionDetails(request, response);
		if (prompt.name === 'login') {
			await this.provider.interactionFinished(request, response, { login: { accountId: 'account-1' } }, { mergeWithLastSubmission: false });
			return;
		}
		const grant = grantId ? await this.provider.Grant.find(grantId)
			: new this.provider.Grant({ accountId: session.accountId, clientId: params.client_id });
		grant.addOIDCScope(params.scope);
		await this.provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true });
	}

	end() {
		this.server.closeAllConnections();
		return new Promise((resolve) => this.server.close(resolve));
	}

	// ---- what the tests ask ----

	record(more = {}) {
		return { name: this.name, title: `Test ${this.name}`, issuer: this.issuer, scopes: ['openid', 'offline_access'],
			client_auth: this.client.token_endpoint_auth_method, authorization_params: { prompt: 'consent' }, ...more };
	}

	count(grantType) {
		return this.calls.filter((call) => call.params.grant_type === grantType).length;
	}

	// Follows a browser from the consent page's address until it is sent to the callback: that address.
	async browse(location, jar = new CookieJar()) {
		for (let n = 0; n < 12; n++) {
			if (location.startsWith(this.redirectUri))
				return location;
			const answer = await send('GET', location, { jar });
			assert.ok([302, 303].includes(answer.status), `${location}: ${answer.status} ${answer.text.slice(0, 600)}`);
			location = new URL(answer.headers.location, location).href;
		}
		throw new Error(`no end: ${location}`);
	}
}

export function startOAuthServer(options) {
	return new OAuthServer(options).start();
}
