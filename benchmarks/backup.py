"""How long a backup makes the bot's writes wait: ``python -m benchmarks.backup``.

A process keeps turns of conversations as the bot does, one after another. Beside it, backups are
made: of a copy of its data, which costs the disk and the processors as much and can't lock
anything; and of its data. What the second costs beyond the first is what SQLite's lock costs.
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from danzar.maintenance.backup import Source, make_backup
from danzar.store import STORE_FILE, Store, StoredMessage

CHANNELS, TURNS, TEXT_CHARS = 60, 200, 1000
QUIET_S, BACKUPS = 5.0, 4


def side(channel: int, turn: int, role: str) -> StoredMessage:
    return StoredMessage(channel, turn, role, "ann", "x" * TEXT_CHARS, (), False, 1.0)


async def fill(path: Path) -> None:
    async with Store.open(path, keep_messages=10**6) as store:
        rows = [
            (c, t, role, "ann", "x" * TEXT_CHARS, "", 0, 1.0)
            for c in range(CHANNELS)
            for t in range(TURNS)
            for role in ("user", "assistant")
        ]
        async with store.database.transaction() as connection:
            await connection.executemany("INSERT INTO messages VALUES (?,?,?,?,?,?,?,?)", rows)


async def write(path: Path) -> None:
    """Until killed; prints the seconds of each write."""
    async with Store.open(path, keep_messages=10**6) as store:
        turn = TURNS
        while True:
            turn += 1
            began = time.perf_counter()
            await store.save_turn(side(1, turn, "user"), side(1, turn, "assistant"))
            sys.stdout.write(f"{time.perf_counter() - began}\n")
            sys.stdout.flush()
            await asyncio.sleep(0.002)


def told(name: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    median, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    print(
        f"{name:<16} {len(ordered):>6} writes: median {median * 1e3:.2f} ms, "
        f"p99 {p99 * 1e3:.1f} ms, longest {ordered[-1] * 1e3:.1f} ms"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        asyncio.run(fill(data / STORE_FILE))
        other = Path(folder) / "other"
        shutil.copytree(data, other)
        size = (data / STORE_FILE).stat().st_size
        writer = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.backup", "write", str(data / STORE_FILE)],
            stdout=subprocess.PIPE,
            text=True,
        )
        seconds: list[float] = []
        reader = threading.Thread(target=lambda: seconds.extend(map(float, writer.stdout or ())))
        reader.start()
        try:
            while not seconds:
                time.sleep(0.05)
            start = len(seconds)
            time.sleep(QUIET_S)
            told("no backup", seconds[start:])
            all_of: dict[str, list[float]] = {"of a copy": [], "of its data": []}
            for number in range(BACKUPS):
                for what, source in (("of a copy", other), ("of its data", data)):
                    start, began = len(seconds), time.perf_counter()
                    make_backup(Source(source, None, {}), Path(folder) / f"{number} {what}.zip")
                    took_s = time.perf_counter() - began
                    print(f"backup {what}: {took_s:.1f} s")
                    all_of[what] += seconds[start:]
            for what, waits in all_of.items():
                told(what, waits)
        finally:
            writer.kill()
            writer.wait()
            reader.join()
        wal = (data / f"{STORE_FILE}-wal").stat().st_size
        print(f"database {size / 1e6:.0f} MB, its log afterwards {wal / 1e6:.1f} MB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        asyncio.run(write(Path(sys.argv[2])))
    else:
        main()
