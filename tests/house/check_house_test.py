#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plants one breach at a time in a small clean tree and wants exactly its rule to name file and line."""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

CHECK = Path(__file__).resolve().parents[2] / 'tools' / 'check_house.py'
LICENCE = '/* SPDX-License-Identifier: Apache-2.0 */\n'


def header(path, body):
    guard = re.sub(r'\W', '_', path.removeprefix('src/')).upper()
    return f'{LICENCE}#ifndef {guard}\n#define {guard}\n\n{body}\n#endif\n'


CLEAN = {
    'src/base/text.h': header('src/base/text.h', 'int text_len(const char *text);\n'),
    'src/base/text.c': LICENCE + '#include "base/text.h"\n\n#include <string.h>\n\n'
                       'int text_len(const char *text)\n{\n\treturn (int)strlen(text);\n}\n',
    'src/net/net.h': header('src/net/net.h', 'int net_send(const char *url);\n'),
    'src/net/net.c': LICENCE + '#include "net/net.h"\n\n#include "base/text.h"\n\n'
                     'int net_send(const char *url)\n{\n\treturn text_len(url);\n}\n',
    'src/main.c': LICENCE + '#include "net/net.h"\n\nint main(void)\n{\n\treturn net_send("");\n}\n',
    'src/core/settings_table.c': LICENCE + 'const struct setting settings_table[] = {\n'
                                 '\t{http, "API_PORT", 8084},\n};\n',
    'docs/internals/events.md': '| event | level |\n|---|---|\n',
    'docs/settings.md': '`API_PORT` is the port.\n',
}


def function(name, lines):
    return f'static void {name}(void)\n{{\n' + '\n'.join(lines) + '\n}\n'


def numbered(count, salt):
    return [f'\tcall_{salt}({n});' for n in range(count)]


# rule (a piece of its name), file, what is appended to it (or what replaces it), the line to be named
BREACHES = [
    ('table of layers', 'src/base/bad.c', LICENCE + '#include "net/net.h"\n', 2),
    ('table of layers', 'src/elsewhere/bad.c', LICENCE + '#include "base/text.h"\n', 2),
    ('by its one door', 'src/main.c', '+#include "net/inside.h"\n', 8),
    ('own header first', 'src/net/net.c', LICENCE + '#include <string.h>\n#include "base/text.h"\n'
     '#include "net/net.h"\nint net_send(const char *url)\n{\n\treturn text_len(url);\n}\n', 3),
    ('has one home', 'src/main.c', '+#include <curl/curl.h>\n', 8),
    ('has one home', 'src/main.c', '+#include <openssl/ssl.h>\n', 8),
    ('longer than 100 lines', 'src/base/bad.c', LICENCE + function('long_one', numbered(101, 'a')), 2),
    ('nine functions of ten', 'src/base/bad.c', LICENCE + ''.join(
        function(f'f{i}', numbered(50, f's{i}')) for i in range(5)), None),
    ('ways through', 'src/base/bad.c', LICENCE + function('branchy', ['\tif (a && b || c)\n\t\tx();'] * 6), 2),
    ('no C file is longer', 'src/base/bad.c', LICENCE + '\n' * 600, 601),
    ('no C file is longer', 'src/base/bad.h', header('src/base/bad.h', '\n' * 250), 256),
    ('stands twice', 'src/base/bad.c', LICENCE + function('one', numbered(14, 'x')) +
     function('two', numbered(14, 'x')), 21),
    ('overruns', 'src/base/bad.c', LICENCE + function('f', ['\tstrcpy(a, b);']), 4),
    ('overruns', 'src/base/bad.c', LICENCE + function('f', ['\tsystem("ls");']), 4),
    ('base/clock only', 'src/base/bad.c', LICENCE + function('f', ['\treturn time(NULL);']), 4),
    ('base/rand only', 'src/base/bad.c', LICENCE + function('f', ['\treturn rand();']), 4),
    ('base/mem only', 'src/base/bad.c', LICENCE + function('f', ['\tfree(p);']), 4),
    ('base/log only', 'src/base/bad.c', LICENCE + function('f', ['\tprintf("x");']), 4),
    ('never sleep', 'tests/unit/base/test_bad.c', LICENCE + function('f', ['\tusleep(1);']), 4),
    ('user outside', 'src/base/text.h', header('src/base/text.h', 'int text_len(const char *text);\n'
                                               'int text_gone(void);\n'), 6),
    ('user outside', 'src/main.c', LICENCE + '#include "base/text.h"\n\nint main(void)\n{\n'
     '\treturn text_len("");\n}\n', None),
    ('path', 'src/base/bad.h', LICENCE + '#ifndef WRONG_H\n#define WRONG_H\n#endif\n', 1),
    ('licence', 'src/base/bad.c', '#include <string.h>\n', 1),
    ('left to do', 'src/base/bad.c', LICENCE + '/* TO' + 'DO: later */\n', 2),
    ('log event', 'src/base/bad.c', LICENCE + function('f', ['\tlog_event(LOG_INFO, "grant.lost");']), 4),
    ('log event', 'src/base/bad.c', LICENCE + function('f', ['\tlog_event(LOG_INFO, name);']), 4),
    ('log event', 'docs/internals/events.md', '+| `grant.gone` | info | | |\n', None),
    ('every setting', 'docs/settings.md', 'Nothing.\n', None),
    ('clang-format', 'src/base/bad.c', LICENCE + 'int   x;\n', 2),
]

# the same, where the breach needs two files
LOGS = LICENCE + function('f', ['\tlog_event(LOG_INFO, "a.b", F_STR("branch", x), F_FAULT(f));'])
EVENTS = [
    ('a row without its field', '| `a.b` | info | *fault* | |\n', True),
    ('a row without its fault', '| `a.b` | info | `branch` | |\n', True),
    ('a row of another level', '| `a.b` | warn | `branch` *fault* | |\n', True),
    ('a whole row', '| `a.b` | info | `branch` *fault* | |\n', False),
]

# docs/security.md, and what its rule says of it
SECURE_TEST = LICENCE + '%s\n{\n}\n\nint main(void)\n{\n\tTEST(nobody_enters),\n}\n'
RULES_OF_47 = ''.join(f'| {n} | 1 | a rule | %s |\n' for n in range(1, 48))
HELD, DEFINED = '`test_door.c: nobody_enters`', 'static void nobody_enters(void **state)'
SECURITY = [
    ('a page whose tests are there', RULES_OF_47 % ((HELD,) * 47), SECURE_TEST % DEFINED, False),
    ('a rule that is not held yet', RULES_OF_47 % ((HELD,) * 46 + ('Not yet: why',)), SECURE_TEST % DEFINED, False),
    ('a rule that is neither', RULES_OF_47 % ((HELD,) * 46 + ('sure',)), SECURE_TEST % DEFINED, True),
    ('a rule that is missing', (RULES_OF_47 % ((HELD,) * 47)).replace('| 46 |', '| 45 |'), SECURE_TEST % DEFINED, True),
    ('a test that was renamed', RULES_OF_47 % ((HELD,) * 47), SECURE_TEST % 'static void none_enters(void **state)', True),
    ('a test that is not listed', RULES_OF_47 % ((HELD,) * 47), (SECURE_TEST % DEFINED).replace('\tTEST', '\t/* TEST'), True),
    ('a file that is not there', RULES_OF_47 % (('`test_gone.c: nobody_enters`',) * 47), SECURE_TEST % DEFINED, True),
]

EXCUSED = [
    ('a comment excuses a line', 'src/base/bad.c', LICENCE + function(
        'f', ['\t/* house: allow free: the library gave it */', '\tfree(p);'])),
    ('words in comments and strings are no calls', 'src/base/bad.c', LICENCE + function(
        'f', ['\tx("strcpy(a, b)"); /* or free(p) */'])),
    ('members and longer names are no calls', 'src/base/bad.c', LICENCE + function(
        'f', ['\tmem_free(p->free(1), q.time(2));'])),
    ('a function for tests says so', 'src/base/text.h', header(
        'src/base/text.h', 'int text_len(const char *text);\n/* Tests count with it. */\nint text_count(void);\n')),
]
BESIDE = {'a function for tests says so': {
    'src/base/count.c': LICENCE + '#include "base/text.h"\n\nint text_count(void)\n{\n\treturn 1;\n}\n',
    'tests/unit/base/test_text.c': LICENCE + '#include "base/text.h"\n\nint main(void)\n{\n\treturn text_count();\n}\n',
}}


def run(changes):
    """{rule: violations} of the rules that failed, and the names of those skipped."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for path, text in {**CLEAN, **changes}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(CLEAN[path] + text[1:] if text.startswith('+') else text)
        (root / '.clang-format').write_text((CHECK.parents[1] / '.clang-format').read_text())
        out = subprocess.run([sys.executable, CHECK, folder], capture_output=True, text=True)
    failed, skipped, said = {}, [], []
    for line in out.stdout.split('\n') + out.stderr.split('\n'):
        if line.startswith('# '):
            said.append(line[2:])
        elif match := re.match(r'(not )?ok \d+ - ([^#]*)(# SKIP)?', line):
            if match.group(1):
                failed[match.group(2)] = said
            if match.group(3):
                skipped.append(match.group(2))
            said = []
    return failed, skipped


def judge_breach(rule, path, text, line):
    failed, skipped = run({path: text})
    if any(rule in name for name in skipped):
        return None
    found = [v for name, said in failed.items() if rule in name for v in said]
    where = f'{path}:{line}:' if line else ''
    return '' if any(where in v for v in found) else f'wanted {where or rule}, got {failed}'


def cases():
    yield 'the clean tree breaks no rule', lambda: str(run({})[0] or '')
    for rule, path, text, line in BREACHES:
        yield f'"{rule}" sees the breach in {path}', lambda r=(rule, path, text, line): judge_breach(*r)
    yield '"circle" sees two directories that include each other', lambda: '' if any(
        'circle' in name for name in run({'src/net/net.h': header('src/net/net.h', '#include "store/store.h"\n'),
                                          'src/store/store.h': header('src/store/store.h', '#include "net/net.h"\n')})[0]) else 'not seen'
    for name, row, is_breach in EVENTS:
        yield f'"log event" judges {name}', lambda row=row, is_breach=is_breach: '' if is_breach == any(
            'log event' in rule for rule in run({'src/base/bad.c': LOGS, 'docs/internals/events.md': row})[0]) else row
    for name, page, test, is_breach in SECURITY:
        yield f'"docs/security.md" judges {name}', lambda page=page, test=test, is_breach=is_breach: '' if is_breach == any(
            'security.md' in rule for rule in run({'docs/security.md': page, 'tests/unit/test_door.c': test})[0]) else 'not so'
    for name, path, text in EXCUSED:
        yield name, lambda name=name, path=path, text=text: str(
            {rule: said for rule, said in run({path: text, **BESIDE.get(name, {})})[0].items()
             if 'only' in rule or 'overruns' in rule or 'user' in rule} or '')


def main():
    todo, bad = list(cases()), 0
    print(f'1..{len(todo)}')
    for number, (name, judge) in enumerate(todo, 1):
        trouble = judge()
        bad += bool(trouble)
        skip = ' # SKIP' if trouble is None else ''
        if trouble:
            print(f'# {trouble}')
        print(f'{"not ok" if trouble else "ok"} {number} - {name}{skip}')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
