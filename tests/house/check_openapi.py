#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the handlers read of a request against what the OpenAPI document says: check_openapi.py OPENAPI.json SRC/api

Followed function by function: a handler's own words, and those of the functions that it calls in its file and in the
files that handlers share. TAP on stdout.
"""
import json
import re
import sys
from pathlib import Path

READS = re.compile(r'\b(request_query\w*|request_header|request_field_\w+|request_error|read_\w+|take_field|json_member|'
                   r'refuse_fixed|form_field)\(([^;{}]*?)"([A-Za-z][\w-]*)"', re.S)
# Read by the service itself for every route, or of what is not the request's.
COMMON = {'Accept', 'Content-Type', 'If-None-Match', 'User-Agent', 'Accept-Encoding', 'Authorization', 'Origin', 'Cookie'}
SHARED = ('client_list.c', 'scope.c', 'revoking.c', 'request.c', 'path.c')
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
    shared = {}
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
            results.append((route, flaws))
    print(f'1..{len(results)}')
    for n, (route, flaws) in enumerate(results, 1):
        print(f"{'not ok' if flaws else 'ok'} {n} - what {route} reads is what is described")
        for flaw in flaws:
            print(f'# {flaw}')
    return any(flaws for _, flaws in results)


sys.exit(main())
