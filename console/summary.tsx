// SPDX-License-Identifier: Apache-2.0
// How people rate: the distribution, and the trend over time.
import { useMemo } from 'preact/hooks';
import { get, query } from './api';
import { Chart } from './lazy';
import { useLive } from './live';
import { Empty, Failed, Section, Stars, useLoad, Waiting } from './ui';
import { count, day } from './words';

export interface Summary { days: { at: number; ratings: number[] }[]; ratings: number[]; total: number; newest_only: boolean; counted_since: string | null }
const DAY = 86400;
const sum = (ratings: number[]) => ratings.reduce((a, n) => a + n, 0);
export function average(ratings: number[]): number | null {
	const rated = sum(ratings.slice(1));
	return rated ? ratings.reduce((a, n, stars) => a + n * stars, 0) / rated : null;
}

// Days, weeks or months, whichever leaves a line that can be read; spans without a review count none.
function byStep(days: Summary['days']) {
	const span = days.length ? days[days.length - 1].at - days[0].at : 0;
	const step = span <= 62 * DAY ? DAY : span <= 400 * DAY ? 7 * DAY : 30 * DAY;
	const name = step === DAY ? 'day' : step === 7 * DAY ? 'week' : 'month';
	const start = days.length ? Math.floor(days[0].at / step) * step : 0;
	const times: number[] = [], counts: number[] = [], averages: (number | null)[] = [];
	const n = days.length ? Math.floor((days[days.length - 1].at - start) / step) + 1 : 0;
	const all = Array.from({ length: n }, () => [0, 0, 0, 0, 0, 0]);
	for (const day of days)
		day.ratings.forEach((x, stars) => { all[Math.floor((day.at - start) / step)][stars] += x; });
	all.forEach((ratings, i) => { times.push(start + i * step); counts.push(sum(ratings)); averages.push(average(ratings)); });
	const round = averages.map((a) => a === null ? null : Math.round(a * 100) / 100);
	return { name, times, counts: [{ name: 'Reviews', color: '--go', bars: true, values: counts }], averages: [{ name: 'Average', color: '--star-line', values: round }] };
}

export function Distribution({ ratings }: { ratings: number[] }) {
	const most = Math.max(1, ...ratings.slice(1)), mean = average(ratings);
	return (
		<div class="distribution">
			<div class="mean"><strong>{mean === null ? '–' : mean.toFixed(2)}</strong><Stars n={mean === null ? null : Math.round(mean)} /><small>{count(sum(ratings))} {sum(ratings) === 1 ? 'review' : 'reviews'}</small></div>
			<ol>{[5, 4, 3, 2, 1].map((stars) => (
				<li key={stars}><span>{stars}</span><meter min={0} max={most} value={ratings[stars]} aria-label={`${stars} stars`}>{ratings[stars]}</meter><span class="num">{count(ratings[stars])}</span></li>))}
			</ol>
		</div>
	);
}

const RANGE: [number, number] = [1, 5];
export function Charts({ summary, titles = true }: { summary: Summary; titles?: boolean }) {
	const steps = useMemo(() => byStep(summary.days), [summary]);
	return (
		<>
			{summary.newest_only && <p class="soft total">So many reviews are like that that only those since {day(summary.counted_since)} are in these charts. The list below has all of them.</p>}
		<div class="three">
			<Section title={titles ? 'Ratings' : 'Distribution'} ><Distribution ratings={summary.ratings} /></Section>
			<Section title={`Reviews per ${steps.name}`}><Chart label={`Reviews written or edited per ${steps.name}`} times={steps.times} lines={steps.counts} height={150} /></Section>
			<Section title="Average rating"><Chart label={`Average rating per ${steps.name}`} times={steps.times} lines={steps.averages} height={150} range={RANGE} /></Section>
		</div>
		</>
	);
}

const month = () => new Date(Math.floor(Date.now() / 86400000 - 30) * 86400000).toISOString();
export function ReviewCharts() {
	const summary = useLoad<Summary>('summary', (signal) => get(`/api/v1/reviews/summary${query({ since: month() })}`, signal));
	useLive('review.', summary.reload);
	if (summary.error)
		return <Failed words={summary.error} again={summary.reload} />;
	if (!summary.data)
		return <Waiting>Counting the reviews …</Waiting>;
	if (summary.data.total === 0)
		return <Section title="Reviews"><Empty title="No review in the last 30 days"><p>Fetch the reviews of a connected branch: <a href="/console/jobs">jobs</a>.</p></Empty></Section>;
	return <Charts summary={summary.data} />;
}
