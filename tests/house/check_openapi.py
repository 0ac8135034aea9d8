#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the handlers read of a request against what the OpenAPI document says: check_openapi.py OPENAPI.json SRC/api

Followed function by function: a handler's own words, and those of the functions that it calls in its file and in the
files that handlers share: the names, and the least, the most and the default that stand beside them. TAP on stdout.
"""
import json
import math
import re
import sys
from pathlib import Path

READS = re.compile(r'\b(request_query\w*|request_header|request_field_\w+|request_error|read_\w+|take_field|json_member|'
                   r'refuse_fixed|form_field)\(([^;{}]*?)"([A-Za-z][\w-]*)"', re.S)
BOUNDS = (  # call, where, and what its arguments behind the name are
    (re.compile(r'\brequest_field_text\(\s*req,\s*body,\s*"(\w+)",([^;{}]*?)\)', re.S), 'body', ('minLength', 'maxLength', 'required')),
    (re.compile(r'\brequest_field_int\(\s*req,\s*body,\s*"(\w+)",([^;{}]*?)\)', re.S), 'body', ('minimum', 'maximum', 'required')),
    (re.compile(r'\brequest_query_int\(\s*req,\s*"(\w+)",([^;{}]*?)\)', re.S), 'query', ('minimum', 'maximum', 'default')),
    (re.compile(r'\bread_(?:text|word)\(\s*req,\s*"(\w+)",([^;{}]*?)\)', re.S), 'query', ('maxLength',)),
)
# Read by the service itself for every route, or of what is not the request's.
COMMON = {'Accept', 'Content-Type', 'If-None-Match', 'User-Agent', 'Accept-Encoding', 'Authorization', 'Origin', 'Cookie'}
SHARED = ('client_list.c', 'scope.c', 'revoking.c', 'request.c', 'path.c')
ONE_OF_TWO = {'branch_id', 'access_token'}  # of a job's body: the words of the schema say so
# Read by the modules behind; checked against the running service.
BODY_ELSEWHERE = {'POST /token-management/import', 'POST /api/v1/notifications/google'}


def functions(source):
    """Every function of a file by name, with its body."""
    found = {}
    for match in re.finditer(r'^(?:static )?[\w* ]+?\b(\w+)\([^;{]*?\)\n\{\n(.*?)^\}', source, re.M | re.S):
        found[match[1]] = match[2]
    return found


def routes(source, defines):
    for table in re.findall(r'^const struct route \w+\[\] = \{\n(.*?)^\};', source, re.M | re.S):
        for method, path, rest in re.findall(r'\{"([A-Z]+)",\s*("[^"]*"|\w+),(.*?)\},\n', table, re.S):
            names = [word.strip() for word in rest.split(',')[1:5]]
            yield f'{method} {defines.get(path, path).strip(chr(34))}', [n for n in names if re.fullmatch(r'[a-z_]\w+', n)]


def names_read(start, bodies):
    seen, todo, names = set(), list(start), {}
    while todo:
        name = todo.pop()
        if name in seen or name not in bodies:
            continue
        seen.add(name)
        body = bodies[name]
        for call, before, word in READS.findall(body):
            where = 'header' if call == 'request_header' or '"header"' in before else 'body' if \
                call.startswith('request_field') or call in ('json_member', 'take_field', 'form_field') or '"body"' in before else 'query'
            if word not in ('body', 'query', 'header', 'path'):
                names.setdefault(word, set()).add(where)
        if re.search(r'fixed\[\]', body):
            continue  # members that are refused
        names.update({word: {'query'} for word in re.findall(r'text_equal\(req->query\[i\]\.name, "(\w+)"\)', body)})
        todo += re.findall(r'\b([a-z_]\w*)\b', re.sub(r'"(?:[^"\\]|\\.)*"', '', body))
    return names


def constants(source):
    """Every constant of the sources that is a number, by name."""
    found = {'INT64_MAX': None, 'true': True, 'false': False}
    for file in sorted(source.rglob('*.[ch]')):
        text = re.sub(r'\\\n', ' ', file.read_text(encoding='utf-8'))
        for name, value in re.findall(r'^\s*(?:#define )?([A-Z][A-Z0-9_]+)(?: =)? \(?([0-9][0-9 *]*)\)?,?[ \t]*(?:/\*.*)?$', text, re.M):
            found[name] = math.prod(int(part) for part in value.split('*'))
    return found


def bounds_read(start, bodies, numbers):
    """(where, name) → {minLength: 1, …}, as the handlers' calls have it."""
    seen, todo, found = set(), list(start), {}
    while todo:
        name = todo.pop()
        if name in seen or name not in bodies:
            continue
        seen.add(name)
        for call, where, words in BOUNDS:
            for field, rest in call.findall(bodies[name]):
                values = [part.strip() for part in rest.split(',')]
                found[(where, field)] = {word: numbers[value] if value in numbers else int(value) for word, value in zip(words, values)}
        todo += re.findall(r'\b([a-z_]\w*)\b', re.sub(r'"(?:[^"\\]|\\.)*"', '', bodies[name]))
    return found


def bounds_flaws(read, operation, document):
    said = {(p['in'], p['name']): p['schema'] for p in operation.get('parameters', [])}
    for media in operation.get('requestBody', {}).get('content', {}).values():
        if '$ref' in media['schema']:
            schema = document['components']['schemas'][media['schema']['$ref'].rsplit('/', 1)[1]]
            said.update({('body', name): {**one, 'required': name in schema.get('required', [])} for name, one in schema['properties'].items()})
    for (where, name), bounds in sorted(read.items()):
        schema = said.get((where, name))
        if schema is None or 'enum' in schema or schema.get('format') == 'date-time':
            continue  # a missing one is told by its name; these have bounds of another kind
        for word, value in bounds.items():
            if schema.get(word) != value and (word != 'required' or name not in ONE_OF_TWO):
                yield f'{where} {name}: {word} is {value} in the handler and {schema.get(word)} in the description'


def described(operation, document):
    names = {p['name'] for p in operation.get('parameters', []) if p['in'] != 'path'}
    for media in operation.get('requestBody', {}).get('content', {}).values():
        reference = media['schema'].get('$ref')
        if reference:
            names |= set(document['components']['schemas'][reference.rsplit('/', 1)[1]]['properties'])
    return names


def main():
    document = json.loads(Path(sys.argv[1]).read_text(encoding='utf-8'))
    folder = Path(sys.argv[2])
    shared, numbers = {}, constants(folder.parent)
    for name in SHARED:
        shared.update(functions((folder / name).read_text(encoding='utf-8')))
    results = []
    for file in sorted(folder.glob('*.c')):
        source = file.read_text(encoding='utf-8')
        if 'const struct route ' not in source:
            continue
        bodies = {**shared, **functions(source)}
        for route, handlers in routes(source, dict(re.findall(r'^#define (\w+) ("[^"]*")$', source, re.M))):
            method, path = route.split()
            operation = document['paths'].get(path, {}).get(method.lower())
            if operation is None:
                results.append((route, ['no piece of src/api/openapi describes it']))
                continue
            read = set(names_read(handlers, bodies)) - COMMON
            said = described(operation, document) - COMMON
            if route in BODY_ELSEWHERE:
                said &= {p['name'] for p in operation.get('parameters', [])}
            media = operation.get('requestBody', {}).get('content', {})
            if 'application/x-www-form-urlencoded' in media:
                read -= {'link', 'key', 'next', 'csrf'}
            flaws = [f'{name} is read but not described' for name in sorted(read - said)]
            flaws += [f'{name} is described but not read' for name in sorted(said - read)]
            flaws += bounds_flaws(bounds_read(handlers, bodies, numbers), operation, document)
            results.append((route, flaws))
    print(f'1..{len(results)}')
    for n, (route, flaws) in enumerate(results, 1):
        print(f"{'not ok' if flaws else 'ok'} {n} - what {route} reads is what is described")
        for flaw in flaws:
            print(f'# {flaw}')
    return any(flaws for _, flaws in results)


sys.exit(main())
