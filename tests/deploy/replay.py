"""Carries out the Dockerfile's own steps without Docker, on a Debian that debootstrap made.

``python -m tests.deploy.replay cpu --debian DIR --work DIR --cache DIR``, as root. Each stage is an
overlay over that Debian; each step runs in a mount and process namespace of its own. What this
machine needs to reach its registries (hosts, certificates, caches) is lent to the steps.
"""

import argparse
import logging
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy.dockerfile import (
    Stage,
    Step,
    expand,
    ignores,
    is_ignored,
    needed,
    pairs,
    read_dockerfile,
)

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
log = logging.getLogger(__name__)
_LENT = "/run/lent-certificates.crt"
_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")


@dataclass
class Built:
    """A stage's files, and what its instructions say about how it runs."""

    name: str
    debian: Path
    folder: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    workdir: str = "/"
    user: str = "0:0"

    @property
    def upper(self) -> Path:
        return self.folder / "upper"

    @property
    def mount_point(self) -> Path:
        return self.folder / "merged"

    def make_folders(self) -> None:
        for name in ("upper", "work", "merged"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def mounts(self, binds: dict[Path, str]) -> list[str]:
        """Lines of a shell script, for a mount namespace that ends with it."""
        root = self.mount_point
        layers = f"lowerdir={self.debian},upperdir={self.upper},workdir={self.folder / 'work'}"
        lines = [
            "set -e",
            f"mount -t overlay danzar -o {layers} {root}",
            f"mount --rbind /dev {root}/dev",
            f"mount -t proc proc {root}/proc",
            f"mount -t tmpfs -o mode=1777 tmp {root}/tmp",
            f"mount -t tmpfs run {root}/run",
        ]
        for outside, inside in binds.items():
            place = f"{root}{inside}"
            make = f"mkdir -p {place}"
            if outside.is_file():
                make = f"mkdir -p $(dirname {place}); touch {place}"
            lines += [make, f"mount --bind {outside} {place}"]
        return lines

    def script(self, inner: str, binds: dict[Path, str], user: str) -> str:
        """A shell script for a fresh mount namespace: mount, and run ``inner`` in the stage."""
        q = shlex.quote
        settings = " ".join(f"{name}={q(value)}" for name, value in self.environment.items())
        go = f"mkdir -p {self.workdir}; cd {self.workdir}; {inner}"
        last = (
            f"exec chroot --userspec={user} {self.mount_point} env -i {settings} /bin/sh -c {q(go)}"
        )
        return "\n".join([*self.mounts(binds), last])

    def command(self, inner: str, binds: dict[Path, str], user: str) -> list[str]:
        script = self.script(inner, binds, user)
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]


def run_contained(built: Built, argv: list[str], volumes: dict[Path, str]) -> int:
    """Run a program as a container would have it run, and wait for its end.

    As the image's user without any right, on a read-only root, with no network but loopback.
    """
    root, q = built.mount_point, shlex.quote
    rights = "--no-new-privs --bounding-set=-all --inh-caps=-all --ambient-caps=-all"
    number, _, group = built.user.partition(":")
    settings = " ".join(f"{name}={q(value)}" for name, value in built.environment.items())
    who = f"setpriv --reuid={number} --regid={group} --clear-groups {rights}"
    go = f"cd {built.workdir}; exec {shlex.join(argv)}"
    script = "\n".join(
        [
            *built.mounts(volumes),
            "ip link set lo up",
            f"mount -o remount,ro {root}",
            f"exec chroot {root} env -i {settings} {who} sh -c {q(go)}",
        ]
    )
    command = ["unshare", "--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child"]
    return subprocess.run([*command, "sh", "-c", script], check=False).returncode


class Replay:
    """Builds stages."""

    def __init__(self, debian: Path, work: Path, arguments: dict[str, str], cache: Path) -> None:
        self._debian, self._work, self._arguments, self._cache = debian, work, arguments, cache
        self._built: dict[str, Built] = {}

    def build(self, target: str) -> Built:
        for stage in needed(read_dockerfile(DOCKERFILE), target):
            self._built[stage.name] = self._build_stage(stage)
        return self._built[target]

    def _build_stage(self, stage: Stage) -> Built:
        built = Built(stage.name, self._debian, self._work / stage.name)
        built.make_folders()
        variables = dict(built.environment)
        done = built.folder / "done"
        known = done.read_text().split("\0") if done.exists() else []
        for step in stage.steps:
            self._carry_out(step, built, variables, known)
            done.write_text("\0".join(known))
        return built

    def _carry_out(
        self, step: Step, built: Built, variables: dict[str, str], known: list[str]
    ) -> None:
        match step.word:
            case "ARG":
                name, _, default = step.text.partition("=")
                variables[name] = self._arguments.get(name, default.strip('"'))
            case "ENV":
                for name, value in pairs(step.text):
                    built.environment[name] = variables[name] = expand(value, variables)
            case "WORKDIR":
                built.workdir = step.text
            case "USER":
                built.user = step.text
            case "COPY":
                self._copy(step, built)
            case "RUN":
                self._run(step, built, variables, known)
            case _:
                pass

    def _run(self, step: Step, built: Built, variables: dict[str, str], known: list[str]) -> None:
        # A step that was carried out already is not repeated, so that a break costs little.
        if step.text in known:
            return
        log.info("%s: %s", built.name, step.text[:110])
        started_s = time.monotonic()
        passed = {name: variables[name] for name in variables if name not in built.environment}
        values = " ".join(f"{name}={shlex.quote(value)}" for name, value in passed.items())
        inner = f"export {values}; {step.text}" if passed else step.text
        subprocess.run(built.command(self._trust(inner), self._lent(step), built.user), check=True)
        log.info("%s: %.0f s", built.name, time.monotonic() - started_s)
        known.append(step.text)

    def _trust(self, inner: str) -> str:
        given = " ".join(f"{name}={_LENT}" for name in _CERTIFICATE_VARIABLES)
        return f"export {given}; {inner}"

    def _lent(self, step: Step) -> dict[Path, str]:
        binds = {
            Path("/etc/hosts"): "/etc/hosts",
            Path("/etc/resolv.conf"): "/etc/resolv.conf",
            Path(_CERTIFICATES): _LENT,
        }
        cache = step.flag("mount")
        if cache is not None:
            target = dict(part.partition("=")[::2] for part in cache.split(","))["target"]
            binds[self._cache] = target
        return binds

    def _copy(self, step: Step, built: Built) -> None:
        *sources, target = shlex.split(step.text)
        target = os.path.normpath(Path(built.workdir) / target)
        source_stage = step.flag("from")
        if source_stage is not None:
            self._link_from(self._built[source_stage], sources[0], built, target)
            return
        several = len(sources) > 1 or step.text.endswith("/")
        for source in sources:
            place = Path(target) / source if several else Path(target)
            self._copy_context(source, Path(f"{built.upper}{place}"))

    def _link_from(self, origin: Built, source: str, built: Built, target: str) -> None:
        """Hard links instead of copies: gigabytes that nobody changes."""
        place = Path(f"{built.upper}{target}")
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-al", f"{origin.upper}{source}", str(place)], check=True)

    def _copy_context(self, source: str, place: Path) -> None:
        for file in _context(ROOT / source):
            inside = file.relative_to(ROOT / source) if (ROOT / source).is_dir() else Path()
            (place / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, place / inside)


def _context(start: Path) -> Iterator[Path]:
    """The files that ``.dockerignore`` lets through."""
    patterns = ignores(ROOT / ".dockerignore")
    if start.is_file():
        yield start
        return
    for folder, folders, files in os.walk(start):
        here = Path(folder).relative_to(ROOT)
        folders[:] = [name for name in folders if name not in (".git", ".venv", "training")]
        for name in files:
            if not is_ignored((here / name).as_posix(), patterns):
                yield Path(folder) / name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--debian", type=Path, required=True, help="What debootstrap made.")
    parser.add_argument("--work", type=Path, required=True, help="Where the stages go.")
    parser.add_argument("--cache", type=Path, required=True, help="For the cache mounts.")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    arguments = dict(argument.split("=", 1) for argument in given.build_arg)
    built = Replay(given.debian, given.work, arguments, given.cache).build(given.target)
    return try_out(built, read_dockerfile(DOCKERFILE)[given.target])


def try_out(built: Built, stage: Stage) -> int:
    """Start the demo through the image's own entry point, and talk to it."""
    volumes = {}
    for name in stage.steps_listed("VOLUME"):
        folder = built.folder / "volumes" / name.strip("/")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        os.chown(folder, *(int(number) for number in built.user.split(":")))
        volumes[folder] = name
    volumes[Path(__file__).with_name("smoke.py")] = "/tmp/smoke.py"
    entry = stage.steps_listed("ENTRYPOINT")
    demo = [*entry, "demo", "--no-browser", "--port", "0"]
    return run_contained(built, ["python", "/tmp/smoke.py", *demo], volumes)


if __name__ == "__main__":
    sys.exit(main())
