// SPDX-License-Identifier: Apache-2.0
// The OpenAPI document as a judge: what is sent by hit() goes to the running service, and its answer must be one that the
// document allows – status, media type, and every field. It remembers what it has seen, so that a test can ask
// what was never answered.
import assert from 'node:assert/strict';
import Ajv from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { send } from './service.mjs';

const REFERENCE = '#/components/schemas/';

// The events of a stream, or lines: what is not whole yet is left out.
function piecesOf(media, text) {
	if (media !== 'text/event-stream')
		return text.split('\n').slice(0, -1).map((line) => ({ data: JSON.parse(line) }));
	return text.split('\n\n').slice(0, -1).map((event) => Object.fromEntries(event.split('\n').map((line) => line.split(/: ?(.*)/))))
		.filter((event) => event.data).map(({ event, data }) => ({ event, data: JSON.parse(data) }));
}

export class Judge {
	constructor({ document, service, key }) {
		Object.assign(this, { document, service, key });
		this.ajv = new Ajv({ strict: false, allErrors: true });
		addFormats(this.ajv);
		this.ajv.addSchema(document, 'document');
		this.answered = new Set(); // "GET /path 200"
		this.fields = new Set(); // "Client.status"
	}

	* operations() {
		for (const [path, methods] of Object.entries(this.document.paths))
			for (const [method, operation] of Object.entries(methods))
				yield { path, method: method.toUpperCase(), operation, name: `${method.toUpperCase()} ${path}` };
	}

	operation(name) {
		const [method, path] = name.split(' ');
		const operation = this.document.paths[path]?.[method.toLowerCase()];
		assert.ok(operation, `${name} is not described`);
		return operation;
	}

	validator(pointer) {
		this.validators ??= new Map();
		if (!this.validators.has(pointer))
			this.validators.set(pointer, this.ajv.getSchema(`document${pointer}`));
		return this.validators.get(pointer);
	}

	// hit('GET /clients/{id}', { path: { id: 1 }, query: { … }, json, status: 200 })
	async hit(name, { path = {}, query = {}, status, key = this.key, ...options } = {}) {
		const [method, template] = name.split(' ');
		const where = template.replace(/\{(\w+)\}/g, (_, word) => encodeURIComponent(path[word] ?? assert.fail(`${name} wants ${word}`)));
		const search = new URLSearchParams(query).toString();
		const answer = await send(method, `${this.service.url}${where}${search && `?${search}`}`, { key, ...options });
		const said = `${name} answered ${answer.status} ${answer.text.slice(0, 600)}`;
		if (status !== undefined)
			assert.equal(answer.status, status, said);
		this.judge(name, answer, said);
		return answer;
	}

	judge(name, answer, said) {
		const [method, path] = name.split(' ');
		const described = this.operation(name).responses[answer.status];
		assert.ok(described, `this status is not described: ${said}`);
		this.answered.add(`${name} ${answer.status}`);
		const media = answer.headers['content-type']?.split(';')[0];
		if (!described.content) {
			assert.equal(answer.text, '', said);
			return;
		}
		assert.ok(described.content[media], `${media} is not described: ${said}`);
		const items = described.content[media]['x-items'];
		for (const { event, data } of items ? piecesOf(media, answer.text) : []) {
			const one = items[event] ?? items['*'];
			assert.ok(one, `the event ${event} is not described: ${said}`);
			this.judgePiece(one.$ref.slice(REFERENCE.length), data);
		}
		if (!/^application\/(\w+\+)?json$/.test(media))
			return;
		const pointer = ['paths', path, method.toLowerCase(), 'responses', answer.status, 'content', media, 'schema']
			.map((part) => encodeURIComponent(String(part).replaceAll('~', '~0').replaceAll('/', '~1'))).join('/');
		const valid = this.validator(`#/${pointer}`);
		assert.ok(valid(answer.json), `${JSON.stringify(valid.errors?.map((e) => [e.instancePath, e.message, e.params]))}\n${said}`);
		this.note(described.content[media].schema, answer.json);
	}

	// A line of an answer in JSON lines, or the data of an event.
	judgePiece(schema, value) {
		const valid = this.validator(REFERENCE + schema);
		assert.ok(valid(value), `${JSON.stringify(valid.errors)}\n${JSON.stringify(value)}`);
		this.note({ $ref: REFERENCE + schema }, value);
	}

	note(schema, value) {
		if (value === null || value === undefined)
			return;
		if (schema.$ref) {
			const name = schema.$ref.slice(REFERENCE.length);
			const { properties } = this.document.components.schemas[name];
			for (const [field, inner] of Object.entries(properties)) {
				if (!(field in value))
					continue;
				this.fields.add(`${name}.${field}`);
				this.note(inner, value[field]);
			}
		} else if (schema.oneOf) {
			this.note(schema.oneOf[0], value);
		} else if (schema.items && Array.isArray(value)) {
			value.forEach((one) => this.note(schema.items, one));
		}
	}

	// The fields of answers that no answer had.
	unseen() {
		const wanted = new Set();
		const visit = (schema) => {
			const inner = schema.$ref ?? schema.oneOf?.[0]?.$ref;
			if (schema.items)
				visit(schema.items);
			if (!inner)
				return;
			const name = inner.slice(REFERENCE.length);
			for (const [field, one] of Object.entries(this.document.components.schemas[name].properties)) {
				if (wanted.has(`${name}.${field}`))
					continue;
				wanted.add(`${name}.${field}`);
				visit(one);
			}
		};
		for (const { operation } of this.operations())
			for (const answer of Object.values(operation.responses))
				Object.values(answer.content ?? {}).forEach((media) => [media.schema, ...Object.values(media['x-items'] ?? {})].forEach(visit));
		return [...wanted].filter((field) => !this.fields.has(field));
	}
}
