// SPDX-License-Identifier: Apache-2.0
import { useState } from 'preact/hooks';
import { call, type Change, type Client, get, type Location, query, type Review } from './api';
import { useLive } from './live';
import { go, setQuery, usePlace } from './router';
import { Act, Ago, Dialog, Empty, Failed, notice, Pager, Search, Stars, useLoad, useMay, usePages, Waiting } from './ui';
import { Charts, type Summary } from './summary';
import { count, instant } from './words';

const REPLY_BYTES = 4096;
const bytes = (text: string) => new TextEncoder().encode(text).length;

// ---- what changed, word by word ----

// The longest common part of two texts in words; what is left is gone or new.
function diff(before: string, after: string): { text: string; kind: '' | 'gone' | 'new' }[] {
	const a = before.split(/(\s+)/).slice(0, 800), b = after.split(/(\s+)/).slice(0, 800);
	const length = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
	for (let i = a.length - 1; i >= 0; i--)
		for (let j = b.length - 1; j >= 0; j--)
			length[i][j] = a[i] === b[j] ? length[i + 1][j + 1] + 1 : Math.max(length[i + 1][j], length[i][j + 1]);
	const parts: { text: string; kind: '' | 'gone' | 'new' }[] = [];
	const put = (text: string, kind: '' | 'gone' | 'new') => {
		const last = parts[parts.length - 1];
		if (last?.kind === kind)
			last.text += text;
		else if (text)
			parts.push({ text, kind });
	};
	let i = 0, j = 0;
	while (i < a.length || j < b.length) {
		if (i < a.length && j < b.length && a[i] === b[j]) {
			put(a[i++], '');
			j++;
		} else if (j >= b.length || (i < a.length && length[i + 1][j] >= length[i][j + 1])) {
			put(a[i++], 'gone');
		} else {
			put(b[j++], 'new');
		}
	}
	return parts;
}
const Diff = ({ before, after }: { before: string; after: string }) => (
	<p class="diff">{diff(before, after).map((p, i) => p.kind === 'gone' ? <del key={i}>{p.text}</del> : p.kind === 'new' ? <ins key={i}>{p.text}</ins> : <span key={i}>{p.text}</span>)}</p>
);

const KINDS: Record<string, string> = { new: 'Written', edited: 'Edited', reply_added: 'Answered', reply_changed: 'Answer changed', reply_removed: 'Answer removed', deleted: 'Deleted', restored: 'Restored' };
const text = (parts: Record<string, unknown> | null, name: string) => typeof parts?.[name] === 'string' ? parts[name] as string : '';

function ChangeItem({ change }: { change: Change }) {
	const was = change.before, is = change.after;
	const isRated = was && is && was.rating !== is.rating && (was.rating !== undefined || is.rating !== undefined);
	return (
		<li>
			<span class={`dot ${change.kind === 'deleted' || change.kind === 'reply_removed' ? 'bad' : 'none'}`} aria-hidden="true" />
			<div>
				<p><strong>{KINDS[change.kind] ?? change.kind}</strong> <small>{instant(change.changed_at ?? change.detected_at)}{!change.changed_at && ', when it was noticed'}</small></p>
				{isRated && <p class="rated"><Stars n={was.rating as number | null} /> <span class="soft">became</span> <Stars n={is.rating as number | null} /></p>}
				{(was || is) && text(was, 'comment') !== text(is, 'comment') && <Diff before={text(was, 'comment')} after={text(is, 'comment')} />}
				{(was || is) && text(was, 'reply_text') !== text(is, 'reply_text') && <Diff before={text(was, 'reply_text')} after={text(is, 'reply_text')} />}
				{(was || is) && text(was, 'reply_state') !== text(is, 'reply_state') && text(is, 'reply_state') && <p class="soft">The answer is {text(is, 'reply_state').toLowerCase()}{text(is, 'policy_violation') && `: ${text(is, 'policy_violation')}`}.</p>}
			</div>
		</li>
	);
}

// ---- replying ----

function Reply({ review, onDone }: { review: Review; onDone: () => void }) {
	const [words, setWords] = useState(review.reply_text ?? '');
	const [key] = useState(() => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join(''));
	const used = bytes(words);
	const path = `/api/v1/reviews/${review.id}/reply`;
	const send = async () => {
		await call('PUT', path, { comment: words, idempotency_key: key });
		notice('The answer was sent to Google.');
		onDone();
	};
	const remove = async () => {
		await call('DELETE', path);
		setWords('');
		notice('The answer was removed at Google.');
		onDone();
	};
	return (
		<div class="reply">
			<label class="field"><span>{review.reply_text ? 'Change the answer' : 'Answer'}</span>
				<textarea rows={4} value={words} onInput={(e) => setWords(e.currentTarget.value)} aria-describedby="reply-bytes" placeholder="Everybody can read it under the review." /></label>
			<p class="under"><span id="reply-bytes" class={used > REPLY_BYTES ? 'badtext' : 'soft'}>{count(used)} of {count(REPLY_BYTES)} bytes{used > REPLY_BYTES && `, ${count(used - REPLY_BYTES)} too many`}</span>
				<span class="buttons">{review.reply_text && <Act busy="Removing …" run={remove}>Remove the answer</Act>}
					<Act kind="go" busy="Sending …" run={send} disabled={used > REPLY_BYTES || words.trim() === '' || words === review.reply_text}>{review.reply_text ? 'Change' : 'Send the answer'}</Act></span></p>
		</div>
	);
}

function OneReview({ id, onClose }: { id: string; onClose: () => void }) {
	const may = useMay();
	const one = useLoad<Review & { history: Change[] }>(`review ${id}`, (signal) => get(`/api/v1/reviews/${encodeURIComponent(id)}`, signal));
	const r = one.data;
	return (
		<Dialog title={r ? r.reviewer_name ?? 'Somebody' : 'Review'} onClose={onClose} wide>
			{one.error && <Failed words={one.error} again={one.reload} />}
			{!r && !one.error && <Waiting>Reading the review …</Waiting>}
			{r && (
				<>
					<p class="meta"><Stars n={r.rating} /> <span>{r.location_title ?? r.location_id}</span> <span class="soft">{instant(r.review_created_time)}</span>{r.deleted_at && <span class="pill bad">Deleted</span>}</p>
					<p class="comment">{r.comment ?? <span class="soft">Stars only, without words.</span>}</p>
					{r.reply_text && <blockquote class="answer"><small>Answer of the business, {instant(r.reply_time)}{r.reply_state && `, ${r.reply_state.toLowerCase()}`}</small><p>{r.reply_text}</p></blockquote>}
					{may('reviews:reply') && !r.deleted_at && <Reply key={`${r.reply_text}`} review={r} onDone={one.reload} />}
					<h3>What happened to it</h3>
					<ol class="history">{r.history.map((c) => <ChangeItem key={c.n} change={c} />)}</ol>
				</>)}
		</Dialog>
	);
}

// ---- the list ----

const Item = ({ review, search }: { review: Review; search: string }) => (
	<li class={`review${review.deleted_at ? ' over' : ''}`}>
		<div class="head"><Stars n={review.rating} /><a href={`/console/reviews/${review.id}${search}`}><strong>{review.reviewer_name ?? 'Somebody'}</strong></a><span class="soft place">{review.location_title ?? review.location_id}</span><span class="soft when"><Ago time={review.review_updated_time ?? review.review_created_time} /></span></div>
		<p class="comment">{review.comment ?? <span class="soft">Stars only, without words.</span>}</p>
		{review.deleted_at ? <p class="soft"><span class="pill bad">Deleted</span> noticed {instant(review.deleted_at)}</p>
			: review.reply_text ? <p class="answer short"><small>Answered</small> {review.reply_text}</p> : null}
	</li>
);

const FIELDS = ['branch_id', 'location_id', 'rating', 'replied', 'deleted', 'q', 'since', 'until', 'order'] as const;

function Filters({ values, set }: { values: Record<string, string>; set: (values: Record<string, string>) => void }) {
	const may = useMay();
	const branches = useLoad<{ clients: Client[] }>(`branches ${values.branch_id}`, (signal) => may('clients:read') ? get(`/token-management/clients${query({ limit: 20, q: values.branch_id })}`, signal) : Promise.resolve({ clients: [] }));
	const places = useLoad<{ locations: Location[] }>(`places ${values.branch_id}`, (signal) => get(`/api/v1/locations${query({ branch_id: values.branch_id, limit: 200 })}`, signal));
	const pick = (name: string) => (e: { currentTarget: HTMLSelectElement | HTMLInputElement }) => set({ [name]: e.currentTarget.value });
	return (
		<div class="filters many" role="search">
			<Search label="Search words or names" value={values.q} onChange={(q) => set({ q })} />
			<input list="branches" aria-label="Branch" placeholder="All branches" value={values.branch_id} onChange={(e) => set({ branch_id: e.currentTarget.value.trim(), location_id: '' })} />
			<datalist id="branches">{branches.data?.clients.map((c) => <option key={c.client_id} value={c.branch_identifier}>{c.workspace_name}</option>)}</datalist>
			<select aria-label="Location" value={values.location_id} onChange={pick('location_id')}>
				<option value="">All locations</option>
				{values.location_id && !places.data?.locations.some((l) => l.location_id === values.location_id) && <option value={values.location_id}>{values.location_id}</option>}
				{places.data?.locations.map((l) => <option key={l.location_id} value={l.location_id}>{l.title ?? l.location_id}</option>)}
			</select>
			<select aria-label="Stars" value={values.rating} onChange={pick('rating')}><option value="">All stars</option>{[5, 4, 3, 2, 1].map((n) => <option key={n} value={n}>{n} {n === 1 ? 'star' : 'stars'}</option>)}</select>
			<select aria-label="Answered" value={values.replied} onChange={pick('replied')}><option value="">Answered or not</option><option value="false">Not answered</option><option value="true">Answered</option></select>
			<select aria-label="Deleted" value={values.deleted} onChange={pick('deleted')}><option value="">There now</option><option value="true">Deleted</option></select>
			<select aria-label="Order" value={values.order} onChange={pick('order')}><option value="">Newest first</option><option value="oldest">Oldest first</option></select>
		</div>
	);
}

export function ReviewsView({ id }: { id: string }) {
	const place = usePlace();
	const values = Object.fromEntries(FIELDS.map((name) => [name, place.query.get(name) ?? '']));
	const filter = query(values);
	const pages = usePages(filter);
	const list = useLoad<{ reviews: Review[]; total_reviews: number | null; total_is_least: boolean; next_cursor: string | null }>(`${filter} ${pages.cursor}`,
		(signal) => get(`/api/v1/reviews${query({ ...values, limit: 25, cursor: pages.cursor })}`, signal));
	const { order, ...wanted } = values;
	const summary = useLoad<Summary>(`sum ${query(wanted)}`, (signal) => get(`/api/v1/reviews/summary${query(wanted)}`, signal));
	useLive('review.', () => { list.reload(); summary.reload(); });
	const set = (changed: Record<string, string>) => setQuery(place, changed);
	const data = list.data, search = place.query.toString() ? `?${place.query}` : '';
	const canExport = !!data && data.reviews.length > 0;
	return (
		<>
			<div class="title"><h1>Reviews</h1>
				{canExport && <div class="actions" role="group" aria-label="Export what is filtered">
					<a class="button" download href={`/api/v1/reviews${query({ ...wanted, format: 'csv' })}`}>Export CSV</a>
					<a class="button" download href={`/api/v1/reviews${query({ ...wanted, format: 'ndjson' })}`}>Export NDJSON</a></div>}</div>
			<Filters values={values} set={set} />
			{summary.data && summary.data.total > 0 && <Charts summary={summary.data} titles={false} />}
			{list.error && <Failed words={list.error} again={list.reload} />}
			{!data && !list.error && <Waiting>Reading the reviews …</Waiting>}
			{data && data.reviews.length === 0 && (filter
				? <Empty title="No review is like that"><p>Filter for less, or <button type="button" class="link" onClick={() => go('/console/reviews')}>show all of them</button>.</p></Empty>
				: <Empty title="No reviews yet"><p>They come when a job has read them: connect a branch, then <a href="/console/jobs">fetch its reviews</a>.</p></Empty>)}
			{data && data.total_reviews !== null && data.reviews.length > 0 && <p class="soft total">{data.total_is_least && 'More than '}{count(data.total_reviews)} {data.total_reviews === 1 ? 'review' : 'reviews'}</p>}
			{data && data.reviews.length > 0 && <ul class={`card flush reviews${list.isLoading ? ' stale' : ''}`}>{data.reviews.map((r) => <Item key={r.id} review={r} search={search} />)}</ul>}
			<Pager pages={pages} next={data?.next_cursor ?? null} />
			{id && <OneReview key={id} id={id} onClose={() => { go(`/console/reviews${search}`); list.reload(); }} />}
		</>
	);
}
