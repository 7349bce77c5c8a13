"""What the chat model's worker holds while it keeps conversations, and once they are forgotten.

    python -m benchmarks.forgotten [--times 30]

In a soak this worker's memory moves with the conversations that it keeps in host RAM. Here each
round fills six conversations for four places with prompts of 60 to 1,400 words' length, three of
them at once a second time. Then each begins anew with two words, as after ``!reset``. Both times
free pages go back, and memory that no file stands behind (``own_bytes``) is printed, with the
worker's own word on how much of it is conversations (``danzar_prompt_cache_bytes``). The slopes
(Theil-Sen) are those of the second half of what is left without these, and once all was forgotten.
With every heartbeat in between, too, it is looked what is left without them, pages not given back.
"""

import argparse
import asyncio
import random
import statistics
from collections.abc import Sequence
from typing import NoReturn

from benchmarks.conversations import QUESTIONS, SLOTS, TOPICS, ask, worker
from benchmarks.reloads import held_mb, own_mb, second_half
from danzar.workers.contract import ChatMessage
from danzar.workers.process import WorkerProcess

_CONVERSATIONS = TOPICS[:6]
_AT_ONCE = 3
_WORDS = " ".join((*QUESTIONS, *TOPICS)).split()
_LOOK_S = 0.05
_LENGTHS = (60, 200, 600, 1400)


def said(words: int, dice: random.Random) -> Sequence[ChatMessage]:
    """A message of so many words, in no order that makes sense."""
    return (ChatMessage("user", " ".join(dice.choices(_WORDS, k=words))),)


async def fill(process: WorkerProcess, dice: random.Random) -> None:
    """Every conversation once, some again side by side."""
    for key in _CONVERSATIONS:
        await ask(process, said(dice.choice(_LENGTHS), dice), key, 20)
    again = dice.sample(_CONVERSATIONS, _AT_ONCE)
    async with asyncio.TaskGroup() as group:
        for key in again:
            group.create_task(ask(process, said(_LENGTHS[0], dice), key, 10))


async def forget(process: WorkerProcess) -> None:
    """Begin each anew: what was kept of it goes."""
    for key in _CONVERSATIONS:
        await ask(process, (ChatMessage("user", f"Hi {key}"),), key, 4)


async def cached_mb(process: WorkerProcess) -> float:
    """What the worker says that it keeps of conversations, MB, in its next heartbeat."""
    before = process.memory
    while process.memory is before:
        await asyncio.sleep(_LOOK_S)
    return 0.0 if process.memory is None else sum(process.memory.caches.values()) / 1e6


async def follow(process: WorkerProcess, left: list[float]) -> NoReturn:
    """Note with each heartbeat what is left without the conversations, MB."""
    while True:
        cached = await cached_mb(process)
        left.append(own_mb(process) - cached)


async def measure(times: int) -> list[tuple[float, float, float]]:
    """Of each round, MB: with the conversations, what they take, and once they are forgotten."""
    dice = random.Random(1)
    rounds, left = [], list[float]()
    async with worker(1, SLOTS) as process, asyncio.TaskGroup() as group:
        following = group.create_task(follow(process, left))
        for number in range(1, times + 1):
            await fill(process, dice)
            kept, cached = await held_mb(process), await cached_mb(process)
            await forget(process)
            rounds.append((kept, cached, await held_mb(process)))
            print(
                f"  {number:3}  {kept:7.1f} MB, {cached:5.1f} of them conversations; "
                f"forgotten {rounds[-1][2]:7.2f} MB",
                flush=True,
            )
        following.cancel()
    late = left[len(left) // 2 :]
    print(f"at any time without what they take: {min(late):.1f} to {max(late):.1f} MB", end=", ")
    print(f"median {statistics.median(late):.1f}")
    return rounds


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=30, help="4 at least")
    options = parser.parse_args()
    rounds = asyncio.run(measure(options.times))
    kept, cached, forgotten = map(list, zip(*rounds, strict=True))
    print(f"with conversations {min(kept):.1f} to {max(kept):.1f} MB", end=", ")
    print(f"median {statistics.median(kept):.1f}")
    left = [both - theirs for both, theirs in zip(kept, cached, strict=True)]
    print(f"without what they take, {second_half(left)}")
    print(f"forgotten, {second_half(forgotten)}")


if __name__ == "__main__":
    main()
