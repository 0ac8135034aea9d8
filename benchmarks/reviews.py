#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Review passes of one branch on the simulator: what they cost and what they store.

  reviews.py SERVICE SIMULATOR SEED FOLDER CORE LOAD_CORE ACCOUNTS LOCATIONS REVIEWS

A full pass over ACCOUNTS × LOCATIONS × REVIEWS; with a quick pass over nothing new and two after a review
was added or edited at 1 % of the locations each time, when there are at most 20,000 of them. Before the last
one the listing of places is made to be a day old, so that a job beside the pass renews it. Prints one line:
reviews, seconds and reviews a second of the full pass, peak resident MiB, Google calls of the full pass, the
quiet one and the dearer of the two others, seconds of the first two quick ones, changes found of changes made,
Google calls of the pass with the listing beside it, all together, and of the listing alone. Calls are the
simulator's count, but for the last number, which is the job's own.
"""
import http.client
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time

QUICK_MOST = 20000
LONGEST_S = 3600


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def ask(port, method, path, body=None, key=None):
    link = http.client.HTTPConnection('127.0.0.1', port, timeout=120)
    headers = {'Content-Type': 'application/json'}
    if key:
        headers['Authorization'] = f'Bearer {key}'
    link.request(method, path, json.dumps(body) if body is not None else None, headers)
    answer = link.getresponse()
    text = answer.read()
    link.close()
    if answer.status >= 300:
        sys.exit(f'{method} {path}: {answer.status} {text[:300]}')
    return json.loads(text)


def wait_for(what, tries=400):
    for _ in range(tries):
        try:
            return what()
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
    sys.exit('a process does not start')


class Run:
    def __init__(self, args):
        self.service, self.simulator, self.seed, self.folder, self.core, self.load_core = args[:6]
        self.accounts, self.locations, self.reviews = map(int, args[6:9])
        self.children = []
        self.log = open(os.path.join(self.folder, 'reviews.log'), 'ab')

    def start(self, core, command, env=None):
        child = subprocess.Popen(['setpriv', '--pdeathsig', 'TERM', 'taskset', '-c', core, *command], env=env,
                                 stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.children.append(child)
        return child

    def google(self):
        self.google_port = free_port()
        self.start(self.load_core, [self.simulator, '--port', str(self.google_port), '--users', '1', '--accounts',
                                    str(self.accounts), '--locations', str(self.locations), '--reviews',
                                    str(self.reviews), '--reviews-exact', '--threads', '2'])
        minted = wait_for(lambda: ask(self.google_port, 'POST', '/_control/tokens', {
            'op': 'mint', 'client_id': 'bench.apps.googleusercontent.com', 'user': 'manager-1@shop.example',
            'count': 1}))
        return minted['tokens'][0]['refresh_token']

    def begin(self):
        token = self.google()
        database, ring = f'sqlite:{self.folder}/review-fetcher.db', f'{self.folder}/vault.key'
        subprocess.run([self.seed, database, ring, '1', 'due'], input=token + '\n', text=True, check=True,
                       stdout=self.log, stderr=self.log)
        self.port = free_port()
        at = f'http://127.0.0.1:{self.google_port}'
        env = {'PATH': os.environ['PATH'], 'API_PORT': str(self.port), 'API_WORKERS': '1',
               'TOKEN_MANAGEMENT_DATABASE_URL': database, 'VAULT_KEY_FILE': ring, 'LOG_LEVEL': 'warn',
               'GOOGLE_TOKEN_URL': at + '/token', 'GOOGLE_ACCOUNTS_URL': at, 'GOOGLE_LOCATIONS_URL': at,
               'GOOGLE_REVIEWS_URL': at, 'GOOGLE_REQUESTS_PER_MINUTE': '600000', 'REVIEW_SYNC_INTERVAL_SEC': '0',
               'REVIEW_RETENTION_DAYS': '0'}
        made = subprocess.run([self.service, 'key', 'create', '--name', 'bench', '--scope', 'admin'], env=env,
                              capture_output=True, text=True, check=True)
        self.key = next(word for word in made.stdout.split() if word.startswith('rf_'))
        self.env = env
        self.serve()
        for _ in range(100):
            found = ask(self.port, 'GET', '/token-management/clients?limit=1', key=self.key)
            if 'connected' in json.dumps(found):
                return
            time.sleep(0.1)

    def serve(self):
        self.process = self.start(self.core, [self.service, 'serve'], self.env)
        wait_for(lambda: ask(self.port, 'GET', '/api/v1/health'))

    # The service stops, its places were listed two days ago, and it starts again.
    def age_listing(self):
        self.process.terminate()
        self.process.wait()
        link = sqlite3.connect(f'{self.folder}/review-fetcher.db')
        with link:
            link.execute('UPDATE branch_places SET listed_at_ms = listed_at_ms - 172800000')
            link.execute('UPDATE jobs SET created_at_ms = created_at_ms - 172800000')
        link.close()
        self.serve()

    # The last job of this mode; None: there is none.
    def last(self, mode):
        while True:
            jobs = [job for job in ask(self.port, 'GET', '/api/v1/jobs', key=self.key)['jobs'] if job['mode'] == mode]
            if not jobs or jobs[0]['finished_at']:
                return jobs[0] if jobs else None
            time.sleep(0.05)

    def counts(self):
        counts = ask(self.google_port, 'GET', '/_control/counts')
        return sum(counts.get(kind, 0) for kind in ('accounts', 'locations', 'reviews', 'review', 'batch'))

    # (seconds, calls, the job)
    def job(self, mode):
        before, began = self.counts(), time.monotonic()
        job = ask(self.port, 'POST', '/api/v1/review-fetch', {'branch_id': 'branch-000001', 'mode': mode}, self.key)
        while time.monotonic() - began < LONGEST_S:
            state = ask(self.port, 'GET', f"/api/v1/status/{job['job_id']}", key=self.key)
            if state['status'] in ('completed', 'partial', 'failed', 'cancelled'):
                break
            time.sleep(0.05 if time.monotonic() - began < 10 else 0.5)
        if state['status'] != 'completed':
            sys.exit(f'the {mode} pass did not complete: {json.dumps(state)[:500]}')
        return time.monotonic() - began, self.counts() - before, state

    # Two of three changes are edits, the third is a new review.
    def change(self):
        made = 0
        for op, fraction in (('edit', 0.0067), ('add', 0.0033)):
            made += ask(self.google_port, 'POST', '/_control/world', {'op': op, 'fraction': fraction})['count']
        return made

    def peak(self):
        with open(f'/proc/{self.process.pid}/status') as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith('VmHWM'))

    def measure(self):
        self.begin()
        full = self.job('full')
        stored = full[2]['reviews']['new']
        if stored != self.accounts * self.locations * self.reviews:
            sys.exit(f'{stored} reviews were stored')
        quiet = busy = (0, 0, None)
        made = found = dearest = together = listing = 0
        if self.accounts * self.locations <= QUICK_MOST:
            quiet = self.job('quick')
            made = self.change()
            busy = self.job('quick')
            peak = self.peak()
            self.age_listing()
            made += self.change()
            before = self.counts()
            aged = self.job('quick')
            listed = self.last('places')
            together, listing = self.counts() - before, listed['google_calls'] if listed else 0
            dearest = max(busy[1], together - listing)
            found = sum(job['changes'][kind] for job in (busy[2], aged[2]) for kind in ('new', 'edited'))
            peak = max(peak, self.peak())
        else:
            peak = self.peak()
        print(stored, f'{full[0]:.1f}', round(stored / full[0]), f'{peak:.1f}', full[1], quiet[1], dearest,
              f'{quiet[0]:.1f}', f'{busy[0]:.1f}', found, made, together, listing)

    def end(self):
        for child in reversed(self.children):
            child.terminate()
            child.wait()


run = Run(sys.argv[1:])
try:
    run.measure()
finally:
    run.end()
