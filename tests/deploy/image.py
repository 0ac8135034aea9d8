#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Carries out the Dockerfile without a container engine: image.py PROJECT

Each stage is a bare Debian 12 made with mmdebstrap, each instruction is done in it by chroot, and then
what the image promises is looked at: it serves as its user on a read-only root, its health check tells the
truth, and it holds no compiler. TAP. Needs root, mount and Debian's package server; without, it is skipped.
"""
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

PORT = "18084"


def sh(*command: str, **more) -> subprocess.CompletedProcess:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done


def instructions(text: str) -> list[tuple[str, str]]:
    lines = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


def words(text: str) -> list[str]:
    """The exec form of CMD, ENTRYPOINT and HEALTHCHECK."""
    return re.findall(r'"([^"]*)"', text)


class Stage:
    def __init__(self, base: Path, root: Path):
        self.root, self.env, self.folder, self.outside = root, {}, "/", {}
        self.user, self.start, self.check, self.volume = "0", [], [], None
        sh("cp", "-a", "--reflink=auto", str(base), str(root))
        for name in ("resolv.conf", "hosts"):
            shutil.copy(f"/etc/{name}", root / "etc" / name)
        if Path("/etc/npmrc").exists():  # this and the next, of a network that has its own
            shutil.copy("/etc/npmrc", root / "etc/npmrc")
        if "NODE_EXTRA_CA_CERTS" in os.environ:
            self.outside["NODE_EXTRA_CA_CERTS"] = os.environ["NODE_EXTRA_CA_CERTS"]
        authorities = Path("/usr/local/share/ca-certificates")
        if authorities.is_dir():
            shutil.copytree(authorities, root / "usr/local/share/ca-certificates", dirs_exist_ok=True)
        self.mount("proc", "-t", "proc")
        self.mount("/dev", "--rbind")

    def mount(self, what: str, *how: str) -> None:
        at = self.root / Path(what).name
        sh("mount", *how, what, str(at))

    def unmount(self) -> None:
        for name in ("dev", "proc"):
            subprocess.run(["umount", "-Rl", str(self.root / name)], check=False, capture_output=True)

    def chroot(self, *command: str, user: str = "0") -> list[str]:
        env = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
               "DEBIAN_FRONTEND=noninteractive", *(f"{k}={v}" for k, v in (self.env | self.outside).items())]
        return ["chroot", f"--userspec={user}:{user}", str(self.root), "env", "-i", "-C", self.folder, *env, *command]

    def copy(self, source: Path, to: str) -> None:
        target = self.root / self.folder.lstrip("/") / to.lstrip("/") if not to.startswith("/") else self.root / to[1:]
        target.mkdir(parents=True, exist_ok=True)
        hidden = shutil.ignore_patterns(".git", "build*", "var", "node_modules", "*.log")  # as .dockerignore: at the top
        shutil.copytree(source, target, dirs_exist_ok=True, symlinks=True,
                        ignore=lambda folder, names: hidden(folder, names) if Path(folder) == source else [])

    def do(self, what: str, rest: str, project: Path, stages: dict) -> None:
        if what == "RUN":
            sh(*self.chroot("sh", "-c", rest))
        elif what == "COPY" and rest.startswith("--from="):
            name, source, to = re.match(r"--from=(\S+) (\S+) (\S+)", rest).groups()
            self.copy(stages[name].root / source.strip("/"), to)
        elif what == "COPY":
            source, to = rest.split()
            self.copy(project / source, to)
        elif what == "WORKDIR":
            self.folder = rest
            (self.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif what == "ENV":
            self.env |= dict(word.split("=", 1) for word in shlex.split(rest))
        elif what in ("USER", "VOLUME"):
            setattr(self, what.lower(), rest)
        elif what in ("ENTRYPOINT", "CMD"):
            self.start += words(rest)
        elif what == "HEALTHCHECK":
            self.check = words(rest)
        elif what not in ("EXPOSE", "STOPSIGNAL"):
            raise RuntimeError(f"this test does not know the instruction {what}")


def build(project: Path, work: Path, stages: dict) -> Stage:
    stage = None
    for what, rest in instructions((project / "Dockerfile").read_text()):
        if what == "FROM":
            base, _, name = re.match(r"(\S+)( AS (\S+))?", rest).groups()
            if base != "debian:12-slim":
                raise RuntimeError(f"unknown base {base}")
            name = name or "image"
            stage = stages[name] = Stage(work / "base", work / name)
        else:
            stage.do(what, rest, project, stages)
    return stage


def health() -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/api/v1/health", timeout=2) as answer:
        return answer.read().decode()


class Running:
    """The image's own command, as its user, on a root that cannot be written but for the volume."""

    def __init__(self, stage: Stage, work: Path):
        inside = [*stage.chroot(*stage.start, user=stage.user)]
        # Its own mount namespace: whatever is mounted in it ends with it.
        script = (f"mount --bind {stage.root} {stage.root} && mount -o remount,bind,ro {stage.root} && "
                  f"mount --bind {work}/volume {stage.root}{stage.volume} && "
                  f"mount -t proc proc {stage.root}/proc && mount --rbind /dev {stage.root}/dev && "
                  f"exec {shlex.join(inside)}")
        self.log = open(work / "log", "w+", encoding="utf-8")
        self.process = subprocess.Popen(["unshare", "--mount", "sh", "-c", script],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def wait(self) -> str:
        for _ in range(300):
            try:
                return health()
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        self.log.seek(0)
        raise RuntimeError("it does not serve: " + self.log.read()[-2000:])

    def end(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(timeout=60)
        finally:
            self.process.kill()
            self.log.close()


def looks(stage: Stage, work: Path):
    """(name, whether it is so) of each promise."""
    stage.env |= {"API_PORT": PORT}
    yield "the_image_holds_no_compiler_and_no_package_of_the_build", not any(
        (stage.root / "usr/bin" / name).exists() for name in ("gcc", "cc", "meson", "ninja"))
    yield "every_library_of_the_program_is_there", "not found" not in sh(
        *stage.chroot("ldd", stage.start[0])).stdout
    volume = work / "volume"
    volume.mkdir()
    owner = os.stat(stage.root / stage.volume.lstrip("/"))
    os.chown(volume, owner.st_uid, owner.st_gid)
    os.chmod(volume, owner.st_mode & 0o777)
    running = Running(stage, work)
    try:
        yield "it_serves_on_a_read_only_root", "healthy" in running.wait()
        status = Path(f"/proc/{running.process.pid}/status").read_text()
        yield "it_runs_as_its_own_user_without_rights", (
            re.search(r"^Uid:\s+10001\b", status, re.MULTILINE) is not None
            and re.search(r"^CapEff:\s+0+$", status, re.MULTILINE) is not None)
        yield "its_data_is_in_the_volume_alone_and_for_it_alone", (
            (volume / "vault.key").stat().st_mode & 0o777 == 0o600
            and (volume / "review-fetcher.db").stat().st_mode & 0o777 == 0o600)
        sh(*stage.chroot(*stage.check, user=stage.user))
        yield "the_health_check_passes_while_it_serves", True
    finally:
        rc = running.end()
    yield "it_ends_well_when_it_is_told_to", rc == 0
    failed = subprocess.run(stage.chroot(*stage.check, user=stage.user), capture_output=True, check=False)
    yield "the_health_check_fails_when_it_does_not_serve", failed.returncode != 0


def can_mount(work: Path) -> bool:
    (work / "try").mkdir()
    tried = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", str(work / "try")],
                           check=False, capture_output=True)
    return tried.returncode == 0


def main() -> int:
    project, failed, number = Path(sys.argv[1]).resolve(), 0, 0
    print("TAP version 13")
    with tempfile.TemporaryDirectory(prefix="image-") as folder:
        work, stages = Path(folder), {}
        if os.geteuid() != 0 or not shutil.which("mmdebstrap") or not can_mount(work):
            print("ok 1 - the_image # SKIP needs root, mount and mmdebstrap\n1..1")
            return 0
        try:
            # Debian's own images have this option of dpkg too: what dies with the machine needs no disk.
            sh("mmdebstrap", "--variant=minbase", "--mode=root", "--dpkgopt=force-unsafe-io", "bookworm", str(work / "base"))
            for name, is_so in looks(build(project, work, stages), work):
                number += 1
                failed += not is_so
                print(f"{'ok' if is_so else 'not ok'} {number} - {name}", flush=True)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            number, failed = number + 1, failed + 1
            print(f"not ok {number} - the image's steps\n# " + str(error).replace("\n", "\n# "))
        finally:
            for stage in stages.values():
                stage.unmount()
    print(f"1..{number}")
    return 1 if failed else 0


sys.exit(main())
