"""What the cards compute in: the driver's word first, then the card's name."""

import pytest

from danzar.core.device import DeviceKind
from danzar.core.device_memory import describe_memory
from danzar.core.ledger import Ledger
from danzar.resources.machine import LiveMachine
from danzar.resources.manager import Parts, ResourceManager
from danzar.resources.open_resources import compute_capabilities
from danzar.telemetry.nvml import NvmlTelemetry
from danzar.telemetry.simulated import SimulatedCards
from tests.fakes import nvml

NOT_SUPPORTED = 3


@pytest.fixture
def world(tmp_path, monkeypatch):
    world = nvml.seed_world(tmp_path)
    nvml.install(monkeypatch, nvml.build(tmp_path), world)
    return world


@pytest.fixture
async def telemetry(world):
    source = NvmlTelemetry(timeout_s=5, rescan_interval_s=0)
    yield source
    await source.close()


async def seen(telemetry, tmp_path):
    """The cards' capabilities as the resource manager tells them."""
    capabilities = await compute_capabilities(telemetry)
    ledger = Ledger()
    devices = tuple(describe_memory(s, ledger, ()) for s in await telemetry.sample())

    class Figures:
        stale_age_s = None

        def devices(self):
            return devices

    machine = LiveMachine(Figures(), ledger, capabilities=capabilities)
    assert any(d.snapshot.kind is DeviceKind.CUDA for d in devices)
    return ResourceManager(Parts(machine, tmp_path)).get_hardware_capabilities().cards


async def test_the_driver_tells_it_for_any_card(telemetry, world, tmp_path):
    world.cards[0].name = "NVIDIA Unheard-Of 1"
    world.save()
    card = (await seen(telemetry, tmp_path))[0]
    assert (card.compute_capability, card.by_driver) == ("8.9", True)
    assert (card.bf16, card.fp8, card.flash_attention) == (True, True, True)


async def test_a_driver_that_refuses_leaves_the_cards_name(telemetry, world, tmp_path):
    world.tell(f"error nvmlDeviceGetCudaComputeCapability {NOT_SUPPORTED}")
    card = (await seen(telemetry, tmp_path))[0]
    assert (card.compute_capability, card.by_driver) == ("8.9", False)


async def test_a_driver_that_fails_is_no_trouble_of_the_resource_manager(telemetry, world):
    world.tell("error * 999")
    assert await compute_capabilities(telemetry) == {}


async def test_simulated_cards_have_only_their_names():
    cards = SimulatedCards()
    assert await compute_capabilities(cards) == {}
    await cards.close()
