#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts what Meson's tests of one suite did: tally.py BUILD_DIR/meson-logs/testlog.json SUITE

Prints "PASSED FAILED SECONDS" on stdout, from the suite's first start to its last end, and on stderr the
output of every program that failed. A TAP program
counts with its cases, any other as one. A program that ran no case is a failure, and so is a run
without programs: a test that tests nothing must not look like success. So is a program whose cases
all passed but which ended badly, as one with a leak does.
"""
import json
import re
import sys

POINT = re.compile(r"^(not )?ok\b(.*)$", re.MULTILINE)
IS_TAP = re.compile(r"^(TAP version|1\.\.\d+)", re.MULTILINE)


def judge(run: dict) -> tuple[int, list[str]]:
    """Cases passed, and a sentence for each failure, of one program."""
    name, out, good = run["name"], run.get("stdout") or "", run["result"] == "OK"
    if not IS_TAP.search(out):
        return (1, []) if good else (0, [f"{name}: {run['result']} (exit {run.get('returncode')})"])
    passed, skipped, failures = 0, 0, []
    for is_bad, rest in POINT.findall(out):
        if re.search(r"# SKIP", rest, re.IGNORECASE):  # cmocka says "not ok" before it
            skipped += 1
        elif is_bad:
            failures.append(f"{name}: {rest.strip(' -')}")
        else:
            passed += 1
    # Meson takes cmocka's skipped case for a failed one; only the exit status tells.
    if not failures and not good and not (skipped and run.get("returncode") == 0):
        failures.append(f"{name}: {run['result']} (exit {run.get('returncode')})")
    if passed == 0 and not failures and not skipped:
        failures.append(f"{name}: no case ran")
    return passed, failures


def suites(run: dict) -> list[str]:
    """Of "project:unit+unit-postgres / its name": how Meson writes them down."""
    return run["name"].split(" / ")[0].split(":")[-1].split("+")


def runs(path: str, suite: str) -> list[dict]:
    try:
        with open(path, encoding="utf-8") as log:
            return [run for run in map(json.loads, log) if suite in suites(run)]
    except FileNotFoundError:
        return []


def show(run: dict) -> None:
    for stream in ("stdout", "stderr"):
        text = (run.get(stream) or "").rstrip()
        lines = [t for t in text.splitlines() if not t.startswith("ok ")]
        print("\n".join("    " + t for t in lines[-60:]), file=sys.stderr)


def main() -> None:
    passed, failed = 0, 0
    done = runs(sys.argv[1], sys.argv[2])
    for run in done:
        good, failures = judge(run)
        passed += good
        failed += len(failures)
        for sentence in failures:
            print(f"not ok: {sentence}", file=sys.stderr)
        if failures:
            show(run)
    if passed == 0 and failed == 0:
        print("not ok: no test ran", file=sys.stderr)
        failed = 1
    seconds = max((r["starttime"] + r["duration"] for r in done), default=0) - min((r["starttime"] for r in done), default=0)
    print(passed, failed, round(seconds))


main()
