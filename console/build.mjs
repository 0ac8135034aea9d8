// SPDX-License-Identifier: Apache-2.0
// Builds the console and packs it for the binary: node build.mjs OUT.c FOLDER
//
// FOLDER takes Vite's files and, beside each, what a browser gets in its place: NAME.br and NAME.gz. They become one
// C table (tools/embed.py). OUT.c.d names the sources for ninja.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import zlib from 'node:zlib';
import { build } from 'vite';

const here = path.dirname(fileURLToPath(import.meta.url));
const [out, folder] = process.argv.slice(2).map((name) => path.resolve(name));

const list = (dir) => fs.readdirSync(dir, { withFileTypes: true }).flatMap((entry) =>
	entry.isDirectory() ? list(path.join(dir, entry.name)) : [path.join(dir, entry.name)]);

await build({
	root: here,
	configFile: false,
	logLevel: 'warn',
	base: '/console/',
	cacheDir: path.join(folder, '../vite-cache'),
	esbuild: { jsx: 'automatic', jsxImportSource: 'preact' },
	build: {
		outDir: path.join(folder),
		emptyOutDir: true,
		target: 'es2020',
		assetsInlineLimit: 0, // the page's policy lets nothing stand in it
		modulePreload: { polyfill: false },
		rollupOptions: { output: { entryFileNames: 'assets/[name]-[hash].js', chunkFileNames: 'assets/[name]-[hash].js', assetFileNames: 'assets/[name]-[hash][extname]' } },
	},
});

for (const file of list(folder)) {
	const data = fs.readFileSync(file);
	fs.writeFileSync(`${file}.br`, zlib.brotliCompressSync(data, { params: { [zlib.constants.BROTLI_PARAM_SIZE_HINT]: data.length } }));
	fs.writeFileSync(`${file}.gz`, zlib.gzipSync(data, { level: 9 }));
}
execFileSync('python3', [path.join(here, '../tools/embed.py'), out, 'console_app', folder, ...list(folder)], { stdio: 'inherit' });
const escape = (name) => name.replaceAll(' ', '\\ ');
fs.writeFileSync(`${out}.d`, `${escape(process.argv[2])}: ${list(here).map(escape).join(' ')}\n`);
