"""``python -m danzar.local``: the local Discord as its own process.

Prints ``ready http://127.0.0.1:PORT`` when it listens, and ends when its standard input closes
or the process that started it is gone.
"""

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

from danzar.heap import prepare_for_months
from danzar.local.lifetime import end_with_parent
from danzar.local.server import serve
from danzar.local.settings import LocalSettings

TOKEN_VARIABLE = "DANZAR_LOCAL_TOKEN"  # noqa: S105


def parse(arguments: list[str]) -> LocalSettings:
    """Settings from the command line; the token may come from the environment instead."""
    parser = argparse.ArgumentParser(prog="python -m danzar.local", description=__doc__)
    parser.add_argument("--port", type=int, default=8765, help="0 picks a free one")
    parser.add_argument(
        "--token",
        default=os.environ.get(TOKEN_VARIABLE),
        help=f"what the bot must send; or set {TOKEN_VARIABLE}, which other users can't read",
    )
    parser.add_argument("--status-url", help="base of the bot's own HTTP interface")
    parser.add_argument("--assets", type=Path, help="folder whose frames/ holds sample pictures")
    given = parser.parse_args(arguments)
    if not given.token:
        parser.error(f"a token is needed: --token TOKEN or {TOKEN_VARIABLE}=TOKEN")
    return LocalSettings(
        token=given.token,
        port=given.port,
        status_url=given.status_url,
        assets_dir=given.assets,
    )


def _announce(url: str) -> None:
    sys.stdout.write(f"ready {url}\n")
    sys.stdout.flush()


def main() -> int:
    """Run until told to end; return the exit status."""
    prepare_for_months()
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    settings = parse(sys.argv[1:])
    try:
        asyncio.run(serve(settings, _announce, end_with_parent))
    except OSError as exc:
        sys.stderr.write(f"can't listen on port {settings.port}: {exc.strerror or exc}\n")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
