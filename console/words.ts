// SPDX-License-Identifier: Apache-2.0
// Numbers, times and names as people read them.
import type { State } from './api';

export const count = (n: number) => n.toLocaleString('en');

export const STATES: Record<State, { name: string; tone: string; words: string }> = {
	connected: { name: 'Connected', tone: 'good', words: 'A token that works is ready.' },
	expiring: { name: 'Refreshing soon', tone: 'good', words: 'The token is about to be refreshed.' },
	degraded: { name: 'Degraded', tone: 'warn', words: 'Refreshing fails; the token still works for a while.' },
	needs_reconnect: { name: 'Needs reconnect', tone: 'bad', words: 'The grant has ended: somebody has to consent again.' },
	pending: { name: 'Never connected', tone: 'idle', words: 'Registered; nobody has consented yet.' },
	revoking: { name: 'Revoking', tone: 'warn', words: 'The provider is being told that the grant ends.' },
	revoked: { name: 'Revoked', tone: 'idle', words: 'The grant was given back.' },
	inactive: { name: 'Switched off', tone: 'idle', words: 'No token is handed out while it is off.' },
};
export const STATE_ORDER = Object.keys(STATES) as State[];

const PIECES: [number, string][] = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
// "3 h 12 min", the two largest pieces.
export function duration(seconds: number): string {
	let rest = Math.max(0, Math.round(seconds));
	const said: string[] = [];
	for (const [size, unit] of PIECES) {
		if (rest >= size && said.length < 2) {
			said.push(`${Math.floor(rest / size)} ${unit}`);
			rest %= size;
		} else if (said.length) {
			break;
		}
	}
	return said.join(' ') || '0 s';
}
export function ago(time: string | null, now: number): string {
	if (!time)
		return 'never';
	const seconds = (now - Date.parse(time)) / 1000;
	if (seconds < 5)
		return 'just now';
	for (const [size, unit] of PIECES)
		if (seconds >= size)
			return `${Math.floor(seconds / size)} ${unit} ago`;
	return 'just now';
}
export const instant = (time: string | null) => time
	? new Date(time).toLocaleString('en-GB', { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit' }) : '–';

export const day = (time: string | null) => time ? new Date(time).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric', timeZone: 'UTC' }) : '–';

export const SCOPES: [string, string][] = [
	['clients:read', 'See the connections and their state'],
	['clients:write', 'Register, change and delete connections; make connect links'],
	['tokens:read', 'Get access tokens that work at the provider'],
	['tokens:manage', 'Refresh and revoke tokens'],
	['reviews:read', 'Read reviews, jobs and the stream of changes'],
	['reviews:fetch', 'Start and cancel review jobs'],
	['reviews:reply', 'Answer reviews in the name of the business'],
	['admin', 'All of these, API keys, and the audit'],
];

export const scopeName = (scope: string) => scope.replace(/^https:\/\/www\.googleapis\.com\/auth\//, '');

const ACTIONS: Record<string, string> = {
	'client.registered': 'registered the branch', 'client.changed': 'changed the branch', 'client.deleted': 'deleted the branch',
	'connection.connected': 'is connected', 'connection.needs_reconnect': 'needs to be reconnected', 'connection.degraded': 'cannot be refreshed at the moment',
	'connection.revoking': 'is being revoked', 'connection.revoked': 'was revoked', 'connection.renewed': 'was connected again', 'connection.inactive': 'was switched off',
	'connection.checked': 'was checked after a security event', 'connect.started': 'went to the consent page', 'key.created': 'made an API key', 'key.revoked': 'revoked an API key',
	'job.started': 'started fetching reviews', 'job.cancelled': 'cancelled a job', 'session.created': 'signed in', 'session.ended': 'signed out',
	'client.imported': 'brought the branch in with its token', 'client.replaced': 'replaced the connection', 'client.taken_over': 'took the branch over',
	'connect.ended': 'ended a consent', 'connect.failed': 'could not be connected', 'connect.link_over': 'came with a link that was over', 'connect.missing_scope': 'consented without a scope that is needed',
	'connect.no_refresh_token': 'got no refresh token', 'connect.refused': 'did not consent', 'connect.wrong_account': 'consented with another account', 'connection.wrong_account': 'was connected with another account than expected',
	'import.begun': 'began an import', 'import.received': 'sent an import', 'sign_in_link.created': 'made a sign-in link', 'token.refresh': 'asked for a refresh',
	'notifications.set': 'switched notifications on', 'notifications.removed': 'switched notifications off', 'vault.key_prepared': 'prepared a new vault key', 'vault.rotated': 'sealed all secrets anew', 'vault.keys_forgotten': 'forgot old vault keys',
	'token.read': 'was handed tokens', 'link.created': 'made a connect link', 'link.revoked': 'withdrew a connect link', 'link.opened': 'opened a connect link',
};
export const actionWords = (action: string) => ACTIONS[action] ?? action.replace(/[._]/g, ' ');
export function actorWords(actor: string): string {
	const [kind, id] = actor.split(':');
	return kind === 'key' && id ? `key ${id}` : kind === 'cli' ? 'the command line' : kind === 'link' ? 'the holder of a link' : kind === 'service' ? 'the service' : kind === 'browser' ? 'a browser at the consent' : actor;
}
