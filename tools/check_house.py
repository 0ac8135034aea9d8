#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of the house (docs/architecture.md), checked: check_house.py [ROOT]

Prints TAP, one test a rule; each violation says file:line, what is wrong and the cure. A line may be
excused by a comment on it or right above it: /* house: allow malloc: the library frees it itself */
"""
import hashlib
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from functools import lru_cache
from pathlib import Path

# ---- the tables ----

ALL = {'base', 'core', 'vault', 'net', 'store', 'token_management', 'review_fetcher', 'delivery', 'console',
       'events', 'jose', 'api', 'cli'}
MAY_INCLUDE = {
    'base': set(),
    'core': {'base'},
    'vault': {'base'},
    'jose': {'base', 'core'},
    'net': {'base', 'core'},
    'store': {'base', 'core'},
    'delivery': {'base', 'core', 'events', 'net', 'store'},
    'console': {'base'},
    'events': {'base', 'core', 'store'},
    'token_management': {'base', 'core', 'events', 'jose', 'net', 'store', 'vault'},
    'review_fetcher': {'base', 'core', 'events', 'net', 'store', 'token_management'},
    'api': {'base', 'core', 'events', 'token_management', 'review_fetcher', 'console'},
    'cli': ALL,
    'main': ALL,
    'simulator': {'base', 'core'},
}
OPEN = {'base', 'core'}  # no door: each header may be included

VENDOR_HOMES = {
    r'jansson\.h': [r'src/base/json\.h'],
    r'sodium(\.h|/.*)': [r'src/base/(hash|secret|text)\.c', r'src/vault/.*'],
    r'curl/.*': [r'src/net/.*'],
    r'sqlite3\.h': [r'src/store/db_sqlite\.c'],
    r'libpq-fe\.h': [r'src/store/db_postgres\.h'],
    r'librdkafka/.*': [r'src/delivery/kafka\.h'],
    r'microhttpd\.h': [r'src/api/server.*', r'simulator/server.*'],
    r'gnutls/.*': [r'src/jose/.*', r'simulator/id_token\.c'],
}
SYSTEM_HEADERS = re.compile(
    r'(arpa|net|netinet|sys|linux)/.*|(assert|ctype|dirent|dlfcn|endian|err|errno|fcntl|float|getopt|glob'
    r'|grp|inttypes|libgen|limits|locale|malloc|math|netdb|poll|pthread|pwd|sched|semaphore|setjmp|signal'
    r'|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|syslog'
    r'|termios|threads|time|ucontext|unistd|wchar)\.h')

FUNCTION_MAX, FUNCTION_P90, FILE_MAX, HEADER_MAX = 100, 45, 600, 250
DUPLICATE_LINES, COMPLEXITY_MAX = 12, 15

# word: (where it is at home, the cure)
BANNED = {
    'text': {name: ((), 'use snprintf or struct buf') for name in
             ('strcpy', 'strcat', 'strncat', 'strncpy', 'stpcpy', 'sprintf', 'vsprintf', 'gets')} | {
        'strtok': ((), 'it keeps hidden state; use strcspn or strsep'),
        'atoi': ((), 'it cannot fail; use text_parse_int'),
        'atol': ((), 'it cannot fail; use text_parse_int'),
        'atoll': ((), 'it cannot fail; use text_parse_int'),
        'alloca': ((), 'use struct buf or mem_alloc'),
        'system': ((), 'no shell; use posix_spawn'),
        'popen': ((), 'no shell; use posix_spawn'),
        'tmpnam': ((), 'use mkstemp'),
        'mktemp': ((), 'use mkstemp'),
    },
    'time': {name: (('src/base/clock.c',), 'time comes through base/clock.h, so that tests can set it')
             for name in ('time', 'gettimeofday', 'clock_gettime', 'clock', 'sleep', 'usleep', 'nanosleep',
                          'clock_nanosleep')} | {
        name: (('src/base/clock.c',), 'not safe among threads, or local time; use base/clock.h')
        for name in ('localtime', 'gmtime', 'ctime', 'asctime', 'localtime_r', 'mktime')},
    'randomness': {name: (('src/base/rand.c',), 'randomness comes through base/rand.h')
                   for name in ('rand', 'srand', 'random', 'srandom', 'drand48', 'rand_r', 'getrandom',
                                'getentropy', 'arc4random', 'randombytes_buf', 'randombytes_random')},
    'memory': {name: (('src/base/mem.c',), 'memory comes through base/mem.h, which cannot fail; if a '
                      'library demands it: /* house: allow ' + name + ': why */')
               for name in ('malloc', 'calloc', 'realloc', 'free', 'strdup', 'strndup', 'asprintf',
                            'vasprintf', 'reallocarray', 'posix_memalign', 'aligned_alloc')},
    'logging': {name: (('src/base/log.c', 'src/base/mem.c'), 'the daemon says things through base/log.h; '
                       'for people at a terminal only src/cli, src/main.c and simulator print')
                for name in ('printf', 'fprintf', 'vfprintf', 'puts', 'fputs', 'perror', 'putchar', 'syslog')},
}
PRINTS = re.compile(r'(src/cli/.*|src/main\.c|simulator/.*|bench/.*)')

# Declared in a header and called from no other file, on purpose. Not here: what a module's inside shows to its
# unit tests, and what a door offers to tests only and says so ("Tests") in its comment.
NO_OUTSIDE_USER = {
    'hash_stable': 'jitter that survives restarts',
    'secret_equal': 'the only way secrets may be compared, so that nobody writes another',
    'json_int': 'the getters are one set', 'json_flag': 'the getters are one set',
    'event_consumer_forget': 'for deliverers', 'lease_keep': 'for work that writes under a lease',
    'json_put_bool': 'the writer is one set', 'json_put_time': 'the writer is one set',
}

# ---- reading C ----


class Source:
    def __init__(self, root, path):
        self.path = path.relative_to(root).as_posix()
        self.text = path.read_text(encoding='utf-8')
        self.lines = self.text.split('\n')
        self.code = blank(self.text)              # no comments, empty strings; same offsets
        self.code_lines = self.code.split('\n')

    @property
    def module(self):
        parts = self.path.split('/')
        if parts[0] == 'src':
            return parts[1] if len(parts) > 2 else 'main'
        return parts[0]

    def line_at(self, offset):
        return self.text.count('\n', 0, offset) + 1

    def allows(self, line, what):
        """A comment on this line or in the comment right above excuses it."""
        pattern = re.compile(r'house: allow ' + re.escape(what) + r': \S')
        return any(pattern.search(self.lines[n]) for n in (line - 1, line - 2, line - 3)
                   if 0 <= n < len(self.lines) and (n == line - 1 or not self.code_lines[n].strip()))


TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(text):
    def hide(match):
        token = match.group()
        if token[0] in '"\'':
            return token[0] + ' ' * (len(token) - 2) + token[0]
        return re.sub(r'[^\n]', ' ', token)
    return TOKEN.sub(hide, text)


def functions(source):
    """(name, first line, last line) of each definition; the house puts their braces in column 0."""
    start = None
    for number, line in enumerate(source.code_lines, 1):
        if line.rstrip() == '{' and start is None:
            head = number - 1
            while head > 0 and not re.match(r'^[A-Za-z_]', source.code_lines[head - 1]):
                head -= 1
            signature = ' '.join(source.code_lines[head - 1:number - 1])
            match = re.search(r'(\w+)\s*\(', re.sub(r'__attribute__\s*\(\(.*?\)\)|\b[A-Z_]+\([a-z_]+\)', '', signature))
            start = (match.group(1) if match else '?', head)
        elif line.startswith('}') and start:
            yield start[0], start[1], number
            start = None


def includes(source, quote):
    end = {'"': '"', '<': '>'}[quote]
    for number, line in enumerate(source.lines, 1):
        match = re.match(r'\s*#\s*include\s*' + quote + '([^' + end + ']+)' + end, line)
        if match:
            yield number, match.group(1)


def arguments(source, open_paren):
    """The texts of a call's arguments, strings kept."""
    depth, start, found = 0, open_paren + 1, []
    for i in range(open_paren, len(source.code)):
        c = source.code[i]
        if c in '([{':
            depth += 1
        elif c in ')]}':
            depth -= 1
            if depth == 0:
                return found + [source.text[start:i].strip()]
        elif c == ',' and depth == 1:
            found.append(source.text[start:i].strip())
            start = i + 1
    return found


# ---- the tree ----


class Tree:
    def __init__(self, root):
        self.root = Path(root).resolve()
        self.product = self.read('src', 'simulator', 'bench')
        self.src = [s for s in self.product if s.path.startswith('src/')]
        self.tests = self.read('tests')

    def read(self, *folders):
        found = []
        for folder in folders:
            paths = sorted((self.root / folder).rglob('*.[ch]'))
            found += [Source(self.root, p) for p in paths
                      if not any(part.startswith('build') for part in p.relative_to(self.root).parts)]
        return found

    def document(self, pattern):
        return ''.join(p.read_text(encoding='utf-8') for p in sorted(self.root.glob(pattern)))


RULES = []


def rule(name):
    def add(check):
        RULES.append((name, check))
        return check
    return add


def at(source, line, text):
    return f'{source.path}:{line}: {text}'


# ---- who may enter which room ----


def entries(tree):
    """(source, line, included path, module of it) for includes of another module."""
    for source in tree.product:
        for line, path in includes(source, '"'):
            module = path.split('/')[0] if '/' in path else source.module
            if module != source.module:
                yield source, line, path, module


@rule('a directory includes only what the table of layers allows')
def check_layers(tree):
    for source, line, path, module in entries(tree):
        allowed = MAY_INCLUDE.get(source.module)
        if source.module == 'bench':
            continue
        if allowed is None:
            yield at(source, line, f'src/{source.module} is not in the table of layers: add it to '
                     'tools/check_house.py and docs/architecture.md')
        elif module not in allowed:
            yield at(source, line, f'{source.module} may not include {path}: move the code to the layer that '
                     f'may, or hand it in as a function (allowed: {" ".join(sorted(allowed)) or "nothing"})')


@rule('directories include each other in no circle')
def check_cycles(tree):
    edges = defaultdict(dict)
    for source, line, path, module in entries(tree):
        edges[source.module].setdefault(module, at(source, line, path))

    def walk(module, path):
        for other in sorted(edges[module]):
            if other in path:
                circle = path[path.index(other):] + [other]
                return f'{edges[module][other]} closes the circle {" -> ".join(circle)}'
            found = walk(other, path + [other])
            if found:
                return found
        return None
    for module in sorted(edges):
        found = walk(module, [module])
        if found:
            yield found
            return


def door_of(module):
    """<dir>/<dir>.h, or, where one would be too long, some of them: <dir>/<dir>_<resource>.h."""
    return rf'{module}/{module}(_[a-z]+)?\.h'


@rule('another directory is entered by its one door only')
def check_doors(tree):
    for source, line, path, module in entries(tree):
        if module in ALL and module not in OPEN and not re.fullmatch(door_of(module), path):
            yield at(source, line, f'{path} is inside {module}: include {module}/{module}.h, and move what '
                     'you need there')


@rule('a C file includes its own header first')
# or one of its directory's that begins with it: an internal.h
def check_own_header(tree):
    known = {s.path for s in tree.product}
    inside = {s.path.removeprefix('src/'): {path for _, path in includes(s, '"')} for s in tree.product}
    for source in tree.product:
        own = source.path[:-2] + '.h'
        if not source.path.endswith('.c') or own not in known:
            continue
        short = own.removeprefix('src/')
        door = f'{source.module}/{source.module}.h'
        first = next((path for _, path in includes(source, '"')), '')
        first_line = next((n for n, _ in includes(source, '"')), 1)
        system = next((n for n, _ in includes(source, '<')), 10**6)
        good = first in (short, Path(own).name, door) or short in inside.get(first, ())
        if not good or system < first_line:
            yield at(source, first_line, f'include "{short}" before all others, so that it proves itself')


@rule('the header of a library has one home')
def check_vendors(tree):
    for source in tree.product:
        for line, path in includes(source, '<'):
            home = next((h for v, h in VENDOR_HOMES.items() if re.fullmatch(v, path)), None)
            if home is None and SYSTEM_HEADERS.fullmatch(path):
                continue
            if home is None:
                yield at(source, line, f'<{path}> has no home yet: give it one in tools/check_house.py and '
                         'docs/architecture.md')
            elif not any(re.fullmatch(h, source.path) for h in home) and not source.path.startswith('bench/'):
                yield at(source, line, f'<{path}> lives only in {", ".join(h.replace(chr(92), "") for h in home)}: '
                         'use what that offers')


# ---- size ----


@lru_cache(maxsize=1)
def measured(tree):
    return [(last - first + 1, source, first, name)
            for source in tree.product for name, first, last in functions(source)]


@rule(f'no function is longer than {FUNCTION_MAX} lines')
def check_function_length(tree):
    for length, source, line, name in measured(tree):
        if length > FUNCTION_MAX:
            yield at(source, line, f'{name} has {length} lines: cut it along its steps')


@rule(f'nine functions of ten have at most {FUNCTION_P90} lines')
def check_function_p90(tree):
    lengths = sorted(measured(tree), key=lambda m: m[0])
    if lengths and lengths[int(len(lengths) * 0.9)][0] > FUNCTION_P90:
        worst = ', '.join(f'{s.path}:{line} {name} {n}' for n, s, line, name in lengths[-10:])
        yield f'the tenth longest of ten has {lengths[int(len(lengths) * 0.9)][0]} lines; the longest: {worst}'


@rule(f'no function has more than {COMPLEXITY_MAX} ways through')
def check_complexity(tree):
    for source in tree.product:
        for name, first, last in functions(source):
            body = '\n'.join(source.code_lines[first - 1:last])
            ways = 1 + len(re.findall(r'\b(?:if|for|while|case)\b|&&|\|\||\?(?!:)', body))
            if ways > COMPLEXITY_MAX:
                yield at(source, first, f'{name} has {ways} ways through: cut it, or make a table of it')


@rule(f'no C file is longer than {FILE_MAX} lines, no header than {HEADER_MAX}')
def check_file_length(tree):
    for source in tree.product:
        length = len(source.lines) - 1
        if length > (HEADER_MAX if source.path.endswith('.h') else FILE_MAX):
            yield at(source, length, f'{length} lines: split it by what changes together')


@rule(f'no block of {DUPLICATE_LINES} lines stands twice')
def check_duplicates(tree):
    seen, reported = {}, set()
    for source in tree.product:
        lines = [(n, re.sub(r'\s+', ' ', line).strip()) for n, line in enumerate(source.code_lines, 1)]
        # strings count as they are: tables of different words are not copies
        lines = [(n, re.sub(r'\s+', ' ', source.lines[n - 1]).strip()) for n, line in lines
                 if line and line not in '{}' and not line.startswith('#include')]
        skip = 0
        for i in range(len(lines) - DUPLICATE_LINES + 1):
            block = lines[i:i + DUPLICATE_LINES]
            key = hashlib.sha256('\n'.join(text for _, text in block).encode()).digest()
            first = seen.setdefault(key, (source, block[0][0]))
            if first == (source, block[0][0]) or i < skip:
                continue
            skip = i + DUPLICATE_LINES
            if (source.path, first[0].path) not in reported:
                reported.add((source.path, first[0].path))
                yield at(source, block[0][0], f'the same {DUPLICATE_LINES} lines as at {first[0].path}:'
                         f'{first[1]}: make a function of them')


# ---- calls ----


def banned_calls(tree, group):
    for name, (homes, cure) in BANNED[group].items():
        pattern = re.compile(r'(?<![\w.>])' + name + r'\s*\(')
        for source in tree.src + [s for s in tree.product if s.path.startswith('simulator/')]:
            if source.path in homes or (group == 'logging' and PRINTS.fullmatch(source.path)):
                continue
            for match in pattern.finditer(source.code):
                line = source.line_at(match.start())
                if not source.allows(line, name):
                    yield at(source, line, f'{name}(): {cure}')


for group, name in (('text', 'no call that overruns, hides state or starts a shell'),
                    ('time', 'time comes through base/clock only'),
                    ('randomness', 'randomness comes through base/rand only'),
                    ('memory', 'memory comes through base/mem only'),
                    ('logging', 'the daemon prints through base/log only')):
    rule(name)(lambda tree, group=group: banned_calls(tree, group))


@rule('unit tests never sleep')
def check_test_sleep(tree):
    for source in tree.tests:
        for match in re.finditer(r'(?<!\w)(sleep|usleep|nanosleep|clock_nanosleep)\s*\(', source.code):
            line = source.line_at(match.start())
            if not source.allows(line, match.group(1)):
                yield at(source, line, f'{match.group(1)}(): wait on a condition, or move the fake clock')


# ---- names ----


def declared(source):
    """(name, line) of each extern function that a header declares."""
    for match in re.finditer(r'(?:^|(?<=[;}\n]))[^;{}#]*?\b(\w+)\s*\([^;{}]*\)[^;{}()]*(?:\([^;{}]*\)[^;{}()]*)*;',
                             re.sub(r'^[ \t]*#(?:.*\\\n)*.*', lambda m: re.sub(r'[^\n]', ' ', m.group()),
                                    source.code, flags=re.M)):
        text = match.group()
        if re.search(r'\b(typedef|static|return)\b', text) or '=' in text:
            continue
        plain = re.sub(r'__attribute__\s*\(\(.*?\)\)', '', text, flags=re.S)
        plain = re.sub(r'\bPRINTF_LIKE\s*\([^)]*\)', '', plain)
        name = re.search(r'\b(\w+)\s*\(', plain)
        if name and not re.search(r'\(\s*\*', plain[:name.end() + 2]):
            yield name.group(1), source.line_at(match.start() + text.index(name.group(1)))


@rule('every extern function has a user outside its file')
# A unit test counts as one for the inside of a module, but not for its door.
def check_users(tree):
    words = {s: set(re.findall(r'\w+', s.code)) for s in tree.product}
    tested = {word for s in tree.tests for word in re.findall(r'\w+', s.code)}
    defined = defaultdict(set)
    for source in tree.product:
        for name, _, _ in functions(source):
            defined[name].add(source)
    for header in tree.src:
        if not header.path.endswith('.h'):
            continue
        is_inside = header.module not in OPEN and not re.fullmatch(door_of(header.module), header.path[4:])
        for name, line in declared(header):
            comment = '\n'.join(header.lines[max(0, line - 5):line])
            if name in NO_OUTSIDE_USER or (name in tested and (
                    is_inside or re.search(r'\b[Tt]ests?\b', comment))):
                continue
            if not defined[name]:
                yield at(header, line, f'{name} is declared and nowhere defined: take it out')
            elif not any(name in found for source, found in words.items()
                         if source not in defined[name] and source is not header) and \
                    len(re.findall(r'\b' + name + r'\b', header.code)) < 2:
                yield at(header, line, f'{name} has no user outside its file: make it static or take it out '
                         '(if it is for tests only, say "Tests" in its comment)')


@rule('a header guard bears the name of its path')
def check_guards(tree):
    for source in tree.product + tree.tests:
        if not source.path.endswith('.h'):
            continue
        guard = re.sub(r'\W', '_', source.path.removeprefix('src/')).upper()
        if not re.search(r'^#ifndef ' + guard + r'\n#define ' + guard + r'\n', source.text, re.M):
            yield at(source, 1, f'guard it with #ifndef {guard} and #define {guard}')


@rule('every C file begins with its licence')
def check_licence(tree):
    for source in tree.product + tree.tests:
        if source.lines[0] != '/* SPDX-License-Identifier: Apache-2.0 */':
            yield at(source, 1, 'begin with /* SPDX-License-Identifier: Apache-2.0 */')


@rule('nothing is left to do, and nothing names a private place')
def check_marks(tree):
    for source in tree.product + tree.tests:
        for number, line in enumerate(source.lines, 1):
            if re.search(r'\b(TODO|FIXME|XXX|HACK)\b', line):
                yield at(source, number, 'do it, or open an issue')
            if re.search(r'(?<![\w.])/(work|home|tmp/wt|root)/\w', line):
                yield at(source, number, 'names a path of one machine')


# ---- documents ----


def events(tree):
    """(source, line, event names, what its row must name) of each call that logs."""
    for source in tree.src:
        for match in re.finditer(r'\blog_event\s*\(', source.code):
            if source.path.startswith('src/base/log.'):
                continue
            level, name, *fields = arguments(source, match.end() - 1) + ['', '']
            wanted = ['`' + key + '`' for f in fields for key in re.findall(r'^F_\w+\("(\w+)"', f)]
            wanted += ['*fault*'] * any(f.startswith('F_FAULT') for f in fields)
            wanted += [word.lower() for word in re.findall(r'^LOG_(\w+)$', level)]
            yield source, source.line_at(match.start()), re.findall(r'"([^"]*)"', name), wanted


@rule('every log event is in docs/internals/events.md with level and fields, and nothing else')
def check_events(tree):
    rows = dict(re.findall(r'^\| `([\w.]+)` \|(.*)$', tree.document('docs/internals/events.md'), re.M))
    used = {'memory.exhausted'}  # written by base/mem.c without the log, which needs memory
    for source, line, names, wanted in events(tree):
        used.update(names)
        if not names:
            yield at(source, line, 'write the event name as a literal in the call, so that it can be found')
        for name in names:
            if not re.fullmatch(r'[a-z0-9_]+(\.[a-z0-9_]+)+', name):
                yield at(source, line, f'event "{name}": name it noun.what_happened')
            if name not in rows:
                yield at(source, line, f'event "{name}" is missing in docs/internals/events.md: add its row')
                continue
            cells = rows[name].split('|')
            missing = [w for w in wanted if w not in cells[0] + cells[1]]
            if missing:
                yield at(source, line, f'the row of "{name}" in docs/internals/events.md lacks '
                         + ' '.join(missing))
    for name in sorted(rows.keys() - used):
        yield f'docs/internals/events.md: no code logs "{name}" any more: take the row out'


@rule('every setting is in the documents')
def check_settings(tree):
    table = next((s for s in tree.src if s.path == 'src/core/settings_table.c'), None)
    if table is None:
        return
    documents = tree.document('docs/*.md') + tree.document('docs/*/*.md') + tree.document('man/*') + \
        tree.document('README.md')
    for match in re.finditer(r'^\t\{\w+, "([A-Z0-9_]+)"', table.text, re.M):
        if not re.search(r'\b' + match.group(1) + r'\b', documents):
            yield at(table, table.line_at(match.start()),
                     f'{match.group(1)} is in no page under docs/ or man/: describe it where settings are')


TEST_IN_C = re.compile(r'^static void (\w+)\(void \*\*state\)', re.M)
TEST_IN_JS = re.compile(r'^\s*test\(\'(\w+)\'', re.M)


def test_names(path):
    """The tests of a file that run: in C, defined and listed."""
    text = path.read_text(encoding='utf-8')
    if path.suffix == '.mjs':
        return set(TEST_IN_JS.findall(text))
    return {name for name in TEST_IN_C.findall(text) if re.search(r'^\s+\w+\(' + name + r'\),', text, re.M)}


@rule('every test that docs/security.md names is there, and each of its 47 rules has one or says why not')
def check_security(tree):
    page = tree.root / 'docs/security.md'
    if not page.exists():
        return
    files = defaultdict(list)
    for path in [*tree.root.glob('tests/**/*.c'), *tree.root.glob('tests/**/*.mjs')]:
        files[path.name].append(path)
    seen = []
    for number, line in enumerate(page.read_text(encoding='utf-8').split('\n'), 1):
        where = f'docs/security.md:{number}:'
        named = re.findall(r'`([\w.]+\.(?:c|mjs)): (\w+)`', line)
        for file, test in named:
            if len(files[file]) != 1:
                yield f'{where} {len(files[file])} files under tests/ are called {file}: name one that is there'
            elif test not in test_names(files[file][0]):
                yield f'{where} {file} has no test {test} that runs: write it, or name the one that holds the rule'
        row = re.match(r'\| (\d+) \|', line)
        if row:
            seen.append(int(row.group(1)))
            if not named and 'Not yet: ' not in line:
                yield f'{where} name the test that holds rule {row.group(1)}, or say "Not yet: " and why'
    if seen != list(range(1, 48)):
        yield f'docs/security.md:1: its table has the rules {seen}: it wants 1 to 47, each once'


# ---- layout ----


@rule('clang-format has nothing to say')
def check_format(tree):
    tool = next((t for t in map(shutil.which, ('clang-format-14', 'clang-format')) if t), None)
    if not tool or ' 14.' not in subprocess.run([tool, '--version'], capture_output=True, text=True).stdout:
        raise Skip('clang-format 14 is not here; other versions lay out differently')
    files = [s.path for s in tree.product + tree.tests]
    if not files:
        return
    done = subprocess.run([tool, '--dry-run', '-Werror', '--ferror-limit=1', *files], cwd=tree.root,
                          capture_output=True, text=True)
    for line in done.stderr.split('\n'):
        match = re.match(r'(.+?:\d+):\d+: error: ', line)
        if match:
            path = match.group(1).rsplit(':', 1)[0]
            yield f'{match.group(1)}: not as clang-format lays it out: clang-format -i {path}'


class Skip(Exception):
    pass


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    tree = Tree(root)
    failed = 0
    print(f'1..{len(RULES)}')
    for number, (name, check) in enumerate(RULES, 1):
        try:
            found = list(check(tree))
        except Skip as why:
            print(f'ok {number} - {name} # SKIP {why}')
            continue
        for violation in found:
            print(f'# {violation}')
        failed += bool(found)
        print(f'{"not ok" if found else "ok"} {number} - {name}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
