#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compresses the files of the API page: pack_docs.py FOLDER FILE=NAME…

Each FILE becomes FOLDER/NAME.gz, always of the same bytes. A last line that names a source map is left out.
"""
import gzip
import re
import sys
from pathlib import Path

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for pair in sys.argv[2:]:
    file, name = pair.rsplit('=', 1)
    data = re.sub(rb'\n(?://|/\*)# sourceMappingURL=[^\n]*\s*$', b'\n', Path(file).read_bytes())
    (folder / f'{name}.gz').write_bytes(gzip.compress(data, 9, mtime=0))
