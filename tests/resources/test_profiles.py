"""Every figure names a source that exists; what can be computed from the configuration is right."""

from pathlib import Path

import pytest

from danzar.config.problems import InvalidConfig
from danzar.errors import BadInput
from danzar.resources.profiles import find_profile, load_profiles, shipped_profiles
from danzar.resources.request import grid_px, split_size
from danzar.resources.schema import source_names

PROFILES = shipped_profiles()
SHIPPED_FOLDER = Path(__file__).parents[2] / "config"
WAN = {
    "t2v-A14B": (5120, 13824, 40, 40),
    "i2v-A14B": (5120, 13824, 40, 40),
    "ti2v-5B": (3072, 14336, 30, 24),
}

MY_CARD = """
sources:
  mine: {{kind: benchmark, text: my own card and my own watch}}
cards:
  RTX 9090:
    memory: 48 GiB
    tflops: {{value: 400.0, source: {source}}}
    compute_capability: "12.0"
"""


def test_the_seeds_three_kinds_and_pictures_are_there():
    assert {p.task for p in PROFILES.models.values()} == {"t2v", "i2v", "ti2v", "t2i"}


def test_every_source_is_used_and_says_what_it_is():
    used = {name for _, name in source_names(PROFILES)}
    assert used == set(PROFILES.sources)
    assert all(source.text for source in PROFILES.sources.values())
    told = [s for s in PROFILES.sources.values() if s.kind in ("card", "paper", "benchmark")]
    assert all(source.url for source in told)


@pytest.mark.parametrize("name", WAN)
def test_wans_parameters_follow_from_its_published_configuration(name):
    width, ffn, layers, _ = WAN[name]
    net = PROFILES.models[name].denoiser
    channels = {"t2v-A14B": 16, "i2v-A14B": 36, "ti2v-5B": 48}[name]
    out = 48 if name == "ti2v-5B" else 16
    attention = 4 * (width**2 + width) + 2 * width
    block = 2 * attention + 2 * width * ffn + ffn + width + 2 * width + 6 * width
    embeddings = (
        4 * channels * width + width  # patches
        + 4096 * width + width + width**2 + width  # text
        + 256 * width + width + width**2 + width  # time
        + 6 * width**2 + 6 * width
        + 4 * out * width + 4 * out + 2 * width  # head
    )  # fmt: skip
    assert net.parameters.value == layers * block + embeddings
    assert net.flops_per_token.value == 2 * layers * block
    assert net.flops_per_pair.value == 4 * layers * width


@pytest.mark.parametrize("name", WAN)
def test_an_adapter_of_rank_one_is_the_sum_of_the_sides_of_the_linear_layers(name):
    width, ffn, layers, heads = WAN[name]
    profile = PROFILES.models[name]
    per_rank = layers * (8 * 2 * width + 2 * (width + ffn))
    assert profile.lora_parameters_per_rank.value == per_rank
    # Scores and their softmax, of all heads, in half precision.
    assert profile.denoiser.attention_bytes_per_pair.value == heads * 2 * 2


def test_the_text_encoder_of_wan_is_umt5_xxl_as_configured():
    width, inner, layers, vocabulary = 4096, 10240, 24, 256384
    layer = 4 * width**2 + 3 * width * inner + 2 * width + 32 * 64
    expected = vocabulary * width + layers * layer + width
    assert PROFILES.models["t2v-A14B"].text_encoder.parameters.value == expected


def test_every_size_fits_the_models_grid():
    for profile in PROFILES.models.values():
        for size in profile.sizes:
            assert all(side % grid_px(profile) == 0 for side in split_size(size)), size


def test_a_longer_card_name_is_not_taken_for_a_shorter_one():
    assert PROFILES.card("NVIDIA GeForce RTX 4070 SUPER").tflops.value == 70.9
    assert PROFILES.card("NVIDIA GeForce RTX 4070").tflops.value == 58.3
    assert PROFILES.card("NVIDIA A100-SXM4-80GB").compute_capability == "8.0"
    assert PROFILES.card("Radeon VII") is None


def test_a_name_is_found_by_its_short_form_whatever_its_case():
    assert find_profile(PROFILES, "T2V")[0] == "t2v-A14B"
    assert find_profile(PROFILES, " sdxl ")[0] == "sdxl"


def test_an_unknown_name_is_told_with_the_nearest_one():
    with pytest.raises(
        BadInput, match=r"no profile of 't2v-A14'; did you mean t2v-A14B\?; known: t2v"
    ):
        find_profile(PROFILES, "t2v-A14")


class TestOwner:
    """``config/resource_profiles.yaml`` adds and replaces whole entries."""

    def write(self, folder, text):
        (folder / "resource_profiles.yaml").write_text(text)
        return folder

    def test_without_a_file_the_shipped_ones_are_used(self, tmp_path):
        assert load_profiles(tmp_path) is PROFILES
        assert load_profiles(None) is PROFILES

    def test_a_card_of_ones_own_is_known(self, tmp_path):
        text = MY_CARD.format(source="mine")
        profiles = load_profiles(self.write(tmp_path, text))
        assert profiles.card("NVIDIA GeForce RTX 9090").tflops.value == 400.0
        assert profiles.models == PROFILES.models

    def test_a_misspelt_key_is_named_with_its_line_and_the_nearest_one(self, tmp_path):
        folder = self.write(tmp_path, "cards:\n  X1:\n    memori: 8 GiB\n")
        with pytest.raises(InvalidConfig) as caught:
            load_profiles(folder)
        text = str(caught.value)
        assert (
            "resource_profiles.yaml:3: cards.X1.memori: unknown key; did you mean memory?" in text
        )

    def test_a_source_that_does_not_exist_is_named_with_the_nearest_one(self, tmp_path):
        text = MY_CARD.format(source="computd")
        with pytest.raises(InvalidConfig, match="no source 'computd'; did you mean computed"):
            load_profiles(self.write(tmp_path, text))

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            pytest.param("cards: [1]\n", "must be a section with keys", id="a list for a section"),
            pytest.param("cards: {X: {memory: many}}\n", "is no size", id="no size"),
            pytest.param("a: &x 1\n", "anchors and aliases", id="an anchor"),
            pytest.param("common: 3\n", "must be a section with keys", id="a number for a section"),
        ],
    )
    def test_a_mistake_is_one_line(self, tmp_path, text, told):
        with pytest.raises(InvalidConfig, match=told):
            load_profiles(self.write(tmp_path, text))

    def test_the_file_that_comes_with_danzar_adds_nothing_and_its_example_is_right(self, tmp_path):
        shipped = SHIPPED_FOLDER / "resource_profiles.yaml"
        assert load_profiles(SHIPPED_FOLDER) == PROFILES
        _, _, example = shipped.read_text(encoding="utf-8").partition("For example:\n#\n")
        text = "".join(line[2:] for line in example.splitlines(keepends=True))
        assert load_profiles(self.write(tmp_path, text)).card("RTX 9090").memory == 48 * 2**30
