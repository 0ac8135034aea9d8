// SPDX-License-Identifier: Apache-2.0
import { useState } from 'preact/hooks';
import { call, get, type Key } from './api';
import { Act, Ago, Copy, Dialog, Empty, Failed, Field, notice, said, useLoad, Waiting } from './ui';
import { instant, SCOPES } from './words';

const DAY_MS = 86400000;

function Made({ made, onClose }: { made: { key: string; name: string }; onClose: () => void }) {
	return (
		<Dialog title={`The key “${made.name}”`} onClose={onClose}>
			<p>Copy it now and keep it as you keep a password. <strong>It is shown this once:</strong> only its hash is stored.</p>
			<Copy text={made.key} label="Copy key" />
			<p class="soft">Programs send it as <code>Authorization: Bearer rf_…</code></p>
			<p class="buttons"><button type="button" class="go" onClick={onClose}>I have kept it</button></p>
		</Dialog>
	);
}

function Make({ onClose, onMade }: { onClose: () => void; onMade: (made: { key: string; name: string }) => void }) {
	const [error, setError] = useState('');
	const [isBusy, setBusy] = useState(false);
	const submit = async (event: SubmitEvent) => {
		event.preventDefault();
		const form = new FormData(event.currentTarget as HTMLFormElement);
		const name = String(form.get('name'));
		const branches = String(form.get('branches')).split(/[\s,]+/).filter(Boolean);
		const days = Number(form.get('days'));
		setBusy(true);
		setError('');
		try {
			const { key } = await call<{ key: string }>('POST', '/token-management/keys', {
				name, scopes: form.getAll('scope'), branches: branches.length ? branches : null,
				expires_at: days ? new Date(Date.now() + days * DAY_MS).toISOString() : null,
				per_minute: Number(form.get('per_minute')) || 0,
			});
			onMade({ key, name });
		} catch (e) {
			setError(said(e));
		}
		setBusy(false);
	};
	return (
		<Dialog title="Make a key" onClose={onClose} wide>
			<form onSubmit={submit}>
				<Field label="Name" hint="Who or what will use it."><input name="name" required maxLength={200} autocomplete="off" /></Field>
				<fieldset><legend>What it may do</legend>
					{SCOPES.map(([scope, words]) => <label key={scope} class="check"><input type="checkbox" name="scope" value={scope} /><span><code>{scope}</code> <small>{words}</small></span></label>)}
				</fieldset>
				<Field label="Only these branches" hint="Branch ids with blanks or commas between them; empty: all of them."><input name="branches" autocomplete="off" /></Field>
				<div class="pair">
					<Field label="Ends"><select name="days"><option value="90">in 90 days</option><option value="30">in 30 days</option><option value="365">in a year</option><option value="0">never</option></select></Field>
					<Field label="Requests a minute" hint="Empty: no limit."><input name="per_minute" type="number" min={1} max={60000000} /></Field>
				</div>
				{error && <Failed words={error} />}
				<p class="buttons"><button type="button" onClick={onClose}>Not now</button><button class="go" disabled={isBusy}>{isBusy ? 'Making …' : 'Make the key'}</button></p>
			</form>
		</Dialog>
	);
}

function Revoke({ item, onClose, onDone }: { item: Key; onClose: () => void; onDone: () => void }) {
	const run = async () => {
		await call('DELETE', `/token-management/keys/${item.id}`);
		notice(`The key “${item.name}” opens nothing any more.`);
		onDone();
	};
	return (
		<Dialog title={`Revoke “${item.name}”`} onClose={onClose}>
			<p>Whatever uses this key is refused from now on, in all processes, and who signed in with it is signed out. It cannot be undone.</p>
			<p class="buttons"><button type="button" onClick={onClose}>Keep it</button><Act kind="danger" busy="Revoking …" run={run}>Revoke the key</Act></p>
		</Dialog>
	);
}

const stateOf = (key: Key) => key.revoked_at ? ['idle', 'Revoked'] : key.expires_at && Date.parse(key.expires_at) < Date.now() ? ['idle', 'Expired'] : ['good', 'Good'];

export function KeysView() {
	const list = useLoad<{ keys: Key[] }>('keys', (signal) => get('/token-management/keys', signal));
	const [isOpen, setOpen] = useState(false);
	const [made, setMade] = useState<{ key: string; name: string } | null>(null);
	const [ending, setEnding] = useState<Key | null>(null);
	const keys = [...(list.data?.keys ?? [])].sort((a, b) => Number(!!a.revoked_at) - Number(!!b.revoked_at) || b.created_at.localeCompare(a.created_at));
	return (
		<>
			<div class="title"><h1>API keys</h1><button type="button" class="go" onClick={() => setOpen(true)}>Make a key</button></div>
			{list.error && <Failed words={list.error} again={list.reload} />}
			{!list.data && !list.error && <Waiting>Reading the keys …</Waiting>}
			{list.data && keys.length === 0 && <Empty title="There is no key yet"><p>Programs need one to ask for tokens and reviews.</p></Empty>}
			{keys.length > 0 && (
				<div class="card flush"><table class="rows">
					<thead><tr><th>Name</th><th>State</th><th>Scopes</th><th>Branches</th><th>Last used</th><th>Ends</th><th><span class="sr">Actions</span></th></tr></thead>
					<tbody>{keys.map((k) => (
						<tr key={k.id} class={k.revoked_at ? 'over' : ''}>
							<td class="main"><span>{k.name}</span><small>{k.id}</small></td>
							<td data-label="State"><span class={`pill ${stateOf(k)[0]}`}>{stateOf(k)[1]}</span></td>
							<td data-label="Scopes">{k.scopes.map((s) => <code key={s} class="tag">{s}</code>)}</td>
							<td data-label="Branches">{k.branches ? k.branches.length > 3 ? `${k.branches.length} branches` : k.branches.join(', ') : <span class="soft">all</span>}</td>
							<td data-label="Last used" class="soft"><Ago time={k.last_used_at} /></td>
							<td data-label="Ends" class="soft">{k.expires_at ? instant(k.expires_at) : 'never'}</td>
							<td class="end">{!k.revoked_at && <button type="button" onClick={() => setEnding(k)} aria-label={`Revoke ${k.name}`}>Revoke</button>}</td>
						</tr>))}</tbody>
				</table></div>)}
			{isOpen && <Make onClose={() => setOpen(false)} onMade={(m) => { setOpen(false); setMade(m); list.reload(); }} />}
			{made && <Made made={made} onClose={() => setMade(null)} />}
			{ending && <Revoke item={ending} onClose={() => setEnding(null)} onDone={() => { setEnding(null); list.reload(); }} />}
		</>
	);
}
