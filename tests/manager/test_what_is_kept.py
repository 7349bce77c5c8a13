"""What the running services leave behind: decisions that can be made again, and an empty book."""

from pathlib import Path

import pytest
from PIL import Image

from danzar.broker.decisions import FILE, read_decisions
from danzar.core.placement import plan_placement
from danzar.services import open_services
from danzar.workers.contract import DecodePicture
from tests.manager.test_bad_models import config_with

pytestmark = pytest.mark.process


async def test_every_decision_of_a_run_is_recorded_and_gives_the_same_again(tmp_path: Path):
    picture = tmp_path / "p.png"
    Image.new("RGB", (8, 8)).save(picture)
    async with open_services(config_with(tmp_path)) as services:
        request = DecodePicture(picture.read_bytes(), max_pixels=100, max_side=8)
        await services.manager.call("media", request)
        await services.manager.unload("media")
        await services.manager.call("media", request)
    recorded = [row for _, row in read_decisions(tmp_path / "data" / FILE)]
    assert [row.inputs.demand.model for row in recorded] == ["media", "media"]
    assert all(plan_placement(row.inputs) == row.plan for row in recorded)
