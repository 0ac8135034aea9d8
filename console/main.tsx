// SPDX-License-Identifier: Apache-2.0
import { render } from 'preact';
import { useEffect } from 'preact/hooks';
import { call, get, type Session } from './api';
import { AuditView } from './audit';
import { ConnectionView } from './connection';
import { ConnectionsView } from './connections';
import { JobsView } from './jobs';
import { KeysView } from './keys';
import { openStream, useIsLive } from './live';
import { OverviewView } from './overview';
import { ReviewsView } from './reviews';
import { followLinks, usePlace } from './router';
import { Act, Empty, Failed, Notices, SessionContext, useLoad, Waiting } from './ui';

const VIEWS: { path: string; name: string; scope: string; icon: string }[] = [
	{ path: '', name: 'Overview', scope: 'clients:read', icon: 'M2 9h4v5H2zM6 4h4v10H6zM10 7h4v7h-4z' },
	{ path: 'connections', name: 'Connections', scope: 'clients:read', icon: 'M6.5 9.5l3-3M7 5l1.8-1.8a2.8 2.8 0 014 4L11 9M9 11l-1.800 1.800a2.800 2.800 0 01-4-4L5 7' },
	{ path: 'reviews', name: 'Reviews', scope: 'reviews:read', icon: 'M8 2l1.800 3.800 4.200.6-3 2.900.7 4.200L8 11.500l-3.700 2 .7-4.200-3-2.900 4.200-.6z' },
	{ path: 'jobs', name: 'Jobs', scope: 'reviews:fetch', icon: 'M13.500 8A5.500 5.500 0 114 4.200M4 1.500v2.900h2.900' },
	{ path: 'keys', name: 'Keys', scope: 'admin', icon: 'M9.500 6.500a3 3 0 11-3 3M8.500 7.500L13 3M11 5l1.500 1.500M5.500 8.500a2.500 2.500 0 100 5 2.500 2.500 0 000-5z' },
	{ path: 'audit', name: 'Audit', scope: 'admin', icon: 'M3 3h10M3 6.500h10M3 10h7M3 13.500h5' },
];

function View({ view, id }: { view: string; id: string }) {
	switch (view) {
	case '': return <OverviewView />;
	case 'connections': return id ? <ConnectionView key={id} id={id} /> : <ConnectionsView />;
	case 'reviews': return <ReviewsView id={id} />;
	case 'jobs': return <JobsView id={id} />;
	case 'keys': return <KeysView />;
	case 'audit': return <AuditView />;
	default: return <Empty title="There is no such page"><p><a href="/console">Go to the overview</a></p></Empty>;
	}
}

const Live = () => useIsLive()
	? <p class="live on"><span aria-hidden="true" />Live</p>
	: <p class="live"><span aria-hidden="true" />Not live: connecting …</p>;

async function signOut() {
	await call('DELETE', '/session');
	location.href = '/sign-in';
}

function App() {
	const place = usePlace();
	const session = useLoad<Session>('session', (signal) => get('/session', signal));
	const may = (scope: string) => !session.data || session.data.scopes.includes(scope) || session.data.scopes.includes('admin');
	const here = VIEWS.find((v) => v.path === place.view);
	const hears = session.data !== null && may('reviews:read');

	useEffect(() => { if (hears) openStream(); }, [hears]);
	useEffect(() => { document.title = `${here?.name ?? 'Console'} – review-fetcher`; }, [here]);
	useEffect(() => {
		const press = (event: KeyboardEvent) => {
			if (event.key !== '/' || event.ctrlKey || event.metaKey || (event.target as Element).closest('input, textarea, select, dialog'))
				return;
			const field = document.querySelector<HTMLElement>('[data-search]');
			if (field) {
				event.preventDefault();
				field.focus();
			}
		};
		addEventListener('keydown', press);
		return () => removeEventListener('keydown', press);
	}, []);
	return (
		<SessionContext.Provider value={session.data}>
			<div class="shell" onClick={followLinks}>
				<a class="skip" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById('main')?.focus(); }}>Skip to the content</a>
				<header class="side">
					<a class="brand" href="/console"><svg viewBox="0 0 16 16" aria-hidden="true"><rect width="16" height="16" rx="4" /><path d="M4 8.500l2.700 2.700L12 5.500" /></svg>review-fetcher</a>
					<nav aria-label="Views">
						{VIEWS.filter((v) => may(v.scope)).map((v) => (
							<a key={v.path} href={`/console${v.path && `/${v.path}`}`} aria-current={place.view === v.path ? 'page' : undefined}>
								<svg viewBox="0 0 16 16" aria-hidden="true"><path d={v.icon} /></svg><span>{v.name}</span>
							</a>))}
					</nav>
					<div class="who">
						{hears && <Live />}
						{session.data?.session_id && <Act run={signOut} busy="Signing out …" kind="quiet">Sign out</Act>}
					</div>
				</header>
				<main id="main" tabIndex={-1}>
					{session.error && !session.data ? <Failed words={session.error} again={session.reload} />
						: !session.data ? <Waiting>Looking who is signed in …</Waiting>
							: here && !may(here.scope) ? <Empty title={`The key that you signed in with may not see this`}><p>It needs the scope <code>{here.scope}</code>. Sign in with another key, or ask an admin for one.</p></Empty>
								: <View view={place.view} id={place.id} />}
				</main>
				<Notices />
			</div>
		</SessionContext.Provider>
	);
}

const root = document.getElementById('app')!;
root.textContent = '';
render(<App />, root);
