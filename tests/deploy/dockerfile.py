"""A Dockerfile as what it says: stages with their instructions. Knows what this project's uses."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_VARIABLE = re.compile(
    r"\$(?:(?P<plain>\w+)|\{(?P<name>\w+)(?P<op>:[+-])?(?P<rest>(?:[^{}]|\{[^}]*\})*)\})"
)


@dataclass(frozen=True)
class Step:
    """One instruction: ``RUN``, with its flags (``--mount=...``) and the rest as it stands."""

    word: str
    flags: tuple[str, ...]
    text: str

    def flag(self, name: str) -> str | None:
        return next((f.partition("=")[2] for f in self.flags if f.startswith(f"--{name}=")), None)

    def listed(self) -> list[str]:
        """The JSON form of ``CMD``, ``ENTRYPOINT`` and ``VOLUME``."""
        return list(json.loads(self.text))


@dataclass
class Stage:
    name: str
    base: str
    steps: list[Step] = field(default_factory=list)

    def last(self, word: str) -> Step | None:
        return next((step for step in reversed(self.steps) if step.word == word), None)

    def steps_listed(self, word: str) -> list[str]:
        """What the last instruction of this word lists, in its JSON form."""
        step = self.last(word)
        return [] if step is None else step.listed()

    def all(self, word: str) -> list[Step]:
        return [step for step in self.steps if step.word == word]


def read_dockerfile(file: Path) -> dict[str, Stage]:
    """The stages by name, in their order."""
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for line in _lines(file.read_text(encoding="utf-8")):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stage = stages.setdefault(name.strip(), Stage(name.strip(), base.strip()))
        elif stage is not None:
            stage.steps.append(_step(word, rest.strip()))
    return stages


def needed(stages: Mapping[str, Stage], target: str) -> list[Stage]:
    """The target's stage after those that it copies from."""
    froms = [step.flag("from") for step in stages[target].all("COPY")]
    return [*(stages[name] for name in dict.fromkeys(froms) if name), stages[target]]


def pairs(text: str) -> list[tuple[str, str]]:
    """``A=1 B="two words"`` of ``ENV`` and ``LABEL``."""
    return [(name, value) for name, _, value in (w.partition("=") for w in shlex.split(text))]


def expand(text: str, variables: Mapping[str, str]) -> str:
    """The text with ``$NAME``, ``${NAME}`` and ``${NAME:-other}`` filled in."""

    def fill(found: re.Match[str]) -> str:
        value = variables.get(found["plain"] or found["name"], "")
        return found["rest"] if found["op"] == ":-" and not value else value

    return _VARIABLE.sub(fill, text)


def _lines(text: str) -> Iterator[str]:
    joined = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#") or (not line.strip() and not joined):
            continue
        joined += line.rstrip()
        if joined.endswith("\\"):
            joined = joined[:-1]
            continue
        yield joined.strip()
        joined = ""


def _step(word: str, rest: str) -> Step:
    flags = []
    while rest.startswith("--"):
        flag, _, rest = rest.partition(" ")
        flags.append(flag)
        rest = rest.lstrip()
    return Step(word, tuple(flags), rest)


def ignores(file: Path) -> list[tuple[re.Pattern[str], bool]]:
    """The patterns of a ``.dockerignore``; True is an exception (``!``)."""
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    kept = [line for line in lines if line and not line.startswith("#")]
    return [(_pattern(line.removeprefix("!")), line.startswith("!")) for line in kept]


def is_ignored(path: str, patterns: list[tuple[re.Pattern[str], bool]]) -> bool:
    """Whether the file does not go to the builder: what the last matching pattern says."""
    parts = path.split("/")
    parents = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    result = False
    for pattern, exception in patterns:
        if any(pattern.fullmatch(parent) for parent in parents):
            result = not exception
    return result


def _pattern(text: str) -> re.Pattern[str]:
    special = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]*\])", text.strip("/"))
    return re.compile(
        "".join(special.get(p, p if p.startswith("[") else re.escape(p)) for p in pieces)
    )
