// SPDX-License-Identifier: Apache-2.0
// Many readers at once: every connection is open and has sent its request before the first answer can
// come. Plain sockets, since an HTTP client would queue.
import net from 'node:net';
import { DEADLINE_MS } from './service.mjs';

function readOne({ port, path, key }) {
	return new Promise((resolve, reject) => {
		const socket = net.connect(port, '127.0.0.1');
		const pieces = [];
		socket.setTimeout(DEADLINE_MS * 2, () => socket.destroy(new Error('no answer in time')));
		socket.on('connect', () => socket.write(
			`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${key}\r\nConnection: close\r\n\r\n`));
		socket.on('data', (piece) => pieces.push(piece));
		socket.on('error', reject);
		socket.on('close', () => {
			const text = Buffer.concat(pieces).toString();
			const at = text.indexOf('\r\n\r\n');
			try {
				resolve({ status: Number(text.slice(9, 12)), json: JSON.parse(text.slice(at + 4)) });
			} catch {
				reject(new Error(`a broken answer: ${text.slice(0, 200)}`));
			}
		});
	});
}

export function readTogether({ count, ...one }) {
	return Promise.all(Array.from({ length: count }, () => readOne(one)));
}
