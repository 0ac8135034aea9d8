// SPDX-License-Identifier: Apache-2.0
// What is done with one connection, from wherever it is shown.
import { useEffect, useState } from 'preact/hooks';
import { ApiError, call, type Client } from './api';
import { Qr } from './lazy';
import { Act, Copy, Dialog, Failed, notice, said, Waiting } from './ui';
import { count, instant } from './words';

export async function refreshNow(client: Client) {
	await call('POST', '/token-management/tokens/refresh', { client_id: client.client_id }); // the token in it is not looked at
	notice(`${client.workspace_name}: the token was refreshed.`);
}

export function ConnectDialog({ client, onClose }: { client: Client; onClose: () => void }) {
	const [link, setLink] = useState<{ url: string; expires_at: string } | null>(null);
	const [error, setError] = useState('');
	useEffect(() => {
		call<{ url: string; expires_at: string }>('POST', `/token-management/clients/${client.client_id}/connect-link`, {}).then(setLink, (e) => setError(said(e)));
	}, []);
	return (
		<Dialog title={`Connect ${client.workspace_name}`} onClose={onClose}>
			{error && <Failed words={error} />}
			{!link && !error && <Waiting>Making a link …</Waiting>}
			{link && (
				<>
					<p>Send this link to whoever manages <strong>{client.email}</strong>. It leads to the consent page, works once, in one browser, and ends {instant(link.expires_at)}.</p>
					<Copy text={link.url} label="Copy link" />
					<div class="qrbox"><Qr text={link.url} /><p>Or let them point a phone at this code.</p></div>
					<p class="foot"><a href={link.url} target="_blank" rel="noopener">Open it here</a></p>
				</>)}
		</Dialog>
	);
}

export function ConnectButton({ client, kind = '' }: { client: Client; kind?: string }) {
	const [isOpen, setOpen] = useState(false);
	return (
		<>
			<button type="button" class={kind} onClick={() => setOpen(true)}>{client.status === 'needs_reconnect' ? 'Reconnect' : 'Connect'}</button>
			{isOpen && <ConnectDialog client={client} onClose={() => setOpen(false)} />}
		</>
	);
}

// Revoking, or deleting with it. The service names the siblings that would lose their grants before anything is done.
export function RevokeDialog({ client, deletes, onClose, onDone }: { client: Client; deletes: boolean; onClose: () => void; onDone: () => void }) {
	const [siblings, setSiblings] = useState<{ names: string[]; total: number; detail: string } | null>(null);
	const [purge, setPurge] = useState(false);
	const [revoke, setRevoke] = useState(true);
	const hasGrant = client.status !== 'pending' && client.status !== 'revoked';
	const run = async () => {
		const wish = new URLSearchParams();
		if (deletes && revoke && hasGrant)
			wish.set('revoke', 'true');
		if (siblings)
			wish.set('force', 'true');
		if (purge)
			wish.set('purge', 'true');
		const path = deletes ? `/token-management/clients/${client.client_id}` : `/token-management/tokens/${encodeURIComponent(client.branch_identifier)}/revoke`;
		try {
			const answer = await call<{ message?: string; warning?: string | null }>(deletes ? 'DELETE' : 'POST', `${path}?${wish}`, deletes ? undefined : {});
			notice(answer.warning || answer.message || 'Done.');
			onDone();
		} catch (error) {
			const body = error instanceof ApiError ? error.problem.body : {};
			if (!Array.isArray(body.siblings))
				throw error;
			setSiblings({ names: body.siblings as string[], total: Number(body.siblings_total), detail: (error as ApiError).message });
		}
	};
	return (
		<Dialog title={`${deletes ? 'Delete' : 'Revoke'} ${client.workspace_name}`} onClose={onClose}>
			{!siblings && !deletes && <p>The provider is told that the grant of <strong>{client.connected_email ?? client.email}</strong> ends, and no token is handed out for <strong>{client.branch_identifier}</strong> any more. To use it again, somebody has to consent again.</p>}
			{!siblings && deletes && <p>The branch <strong>{client.branch_identifier}</strong> and its tokens are forgotten here.</p>}
			{!siblings && deletes && hasGrant && <label class="check"><input type="checkbox" checked={revoke} onChange={(e) => setRevoke(e.currentTarget.checked)} /><span>End the grant at the provider too <small>Otherwise it lives on in the account until somebody takes it back there.</small></span></label>}
			{!siblings && <label class="check"><input type="checkbox" checked={purge} onChange={(e) => setPurge(e.currentTarget.checked)} /><span>Delete its reviews too <small>What another branch shows as well stays.</small></span></label>}
			{siblings && (
				<div class="warnbox" role="alert">
					<p>{siblings.detail}.</p>
					<ul class="siblings">{siblings.names.map((name) => <li key={name}><code>{name}</code></li>)}</ul>
					{siblings.total > siblings.names.length && <p>and {count(siblings.total - siblings.names.length)} more</p>}
				</div>)}
			<p class="buttons">
				<button type="button" onClick={onClose}>Keep it</button>
				<Act kind="danger" busy={deletes ? 'Deleting …' : 'Revoking …'} run={run}>{siblings ? `End all ${count(siblings.total + 1)} grants` : deletes ? 'Delete' : 'Revoke'}</Act>
			</p>
		</Dialog>
	);
}
