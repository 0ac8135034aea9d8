#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the man pages: man.py PROGRAM SETTINGS.md VERSION OUT.1 OUT.5

OUT.1 is what PROGRAM says of itself and of each command when asked for help. OUT.5 is docs/settings.md, which a test
holds equal to the table of settings.
"""
import os
import re
import subprocess
import sys

NAME = 'keeps Google connections of business branches alive and fetches their reviews'


def ask(program, *args):
    environment = {**os.environ, 'ASAN_OPTIONS': 'detect_leaks=0', 'LC_ALL': 'C.UTF-8'}
    return subprocess.run([program, *args], env=environment, check=True, text=True, capture_output=True).stdout


def plain(text):
    """Text as roff: nothing in it is a request or an escape."""
    text = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', text).replace('\\', '\\e').replace('-', '\\-')
    return re.sub(r"^([.'])", r'\\&\1', text)


def marked(text):
    """The same, with `code` in bold."""
    parts = text.split('`')
    return ''.join(f'\\fB{plain(part)}\\fR' if n % 2 else plain(part) for n, part in enumerate(parts))


def head(title, section, version):
    return [f'.TH {title} {section} "" "review-fetcher {version}" "review-fetcher"', '.SH NAME']


def quoted(text):
    return ['.nf', *(plain(line) for line in text.rstrip('\n').split('\n')), '.fi']


def program_page(program, version):
    overview = ask(program, 'help')
    commands = re.findall(r'^  ([a-z]+) {2,}\S', overview.split('Commands:')[1].split('\n\n')[0], re.M)
    lines = head('REVIEW-FETCHER', 1, version) + [f'review\\-fetcher \\- {plain(NAME)}', '.SH SYNOPSIS',
                                                  '.B review\\-fetcher', '.I COMMAND', '[\\fIARGUMENTS\\fR]',
                                                  '.SH DESCRIPTION', *quoted(overview)]
    lines.append('.SH COMMANDS')
    for command in commands:
        # The settings have a page of their own.
        said = re.split(r'\n\n[A-Z][\w ,]*\n  [A-Z_]+  --', ask(program, command, '--help'))[0]
        lines += [f'.SS {command}', *quoted(said)]
    return lines + ['.SH ENVIRONMENT', 'Every setting, as', '.BR review\\-fetcher\\-settings (5)', 'lists them.',
                    '.SH SEE ALSO', '.BR review\\-fetcher\\-settings (5)']


def settings_page(settings, version):
    lines = head('REVIEW-FETCHER-SETTINGS', 5, version) + ['review\\-fetcher\\-settings \\- the settings of review\\-fetcher',
                                                           '.SH DESCRIPTION']
    for line in settings.split('\n')[1:]:
        row = re.fullmatch(r'\| `(\w+)` \| (.*?) \| (.*?) \| (.*) \|', line)
        if row:
            key, default, value, meaning = row.groups()
            lines += ['.TP', f'\\fB{plain(key)}\\fR', marked(meaning.replace('\\|', '|')), '.br',
                      f'Value: {marked(value)}.', '.br', f'Default: {marked(default)}.']
        elif line.startswith('## '):
            lines.append(f'.SH {plain(line[3:].upper())}')
        elif not line:
            lines.append('.PP')
        elif not line.startswith('|'):
            lines.append(marked(line))
    # Blank lines of the source that no paragraph follows.
    text = re.sub(r'(?:^\.PP\n)+(?=\.(?:PP|SH|TP))', '', '\n'.join(lines) + '\n', flags=re.M)
    return [*text.rstrip('\n').removesuffix('\n.PP').split('\n'), '.SH SEE ALSO', '.BR review\\-fetcher (1)']


def main():
    program, settings, version, out_program, out_settings = sys.argv[1:]
    with open(out_program, 'w', encoding='utf-8') as file:
        file.write('\n'.join(program_page(program, version)) + '\n')
    with open(settings, encoding='utf-8') as source, open(out_settings, 'w', encoding='utf-8') as file:
        file.write('\n'.join(settings_page(source.read(), version)) + '\n')


main()
