"""``danzar doctor``: looks at everything that Danzar needs, and says for each problem what to type.

This process imports neither torch nor llama_cpp: another process looks at them.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from danzar.commands.doctor_discord import check_discord
from danzar.commands.doctor_finding import FAIL, OK, WARN, Finding
from danzar.commands.doctor_keys import check_keys
from danzar.config.load import load_config
from danzar.config.places import data_folder
from danzar.config.settings import Config
from danzar.errors import ConfigError, DanzarError, ModelMissing
from danzar.models.verify import verify
from danzar.units import GIB, format_gib, format_size

__all__ = ["FAIL", "OK", "WARN", "Finding", "examine", "print_findings"]

OLDEST_PYTHON: Final = (3, 11)
FIRST_UNTRIED_PYTHON: Final = (3, 14)
LOW_DISK_BYTES: Final = 10 * GIB
EMPTY_DISK_BYTES: Final = 1 * GIB
_PROBE_TIMEOUT_S = 120.0
_STYLES = {OK: "green", WARN: "yellow", FAIL: "red"}
_CUDA_TORCH = "uv sync --reinstall-package torch --reinstall-package torchvision"
_CUDA_LLAMA = 'CMAKE_ARGS="-DGGML_CUDA=on" uv sync --reinstall-package llama-cpp-python'

# Run in a process of its own; prints one JSON line.
_PROBE = """
import json
found = {}
try:
    import torch
    found["torch"] = {"version": torch.__version__, "cuda": torch.version.cuda,
                      "cards": torch.cuda.device_count()}
except Exception as exc:
    found["torch"] = {"error": f"{type(exc).__name__}: {exc}"}
try:
    import llama_cpp
    found["llama"] = {"version": llama_cpp.__version__,
                      "gpu": bool(llama_cpp.llama_supports_gpu_offload())}
except Exception as exc:
    found["llama"] = {"error": f"{type(exc).__name__}: {exc}"}
print("found " + json.dumps(found))
"""


def examine(folder: Path | None, environ: Mapping[str, str] = os.environ) -> list[Finding]:
    """Every check's result, in the order in which a person should mend things. Takes seconds."""
    findings = [check_python(sys.version_info[:2])]
    config, of_config = check_config(folder)
    findings.append(of_config)
    findings.extend(check_discord(config, environ))
    cards, of_driver = check_driver(config)
    findings.append(of_driver)
    findings.extend(judge_builds(probe_builds(), cards=cards))
    findings.extend(check_models(config))
    findings.extend(check_keys(config))
    findings.extend(check_disk(_folders(config), lambda path: shutil.disk_usage(path).free))
    findings.append(Finding(OK, "ffmpeg", "not needed: PyAV carries its own libraries"))
    return findings


def print_findings(findings: Iterable[Finding], console: Console) -> None:
    """A line for each, and below it what to type."""
    for finding in findings:
        console.print(f"{finding.level:<4}", style=_STYLES[finding.level], end="  ")
        console.print(f"{finding.name}: {finding.text}", soft_wrap=True)
        if finding.remedy:
            console.print(f"      -> {finding.remedy}", style="bold", soft_wrap=True)


def check_python(version: tuple[int, int]) -> Finding:
    """Whether this Python is one that Danzar is made for."""
    text = ".".join(str(number) for number in version)
    if OLDEST_PYTHON <= version < FIRST_UNTRIED_PYTHON:
        return Finding(OK, "Python", text)
    return Finding(FAIL, "Python", f"{text}; 3.11 to 3.13 are supported", "uv python install 3.11")


def check_config(folder: Path | None) -> tuple[Config | None, Finding]:
    """The settings, or ``None`` where they are wrong."""
    try:
        config = load_config(folder)
    except ConfigError as exc:
        lines = str(exc).splitlines()
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        return None, Finding(FAIL, "config", f"{lines[0]}{more}", "danzar config check")
    return config, Finding(OK, "config", f"all settings of {config.root / 'config'} are in order")


def check_driver(config: Config | None) -> tuple[int, Finding]:
    """How many cards the driver shows."""
    from danzar.telemetry.detect import open_telemetry

    async def sample() -> list[str]:
        telemetry = await open_telemetry("nvml")
        try:
            cards = [s for s in await telemetry.sample() if s.label != "cpu"]
        finally:
            await telemetry.close()
        return [f"{s.label} {s.name} {format_gib(s.total_bytes)}" for s in cards]

    try:
        cards = asyncio.run(sample())
    except DanzarError as exc:
        wants = config is not None and config.vram.telemetry.mode == "nvml"
        return 0, Finding(
            FAIL if wants else WARN,
            "driver",
            f"{exc}; models run on the CPU",
            "with an NVIDIA card: install its driver, then type nvidia-smi; without one: nothing",
        )
    return len(cards), Finding(OK, "driver", ", ".join(cards))


def probe_builds(command: tuple[str, ...] = (sys.executable, "-c", _PROBE)) -> dict[str, Any]:
    """What torch and llama_cpp say about themselves, asked in another process."""
    environ = {**os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and text
            command,
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            env=environ,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"did not answer in {_PROBE_TIMEOUT_S:g} s"}
    match = re.search(r"^found (.*)$", done.stdout, re.MULTILINE)
    if match is None:
        last = done.stderr.strip().splitlines()[-1:] or [f"ended with status {done.returncode}"]
        return {"error": last[0]}
    found: dict[str, Any] = json.loads(match[1])
    return found


def judge_builds(found: Mapping[str, Any], *, cards: int) -> list[Finding]:
    """Whether the libraries can use the cards that the driver shows. Pure."""
    if "error" in found:
        return [Finding(FAIL, "libraries", f"importing them: {found['error']}", "uv sync")]
    return [_judge_torch(found["torch"], cards), _judge_llama(found["llama"], cards)]


def check_models(config: Config | None) -> list[Finding]:
    """Whether the file of each model in use is there and is the right one."""
    if config is None:
        return [Finding(WARN, "models", "not looked at, because the settings are wrong")]
    if not config.models.models:
        return [Finding(FAIL, "models", "models.yaml lists none", "restore config/models.yaml")]
    used = dict.fromkeys(n for n in config.models.use.model_dump().values() if n is not None)
    return [_check_model(config, name) for name in used]


def check_disk(folders: Iterable[Path], free_bytes: Callable[[Path], int]) -> list[Finding]:
    """Whether there is room where Danzar writes."""
    findings = []
    for folder in dict.fromkeys(_existing(folder) for folder in folders):
        free = free_bytes(folder)
        text = f"{format_size(free)} free in {folder}"
        if free < EMPTY_DISK_BYTES:
            findings.append(Finding(FAIL, "disk", text, "delete something there"))
        elif free < LOW_DISK_BYTES:
            findings.append(Finding(WARN, "disk", f"{text}; a chat model may take 5 GiB"))
        else:
            findings.append(Finding(OK, "disk", text))
    return findings


def _judge_torch(torch: Mapping[str, Any], cards: int) -> Finding:
    if "error" in torch:
        return Finding(FAIL, "torch", str(torch["error"]), "uv sync --reinstall-package torch")
    text = f"{torch['version']}, CUDA {torch['cuda'] or 'not built in'}"
    if not cards:
        return Finding(OK, "torch", f"{text}; there is no card to use")
    if torch["cuda"] is None:
        return Finding(FAIL, "torch", f"{text}, but there are {cards} cards", _CUDA_TORCH)
    if torch["cards"] < cards:
        seen = f"{text}; sees {torch['cards']} of {cards} cards"
        return Finding(WARN, "torch", seen, "update the NVIDIA driver, then: danzar doctor")
    return Finding(OK, "torch", f"{text}, sees {torch['cards']} cards")


def _judge_llama(llama: Mapping[str, Any], cards: int) -> Finding:
    name = "llama-cpp-python"
    if "error" in llama:
        remedy = "uv sync --reinstall-package llama-cpp-python (needs a C++ compiler)"
        return Finding(FAIL, name, str(llama["error"]), remedy)
    if cards and not llama["gpu"]:
        text = f"{llama['version']} is built for the CPU only, so chat does not use the card"
        return Finding(WARN, name, text, f"{_CUDA_LLAMA} (needs the CUDA toolkit)")
    built = "with GPU support" if llama["gpu"] else "for the CPU"
    return Finding(OK, name, f"{llama['version']}, built {built}")


def _check_model(config: Config, name: str) -> Finding:
    try:
        verified = verify(name, config)
    except ModelMissing as exc:
        entry = config.models.models[name]
        remedy = f"danzar models pull {name}" if entry.url else f"git checkout -- {entry.path}"
        return Finding(FAIL, "model", str(exc), remedy)
    except DanzarError as exc:
        return Finding(FAIL, "model", str(exc), "danzar models verify")
    if verified.basis == "nothing":
        return Finding(WARN, "model", f"{name}: is there, but models.yaml has no sha256 for it")
    return Finding(OK, "model", f"{name}: vouched for by: {verified.basis}")


def _folders(config: Config | None) -> list[Path]:
    return [Path.cwd()] if config is None else [config.root, data_folder(config)]


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
