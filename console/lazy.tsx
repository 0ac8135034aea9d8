// SPDX-License-Identifier: Apache-2.0
// Parts that come when they are looked at.
import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Failed, Waiting } from './ui';

export function lazy<P extends object>(load: () => Promise<{ default: ComponentType<P> }>, words: string) {
	let Part: ComponentType<P> | null = null;
	return (props: P) => {
		const [, setState] = useState(0);
		const [failed, setFailed] = useState(false);
		useEffect(() => {
			load().then((m) => { Part = m.default; setState(1); }, () => setFailed(true));
		}, []);
		if (failed)
			return <Failed words="A part of this page could not be loaded: load the page again." />;
		return Part ? <Part {...props} /> : <Waiting>{words}</Waiting>;
	};
}
export const Chart = lazy(() => import('./chart'), 'The chart is being drawn …');
export const Qr = lazy(() => import('./qr'), 'The code is being drawn …');
