# SPDX-License-Identifier: Apache-2.0
"""Talks with the simulator for ./bench: refreshes.py mint|rate PORT COUNT

mint  prints so many refresh tokens, and makes each refresh take 200 ms
rate  waits until all of them were refreshed, and prints how many a second
"""
import json
import sys
import time
import urllib.request

LONGEST_S = 120


def control(port, path, body=None):
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f'http://127.0.0.1:{port}/_control{path}', data,
                                     {'Content-Type': 'application/json'})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        return json.load(answer)


def mint(port, count):
    end = time.monotonic() + 10
    while True:
        try:
            control(port, '/settings', {'max_refresh_tokens': count})
            break
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
    found = control(port, '/tokens', {'op': 'mint', 'client_id': 'bench.apps.googleusercontent.com', 'count': count})
    control(port, '/faults', {'target': 'token_refresh', 'latency_ms': 200})
    for token in found['tokens']:
        print(token['refresh_token'])


def rate(port, count):
    end = time.monotonic() + LONGEST_S
    seen = []
    while not seen or seen[-1][1] < count * 0.9:
        if time.monotonic() > end:
            sys.exit(f'only {seen[-1][1]} of {count} refreshes came: {control(port, "/counts")}')
        seen.append((time.monotonic(), control(port, '/counts').get('token_refresh', 0)))
        time.sleep(0.05)
    first = next(x for x in seen if x[1] >= count * 0.1)
    last = seen[-1]
    print(round((last[1] - first[1]) / (last[0] - first[0])))


port, count = int(sys.argv[2]), int(sys.argv[3])
mint(port, count) if sys.argv[1] == 'mint' else rate(port, count)
