// SPDX-License-Identifier: Apache-2.0
import { useState } from 'preact/hooks';
import { call, get, type Job, query } from './api';
import { useLive, useNow, useProgress } from './live';
import { go, usePlace } from './router';
import { Act, Ago, Dialog, Empty, Failed, Field, notice, Pager, said, Section, useLoad, useMay, usePages, Waiting } from './ui';
import { count, duration, instant } from './words';

const TONES: Record<Job['status'], string> = { queued: 'idle', running: 'busy', waiting: 'warn', completed: 'good', partial: 'warn', failed: 'bad', cancelled: 'idle' };
const NAMES: Record<Job['status'], string> = { queued: 'Queued', running: 'Running', waiting: 'Waiting for quota', completed: 'Completed', partial: 'Partly done', failed: 'Failed', cancelled: 'Cancelled' };
const lives = (job: Job) => job.status === 'queued' || job.status === 'running' || job.status === 'waiting';

// How long it may still take, by how fast it was so far.
function timeLeft(job: Job, now: number): string {
	if (job.status !== 'running' || !job.started_at || !job.percent)
		return '';
	const spent = (now - Date.parse(job.started_at)) / 1000;
	return `about ${duration(Math.max(1, spent * (100 - job.percent) / job.percent))} left`;
}

function progressWords(job: Job, now: number): string[] {
	if (!lives(job))
		return [];
	const until = job.waiting_until ? Date.parse(job.waiting_until) : 0;
	return [
		job.cancel_requested ? 'Ends after its current page …' : '',
		job.status === 'queued' ? 'Waits for its turn …'
			: job.status === 'waiting' && until ? `Waiting for quota until ${new Date(until).toLocaleTimeString('en-GB')}${until > now ? `, ${duration((until - now) / 1000)} from now` : ''}`
				: job.percent == null ? 'Finding accounts and locations …' : '',
		timeLeft(job, now),
	].filter(Boolean);
}

function Progress({ job }: { job: Job }) {
	const now = useNow();
	if (!lives(job))
		return null;
	return (
		<div class="progress">
			<progress max={100} value={job.percent ?? undefined} aria-label={`${NAMES[job.status]}${job.percent != null ? `, ${job.percent} percent` : ''}`} />
			<small>{job.percent != null && <strong>{job.percent} %</strong>} {progressWords(job, now).join(' · ')}</small>
		</div>
	);
}

const Counts = ({ job }: { job: Job }) => (
	<dl class="counts">
		<div><dt>Accounts</dt><dd>{count(job.accounts)}</dd></div>
		<div><dt>Locations</dt><dd>{count(job.locations)}</dd></div>
		<div><dt>Reviews</dt><dd>{count(job.reviews.total)}</dd></div>
		<div><dt>New</dt><dd>{count(job.reviews.new)}</dd></div>
		<div><dt>Changed</dt><dd>{count(job.reviews.changed)}</dd></div>
		<div><dt>Calls</dt><dd>{count(job.google_calls)}</dd></div>
	</dl>
);

// What was asked for, and from then on what the stream says of it.
function useJob(id: string) {
	const job = useLoad<Job>(`job ${id}`, (signal) => get(`/api/v1/status/${encodeURIComponent(id)}`, signal));
	const [told, setTold] = useState<Job | null>(null);
	useLive('job.', job.reload);
	useProgress((one) => { if (one.id === id) setTold(one); });
	return { ...job, data: told && job.data && lives(job.data) ? { ...job.data, ...told } : job.data };
}

const KINDS: Record<string, string> = {
	quick: 'Quick: what is new since the last time',
	full: 'Full: every review that Google has',
	places: 'Places: accounts and locations are listed again, and new ones read',
	push: 'Push: one review that Google told of',
};

function Actions({ job, onChange }: { job: Job; onChange: () => void }) {
	const cancel = async () => {
		await call('DELETE', `/api/v1/jobs/${job.id}`);
		notice('The job ends after its current page.');
		onChange();
	};
	const again = async () => {
		const { job_id } = await call<{ job_id: string }>('POST', '/api/v1/review-fetch', { branch_id: job.branch_id, mode: job.mode === 'full' ? 'full' : 'quick' });
		go(`/console/jobs/${job_id}`);
	};
	if (lives(job))
		return <Act busy="Cancelling …" run={cancel} disabled={job.cancel_requested}>Cancel</Act>;
	return job.branch_id ? <Act busy="Starting …" run={again}>Run again</Act> : null;
}

const Status = ({ job }: { job: Job }) => <span class={`pill ${TONES[job.status]}`}>{NAMES[job.status]}</span>;

const Item = ({ job, reload }: { job: Job; reload: () => void }) => (
	<li class="job">
		<div class="head"><a href={`/console/jobs/${job.id}`}><strong>{job.branch_id ?? 'With a token of its own'}</strong></a><Status job={job} /><span class="soft">{job.mode}</span><span class="soft when"><Ago time={job.created_at} /></span><Actions job={job} onChange={reload} /></div>
		<Progress job={job} />
		<Counts job={job} />
		{job.error && <p class="badtext">{job.error}</p>}
		{job.status === 'partial' && <p class="soft small">Some locations could not be read: <a href={`/console/jobs/${job.id}`}>see which</a>.</p>}
	</li>
);

function JobView({ id }: { id: string }) {
	const job = useJob(id);
	const j = job.data;
	if (!j)
		return job.error ? <Failed words={job.error} again={job.reload} /> : <Waiting>Reading the job …</Waiting>;
	return (
		<>
			<p class="crumb"><a href="/console/jobs">Jobs</a></p>
			<div class="title near"><h1>{j.branch_id ?? 'With a token of its own'}</h1><Status job={j} /><Actions job={j} onChange={job.reload} /></div>
			<p class="lead">{j.message}{j.error && <>. <span class="badtext">{j.error}</span></>}</p>
			<Section title="Progress"><Progress job={j} /><Counts job={j} />
				<dl class="facts">
					<dt>Kind</dt><dd>{KINDS[j.mode] ?? j.mode}</dd>
					<dt>Asked for</dt><dd>{instant(j.created_at)}</dd>
					<dt>Started</dt><dd>{instant(j.started_at)}</dd>
					<dt>Ended</dt><dd>{instant(j.finished_at)}{j.finished_at && j.started_at && <span class="soft"> after {duration((Date.parse(j.finished_at) - Date.parse(j.started_at)) / 1000)}</span>}</dd>
					<dt>Changes</dt><dd>{Object.entries(j.changes).filter(([, n]) => n > 0).map(([kind, n]) => `${count(n)} ${kind.replace('_', ' ')}`).join(', ') || 'none'}</dd>
				</dl>
			</Section>
			<Section title="Errors by location" aside={j.errors_total ? <span class="soft">{count(j.errors_total)}</span> : undefined}>
				{j.errors?.length ? (
					<ul class="errors">{j.errors.map((e, i) => <li key={i}><strong>{e.location_title ?? e.location_id ?? e.account_id ?? e.listing}</strong>{e.location_id && e.location_title && <small> {e.location_id}</small>}<p>{e.error}</p></li>)}</ul>
				) : <p class="soft">{lives(j) ? 'None so far.' : 'None.'}</p>}
			</Section>
			{j.branch_id && <p><a href={`/console/reviews?branch_id=${encodeURIComponent(j.branch_id)}`}>Read the reviews of this branch</a></p>}
		</>
	);
}

function Start({ onClose }: { onClose: () => void }) {
	const [error, setError] = useState('');
	const submit = async (event: SubmitEvent) => {
		event.preventDefault();
		try {
			const { job_id } = await call<{ job_id: string }>('POST', '/api/v1/review-fetch', Object.fromEntries(new FormData(event.currentTarget as HTMLFormElement)));
			onClose();
			go(`/console/jobs/${job_id}`);
		} catch (e) {
			setError(said(e));
		}
	};
	return (
		<Dialog title="Fetch reviews" onClose={onClose}>
			<form onSubmit={submit}>
				<Field label="Branch id"><input name="branch_id" required autocomplete="off" /></Field>
				<Field label="How much"><select name="mode"><option value="quick">Quick: what is new since the last time</option><option value="full">Full: every review that Google has</option></select></Field>
				{error && <Failed words={error} />}
				<p class="buttons"><button type="button" onClick={onClose}>Not now</button><button class="go">Fetch</button></p>
			</form>
		</Dialog>
	);
}

function JobList() {
	const may = useMay();
	const pages = usePages('jobs');
	const [isOpen, setOpen] = useState(false);
	const [told, setTold] = useState<Record<string, Job>>({});
	useProgress((job) => setTold((old) => ({ ...old, [job.id]: job })));
	const list = useLoad<{ jobs: Job[]; next_cursor: string | null }>(`jobs ${pages.cursor}`, (signal) => get(`/api/v1/jobs${query({ limit: 20, cursor: pages.cursor })}`, signal));
	useLive('job.', list.reload);
	const jobs = (list.data?.jobs ?? []).map((j) => lives(j) && told[j.id] ? { ...j, ...told[j.id] } : j);
	return (
		<>
			<div class="title"><h1>Jobs</h1>{may('reviews:fetch') && <button type="button" class="go" onClick={() => setOpen(true)}>Fetch reviews</button>}</div>
			{list.error && <Failed words={list.error} again={list.reload} />}
			{!list.data && !list.error && <Waiting>Reading the jobs …</Waiting>}
			{list.data && jobs.length === 0 && <Empty title="No reviews were fetched yet"><p>A job reads the reviews of one branch. Connect a branch first; then fetch its reviews, here or from its page.</p><button type="button" class="go" onClick={() => setOpen(true)}>Fetch reviews</button></Empty>}
			{jobs.length > 0 && <ul class="card flush jobs">{jobs.map((j) => <Item key={j.id} job={j} reload={list.reload} />)}</ul>}
			<Pager pages={pages} next={list.data?.next_cursor ?? null} />
			{isOpen && <Start onClose={() => setOpen(false)} />}
		</>
	);
}

export function JobsView({ id }: { id: string }) {
	usePlace();
	return id ? <JobView key={id} id={id} /> : <JobList />;
}
