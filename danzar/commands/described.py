"""Reading the files that ``plan`` and ``simulate`` are given."""

from pathlib import Path

from danzar.errors import BadInput
from danzar.simulate.files import check_names, parse_trace, parse_world
from danzar.simulate.makers import MAKERS, make_trace
from danzar.simulate.trace import Trace
from danzar.simulate.world import World

MOST_BYTES = 256 * 1024 * 1024


def read_world(path: Path) -> World:
    """The world of a devices file.

    Raises:
        BadInput: The file can't be read.
        InvalidConfig: It describes no world; one line per mistake.
    """
    return parse_world(_read(path), str(path))


def read_trace(text: str, world: World) -> Trace:
    """A trace made from ``MAKER:SEED``, or read from the file of that name.

    Raises:
        BadInput: It is neither, or the file can't be read.
        ConfigError: A line of the file is wrong, or names what the world does not have.
    """
    made = make_trace(text, world)
    if made is not None:
        return made
    path = Path(text)
    if not path.is_file():
        raise BadInput(
            f"{text!r} is neither a file nor one of {', '.join(f'{m}:SEED' for m in MAKERS)}"
        )
    trace = parse_trace(_read(path), str(path))
    check_names(trace, world, str(path))
    return trace


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadInput(f"{path}: is larger than {MOST_BYTES // 1024**2} MiB")
        return path.read_bytes()
    except OSError as exc:
        raise BadInput(f"{path}: can't be read: {exc.strerror}") from exc
