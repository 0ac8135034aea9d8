#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The man pages: check_man.py PAGE.1 PAGE.5 SETTINGS_TABLE.c. Each command and each setting stands in them, and groff, where
it is there, has nothing to say."""
import re
import shutil
import subprocess
import sys
from pathlib import Path

program, settings, table = (Path(name) for name in sys.argv[1:])
results = []


def check(words, flaws):
    results.append((words, flaws))


text = program.read_text(encoding='utf-8')
commands = set(re.findall(r'^  ([a-z]+) {2,}', text.split('.SH COMMANDS')[0], re.M))
chapters = set(re.findall(r'^\.SS (\w+)$', text, re.M))
check('every command has a chapter of its own', sorted(commands ^ chapters) or ([] if len(commands) > 5 else ['no commands']))
check('a chapter says more than a line', [name for name in chapters
      if len(text.split(f'\n.SS {name}\n')[1].split('\n.S')[0].split('\n')) < 5 and name not in ('version', 'help')])
# A row of the table begins with its group and its key.
keys = set(re.findall(r'^\t\{\w+, "([A-Z][A-Z0-9_]+)"', table.read_text(encoding='utf-8'), re.M))
named = set(re.findall(r'^\\fB([A-Z0-9_]+)\\fR$', settings.read_text(encoding='utf-8'), re.M))
check('every setting is in section 5, and no other', sorted(named ^ keys) + ([] if len(keys) > 40 else [f'only {len(keys)}']))
for page in (program, settings):
    lines = page.read_text(encoding='utf-8').split('\n')
    check(f'{page.name} has no request but those that are meant',
          [line for line in lines if re.match(r"[.']", line) and not re.match(r'\.(TH|SH|SS|TP|PP|B|BR|I|br|nf|fi)\b', line)])
    if shutil.which('groff'):
        said = subprocess.run(['groff', '-man', '-Tutf8', '-ww', '-z', '-Kutf8', page], capture_output=True, text=True, check=False)
        check(f'groff reads {page.name} without a warning', [said.stderr] if said.stderr or said.returncode else [])
print(f'1..{len(results)}')
for n, (words, flaws) in enumerate(results, 1):
    print(f"{'not ok' if flaws else 'ok'} {n} - {words}")
    for flaw in flaws:
        print(f'# {flaw}')
sys.exit(any(flaws for _, flaws in results))
