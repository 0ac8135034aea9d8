#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lets spin search every interleaving of docs/internals/refresh.pml: check_refresh.py MODEL

TAP. First the model as it is, in several sizes; then without one guard at a time, where spin has to
find the very assertion that the guard keeps. A search that was cut short counts as failed.
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HOLDS = [
    ("without_mishaps_one_refresh_per_expiry_and_no_grant_dies",
     "-DPROCESSES=3 -DEXPIRIES=2 -DKILLS=0 -DLOSSES=0 -DSTOPS=0 -DCONSENTS=0"),
    ("a_kill_a_stop_a_lost_message_and_a_new_consent_at_any_step", ""),
    ("three_processes_a_kill_and_a_stop", "-DPROCESSES=3 -DEXPIRIES=1 -DLOSSES=0 -DCONSENTS=0"),
    ("two_stops_of_any_length", "-DSTOPS=2 -DEXPIRIES=1 -DLOSSES=0"),
]
FAILS = [
    ("without_the_fence_an_old_answer_is_taken_for_the_rows", "-DNO_FENCE", "grant_is_dead"),
    ("without_compare_and_set_two_processes_claim", "-DNO_COMPARE", "grant_is_dead|refreshes|window>0"),
    ("without_waiting_for_the_lease_a_used_token_is_sent", "-DNO_WAIT", "window>0|refreshes"),
    ("without_a_look_at_the_clock_a_stopped_process_sends_a_used_token", "-DNO_LOOK_AT_CLOCK", "window>0"),
    ("a_stop_between_the_look_and_the_send_is_what_the_model_assumes_away", "-DSLOW_SEND", "window>0"),
    ("handing_out_before_storing_breaks_the_second_promise", "-DNO_STORE_FIRST", "row_refresh>="),
]


def search(model: str, defines: str) -> tuple[str, str]:
    """Spin's finding ('' when there is none), and all it said."""
    with tempfile.TemporaryDirectory() as folder:
        def run(*command: str) -> str:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
            if done.returncode != 0:
                raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")
            return done.stdout

        run("spin", "-a", *defines.split(), model)
        run("gcc", "-O1", "-w", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c")
        said = run("./pan", "-m100000", "-w22")
    if "Search not completed" in said and "errors: 0" in said or "max search depth too small" in said:
        return "the search was cut short", said
    found = re.search(r"^pan:1: (.*)$", said, re.MULTILINE)
    if found:
        return found.group(1), said
    return ("" if "errors: 0" in said else "spin did not finish"), said


def main() -> int:
    model, failed, number = str(Path(sys.argv[1]).resolve()), 0, 0
    print(f"1..{len(HOLDS) + len(FAILS)}")
    for name, defines, wanted in [(n, d, None) for n, d in HOLDS] + FAILS:
        number += 1
        found, said = search(model, defines)
        good = found == "" if wanted is None else re.search(wanted, found) is not None
        states = re.search(r"(\d+) states, stored", said)
        print(f"{'ok' if good else 'not ok'} {number} - {name}", flush=True)
        print(f"# {states.group(1) if states else '?'} states; {found or 'nothing found'}", flush=True)
        failed += not good
    return 1 if failed else 0


sys.exit(main())
