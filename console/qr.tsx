// SPDX-License-Identifier: Apache-2.0
import qrcode from 'qrcode-generator';

// Dark on white whatever the theme: scanners want it so.
export default function Qr({ text }: { text: string }) {
	const code = qrcode(0, 'M');
	code.addData(text);
	code.make();
	const n = code.getModuleCount();
	let path = '';
	for (let y = 0; y < n; y++)
		for (let x = 0; x < n; x++)
			if (code.isDark(y, x))
				path += `M${x + 4} ${y + 4}h1v1h-1z`;
	return <svg class="qr" viewBox={`0 0 ${n + 8} ${n + 8}`} role="img" aria-label="The same link as a QR code" shape-rendering="crispEdges"><rect width="100%" height="100%" fill="#fff" /><path d={path} fill="#000" /></svg>;
}
