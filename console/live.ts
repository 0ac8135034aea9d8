// SPDX-License-Identifier: Apache-2.0
// What is new, through one stream for the whole console. Views say what concerns them, and are called when it
// happened, at most once a second.
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Job } from './api';

const KINDS = 'connection.,job.,review.';
const REST_MS = 1000;

type Listener = { prefix: string; call: () => void };
const listeners = new Set<Listener>();
const watchers = new Set<(on: boolean) => void>();
const runners = new Set<(job: Job) => void>();
let stream: EventSource | null = null;
let isOn = false;

function tell(on: boolean) {
	if (on === isOn)
		return;
	isOn = on;
	for (const watcher of watchers)
		watcher(on);
	if (on)
		for (const listener of listeners)
			listener.call(); // what happened meanwhile
}

const names = ['pending', 'connected', 'expiring', 'degraded', 'needs_reconnect', 'revoking', 'revoked', 'inactive'].map((s) => `connection.${s}`)
	.concat(['queued', 'running', 'waiting', 'completed', 'partial', 'failed', 'cancelled'].map((s) => `job.${s}`))
	.concat(['new', 'edited', 'reply_added', 'reply_changed', 'reply_removed', 'deleted', 'restored'].map((s) => `review.${s}`));

export function openStream() {
	if (stream)
		return;
	stream = new EventSource(`/api/v1/events?kind=${KINDS}&progress=true`);
	stream.onopen = () => tell(true);
	stream.onerror = () => tell(false); // the browser connects again by itself
	for (const name of names)
		stream.addEventListener(name, () => {
			for (const listener of listeners)
				if (name.startsWith(listener.prefix))
					listener.call();
		});
	stream.addEventListener('progress', (event) => {
		const job = JSON.parse((event as MessageEvent<string>).data) as Job;
		for (const runner of runners)
			runner(job);
	});
	stream.addEventListener('closed', () => { stream?.close(); tell(false); });
}

// Calls when something of that kind happened.
export function useLive(prefix: string, call: () => void) {
	const latest = useRef(call);
	latest.current = call;
	useEffect(() => {
		let timer = 0, last = 0;
		const listener = { prefix, call: () => {
			const wait = Math.max(0, last + REST_MS - Date.now());
			timer ||= window.setTimeout(() => { timer = 0; last = Date.now(); latest.current(); }, wait);
		} };
		listeners.add(listener);
		return () => { listeners.delete(listener); clearTimeout(timer); };
	}, [prefix]);
}

// How far jobs are that run, as the stream says it: once a second.
export function useProgress(call: (job: Job) => void) {
	const latest = useRef(call);
	latest.current = call;
	useEffect(() => {
		const runner = (job: Job) => latest.current(job);
		runners.add(runner);
		return () => { runners.delete(runner); };
	}, []);
}

export function useIsLive(): boolean {
	const [on, setOn] = useState(isOn);
	useEffect(() => { watchers.add(setOn); setOn(isOn); return () => { watchers.delete(setOn); }; }, []);
	return on;
}

// The time now, for countdowns: one clock for all of them.
const ticks = new Set<(now: number) => void>();
setInterval(() => { const now = Date.now(); for (const tick of ticks) tick(now); }, 1000);
export function useNow(): number {
	const [now, setNow] = useState(Date.now());
	useEffect(() => { ticks.add(setNow); return () => { ticks.delete(setNow); }; }, []);
	return now;
}
