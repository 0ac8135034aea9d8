#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns JSON log lines (stdin) into lines for people; passes on what is not JSON."""
import json
import sys

for line in sys.stdin:
    try:
        entry = json.loads(line)
        rest = {k: v for k, v in entry.items() if k not in ("time", "ts", "level", "event", "file", "line")}
        text = " ".join(f"{k}={v}" for k, v in rest.items())
        print(f"{entry.get('level', ''):5} {entry.get('event', '')} {text}".rstrip())
    except (ValueError, AttributeError):
        print(line.rstrip("\n"))
