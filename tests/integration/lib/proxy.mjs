// SPDX-License-Identifier: Apache-2.0
// Stands between the service and the simulator: sees every request and answer, can hold one back, and can
// answer in Google's place. What it saw is how a test learns the secrets that were really spoken.
import http from 'node:http';

export class Proxy {
	calls = []; // { method, path, headers, body, status, answer }, in the order of the requests
	twist = undefined; // (call) → { status, headers, body } in place of the simulator's answer, or undefined
	before = undefined; // async (call): a request is passed on when this is done
	after = undefined; // async (call): an answer is passed back when this is done

	constructor(target) {
		this.target = target;
		this.server = http.createServer((request, response) => this.serve(request, response));
		this.server.on('clientError', (_, socket) => socket.destroy());
	}

	start() {
		return new Promise((resolve) => this.server.listen(0, '127.0.0.1', () => {
			this.url = `http://127.0.0.1:${this.server.address().port}`;
			resolve(this);
		}));
	}

	end() {
		this.server.closeAllConnections();
		return new Promise((resolve) => this.server.close(resolve));
	}

	// What points a service here; its browser goes to the simulator itself.
	env(simulator) {
		const moved = Object.entries(simulator.env).map(([name, url]) => [name, url.replace(simulator.url, this.url)]);
		return { ...Object.fromEntries(moved), GOOGLE_AUTH_URL: simulator.env.GOOGLE_AUTH_URL };
	}

	async serve(request, response) {
		try {
			const call = { method: request.method, path: request.url, headers: request.headers, body: await read(request) };
			this.calls.push(call);
			await this.before?.(call);
			const own = this.twist?.(call);
			const answer = own ?? await this.pass(call);
			call.status = answer.status;
			call.answer = answer.body;
			await this.after?.(call);
			response.writeHead(answer.status, answer.headers);
			response.end(answer.body);
		} catch {
			response.destroy(); // the other side is away, or a test says so by throwing
		}
	}

	pass(call) {
		return new Promise((resolve, reject) => {
			const onward = http.request(this.target + call.path, { method: call.method, headers: call.headers, agent: false }, (response) => {
				const { 'transfer-encoding': _, connection: __, ...headers } = response.headers;
				read(response).then((body) => resolve({ status: response.statusCode, headers, body }), reject);
			});
			onward.on('error', reject);
			onward.end(call.body);
		});
	}

	// The form of a call to the token endpoint.
	static form(call) {
		return Object.fromEntries(new URLSearchParams(call.body));
	}
}

async function read(stream) {
	const pieces = [];
	for await (const piece of stream)
		pieces.push(piece);
	return Buffer.concat(pieces).toString();
}

export async function startProxy({ t, target }) {
	const proxy = await new Proxy(target).start();
	t?.after(() => proxy.end());
	return proxy;
}

// A door that a test opens: await gate.arrived to know that somebody stands before it.
export function makeGate() {
	const gate = {};
	gate.arrived = new Promise((resolve) => {
		gate.knock = resolve;
	});
	gate.opened = new Promise((resolve) => {
		gate.open = resolve;
	});
	gate.pass = (call) => {
		gate.knock(call);
		return gate.opened;
	};
	return gate;
}
