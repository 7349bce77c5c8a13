"""Run as a program: writes every frame on a network card to a file, until its input ends.

python sniffer.py CARD FILE
"""

import selectors
import socket
import sys
from pathlib import Path

ETH_P_ALL = 3
QUIET_S = 0.3


def main(card: str, file: Path) -> None:
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as raw,
        file.open("wb") as out,
        selectors.DefaultSelector() as selector,
    ):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024**2)
        raw.bind((card, 0))
        selector.register(raw, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        ending = False
        while True:
            ready = [key.fileobj for key, _ in selector.select(QUIET_S if ending else None)]
            if raw in ready:
                out.write(raw.recv(65_535))
            elif ending:
                return
            if sys.stdin in ready:
                selector.unregister(sys.stdin)
                ending = True


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
