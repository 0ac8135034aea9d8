#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the files of deployment promise: files.py PROJECT. TAP."""
import re
import subprocess
import sys
from pathlib import Path

project = Path(sys.argv[1])
compose = (project / "docker-compose.yml").read_text()
dockerfile = (project / "Dockerfile").read_text()
unit = (project / "deploy/review-fetcher.service").read_text()


def exposure_is_small() -> bool:
    """systemd's own judgement, in tenths: 20 is the most that the product allows itself."""
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20",
                           str(project / "deploy/review-fetcher.service")], capture_output=True, text=True, check=False)
    print("#", done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr.strip())
    return done.returncode == 0


def has_all(text: str, *lines: str) -> bool:
    missing = [line for line in lines if line not in text]
    for line in missing:
        print("# missing:", line)
    return not missing


CHECKS = [
    ("systemd_rates_the_exposure_of_the_unit_at_2_0_or_better", exposure_is_small),
    ("the_unit_is_a_user_of_its_own_on_a_strict_system_without_core_dumps", lambda: has_all(
        unit, "DynamicUser=yes", "ProtectSystem=strict", "MemoryDenyWriteExecute=yes", "LimitCORE=0")),
    ("the_compose_file_keeps_the_originals_address_of_the_database", lambda: has_all(
        compose, "postgres-tokens:", '"-p", "5435"', "POSTGRES_DB: token_service_db", "POSTGRES_USER: token_user")),
    ("no_password_stands_in_the_compose_file", lambda: re.search(
        r"PASSWORD: *\S|://[^\s@]*:[^\s@]*@", compose) is None and has_all(
        compose, "POSTGRES_PASSWORD_FILE:", "DATABASE_PASSWORD_FILE:")),
    ("two_processes_on_a_read_only_root_stand_behind_the_balancer", lambda: has_all(
        compose, "service-1:", "service-2:", "balancer:", "read_only: true", "cap_drop: [ALL]") and has_all(
        (project / "deploy/balancer.conf").read_text(), "server service-1:8084", "server service-2:8084")),
    ("the_image_runs_as_nobody_special_and_tells_its_health", lambda: has_all(
        dockerfile, "USER 10001", "HEALTHCHECK", "AS build")),
]

failed = 0
print(f"1..{len(CHECKS)}")
for number, (name, check) in enumerate(CHECKS, 1):
    good = check()
    failed += not good
    print(f"{'ok' if good else 'not ok'} {number} - {name}")
sys.exit(1 if failed else 0)
