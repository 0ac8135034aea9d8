#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the OpenAPI document: openapi.py OUT.json VERSION ROUTE_SOURCES PIECES

ROUTE_SOURCES are the C files with route tables: path, method, scope and summary come from there. PIECES are the
*.api files of src/api/openapi, which say the rest, one thing a line (a tab or blanks in front: it belongs to what
stands above):

    tag NAME : WORDS                            of the routes from here on
    schema NAME [: OTHER…] | input NAME [: …]   an object; with the fields of the others too
      | WORDS                                   what it is
      NAME[?] TYPE WORDS                        a field; ?: it can be absent
    route METHOD PATH
      | WORDS
      path|query|header NAME TYPE WORDS         page: limit and cursor of a list
      body[?] SCHEMA [MEDIA]                    what is sent; ?: or nothing
      answer STATUS SCHEMA [MEDIA] [WORDS]      SCHEMA "-": no body, "text": some text, NAME[]: a list, or of a stream what
                                                each line or event is; EVENT=NAME,…: what the data of such an event is
      problem STATUS WORDS                      beside those that every route can answer
      example body JSON | path NAME=VALUE | query NAME=VALUE

TYPE: string integer number boolean time any json, a schema's name, or a|b|c; then (MIN..MAX), =DEFAULT, [] (a list) and
? (or null) as needed. A route without a piece is left out: tests/unit/api/test_openapi.c names it.
"""
import json
import re
import sys
from pathlib import Path

PROBLEM = 'application/problem+json'
SCOPES = ['clients:read', 'clients:write', 'tokens:read', 'tokens:manage', 'reviews:read', 'reviews:fetch',
          'reviews:reply', 'admin']
OF_A_FORM = {'cursor', 'kind', 'rating', 'Idempotency-Key', 'job_id', 'session_id'}  # strings whose words say what they are
TYPE = re.compile(r'^([^()=\[\]?]+)(?:\(([^)]*)\.\.([^)]*)\))?(?:=([^\[\]?]+))?(\[\])?(\?)?$')


class Flaw(Exception):
    pass


# ---- the route tables ----

def c_strings(text):
    return ''.join(json.loads(f'"{piece}"') for piece in re.findall(r'"((?:[^"\\]|\\.)*)"', text))


def read_routes(paths):
    routes = {}
    for path in paths:
        source = Path(path).read_text(encoding='utf-8')
        defines = dict(re.findall(r'^#define (\w+) ("[^"]*")$', source, re.M))
        for table in re.findall(r'^const struct route \w+\[\] = \{\n(.*?)^\};', source, re.M | re.S):
            for row in re.findall(r'\{("[A-Z]+".*?)\},\n', table, re.S):
                method, where, scope, _, _, _, summary = re.split(r',\s*(?![^"]*"\s*(?:,|$))', row, maxsplit=6)
                where = defines.get(where.strip(), where)
                routes[f'{c_strings(method)} {c_strings(where)}'] = (scope, c_strings(summary))
    return routes


def security(scope):
    """The ways in; the role names are our scopes (OpenAPI 3.1, Security Requirement Object)."""
    scope = scope.strip()
    if scope == '0':
        return []
    names = [word[4:].lower().replace('_', ':') for word in re.findall(r'\bKEY_\w+', scope)]
    ways = [{kind: [name]} for name in names for kind in ('key', 'session')] or [{'key': []}, {'session': []}]
    if 'ROUTE_OR_TICKET' in scope:
        ways.append({'ticket': []})
    if 'ROUTE_OR_LOOPBACK' in scope:
        ways.append({})
    return ways


# ---- the pieces ----

def number(text):
    return json.loads(text) if re.fullmatch(r'-?\d+(\.\d+)?', text) else text


def type_of(text):
    found = TYPE.match(text)
    if not found:
        raise Flaw(f'no type: {text}')
    base, least, most, default, is_list, is_null = found.groups()
    plain = {'time': {'type': 'string', 'format': 'date-time'}, 'any': {}, 'json': {'type': 'object'}}
    if base in ('string', 'integer', 'number', 'boolean'):
        it = {'type': base}
    elif base in plain:
        it = dict(plain[base])
    elif '|' in base:
        it = {'type': 'string', 'enum': base.split('|')}
    elif base[0].isupper():
        it = {'$ref': f'#/components/schemas/{base}'}
    else:
        it = {'const': base}
    low, high = ('minLength', 'maxLength') if it.get('type') == 'string' else ('minimum', 'maximum')
    if least:
        it[low] = number(least)
    if most:
        it[high] = number(most)
    if default:
        it['default'] = {'true': True, 'false': False}.get(default, number(default))
    if is_list:
        it = {'type': 'array', 'items': it}
    if is_null and '$ref' in it:
        it = {'oneOf': [it, {'type': 'null'}]}
    elif is_null and 'type' in it:
        it['type'] = [it['type'], 'null']
        if 'enum' in it:
            it['enum'] = [*it['enum'], None]
    return it


def with_words(schema, words):
    return {**schema, 'description': words} if words else schema


class Reader:
    def __init__(self, routes):
        self.routes, self.tags, self.schemas, self.paths = routes, [], {}, {}
        self.open = None  # what indented lines go to

    def begin_schema(self, kind, rest):
        name, _, others = rest.partition(':')
        it = {'type': 'object', 'properties': {}, 'required': []}
        for other in others.split():
            it['properties'].update(self.schemas[other]['properties'])
            it['required'] += self.schemas[other]['required']
        it['additionalProperties'] = kind == 'input'
        self.schemas[name.strip()] = it
        self.open = (kind, it)

    def begin_route(self, rest):
        method, path = rest.split()
        if rest not in self.routes:
            raise Flaw(f'{rest} stands in no route table')
        scope, summary = self.routes[rest]
        it = {'tags': [self.tags[-1]['name']], 'summary': summary, 'operationId': operation_id(method, path),
              'security': security(scope), 'parameters': [], 'responses': {}}
        self.paths.setdefault(path, {})[method.lower()] = it
        self.open = ('route', it)

    def add_field(self, it, line, is_input):
        name, kind, words = (line.split(None, 2) + [''])[:3]
        if name.endswith('?'):
            name = name[:-1]
            kind += '?' if is_input and not kind.endswith('?') else ''
        else:
            it['required'].append(name)
        it['properties'][name] = with_words(type_of(kind), words)

    def add_parameter(self, it, where, rest):
        name, kind, words = (rest.split(None, 2) + [''])[:3]
        is_needed = where == 'path' or name.endswith('!')
        it['parameters'].append({'name': name.rstrip('!'), 'in': where, 'required': is_needed,
                                 'schema': type_of(kind), **({'description': words} if words else {})})

    def add_page(self, it):
        self.add_parameter(it, 'query', 'limit integer(1..500)=50 How many at most')
        self.add_parameter(it, 'query', 'cursor string next_cursor of the answer before, unchanged')

    def add_answer(self, it, rest):
        status, schema, *more = rest.split()
        media = more.pop(0) if more and '/' in more[0] else 'application/json'
        answer = it['responses'].setdefault(status, {'description': ' '.join(more) or words_for(status)})
        if schema == '-':
            return
        kind = {'type': 'string'} if schema == 'text' else reference(schema.removesuffix('[]'))
        if media in ('text/event-stream', 'application/x-ndjson') and schema != 'text':
            it['responses'][status].setdefault('content', {})[media] = pieces(schema, media)
            return
        if schema.endswith('[]'):
            kind = {'type': 'array', 'items': kind}
        answer.setdefault('content', {})[media] = {'schema': kind}

    def add_example(self, it, rest):
        where, rest = rest.split(None, 1)
        if where == 'body':
            for media in it['requestBody']['content'].values():
                media.setdefault('example', json.loads(rest))
            return
        name, value = rest.split('=', 1)
        for parameter in it['parameters']:
            if parameter['in'] == where and parameter['name'] == name:
                parameter['example'] = number(value) if parameter['schema'].get('type') == 'integer' else value
                return
        raise Flaw(f'there is no {where} parameter {name}')

    def add_to_route(self, it, word, rest):
        if word in ('path', 'query', 'header'):
            self.add_parameter(it, word, rest)
        elif word == 'page':
            self.add_page(it)
        elif word in ('body', 'body?'):
            schema, media = (rest.split() + ['application/json'])[:2]
            kind = {'type': 'string'} if schema == 'text' else {'$ref': f'#/components/schemas/{schema}'}
            body = it.setdefault('requestBody', {'required': word == 'body', 'content': {}})
            body['content'][media] = {'schema': kind}
        elif word == 'answer':
            self.add_answer(it, rest)
        elif word == 'problem':
            status, words = rest.split(None, 1)
            it['responses'].setdefault(status, problem(words)).setdefault('content', {}).update(problem('')['content'])
        elif word == 'example':
            self.add_example(it, rest)
        else:
            raise Flaw(f'no such word: {word}')

    def take(self, line):
        word, rest = (line.split(None, 1) + [''])[:2]
        if line[0] not in ' \t':
            if word == 'tag':
                name, _, words = rest.partition(' : ')
                self.tags.append({'name': name, 'description': words})
            elif word in ('schema', 'input'):
                self.begin_schema(word, rest)
            elif word == 'route':
                self.begin_route(rest)
            else:
                raise Flaw(f'no such word: {word}')
            return
        kind, it = self.open
        if word == '|':
            it['description'] = f"{it['description']} {rest}" if 'description' in it else rest
        elif kind == 'route':
            self.add_to_route(it, word, rest.strip())
        else:
            self.add_field(it, line.strip(), kind == 'input')


# ---- the document ----

def operation_id(method, path):
    words = re.findall(r'[A-Za-z0-9]+', re.sub(r'^/(token-management|api/v1)', '', path)) or ['root']
    return '_'.join([method.lower(), *words])


def reference(schema):
    return {'$ref': f'#/components/schemas/{schema}'}


def pieces(schema, media):
    """An answer of many: OpenAPI 3.1 has no word for what each is, so people are told in words and programs by x-items."""
    what = 'data' if 'event' in media else 'line'
    kinds = dict((part.split('=') if '=' in part else ['*', part.removesuffix('[]')]) for part in schema.split(','))
    words = ', '.join(name if event == '*' else f'of {event} {name}' for event, name in kinds.items())
    return {'schema': {'type': 'string', 'description': f'Each {what} is a JSON object: {words}'},
            'x-items': {event: reference(name) for event, name in kinds.items()}}


def words_for(status):
    return {'200': 'Done', '201': 'Made', '202': 'Taken', '204': 'Taken', '303': 'Go there', '307': 'Go there'}.get(status, 'Answer')


def problem(words):
    return {'description': words, 'content': {PROBLEM: {'schema': {'$ref': '#/components/schemas/Problem'}}}}


def can_be_wrong(parameter):
    """Whether there are values that the service refuses with 422. What a path names is simply not there."""
    schema = parameter['schema']
    return schema.get('type') != 'string' or parameter['in'] != 'path' and (
        parameter['name'] in OF_A_FORM or any(word in schema for word in ('minLength', 'maxLength', 'enum', 'format')))


def add_problems(it):
    found = {'500': 'A fault inside the service: its log has it under this request_id',
             '503': 'The database, or what is needed behind it, does not answer now: see Retry-After'}
    if it['security']:
        found.update({'401': 'No key, or one that is not known, has expired or was revoked',
                      '429': 'More requests than this key may send in a minute: see Retry-After'})
    if any(any(way.values()) for way in it['security']):
        found['403'] = 'The key has not the scope that this takes'
    takes_json = it['security'] and 'application/json' in it.get('requestBody', {}).get('content', {})
    if any(can_be_wrong(one) for one in it['parameters']) or takes_json:
        found['422'] = 'Something that was sent is not right: errors says what, and where'
    if takes_json:
        found.update({'400': 'The body cannot be read', '415': 'The body is of another media type'})
    if 'requestBody' in it:
        found['413'] = 'The body is larger than 1 MiB' if it['security'] else 'The body is larger than 64 KiB'
    for status, words in found.items():
        it['responses'].setdefault(status, problem(words))


def document(reader, version):
    for methods in reader.paths.values():
        for it in methods.values():
            add_problems(it)
            it['responses'] = dict(sorted(it['responses'].items()))
            if not it['parameters']:
                del it['parameters']
    for schema in reader.schemas.values():
        if not schema['required']:
            del schema['required']
    scopes = ', '.join(SCOPES)
    return {
        'openapi': '3.1.0',
        'info': {
            'title': 'review-fetcher', 'version': version, 'license': {'name': 'Apache-2.0', 'identifier': 'Apache-2.0'},
            'description': 'Keeps the Google connections of many business branches alive, hands out access tokens that '
                           'work, and fetches every review. Errors are problem documents (RFC 9457). Times are UTC. '
                           'Unknown query parameters and unknown members of a body are ignored. The length of a '
                           'string is counted in bytes of UTF-8; blanks around a string of a body are dropped first.'},
        'servers': [{'url': '/'}],
        'tags': reader.tags,
        'paths': reader.paths,
        'components': {
            'schemas': reader.schemas,
            'securitySchemes': {
                'key': {'type': 'http', 'scheme': 'bearer', 'bearerFormat': 'rf_…',
                        'description': f'An API key. Its scopes are of {scopes}; admin implies all.'},
                'session': {'type': 'apiKey', 'in': 'cookie', 'name': 'rf_session',
                            'description': 'The cookie of a person who signed in; it has the scopes of the key. What changes something by it '
                               'also needs the header X-Requested-With: review-fetcher.'},
                'ticket': {'type': 'apiKey', 'in': 'query', 'name': 'ticket',
                           'description': 'The ticket of a connect link: works once, for that branch.'},
            },
        },
    }


def main():
    out, version, *paths = sys.argv[1:]
    reader = Reader(read_routes(path for path in paths if path.endswith('.c')))
    # The general one first: others take its schemas.
    for path in sorted((path for path in paths if path.endswith('.api')), key=lambda p: (Path(p).name != 'common.api', p)):
        for n, line in enumerate(Path(path).read_text(encoding='utf-8').splitlines(), 1):
            try:
                if line.strip() and not line.startswith('#'):
                    reader.take(line)
            except (Flaw, ValueError, KeyError) as flaw:
                sys.exit(f'{path}:{n}: {flaw}')
    with open(out, 'w', encoding='utf-8') as file:
        json.dump(document(reader, version), file, ensure_ascii=False, separators=(',', ':'))


main()
