"""Makes a worker outlive its bot, as one that hangs in the driver may: something to be reaped.

With DANZAR_TEST_DEAF it does not hear SIGTERM either.
"""

import ctypes
import os
import signal
import threading

_start, _open_library = threading.Thread.start, ctypes.CDLL


def _start_all_but_the_watch_on_stdin(thread):
    if thread.name != "stdin":
        _start(thread)


def _open_without_death_signal(name, *args, **options):
    library = _open_library(name, *args, **options)
    if name is None:
        library.prctl = lambda *_: 0
    return library


threading.Thread.start = _start_all_but_the_watch_on_stdin
ctypes.CDLL = _open_without_death_signal
if os.environ.get("DANZAR_TEST_DEAF"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
