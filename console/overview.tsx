// SPDX-License-Identifier: Apache-2.0
// Whether all is well, in five seconds.
import { useMemo } from 'preact/hooks';
import { get, type Overview, type Project, type Series, type State } from './api';
import { ConnectButton, refreshNow } from './connect';
import { Chart } from './lazy';
import { useLive, useNow } from './live';
import { Act, Empty, Failed, Pill, Section, useLoad, useMay, Waiting } from './ui';
import { count, duration, STATE_ORDER, STATES } from './words';
import { ReviewCharts } from './summary';
import { useEffect } from 'preact/hooks';

const HOUR = 3600, MINUTE = 60;

// A value for every span, also for those in which nothing happened.
function spread(series: Series | null, names: string[], step: number, spans: number, nowMs: number) {
	const end = Math.floor(nowMs / 1000 / step) * step;
	const times = Array.from({ length: spans }, (_, i) => end - (spans - 1 - i) * step);
	return { times, values: names.map((name) => {
		const known = new Map(series?.[name] ?? []);
		return times.map((t) => known.get(t) ?? 0);
	}) };
}

function States({ overview }: { overview: Overview }) {
	const total = overview.connections.total;
	const shown = STATE_ORDER.filter((s) => overview.connections[s] > 0);
	return (
		<>
			<div class="bar" role="img" aria-label={shown.map((s) => `${STATES[s].name}: ${overview.connections[s]}`).join(', ')}>
				{shown.map((s) => <span key={s} class={`${STATES[s].tone} ${s}`} style={{ flexGrow: Math.max(overview.connections[s], total / 120) }} />)}
			</div>
			<ul class="states">
				{STATE_ORDER.filter((s) => overview.connections[s] > 0 || s === 'connected' || s === 'needs_reconnect').map((s) => (
					<li key={s}><a href={`/console/connections?status=${s}`}><span class={`dot ${STATES[s].tone} ${s}`} aria-hidden="true" /><strong>{count(overview.connections[s])}</strong><span>{STATES[s].name}</span></a></li>))}
			</ul>
		</>
	);
}

function Hand({ overview, projects, reload }: { overview: Overview; projects: Project[]; reload: () => void }) {
	const may = useMay();
	const refused = projects.filter((p) => p.status === 'not_approved');
	const total = overview.connections.needs_reconnect + overview.connections.degraded + overview.connections.revoking;
	if (overview.connections.total === 0)
		return (
			<Empty title="No branch is registered yet">
				<p>Begin with one: register a branch, send its manager the connect link, and its reviews can be fetched.</p>
				{may('clients:write') && <p><a class="button go" href="/console/connections?new=1">Register the first branch</a></p>}
			</Empty>
		);
	if (total === 0 && refused.length === 0)
		return <p class="well"><svg viewBox="0 0 16 16" aria-hidden="true"><path d="M3 8.500l3.500 3.500L13 4.500" /></svg>Nothing needs a hand.{overview.connections.pending > 0 && <> <a href="/console/connections?status=pending">{count(overview.connections.pending)} {overview.connections.pending === 1 ? 'branch waits' : 'branches wait'} for a first consent.</a></>}</p>;
	return (
		<ul class="hands">
			{refused.map((p) => <li key={p.project + p.api} class="hand"><div><strong>{p.api_name}</strong><p>{p.diagnosis}</p></div></li>)}
			{overview.needs_hand.map((c) => (
				<li key={c.client_id} class="hand">
					<div><a href={`/console/connections/${c.client_id}`}><strong>{c.workspace_name}</strong> <span class="soft">{c.branch_identifier}</span></a><p><Pill state={c.status} /> {c.status_reason ?? STATES[c.status].words}</p></div>
					{c.status === 'needs_reconnect' && may('clients:write') && <ConnectButton client={c} kind="go" />}
					{c.status === 'degraded' && may('tokens:manage') && <Act kind="go" busy="Refreshing …" run={async () => { await refreshNow(c); reload(); }}>Refresh now</Act>}
				</li>))}
			{total > overview.needs_hand.length && <li class="more"><a href="/console/connections?status=needs_reconnect">All {count(total)} that need a hand</a></li>}
		</ul>
	);
}

function Figures({ overview, projects }: { overview: Overview; projects: Project[] }) {
	const now = useNow();
	const last = Math.floor(now / 60000) * 60 - 60;
	const at = (name: string) => new Map(overview.minutes?.[name] ?? []).get(last) ?? 0;
	const day = (name: string) => (overview.hours?.[name] ?? []).filter(([t]) => t >= now / 1000 - 86400).reduce((a, [, n]) => a + n, 0);
	const good = overview.connections.connected + overview.connections.expiring;
	const active = overview.connections.total - overview.connections.inactive - overview.connections.revoked - overview.connections.pending;
	return (
		<dl class="figures">
			<div><dt>Connections</dt><dd>{count(overview.connections.total)}</dd></div>
			<div><dt>Working</dt><dd>{active > 0 ? `${Math.floor(good / active * 1000) / 10} %` : '–'}</dd></div>
			{overview.hours && <div><dt>Refreshes in 24 h</dt><dd>{count(day('refreshes'))}</dd></div>}
			{overview.hours && <div><dt>Failed in 24 h</dt><dd class={day('refresh_failures') ? 'bad' : ''}>{count(day('refresh_failures'))}</dd></div>}
			{overview.minutes && <div><dt>Google calls last minute</dt><dd>{count(at('google_calls'))}<small> of {count(overview.requests_per_minute * Math.max(1, projects.length))}</small></dd></div>}
		</dl>
	);
}

function Charts({ overview, projects }: { overview: Overview; projects: Project[] }) {
	const refreshes = useMemo(() => {
		const { times, values } = spread(overview.hours, ['refreshes', 'refresh_failures'], HOUR, 48, Date.parse(overview.at));
		return { times, lines: [{ name: 'Refreshed', color: '--go', values: values[0] }, { name: 'Failed', color: '--bad', values: values[1] }] };
	}, [overview]);
	const quota = useMemo(() => {
		const { times, values } = spread(overview.minutes, ['google_calls'], MINUTE, 60, Date.parse(overview.at));
		const projectsSeen = Math.max(1, projects.length);
		return { times, lines: [{ name: 'Calls', color: '--go', values: values[0] }, { name: 'Budget', color: '--soft', dash: true, values: times.map(() => overview.requests_per_minute * projectsSeen) }] };
	}, [overview, projects]);
	return (
		<div class="two">
			<Section title="Refreshes by the hour"><Chart label="Token refreshes in the last 48 hours" {...refreshes} /></Section>
			<Section title="Google calls by the minute" aside={projects.some((p) => p.status === 'paused') ? <span class="pill warn">Paused by Google</span> : undefined}>
				<Chart label="Calls to Google in the last hour, against the budget" {...quota} />
			</Section>
		</div>
	);
}

const RANK = { not_approved: 0, paused: 1, ok: 2 };
const SHOWN = 12;
const isOver = (p: Project) => p.status !== 'ok' ? 'bad' : p.spent_last_minute >= p.requests_per_minute * 0.9 ? 'warn' : 'good';

// What each Google project has spent of what it may ask, the worst first.
function Quota({ projects }: { projects: Project[] }) {
	const now = useNow();
	const sorted = [...projects].sort((a, b) => RANK[a.status] - RANK[b.status] || b.spent_last_minute - a.spent_last_minute);
	return (
		<Section title="Quota by Google project" aside={<span class="soft">taken in the last whole minute</span>}>
			{projects.length === 0 && <p class="soft">No Google project was asked yet. Its quota stands here once reviews are fetched.</p>}
			<ul class="quota">{sorted.slice(0, SHOWN).map((p) => (
				<li key={p.project + p.api}>
					<div class="head"><strong>{p.api_name}</strong><span class="soft">{p.project ? `project ${p.project}` : 'project unknown'}</span>
						{p.status === 'not_approved' && <span class="pill bad">Not approved</span>}
						{p.status === 'paused' && <span class="pill warn">Paused by Google{p.paused_until && ` for ${duration((Date.parse(p.paused_until) - now) / 1000)}`}</span>}
						<span class="when num">{count(p.spent_last_minute)} of {count(p.requests_per_minute)}</span></div>
					<meter class={isOver(p)} min={0} max={p.requests_per_minute} value={Math.min(p.spent_last_minute, p.requests_per_minute)} aria-label={`${p.api_name}: spent of the budget`} />
					{p.diagnosis && <p class="badtext">{p.diagnosis}</p>}
				</li>))}
			</ul>
			{sorted.length > SHOWN && <p class="soft more">and {count(sorted.length - SHOWN)} more</p>}
		</Section>
	);
}

export function OverviewView() {
	const may = useMay();
	const overview = useLoad<Overview>('overview', (signal) => get('/api/v1/overview', signal));
	const projects = useLoad<{ projects: Project[] }>('projects', (signal) => may('reviews:read') ? get('/api/v1/projects', signal) : Promise.resolve({ projects: [] }));
	useLive('connection.', overview.reload);
	useEffect(() => {
		const timer = setInterval(() => { overview.reload(); projects.reload(); }, 15000);
		return () => clearInterval(timer);
	}, []);
	const data = overview.data;
	const list = projects.data?.projects ?? NONE;
	return (
		<>
			<div class="title"><h1>Overview</h1></div>
			{overview.error && <Failed words={overview.error} again={overview.reload} />}
			{!data && !overview.error && <Waiting>Counting the connections …</Waiting>}
			{data && (
				<>
					<Figures overview={data} projects={list} />
					<div class="two">
						<Section title="Needs a hand now"><Hand overview={data} projects={list} reload={overview.reload} /></Section>
						<Section title="Connections by state"><States overview={data} /></Section>
					</div>
					{data.hours && <Charts overview={data} projects={list} />}
					{data.hours && may('reviews:read') && <Quota projects={list} />}
					{may('reviews:read') && <ReviewCharts />}
				</>)}
		</>
	);
}
const NONE: Project[] = [];
export type { State };
