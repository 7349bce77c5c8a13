"""What Danzar's path costs over the same models called directly, side by side in one run.

    uv run python benchmarks/overhead.py            everything
    uv run python benchmarks/overhead.py chat       tokens per second, time to first token
    uv run python benchmarks/overhead.py vision     frames per second, one and four watchers

Danzar runs the three vision models beside one another, batches the frames of several watchers, and
does not read a part of the display again that has not changed; the plain loop does none of these.
Ratios are medians over rounds in which both sides take turns, because machines are noisy. Cards
are simulated, so that both sides compute on the CPU.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from danzar.config.load import load_config
from danzar.inference import Outcome
from danzar.models.manifest import load_spec
from danzar.services import Services, open_services
from danzar.vision.service import VisionService
from danzar.workers.contract import (
    Capture,
    ChatMessage,
    Frame,
    Generate,
    Generated,
    Picture,
    TextDelta,
)

ROUNDS = 5
MAX_TOKENS = 128
FRAMES = 24
WATCHERS = 4
QUESTIONS = [
    "Tell me a short story about a knight and a dragon.",
    "Explain how a graphics card draws a picture.",
    "Describe a walk through a forest in autumn.",
    "What should a beginner know about chess?",
    "Describe how bread is baked, step by step.",
    "Tell me about the planets of the solar system.",
]


class Direct:
    """The other side, in its own process, idle while it is not asked."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, **task: Any) -> dict[str, float]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(task).encode() + b"\n")
        return dict(json.loads(await stdout.readline()))


@asynccontextmanager
async def direct() -> AsyncIterator[Direct]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("direct.py")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Direct(process)
    finally:
        process.kill()
        await process.wait()


async def chat_through_danzar(services: Services, question: str) -> dict[str, float]:
    model = services.config.models.use.chat or ""
    request = Generate((ChatMessage("user", question),), MAX_TOKENS, temperature=0.0)
    started_s = time.perf_counter()
    first_s, tokens = 0.0, 0
    async with aclosing(services.manager.stream(model, request)) as steps:
        async for step in steps:
            if isinstance(step, TextDelta):
                first_s = first_s or time.perf_counter() - started_s
            elif isinstance(step, Outcome) and isinstance(step.result, Generated):
                tokens = step.result.completion_tokens
    return {"first_s": first_s, "tokens": tokens, "seconds": time.perf_counter() - started_s}


async def compare_chat(services: Services) -> None:
    config = services.config
    spec = load_spec(config, config.models.use.chat or "", "cpu")
    cores = os.cpu_count() or 2
    # As the backend itself chooses them.
    threads = spec.settings.get("n_threads") or (cores if cores <= 2 else cores - 1)
    async with direct() as other:
        await other.ask(
            do="load",
            kind="chat",
            path=spec.path,
            context=spec.settings["n_ctx"],
            threads=threads,
            flash_attn=bool(spec.settings.get("flash_attn")),
        )
        await chat_through_danzar(services, "Hello")
        await other.ask(
            do="run", messages=[{"role": "user", "content": "Hello"}], max_tokens=MAX_TOKENS
        )
        rates, firsts = [], []
        for question in QUESTIONS * (ROUNDS // 2):
            messages = [{"role": "user", "content": question}]
            plain = await other.ask(do="run", messages=messages, max_tokens=MAX_TOKENS)
            danzar = await chat_through_danzar(services, question)
            rates.append(rate(danzar, "tokens") / rate(plain, "tokens"))
            firsts.append(danzar["first_s"] - plain["first_s"])
            print(
                f"  {rate(danzar, 'tokens'):6.1f} tokens/s through Danzar, "
                f"{rate(plain, 'tokens'):6.1f} directly; first token "
                f"{1000 * danzar['first_s']:.0f} ms and {1000 * plain['first_s']:.0f} ms"
            )
    print(f"chat: tokens/s through Danzar over direct   {statistics.median(rates):.3f} (median)")
    print(f"chat: added time to first token             {1000 * statistics.median(firsts):+.1f} ms")


def rate(result: dict[str, float], unit: str) -> float:
    return result[unit] / result["seconds"]


async def compare_vision(services: Services) -> None:
    frames = await sample_frames(services)
    config = services.config
    profile, use = config.active_profile, config.models.use
    names = {"yolo": use.detect, "clip": use.rank, "ocr": use.read}
    specs = {
        kind: msgspec.to_builtins(load_spec(config, name or "", "cpu"))
        for kind, name in names.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        files = [write_frame(Path(folder) / f"{n}.frame", f) for n, f in enumerate(frames)]
        async with direct() as other:
            await other.ask(
                do="load",
                kind="vision",
                specs=specs,
                frames=files,
                concepts=profile.concepts,
                regions=[f.region for f in profile.hud.values()],
            )
            await other.ask(do="run", count=4)
            await look(services, frames[:4], 1)  # loads the models
            ones, fours = [], []
            for _ in range(ROUNDS):
                plain = rate(await other.ask(do="run", count=FRAMES), "frames")
                one = await look(services, frames, 1)
                four = await look(services, frames, WATCHERS)
                ones.append(one / plain)
                fours.append(four / plain)
                print(
                    f"  {plain:5.1f} frames/s in a plain loop, {one:5.1f} through Danzar, "
                    f"{four:5.1f} with {WATCHERS} watchers"
                )
    print(f"vision: one watcher over a plain loop       {statistics.median(ones):.2f} (median)")
    print(f"vision: {WATCHERS} watchers over a plain loop        {statistics.median(fours):.2f}")


async def look(services: Services, frames: list[Picture], watchers: int) -> float:
    """Frames per second when each watcher looks at its share, one frame after another.

    A new service each time: what it remembers of unchanged parts of the display starts empty.
    """
    async with VisionService(services.manager, services.config) as vision:

        async def watch(share: list[Picture]) -> None:
            for frame in share:
                await vision.observe_frame(frame)

        started_s = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number in range(watchers):
                tasks.create_task(watch(frames[number::watchers]))
        return len(frames) / (time.perf_counter() - started_s)


async def sample_frames(services: Services) -> list[Picture]:
    """Frames of the sample clip, a second apart as a watch takes them, decoded beforehand."""
    clip = str(services.config.root / "assets" / "sample-clip.mp4")
    request = Capture("file", clip, processing_fps=1.0, real_time=False, loop=True)
    frames: list[Picture] = []
    stream = services.manager.stream(services.config.models.use.media, request)
    async with aclosing(stream) as steps:
        async for step in steps:
            if isinstance(step, Frame):
                frames.append(step.picture)
            if len(frames) == FRAMES:
                break
    return frames


def write_frame(path: Path, frame: Picture) -> str:
    path.write_bytes(msgspec.msgpack.encode(frame))
    return str(path)


async def main() -> None:
    """Run the comparisons that are named, or all."""
    wanted = sys.argv[1:] or ["chat", "vision"]
    os.environ.setdefault("DANZAR_VRAM__TELEMETRY__MODE", "simulated")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DANZAR_BOT__DATA_DIR"] = folder
        async with open_services(load_config(None)) as services:
            if "chat" in wanted:
                await compare_chat(services)
            if "vision" in wanted:
                await compare_vision(services)


if __name__ == "__main__":
    asyncio.run(main())
