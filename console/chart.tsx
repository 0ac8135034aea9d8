// SPDX-License-Identifier: Apache-2.0
// Lines and bars over time, drawn by uPlot in the colours of the style sheet. The figures stand below as a table for
// those who do not see the drawing.
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

export interface Line { name: string; color: string; values: (number | null)[]; dash?: boolean; bars?: boolean; scale?: string }
const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const bars = uPlot.paths.bars!({ size: [0.7, 40], align: 0 });

function optionsOf(lines: Line[], width: number, height: number, span: number, range?: [number, number]): uPlot.Options {
	const grid = { stroke: css('--line'), width: 1 };
	const axis = { stroke: css('--soft'), font: '11px system-ui, sans-serif', grid, ticks: { show: false } };
	return {
		width, height, legend: { show: false }, cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } }, padding: [8, 12, 0, 0],
		scales: { x: { time: true }, y: { range: (_u, _min, max) => range ?? [0, Math.max(4, max * 1.1)] } },
		axes: [
			{ ...axis, grid: { show: false }, size: 26, space: 64, values: (_u, ticks) => ticks.map((t) => {
				const at = new Date(t * 1000);
				return span < 3 * 86400 ? at.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' }) : at.toLocaleDateString('en-GB', span > 400 * 86400 ? { month: 'short', year: 'numeric' } : { day: 'numeric', month: 'short' });
			}) },
			{ ...axis, size: 38, space: 34, values: (_u, ticks) => ticks.map((t) => t >= 10000 ? `${t / 1000}k` : Number.isInteger(t) || t < 5 ? String(t) : '') },
		],
		series: [{}, ...lines.map((l) => ({
			label: l.name, stroke: css(l.color), fill: l.bars ? css(l.color) : undefined, width: l.bars ? 0 : 1.75, dash: l.dash ? [4, 4] : undefined,
			points: { show: false }, paths: l.bars ? bars : undefined, spanGaps: true,
		}))],
	};
}

export default function Chart({ times, lines, label, height = 170, range }: { times: number[]; lines: Line[]; label: string; height?: number; range?: [number, number] }) {
	const box = useRef<HTMLDivElement>(null);
	const hover = useRef<HTMLParagraphElement>(null);
	useEffect(() => {
		const at = box.current!;
		const span = times.length ? times[times.length - 1] - times[0] : 0;
		let plot: uPlot | null = null;
		const draw = () => {
			plot?.destroy();
			const options = optionsOf(lines, at.clientWidth, height, span, range);
			options.hooks = { setCursor: [(u) => {
				const i = u.cursor.idx;
				if (hover.current)
					hover.current.textContent = i === null || i === undefined ? '' : `${new Date(times[i] * 1000).toLocaleString('en-GB', { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' })}  ${lines.map((l) => `${l.name} ${l.values[i] ?? '–'}`).join('   ')}`;
			}] };
			plot = new uPlot(options, [times, ...lines.map((l) => l.values)] as uPlot.AlignedData, at);
		};
		draw();
		const seen = new ResizeObserver(() => plot && plot.width !== at.clientWidth && plot.setSize({ width: at.clientWidth, height }));
		seen.observe(at);
		const dark = matchMedia('(prefers-color-scheme: dark)');
		dark.addEventListener('change', draw);
		return () => { seen.disconnect(); dark.removeEventListener('change', draw); plot?.destroy(); };
	}, [times, lines, height]);
	const sum = lines.map((l) => `${l.name}: ${l.values.reduce<number>((a, v) => a + (v ?? 0), 0)}`).join(', ');
	return (
		<figure class="chart">
			<div ref={box} role="img" aria-label={`${label}. ${sum}`} />
			<figcaption><span class="legend">{lines.map((l) => <span key={l.name} class={`key of${l.color.slice(1)}`}>{l.name}</span>)}</span><span class="hover" ref={hover} aria-hidden="true" /></figcaption>
		</figure>
	);
}
