import asyncio
from dataclasses import replace
from pathlib import Path

from danzar.broker.catalog import model_facts
from danzar.broker.corrections import Corrections
from danzar.broker.measured import Measurements
from danzar.config.load import load_config
from danzar.core.device import DeviceKind, DeviceSnapshot
from danzar.core.events import LoadFinished
from danzar.core.plan import PlacedOn, Share
from danzar.running import running
from danzar.units import GIB, MIB

SHIPPED = Path(__file__).parents[2] / "config"
CARD = DeviceSnapshot(
    "GPU-1", 0, "RTX", DeviceKind.CUDA, 12 * GIB, 12 * GIB, 0, None, None, None, (), False, 0.0
)


def load_of(facts, settings):
    variant = facts.variants[0]
    placed = PlacedOn((Share(CARD.uuid, variant.cuda_bytes),), variant.rung, settings, "it fits")
    took = ((CARD.uuid, variant.cuda_bytes + 50 * MIB),)
    return facts, LoadFinished(facts.name, 1, took, (CARD,)), placed


async def test_a_load_whose_settings_were_changed_meanwhile_teaches_nothing_and_ends_nothing(
    tmp_path,
):
    config = load_config(SHIPPED, {})
    facts = next(m for m in await model_facts(config) if m.name == "smollm2")
    learned = asyncio.Queue()
    async with Measurements.open(tmp_path / "m.db") as measurements:
        corrections = Corrections(config, measurements, lambda *told: learned.put_nowait(told))
        async with running(corrections.run()):
            loaded, event, placed = load_of(facts, facts.variants[0].settings)
            changed = replace(
                loaded, variants=(replace(facts.variants[0], settings=(("n_ctx", 1),)),)
            )
            corrections.note(changed, event, placed)
            corrections.note(loaded, event, placed)
            name, variants = await asyncio.wait_for(learned.get(), 60)
    assert name == "smollm2"
    assert variants[0].cuda_bytes > facts.variants[0].cuda_bytes
    assert learned.empty()
