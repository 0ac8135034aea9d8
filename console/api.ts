// SPDX-License-Identifier: Apache-2.0
// The service as the console sees it: requests by the session's cookie, answers as they are.

export interface Problem { status: number; detail: string; errors: { loc: string[]; msg: string }[]; body: Record<string, unknown> }
export class ApiError extends Error {
	constructor(readonly problem: Problem) { super(problem.detail); }
}

function problemOf(status: number, body: Record<string, unknown>): Problem {
	const errors = Array.isArray(body.errors) ? body.errors as Problem['errors'] : [];
	const said = typeof body.detail === 'string' ? body.detail : `The service answered ${status} without a reason.`;
	const fields = errors.map((e) => `${e.loc[e.loc.length - 1]} ${e.msg}`).join('. ');
	return { status, detail: fields || said, errors, body };
}

export async function call<T>(method: string, path: string, json?: unknown, signal?: AbortSignal): Promise<T> {
	let answer: Response;
	try {
		answer = await fetch(path, {
			method, signal, credentials: 'same-origin',
			headers: { accept: 'application/json', 'x-requested-with': 'review-fetcher', ...(json === undefined ? {} : { 'content-type': 'application/json' }) },
			body: json === undefined ? undefined : JSON.stringify(json),
		});
	} catch (error) {
		if ((error as Error).name === 'AbortError')
			throw error;
		throw new ApiError({ status: 0, detail: 'The service cannot be reached. This page tries again by itself.', errors: [], body: {} });
	}
	const text = await answer.text();
	let body: Record<string, unknown> = {};
	try {
		body = JSON.parse(text);
	} catch {
		// no JSON: the status says it
	}
	if (answer.status === 401)
		location.href = `/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`;
	if (!answer.ok)
		throw new ApiError(problemOf(answer.status, body));
	return body as T;
}
export const get = <T>(path: string, signal?: AbortSignal) => call<T>('GET', path, undefined, signal);

export function query(values: Record<string, string | number | boolean | undefined | null>): string {
	const q = new URLSearchParams();
	for (const [name, value] of Object.entries(values))
		if (value !== undefined && value !== null && value !== '')
			q.set(name, String(value));
	const text = q.toString();
	return text ? `?${text}` : '';
}

export type State = 'pending' | 'connected' | 'expiring' | 'degraded' | 'needs_reconnect' | 'revoking' | 'revoked' | 'inactive';
export interface Client {
	client_id: number; client_oauth_id: string; branch_identifier: string; email: string; workspace_name: string; redirect_uri: string;
	created_at: string; updated_at: string; provider: string; is_active: boolean; status: State; status_reason: string | null;
	connected_email: string | null; granted_scopes: string[] | null; missing_scopes: string[] | null;
	expires_at: string | null; last_refreshed_at: string | null; next_refresh_at: string | null;
}
export type Series = Record<string, [number, number][]>;
export interface Overview { at: string; connections: Record<State | 'total', number>; needs_hand: Client[]; hours: Series | null; minutes: Series | null; requests_per_minute: number }
export interface Project { project: string; api: string; api_name: string; status: 'ok' | 'paused' | 'not_approved'; requests_per_minute: number; spent_this_minute: number; spent_last_minute: number; paused_until: string | null; diagnosis: string | null }
export interface JobError { listing: string; account_id: string | null; location_id: string | null; location_title: string | null; error: string }
export interface Job {
	id: string; status: 'queued' | 'running' | 'waiting' | 'completed' | 'partial' | 'failed' | 'cancelled'; message: string; waiting_until: string | null;
	branch_id: string | null; mode: string; error: string | null; accounts: number; locations: number;
	reviews: { total: number; new: number; changed: number; unchanged: number }; changes: Record<string, number>;
	pages: number; google_calls: number; cancel_requested: boolean; created_at: string; started_at: string | null; finished_at: string | null;
	percent?: number | null; errors_total?: number; errors?: JobError[];
}
export interface Location { location_id: string; title: string | null }
export interface Review {
	id: number; account_id: string; location_id: string; google_review_id: string; rating: number | null; comment: string | null; reviewer_name: string | null;
	is_anonymous: boolean; review_created_time: string | null; review_updated_time: string | null; reply_text: string | null; reply_time: string | null;
	reply_state: string | null; location_title: string | null; deleted_at: string | null; policy_violation?: string | null;
}
export interface Change { n: number; kind: string; changed_at: string | null; detected_at: string; before: Record<string, unknown> | null; after: Record<string, unknown> | null }
export interface Key {
	id: string; name: string; scopes: string[]; branches: string[] | null; per_minute: number;
	created_at: string; expires_at: string | null; revoked_at: string | null; last_used_at: string | null;
}
export interface Audit { id: number; at: string; actor: string; action: string; branch_id: string | null; remote?: string | null; detail: Record<string, unknown> | null }
export interface Session { session_id: string | null; key_id: string; scopes: string[]; branches: string[] | null; expires_at: string | null }
