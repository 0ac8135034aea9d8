// SPDX-License-Identifier: Apache-2.0
// One connection: how it is, what happened to it, and what can be done.
import { useState } from 'preact/hooks';
import { type Audit, call, type Client, get } from './api';
import { ConnectDialog, refreshNow, RevokeDialog } from './connect';
import { Life } from './connections';
import { useLive } from './live';
import { go } from './router';
import { Act, Ago, Empty, Failed, notice, Pill, Section, useLoad, useMay, Waiting } from './ui';
import { actionWords, actorWords, instant, scopeName, STATES } from './words';

function History({ id }: { id: string }) {
	const list = useLoad<{ history: Audit[] }>(`history ${id}`, (signal) => get(`/token-management/clients/${id}/history?limit=100`, signal));
	useLive('connection.', list.reload);
	if (list.error)
		return <Failed words={list.error} again={list.reload} />;
	if (!list.data)
		return <Waiting>Reading what happened …</Waiting>;
	if (list.data.history.length === 0)
		return <Empty title="Nothing has happened yet" />;
	return (
		<ol class="history">
			{list.data.history.map((h) => {
				const state = h.action.startsWith('connection.') ? STATES[h.action.slice(11) as keyof typeof STATES] : undefined;
				const reason = typeof h.detail?.reason === 'string' ? h.detail.reason : '';
				return (
					<li key={h.id}>
						<span class={`dot ${state?.tone ?? 'none'}`} aria-hidden="true" />
						<div><p>{state ? <>Became <strong>{state.name.toLowerCase()}</strong></> : <span class="cap">{actionWords(h.action)}</span>}{reason && <>: {reason}</>}</p>
							<small>{actorWords(h.actor)}, <time dateTime={h.at} title={instant(h.at)}>{instant(h.at)}</time></small></div>
					</li>);
			})}
		</ol>
	);
}

function Scopes({ client }: { client: Client }) {
	if (!client.granted_scopes)
		return <p class="soft">Nothing was granted yet.</p>;
	return (
		<ul class="scopes">
			{(client.missing_scopes ?? []).map((s) => <li key={s} class="missing"><code>{scopeName(s)}</code><span>missing: the account did not allow it</span></li>)}
			{client.granted_scopes.map((s) => <li key={s}><code>{scopeName(s)}</code><span>granted</span></li>)}
		</ul>
	);
}

export function ConnectionView({ id }: { id: string }) {
	const may = useMay();
	const [open, setOpen] = useState<'' | 'connect' | 'revoke' | 'delete'>('');
	const client = useLoad<Client>(`client ${id}`, (signal) => get(`/token-management/clients/${encodeURIComponent(id)}`, signal));
	useLive('connection.', client.reload);
	const c = client.data;
	if (!c)
		return client.error ? <Failed words={client.error} again={client.reload} /> : <Waiting>Reading the connection …</Waiting>;
	const path = `/token-management/clients/${c.client_id}`;
	const hasToken = c.status === 'connected' || c.status === 'expiring' || c.status === 'degraded';
	const toggle = async () => {
		await call('PATCH', path, { is_active: !c.is_active });
		notice(c.is_active ? 'Switched off: no token is handed out.' : 'Switched on again.');
		client.reload();
	};
	const fetchReviews = async () => {
		const { job_id } = await call<{ job_id: string }>('POST', '/api/v1/review-fetch', { branch_id: c.branch_identifier, mode: 'full' });
		go(`/console/jobs/${job_id}`);
	};
	return (
		<>
			<p class="crumb"><a href="/console/connections">Connections</a></p>
			<div class="title near"><h1>{c.workspace_name}</h1><Pill state={c.status} /></div>
			<div class="actions">
				{may('clients:write') && <button type="button" class={hasToken ? '' : 'go'} onClick={() => setOpen('connect')}>{c.status === 'pending' ? 'Connect' : 'Reconnect'}</button>}
				{may('reviews:fetch') && hasToken && <Act busy="Starting …" run={fetchReviews} kind="go">Fetch reviews</Act>}
				{may('tokens:manage') && hasToken && <Act busy="Refreshing …" run={async () => { await refreshNow(c); client.reload(); }}>Refresh now</Act>}
				{may('clients:write') && <Act busy="Changing …" run={toggle}>{c.is_active ? 'Deactivate' : 'Activate'}</Act>}
				{may('tokens:manage') && c.status !== 'pending' && c.status !== 'revoked' && <button type="button" onClick={() => setOpen('revoke')}>Revoke</button>}
				{may('clients:write') && <button type="button" class="danger" onClick={() => setOpen('delete')}>Delete</button>}
			</div>
			<p class="lead">{c.status_reason ?? STATES[c.status].words}</p>
			<div class="two wideleft">
				<Section title="Connection">
					<dl class="facts">
						<dt>Branch id</dt><dd><code>{c.branch_identifier}</code></dd>
						<dt>Life left</dt><dd><Life client={c} /></dd>
						<dt>Last refreshed</dt><dd><Ago time={c.last_refreshed_at} /></dd>
						<dt>Next refresh</dt><dd>{instant(c.next_refresh_at)}</dd>
						<dt>Expected account</dt><dd>{c.email}</dd>
						<dt>Connected as</dt><dd>{c.connected_email ?? <span class="soft">–</span>}</dd>
						<dt>OAuth app</dt><dd class="break"><code>{c.client_oauth_id || '–'}</code></dd>
						<dt>Redirect URI</dt><dd class="break"><code>{c.redirect_uri}</code></dd>
						<dt>Registered</dt><dd>{instant(c.created_at)}</dd>
						<dt>Number</dt><dd>{c.client_id}</dd>
					</dl>
				</Section>
				<div class="stack">
					<Section title="Scopes"><Scopes client={c} /></Section>
					<Section title="What happened"><History id={String(c.client_id)} /></Section>
				</div>
			</div>
			{open === 'connect' && <ConnectDialog client={c} onClose={() => setOpen('')} />}
			{(open === 'revoke' || open === 'delete') && <RevokeDialog client={c} deletes={open === 'delete'} onClose={() => setOpen('')}
				onDone={() => { setOpen(''); if (open === 'delete') go('/console/connections'); else client.reload(); }} />}
		</>
	);
}
