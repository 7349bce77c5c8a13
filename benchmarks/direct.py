"""The same models without Danzar, in one process: what benchmarks/overhead.py compares with.

Reads one JSON line per task from standard input and answers each with one JSON line.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from danzar.workers.contract import Detect, LoadSpec, Picture, Rank, ReadText


class DirectChat:
    """llama-cpp-python's own streamed chat completion."""

    def __init__(self, task: dict[str, Any]) -> None:
        import llama_cpp

        self._llama = llama_cpp.Llama(
            task["path"],
            n_ctx=task["context"],
            n_threads=task["threads"],
            n_threads_batch=os.cpu_count(),
            flash_attn=task.get("flash_attn", False),
            verbose=False,
        )

    def answer(self, task: dict[str, Any]) -> dict[str, float]:
        """Seconds to the first token, tokens, and seconds in all."""
        started_s = time.perf_counter()
        first_s = 0.0
        tokens = 0
        chunks: Iterator[Any] = self._llama.create_chat_completion(
            task["messages"], stream=True, max_tokens=task["max_tokens"], temperature=0.0
        )
        for chunk in chunks:
            if chunk["choices"][0]["delta"].get("content"):
                tokens += 1
                first_s = first_s or time.perf_counter() - started_s
        return {"first_s": first_s, "tokens": tokens, "seconds": time.perf_counter() - started_s}


class DirectVision:
    """The three vision models, one after another, frame by frame."""

    def __init__(self, task: dict[str, Any]) -> None:
        from danzar.backends import clip, ocr, yolo

        specs = {k: msgspec.convert(v, LoadSpec) for k, v in task["specs"].items()}
        self._yolo = yolo.load(specs["yolo"])[0]
        self._clip = clip.load(specs["clip"])[0]
        self._ocr = ocr.load(specs["ocr"])[0]
        self._concepts = tuple(task["concepts"])
        self._regions = tuple(tuple(r) for r in task["regions"])
        files = [Path(f) for f in task["frames"]]
        self._frames = [msgspec.msgpack.decode(f.read_bytes(), type=Picture) for f in files]

    def answer(self, task: dict[str, Any]) -> dict[str, float]:
        """Frames looked at, and seconds."""
        started_s = time.perf_counter()
        for number in range(task["count"]):
            frame = self._frames[number % len(self._frames)]
            for _ in self._yolo.run(Detect((frame,)), lambda: False):
                pass
            for _ in self._clip.run(Rank((frame,), self._concepts), lambda: False):
                pass
            for _ in self._ocr.run(ReadText((frame,), self._regions), lambda: False):
                pass
        return {"frames": task["count"], "seconds": time.perf_counter() - started_s}


def main() -> None:
    """Answer tasks until standard input closes."""
    model: DirectChat | DirectVision | None = None
    for line in sys.stdin:
        task = json.loads(line)
        if task["do"] == "load":
            model = DirectChat(task) if task["kind"] == "chat" else DirectVision(task)
            answer: dict[str, float] = {}
        elif model is not None:
            answer = model.answer(task)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
