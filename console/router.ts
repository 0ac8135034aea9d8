// SPDX-License-Identifier: Apache-2.0
// Addresses: /console, /console/VIEW, /console/VIEW/ID, and what is filtered behind the '?'.
import { useEffect, useState } from 'preact/hooks';

export interface Place { view: string; id: string; query: URLSearchParams }
const read = (): Place => {
	const [, , view = '', id = ''] = location.pathname.split('/');
	return { view, id: decodeURIComponent(id), query: new URLSearchParams(location.search) };
};
const watchers = new Set<() => void>();

export function go(path: string, replace = false) {
	if (replace)
		history.replaceState(null, '', path);
	else
		history.pushState(null, '', path);
	for (const watcher of watchers)
		watcher();
}

export function usePlace(): Place {
	const [place, setPlace] = useState(read);
	useEffect(() => {
		const watcher = () => setPlace(read());
		watchers.add(watcher);
		addEventListener('popstate', watcher);
		return () => { watchers.delete(watcher); removeEventListener('popstate', watcher); };
	}, []);
	return place;
}

// Links of ours do not load the page anew.
export function followLinks(event: MouseEvent) {
	const link = (event.target as Element).closest?.('a');
	if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
		return;
	if (link.target || link.origin !== location.origin || !/^\/console(\/|$|\?)/.test(link.pathname + link.search))
		return;
	event.preventDefault();
	go(link.pathname + link.search);
	scrollTo(0, 0);
}

// One filter in the address; '' takes it out.
export function setQuery(place: Place, values: Record<string, string>) {
	const q = new URLSearchParams(place.query);
	for (const [name, value] of Object.entries(values))
		if (value)
			q.set(name, value);
		else
			q.delete(name);
	const text = q.toString();
	go(location.pathname + (text ? `?${text}` : ''), true);
}
