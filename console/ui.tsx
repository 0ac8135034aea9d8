// SPDX-License-Identifier: Apache-2.0
// The pieces that all views are made of.
import { type ComponentChildren, createContext } from 'preact';
import { useCallback, useContext, useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, type Session, type State } from './api';
import { useNow } from './live';
import { ago, instant, STATES } from './words';

export const SessionContext = createContext<Session | null>(null);
export const useMay = () => {
	const session = useContext(SessionContext);
	return (scope: string) => !session || session.scopes.includes(scope) || session.scopes.includes('admin');
};

export const said = (error: unknown) => error instanceof ApiError ? error.message : `Something in this page went wrong: ${(error as Error)?.message ?? error}`;

// ---- loading ----

export interface Loaded<T> { data: T | null; error: string | null; isLoading: boolean; reload: () => void }
// Asks when the key changes; what was there stays until the new answer has come.
export function useLoad<T>(key: string, ask: (signal: AbortSignal) => Promise<T>): Loaded<T> {
	const [state, setState] = useState<{ key: string; data: T | null; error: string | null; isLoading: boolean }>({ key, data: null, error: null, isLoading: true });
	const latest = useRef(ask);
	const running = useRef<AbortController | null>(null);
	latest.current = ask;
	const reload = useCallback(() => {
		running.current?.abort();
		const control = running.current = new AbortController();
		latest.current(control.signal).then(
			(data) => setState({ key, data, error: null, isLoading: false }),
			(error) => {
				if (error.name !== 'AbortError')
					setState((old) => ({ ...old, error: said(error), isLoading: false }));
			});
	}, [key]);
	useEffect(() => {
		setState((old) => ({ ...old, isLoading: true }));
		reload();
		return () => running.current?.abort();
	}, [reload]);
	return { data: state.data, error: state.error, isLoading: state.isLoading, reload };
}

export const Waiting = ({ children }: { children: ComponentChildren }) => <p class="waiting" role="status"><span class="pulse" aria-hidden="true" />{children}</p>;
export const Failed = ({ words, again }: { words: string; again?: () => void }) => (
	<div class="failed" role="alert"><p>{words}</p>{again && <button type="button" onClick={again}>Try again</button>}</div>
);
export const Empty = ({ title, children }: { title: string; children?: ComponentChildren }) => <div class="empty"><h3>{title}</h3>{children}</div>;

// ---- small things ----

export const Pill = ({ state }: { state: State }) => <span class={`pill ${STATES[state].tone}`} title={STATES[state].words}>{STATES[state].name}</span>;
export function Ago({ time }: { time: string | null }) {
	const now = useNow();
	return time ? <time dateTime={time} title={instant(time)}>{ago(time, now)}</time> : <span class="soft">never</span>;
}
export const Stars = ({ n }: { n: number | null }) => n
	? <span class="stars" role="img" aria-label={`${n} of 5 stars`}>{[1, 2, 3, 4, 5].map((i) => (
		<svg key={i} viewBox="0 0 16 16" class={i <= n ? 'on' : ''} aria-hidden="true"><path d="M8 1.6l1.9 4 4.4.6-3.2 3 .8 4.3L8 11.4l-3.9 2.1.8-4.3-3.2-3 4.4-.6z" /></svg>))}</span>
	: <span class="soft">no rating</span>;
export const Section = ({ title, aside, children, id }: { title: string; aside?: ComponentChildren; children: ComponentChildren; id?: string }) => (
	<section class="card" id={id}><header><h2>{title}</h2>{aside && <div class="aside">{aside}</div>}</header>{children}</section>
);
export const Field = ({ label, hint, children }: { label: string; hint?: ComponentChildren; children: ComponentChildren }) => (
	<div class="field"><label><span>{label}</span>{children}</label>{hint && <small>{hint}</small>}</div>
);

export function Copy({ text, label = 'Copy' }: { text: string; label?: string }) {
	const [done, setDone] = useState(false);
	const field = useRef<HTMLInputElement>(null);
	const copy = async () => {
		try {
			await navigator.clipboard.writeText(text);
		} catch { // without https there is no clipboard for scripts
			field.current?.select();
			document.execCommand('copy');
		}
		setDone(true);
		setTimeout(() => setDone(false), 2000);
	};
	return (
		<div class="copy">
			<input readOnly value={text} ref={field} aria-label="What is copied" onFocus={(e) => e.currentTarget.select()} />
			<button type="button" class="go" onClick={copy}>{done ? 'Copied' : label}</button>
			<span class="sr" role="status">{done ? 'Copied' : ''}</span>
		</div>
	);
}

export function Dialog({ title, onClose, children, wide }: { title: string; onClose: () => void; children: ComponentChildren; wide?: boolean }) {
	const box = useRef<HTMLDialogElement>(null);
	useEffect(() => {
		const dialog = box.current!;
		const before = document.activeElement as HTMLElement | null;
		dialog.showModal();
		return () => before?.focus?.();
	}, []);
	return (
		<dialog ref={box} class={wide ? 'wide' : ''} aria-labelledby="dialog-title" onCancel={(e) => { e.preventDefault(); onClose(); }}
			onClick={(e) => { if (e.target === box.current) onClose(); }}>
			<div class="inside">
				<header><h2 id="dialog-title">{title}</h2><button type="button" class="quiet close" onClick={onClose}>Close</button></header>
				{children}
			</div>
		</dialog>
	);
}

// A button that does something at the service: it says so while it lasts, and what came of it.
export function Act({ children, run, busy, kind = '', disabled, title }: { children: ComponentChildren; run: () => Promise<unknown>; busy: string; kind?: string; disabled?: boolean; title?: string }) {
	const [isBusy, setBusy] = useState(false);
	const act = async () => {
		setBusy(true);
		try {
			await run();
		} catch (error) {
			notice(said(error), 'bad');
		}
		setBusy(false);
	};
	return <button type="button" class={kind} disabled={disabled || isBusy} title={title} onClick={act}>{isBusy ? busy : children}</button>;
}

// ---- notices ----

type Note = { id: number; words: string; tone: string };
let notes: Note[] = [];
let nextNote = 1;
const noteWatchers = new Set<(list: Note[]) => void>();
const showNotes = () => { for (const watcher of noteWatchers) watcher(notes); };
const dropNote = (id: number) => { notes = notes.filter((n) => n.id !== id); showNotes(); };
export function notice(words: string, tone = 'good') {
	const note = { id: nextNote++, words, tone };
	notes = [...notes, note].slice(-3);
	showNotes();
	if (tone === 'good')
		setTimeout(() => dropNote(note.id), 6000);
}
export function Notices() {
	const [list, setList] = useState(notes);
	useEffect(() => { noteWatchers.add(setList); return () => { noteWatchers.delete(setList); }; }, []);
	return (
		<div class="notices" role="status" aria-live="polite">
			{list.map((n) => <div key={n.id} class={`notice ${n.tone}`}><p>{n.words}</p><button type="button" class="quiet" aria-label="Dismiss" onClick={() => dropNote(n.id)}>Dismiss</button></div>)}
		</div>
	);
}

// A text field whose value is told when typing rests.
export function Search({ value, onChange, label, placeholder }: { value: string; onChange: (value: string) => void; label: string; placeholder?: string }) {
	const [text, setText] = useState(value);
	const timer = useRef(0);
	useEffect(() => setText(value), [value]);
	return <input type="search" class="search" aria-label={label} placeholder={placeholder ?? label} value={text} data-search onInput={(e) => {
		const now = e.currentTarget.value;
		setText(now);
		clearTimeout(timer.current);
		timer.current = window.setTimeout(() => onChange(now.trim()), 200);
	}} />;
}

// Pages by cursor: where one has been is kept, so that one can go back.
export interface Pages { cursor: string; forth: (next: string) => void; back: () => void; n: number }
export function usePages(key: string): Pages {
	const [state, setState] = useState<{ key: string; trail: string[] }>({ key, trail: [] });
	const trail = state.key === key ? state.trail : [];
	return {
		cursor: trail[trail.length - 1] ?? '', n: trail.length + 1,
		forth: (next) => { setState({ key, trail: [...trail, next] }); scrollTo(0, 0); },
		back: () => { setState({ key, trail: trail.slice(0, -1) }); scrollTo(0, 0); },
	};
}
export const Pager = ({ pages, next }: { pages: Pages; next: string | null }) => pages.n > 1 || next ? (
	<nav class="pager" aria-label="Pages">
		<button type="button" disabled={pages.n === 1} onClick={pages.back}>Previous</button>
		<span>Page {pages.n}</span>
		<button type="button" disabled={!next} onClick={() => next && pages.forth(next)}>Next</button>
	</nav>
) : null;
