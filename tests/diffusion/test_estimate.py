"""What a pipeline needs, from headers alone, and the ways to load it with less."""

import pytest

from danzar.core.variant import Rung
from danzar.errors import ModelMissing, ModelRefused
from danzar.estimate.diffusion import open_diffusion
from danzar.estimate.variants import estimate_file
from danzar.units import GIB, MIB
from tests.diffusion.shapes import SD15, SDXL, WAN, make_shape


@pytest.fixture
def shape(tmp_path):
    return lambda which, **more: make_shape(tmp_path / "pipeline", which, **more)


def gib(variant):
    return variant.cuda_bytes / GIB


class TestAgainstWhatOthersSaw:
    def test_sd_1_5_takes_about_3_gib_in_half_precision(self, shape):
        estimate = open_diffusion(shape(SD15), {"max_pixels": 512 * 512})
        weights = estimate.footprint(on_card=True).weights_bytes
        assert weights == 2 * (859_520_964 + 123_060_480 + 83_653_863)
        assert 2.2 < gib(estimate.variants()[0]) < 4

    def test_sdxl_takes_about_10_gib_and_8_where_it_decodes_in_tiles(self, shape):
        full, tiles, *_ = open_diffusion(shape(SDXL), {}).variants()
        assert 9 < gib(full) < 11
        assert tiles.rung is Rung.TILES
        assert 7 < gib(tiles) < 8.5

    def test_wan_1_3b_fits_into_8_gib_a_block_at_a_time(self, shape):
        last = [v for v in open_diffusion(shape(WAN), {}).variants() if v.rung is Rung.OFFLOAD][-1]
        assert dict(last.settings) == {"vae_tiling": True, "offload": "layers"}
        assert 3 < gib(last) < 7.5


@pytest.mark.parametrize("which", [SD15, SDXL, WAN], ids=["sd", "sdxl", "wan"])
class TestTheLadder:
    def test_each_rung_takes_less_of_the_card_and_says_what_is_lost(self, shape, which):
        variants = open_diffusion(shape(which), {}).variants()
        sizes = [variant.cuda_bytes for variant in variants]
        assert sizes == sorted(sizes, reverse=True)
        assert variants[0].loss == ""
        assert variants[0].settings == ()
        assert all(variant.loss and variant.settings for variant in variants[1:])

    def test_what_waits_beside_the_card_is_booked_in_host_ram(self, shape, which):
        estimate = open_diffusion(shape(which), {})
        for variant in estimate.variants():
            waits = "offload" in dict(variant.settings)
            assert variant.beside_bytes == (estimate.host_weights_bytes if waits else 0)

    def test_quality_goes_last(self, shape, which):
        rungs = [variant.rung for variant in open_diffusion(shape(which), {}).variants()]
        order = [Rung.FULL, Rung.TILES, Rung.OFFLOAD, Rung.SIZE]
        assert rungs == sorted(rungs, key=order.index)

    def test_the_cpu_computes_in_full_precision(self, shape, which):
        estimate = open_diffusion(shape(which), {})
        numbers = sum(part.numbers for part in estimate.parts.all)
        assert estimate.footprint(on_card=False).weights_bytes == 4 * numbers


class TestSettings:
    def test_larger_pictures_need_more(self, shape):
        folder = shape(SD15)
        sizes = [
            open_diffusion(folder, {"max_pixels": side**2}).footprint(on_card=True).total_bytes
            for side in (512, 768, 1024)
        ]
        assert sizes == sorted(sizes)

    def test_without_guidance_one_pass_is_enough(self, shape):
        # In tiles, decoding takes less than denoising so large a picture.
        settings = {"max_pixels": 2048**2, "vae_tiling": True}
        with_it, without = (
            open_diffusion(tmp, settings | {"guidance": guidance}).footprint(on_card=True)
            for tmp in [shape(SD15)]
            for guidance in (7.0, 0)
        )
        assert with_it.activations_bytes > 1.9 * without.activations_bytes

    def test_a_turbo_model_is_known_by_its_scheduler(self, shape):
        kind = open_diffusion(shape(SDXL, turbo=True), {}).limits.kind
        assert (kind.name, kind.steps, kind.guidance) == ("sdxl-turbo", 4, 0.0)

    def test_denoisers_in_8_bits_take_half(self, shape):
        folder = shape(SDXL)
        saved = [
            open_diffusion(folder, {"precision": precision}).footprint(on_card=True).weights_bytes
            for precision in ("auto", "fp8")
        ]
        assert saved[0] - saved[1] == 2_567_463_684

    def test_only_the_wanted_variant_of_the_weights_counts(self, shape):
        folder = shape(SD15)
        usual = folder / "unet" / "model.safetensors"
        (folder / "unet" / "model.fp16.safetensors").write_bytes(usual.read_bytes())
        assert open_diffusion(folder, {}).parts.denoisers[0].numbers == 859_520_964
        with pytest.raises(
            ModelMissing, match=r"text_encoder holds no weights of the variant fp16"
        ):
            open_diffusion(folder, {"variant": "fp16"})


class TestTrouble:
    def test_a_network_without_weights_is_named(self, shape):
        folder = shape(SD15)
        (folder / "vae" / "model.safetensors").unlink()
        with pytest.raises(ModelMissing, match="vae holds no weights"):
            open_diffusion(folder, {})

    def test_a_folder_of_another_pipeline_is_refused(self, shape):
        folder = shape(SD15 | {"class": "FluxPipeline"})
        with pytest.raises(ModelRefused, match="holds a FluxPipeline; Danzar runs"):
            open_diffusion(folder, {})

    def test_a_damaged_header_is_refused(self, shape):
        folder = shape(SD15)
        (folder / "vae" / "model.safetensors").write_bytes(b"\xff" * 64)
        with pytest.raises(ModelRefused, match="damaged"):
            open_diffusion(folder, {})


def test_corrections_and_commands_see_the_same_figures(shape):
    folder = shape(SD15)
    found = estimate_file(folder, {}, "diffusion")
    assert found.variants == open_diffusion(folder, {}).variants()
    assert found.card.total_bytes - found.variants[0].cuda_bytes == 0
    assert found.host.weights_bytes > found.card.weights_bytes > 100 * MIB
