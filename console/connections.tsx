// SPDX-License-Identifier: Apache-2.0
import { useState } from 'preact/hooks';
import { call, type Client, get, query, type State } from './api';
import { ConnectDialog } from './connect';
import { useLive, useNow } from './live';
import { go, setQuery, usePlace } from './router';
import { Ago, Dialog, Empty, Failed, Field, Pager, Pill, said, Search, useLoad, useMay, usePages, Waiting } from './ui';
import { duration, STATE_ORDER, STATES } from './words';

const SORTS: [string, string][] = [['', 'Oldest first'], ['id.desc', 'Newest first'], ['workspace_name.asc', 'Name'], ['branch_id.asc', 'Branch id'], ['expires_at.asc', 'Least life left'], ['expires_at.desc', 'Most life left']];

export function Life({ client }: { client: Client }) {
	const now = useNow();
	if (!client.expires_at || client.status === 'revoked' || client.status === 'needs_reconnect' || client.status === 'pending')
		return <span class="soft">–</span>;
	const left = (Date.parse(client.expires_at) - now) / 1000;
	return <span class={`life ${left <= 0 ? 'bad' : left < 300 ? 'warn' : ''}`} title={new Date(client.expires_at).toLocaleString()}>{left > 0 ? duration(left) : 'expired'}</span>;
}

export function Register({ onClose, onDone }: { onClose: () => void; onDone: (client: Client) => void }) {
	const [error, setError] = useState('');
	const [isBusy, setBusy] = useState(false);
	const submit = async (event: SubmitEvent) => {
		event.preventDefault();
		const body = Object.fromEntries([...new FormData(event.currentTarget as HTMLFormElement)].filter(([, value]) => value !== ''));
		setBusy(true);
		setError('');
		try {
			const { client_id } = await call<{ client_id: number }>('POST', '/token-management/clients', body);
			onDone(await get<Client>(`/token-management/clients/${client_id}`));
		} catch (e) {
			setError(said(e));
		}
		setBusy(false);
	};
	return (
		<Dialog title="Register a branch" onClose={onClose}>
			<form onSubmit={submit}>
				<Field label="Branch id" hint="Your own name for it; programs ask for its token by it."><input name="branch_id" required maxLength={255} autocomplete="off" /></Field>
				<Field label="Name"><input name="workspace_name" required maxLength={255} autocomplete="off" /></Field>
				<Field label="Google account" hint="The e-mail address that will consent."><input name="workspace_email" type="email" required autocomplete="off" /></Field>
				<details><summary>An OAuth app of its own</summary>
					<Field label="OAuth client id" hint="Leave these empty to use the app of the service's settings."><input name="client_id" autocomplete="off" /></Field>
					<Field label="OAuth client secret"><input name="client_secret" type="password" autocomplete="new-password" /></Field>
					<Field label="Redirect URI" hint="Leave it empty unless the app was registered with another one."><input name="redirect_uri" type="url" autocomplete="off" /></Field>
				</details>
				{error && <Failed words={error} />}
				<p class="buttons"><button type="button" onClick={onClose}>Not now</button><button class="go" disabled={isBusy}>{isBusy ? 'Registering …' : 'Register'}</button></p>
			</form>
		</Dialog>
	);
}

const Row = ({ client }: { client: Client }) => (
	<tr>
		<td class="main"><a href={`/console/connections/${client.client_id}`}>{client.workspace_name}</a><small>{client.branch_identifier}</small></td>
		<td data-label="State"><Pill state={client.status} />{client.status_reason && <small class="reason">{client.status_reason}</small>}</td>
		<td data-label="Life left" class={`num${client.expires_at ? '' : ' none'}`}><Life client={client} /></td>
		<td data-label="Scopes" class={client.granted_scopes ? '' : 'none'}>{client.granted_scopes ? client.missing_scopes?.length ? <span class="warntext">{client.missing_scopes.length} missing of {client.missing_scopes.length + client.granted_scopes.length}</span> : <span class="soft">all granted</span> : <span class="soft">–</span>}</td>
		<td data-label="Last refresh" class="soft"><Ago time={client.last_refreshed_at} /></td>
		<td data-label="Account" class="soft clip">{client.email}</td>
	</tr>
);

export function ConnectionsView() {
	const place = usePlace();
	const may = useMay();
	const q = place.query.get('q') ?? '', status = place.query.get('status') ?? '', sorted = place.query.get('sort') ?? '';
	const [sort, order] = sorted.split('.');
	const filter = query({ q, status, sort, order });
	const pages = usePages(filter);
	const [connect, setConnect] = useState<Client | null>(null);
	const list = useLoad<{ clients: Client[]; next_cursor: string | null }>(`${filter} ${pages.cursor}`,
		(signal) => get(`/token-management/clients${query({ q, status, sort, order, limit: 50, cursor: pages.cursor })}`, signal));
	useLive('connection.', list.reload);
	const rows = list.data?.clients ?? [];
	const isFiltered = q !== '' || status !== '';
	const isNew = place.query.get('new') === '1';
	return (
		<>
			<div class="title"><h1>Connections</h1>{may('clients:write') && <button type="button" class="go" onClick={() => setQuery(place, { new: '1' })}>Register a branch</button>}</div>
			<div class="filters" role="search">
				<Search label="Search branch, name or e-mail" value={q} onChange={(value) => setQuery(place, { q: value })} />
				<select aria-label="State" value={status} onChange={(e) => setQuery(place, { status: e.currentTarget.value })}>
					<option value="">All states</option>
					{STATE_ORDER.map((s: State) => <option key={s} value={s}>{STATES[s].name}</option>)}
				</select>
				<select aria-label="Order" value={sorted} onChange={(e) => setQuery(place, { sort: e.currentTarget.value })}>
					{SORTS.map(([value, name]) => <option key={value} value={value}>{name}</option>)}
				</select>
			</div>
			{list.error && <Failed words={list.error} again={list.reload} />}
			{!list.data && !list.error && <Waiting>Reading the connections …</Waiting>}
			{list.data && rows.length === 0 && (isFiltered
				? <Empty title="No connection is like that"><p>Search for less, or <button type="button" class="link" onClick={() => go('/console/connections')}>show all of them</button>.</p></Empty>
				: <Empty title="No branch is registered yet"><p>Register a branch first. Then send its manager the connect link: one click on their side, and its token is kept alive here.</p>{may('clients:write') && <button type="button" class="go" onClick={() => setQuery(place, { new: '1' })}>Register the first branch</button>}</Empty>)}
			{rows.length > 0 && (
				<div class={`card flush${list.isLoading ? ' stale' : ''}`} aria-busy={list.isLoading}>
					<table class="rows">
						<thead><tr><th>Branch</th><th>State</th><th class="num">Life left</th><th>Scopes</th><th>Last refresh</th><th>Account</th></tr></thead>
						<tbody>{rows.map((c) => <Row key={c.client_id} client={c} />)}</tbody>
					</table>
				</div>)}
			<Pager pages={pages} next={list.data?.next_cursor ?? null} />
			{isNew && <Register onClose={() => setQuery(place, { new: '' })} onDone={(client) => { setQuery(place, { new: '' }); setConnect(client); list.reload(); }} />}
			{connect && <ConnectDialog client={connect} onClose={() => { setConnect(null); list.reload(); }} />}
		</>
	);
}
