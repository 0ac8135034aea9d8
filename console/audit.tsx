// SPDX-License-Identifier: Apache-2.0
import { type Audit, get, query } from './api';
import { setQuery, usePlace } from './router';
import { Empty, Failed, Pager, Search, useLoad, usePages, Waiting } from './ui';
import { actionWords, actorWords, instant } from './words';

const details = (detail: Record<string, unknown> | null) => Object.entries(detail ?? {})
	.filter(([, value]) => value !== null && value !== '')
	.map(([key, value]) => `${key.replace(/_/g, ' ')}: ${typeof value === 'object' ? JSON.stringify(value) : value}`).join(', ');

export function AuditView() {
	const place = usePlace();
	const branch = place.query.get('branch_id') ?? '', actor = place.query.get('actor') ?? '', action = place.query.get('action') ?? '';
	const filter = query({ branch_id: branch, actor, action });
	const pages = usePages(filter);
	const list = useLoad<{ events: Audit[]; next_cursor: string | null }>(`${filter} ${pages.cursor}`,
		(signal) => get(`/token-management/audit${query({ branch_id: branch, actor, action, limit: 50, cursor: pages.cursor })}`, signal));
	const events = list.data?.events ?? [];
	return (
		<>
			<div class="title"><h1>Audit</h1></div>
			<p class="lead">Who did what to which connection, when and from where. Rows are only ever added.</p>
			<div class="filters" role="search">
				<Search label="Branch id" value={branch} onChange={(value) => setQuery(place, { branch_id: value })} />
				<Search label="Actor" placeholder="Actor, as in key:ab12cd34" value={actor} onChange={(value) => setQuery(place, { actor: value })} />
				<Search label="Action" placeholder="Action, as in key.created" value={action} onChange={(value) => setQuery(place, { action: value })} />
			</div>
			{list.error && <Failed words={list.error} again={list.reload} />}
			{!list.data && !list.error && <Waiting>Reading the audit …</Waiting>}
			{list.data && events.length === 0 && <Empty title="Nothing like that has happened"><p>Take a filter away to see more.</p></Empty>}
			{events.length > 0 && (
				<div class={`card flush${list.isLoading ? ' stale' : ''}`}><table class="rows">
					<thead><tr><th>When</th><th>Who</th><th>What</th><th>Branch</th><th>From</th></tr></thead>
					<tbody>{events.map((e) => (
						<tr key={e.id}>
							<td class="main nowrap"><time dateTime={e.at}>{instant(e.at)}</time></td>
							<td data-label="Who"><button type="button" class="link" onClick={() => setQuery(place, { actor: e.actor })}>{actorWords(e.actor)}</button></td>
							<td data-label="What"><span class="cap">{actionWords(e.action)}</span><small class="reason">{details(e.detail)}</small></td>
							<td data-label="Branch" class={e.branch_id ? '' : 'none'}>{e.branch_id ? <button type="button" class="link" onClick={() => setQuery(place, { branch_id: e.branch_id! })}>{e.branch_id}</button> : <span class="soft">–</span>}</td>
							<td data-label="From" class={e.remote ? 'soft' : 'soft none'}>{e.remote ?? '–'}</td>
						</tr>))}</tbody>
				</table></div>)}
			<Pager pages={pages} next={list.data?.next_cursor ?? null} />
		</>
	);
}
