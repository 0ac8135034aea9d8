#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns files into one C table: embed.py OUT.c SYMBOL ROOT FILE...

The table is `const struct embedded_file SYMBOL[]`, sorted by name (the path below ROOT), ended by a
zero row; see src/base/embedded.h. The ETag is the quoted start of the content's SHA-256.
"""
import hashlib
import os
import sys


def main() -> None:
    out, symbol, root, *paths = sys.argv[1:]
    rows = []
    with open(out, "w", encoding="ascii") as c:
        c.write('#include "base/embedded.h"\n')
        c.write(f"extern const struct embedded_file {symbol}[];\n")
        for i, path in enumerate(sorted(paths)):
            with open(path, "rb") as f:
                data = f.read()
            name = os.path.relpath(path, root).replace(os.sep, "/")
            etag = hashlib.sha256(data).hexdigest()[:16]
            c.write(f"static const unsigned char data_{i}[] = {{\n")
            for at in range(0, len(data), 20):
                c.write("".join(f"{b}," for b in data[at : at + 20]) + "\n")
            c.write("0};\n")
            rows.append(f'\t{{"{name}", data_{i}, {len(data)}, "\\"{etag}\\""}},\n')
        c.write(f"const struct embedded_file {symbol}[] = {{\n{''.join(rows)}\t{{0}},\n}};\n")


main()
