"""The four files and the environment become one value."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from danzar.config.base import Settings
from danzar.config.changes import can_change_live
from danzar.config.keys import Key
from danzar.config.load import FILES, config_folder, load_config
from danzar.config.models import ModelEntry
from danzar.config.problems import InvalidConfig
from danzar.config.schema import paths
from danzar.config.vram import DeviceSettings, VramConfig
from danzar.config.yaml_lines import YamlProblem, read_yaml
from danzar.units import GIB

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = REPOSITORY / "config"
ENTRY = ("models", "NAME")
# The file as seed 001 gives it, byte for byte.
SEED = (Path(__file__).parent / "seed_vision_config.yaml").read_bytes()


def test_the_shipped_files_load() -> None:
    config = load_config(SHIPPED, {})

    assert config.root == REPOSITORY
    assert config.active_profile.title == "Doom"


def test_the_seed_file_loads_as_it_is(folder: Path) -> None:
    (folder / "vision_config.yaml").write_bytes(SEED)

    vision = load_config(folder, {}).vision

    assert vision.gpu_memory.main_llm_device == "cuda:0"
    assert vision.gpu_memory.main_llm_memory_reservation_gb == 8.0
    assert vision.clip.model_name == "ViT-B/32"
    assert vision.yolo.classes == ("health_bar", "minimap", "boss", "player", "enemy")
    assert vision.performance.gpu_memory_fraction == 0.3


def test_the_shipped_vision_file_begins_with_the_seed_file() -> None:
    assert (SHIPPED / "vision_config.yaml").read_bytes().startswith(SEED)


def test_missing_files_mean_defaults(folder: Path) -> None:
    config = load_config(folder, {})

    assert config.bot == FILES["bot"][1]()
    assert config.vram == FILES["vram"][1]()
    assert config.root == folder.parent


def test_an_empty_file_and_one_of_comments_mean_defaults(folder: Path) -> None:
    (folder / "bot_config.yaml").write_text("")
    (folder / "vram_config.yaml").write_text("# nothing\n")

    assert load_config(folder, {}).vram == FILES["vram"][1]()


def test_the_folder_of_the_current_place_comes_first(folder: Path) -> None:
    (folder / "vram_config.yaml").write_text("workers: {threads: 3}\n")

    assert load_config(None, {}).vram.workers.threads == 3


def test_the_environment_names_another_folder(folder: Path) -> None:
    assert config_folder({"DANZAR_CONFIG": str(SHIPPED)}) == SHIPPED


def test_without_a_folder_here_the_one_beside_the_package_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert config_folder({}) == SHIPPED


@pytest.mark.parametrize("name", list(FILES))
def test_every_key_is_documented_in_its_file(name: str) -> None:
    file, model = FILES[name]
    text = (SHIPPED / file).read_text()

    for path in paths(model):
        assert str(path[-1]) in text, f"{file} does not name {'.'.join(map(str, path))}"


@pytest.mark.parametrize(
    ("file", "model"),
    [("vram_config.yaml", DeviceSettings), ("models.yaml", ModelEntry)],
)
def test_every_key_of_an_entry_that_its_owner_names_is_documented(
    file: str, model: type[Settings]
) -> None:
    text = (SHIPPED / file).read_text()

    for key in (path[0] for path in paths(model)):
        assert re.search(rf"^#\s+{key}\b", text, re.MULTILINE), f"{file}: {key}"


def test_every_setting_of_the_graphics_cards_is_in_the_handbook() -> None:
    handbook = (REPOSITORY / "docs" / "configuration.md").read_text()
    known = [
        path
        for path in paths(VramConfig)
        if path[0] in ("monitor", "placement", "pressure", "queue")
    ]
    known += [("devices", *path) for path in paths(DeviceSettings)]
    known += [path for path in paths(ModelEntry) if can_change_live(Key("models", (*ENTRY, *path)))]

    for path in known:
        assert f"`{path[-1]}`" in handbook, ".".join(map(str, path))


def test_the_file_marks_what_may_change_while_danzar_runs() -> None:
    """The comment above a key, or above it and its neighbour, ends with [live] if it may."""
    text = (SHIPPED / "vram_config.yaml").read_text()
    comment, section, marked = "", "", {}
    for line in text.splitlines():
        found = re.match(r"( *)([a-z_]+):", line)
        if line.lstrip().startswith("#"):
            comment = comment + line if comment.startswith("#") else line
        elif found:
            section = section if found[1] else found[2]
            marked[(section, found[2])] = "[live]" in comment
            comment = comment.replace("#", "-", 1)
    for path in paths(VramConfig):
        if len(path) == 2:
            key = Key("vram", (str(path[0]), str(path[1])))
            assert marked[key.path] == can_change_live(key), key


@pytest.mark.parametrize("name", ["bot", "vram"])
def test_the_shipped_values_are_the_defaults_that_their_comments_promise(name: str) -> None:
    shipped = getattr(load_config(SHIPPED, {}), name)
    default = FILES[name][1]()

    assert shipped.model_dump(exclude={"profiles"}) == default.model_dump(exclude={"profiles"})


class TestEnvironment:
    def test_a_variable_overrides_a_file(self, folder: Path) -> None:
        (folder / "vram_config.yaml").write_text("telemetry: {mode: none}\n")

        config = load_config(folder, {"DANZAR_VRAM__TELEMETRY__MODE": "simulated"})

        assert config.vram.telemetry.mode == "simulated"

    def test_values_are_read_as_yaml(self, folder: Path) -> None:
        config = load_config(
            folder,
            {
                "DANZAR_VRAM__PLACEMENT__MARGIN": "1 GiB",
                "DANZAR_VRAM__WORKERS__THREADS": "2",
                "DANZAR_BOT__HTTP__ENABLED": "false",
                "DANZAR_BOT__WATCH__ALLOW_HOSTS": "[a.example, b.example]",
            },
        )

        assert config.vram.placement.margin == GIB
        assert config.vram.workers.threads == 2
        assert config.bot.http.enabled is False
        assert config.bot.watch.allow_hosts == ("a.example", "b.example")

    @pytest.mark.parametrize(
        ("text", "value"),
        [("123", "123"), ("off", "off"), ("a: b: c", "a: b: c"), ('"123"', "123"), ("null", None)],
    )
    def test_text_stays_text(self, folder: Path, text: str, value: str | None) -> None:
        config = load_config(folder, {"DANZAR_BOT__DISCORD__ALERT_CHANNEL": text})

        assert config.bot.discord.alert_channel == value

    def test_names_are_found_in_any_case_and_with_dashes(self, folder: Path) -> None:
        (folder / "models.yaml").write_text(
            "use: {chat: My-Model, detect: null, rank: null, read: null, media: med}\n"
            "models:\n"
            "  My-Model: {backend: llama, role: chat, path: a.gguf}\n"
            "  med: {backend: media, role: media}\n"
        )

        config = load_config(folder, {"danzar_models__models__my_model__device": "cuda:1"})

        assert config.models.models["My-Model"].device == "cuda:1"

    def test_a_wrong_value_names_the_variable(self, folder: Path) -> None:
        with pytest.raises(InvalidConfig) as caught:
            load_config(folder, {"DANZAR_VRAM__TELEMETRY__MODE": "x"})

        assert str(caught.value) == (
            "environment variable DANZAR_VRAM__TELEMETRY__MODE: telemetry.mode: is 'x'; "
            "allowed: auto or nvml or simulated or none"
        )

    @pytest.mark.parametrize(
        ("variable", "meant"),
        [
            ("DANZAR_BOT__DISCORD__API_URLS", "DANZAR_BOT__DISCORD__API_URL"),
            ("DANZAR_VISON__CLIP__ENABLED", "DANZAR_VISION__CLIP__ENABLED"),
            ("DANZAR_VRAM__TELEMETRI__MODE", "DANZAR_VRAM__TELEMETRY__MODE"),
        ],
    )
    def test_an_unknown_variable_names_the_nearest(
        self, folder: Path, variable: str, meant: str
    ) -> None:
        with pytest.raises(InvalidConfig) as caught:
            load_config(folder, {variable: "x"})

        assert str(caught.value) == (
            f"environment variable {variable}: unknown setting; did you mean {meant}?"
        )

    def test_a_token_in_a_setting_is_refused_unread(self, folder: Path) -> None:
        with pytest.raises(InvalidConfig, match="DISCORD_TOKEN") as caught:
            load_config(folder, {"DANZAR_BOT__DISCORD__TOKEN": "hunter2"})

        assert "hunter2" not in str(caught.value)

    def test_other_variables_of_danzar_are_left_alone(self, folder: Path) -> None:
        load_config(folder, {"DANZAR_DEBUG": "1", "DISCORD_TOKEN": "x", "PATH": "y"})


class TestRoles:
    """``auto`` means the model that vision_config.yaml names, where its file is there."""

    MODELS = (
        "use: {chat: null, detect: auto, rank: auto, read: null, media: med}\n"
        "models:\n"
        "  small: {backend: yolo, role: detect, path: models/small.pt}\n"
        "  yolo-nano: {backend: yolo, role: detect, path: models/yolo-nano.pt}\n"
        "  clip-doom: {backend: clip, role: rank, path: models/clip-doom}\n"
        "  general: {backend: clip, role: rank, path: models/g.safetensors,"
        " settings: {architecture: ViT-B-32}}\n"
        "  med: {backend: media, role: media}\n"
    )

    @pytest.mark.parametrize(
        ("there", "detect", "rank"),
        [
            pytest.param([], "yolo-nano", "general", id="nothing there: what is named"),
            pytest.param(
                ["small.pt", "yolo-nano.pt", "clip-doom", "g.safetensors"],
                "yolo-nano",
                "general",
                id="all there: what is named",
            ),
            pytest.param(["small.pt", "clip-doom"], "small", "clip-doom", id="else the first"),
        ],
    )
    def test_auto(self, folder: Path, there: list[str], detect: str, rank: str) -> None:
        (folder / "models.yaml").write_text(self.MODELS)
        models = folder.parent / "models"
        models.mkdir()
        for name in there:
            (models / name).touch()

        use = load_config(folder, {}).models.use

        assert (use.detect, use.rank) == (detect, rank)

    def test_a_model_path_that_is_not_listed_is_a_mistake(self, folder: Path) -> None:
        (folder / "models.yaml").write_text(self.MODELS)
        (folder / "vision_config.yaml").write_text("yolo:\n  model_path: models/other.pt\n")

        with pytest.raises(InvalidConfig) as caught:
            load_config(folder, {})

        assert str(caught.value) == (
            "config/vision_config.yaml:2: yolo.model_path: 'models/other.pt' is the path of no "
            "model in models.yaml; listed: clip-doom, general, med, small, yolo-nano"
        )


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)


def known_sections(model: type[Settings]) -> st.SearchStrategy[dict[str, object]]:
    """Data whose keys are right, so that the values are looked at."""
    keys = [path for path in paths(model) if len(path) == 2]
    one = st.tuples(st.sampled_from(keys), yaml_values)
    return st.lists(one, max_size=4).map(_nest)


def _nest(items: list[tuple[tuple[str | int, ...], object]]) -> dict[str, object]:
    data: dict[str, object] = {}
    for (section, key), value in items:
        data.setdefault(str(section), {})[str(key)] = value  # type: ignore[index]
    return data


class TestAnything:
    """Whatever stands in a file, only InvalidConfig comes out, with one line per problem."""

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-16")))
    def test_bytes(self, folder: Path, data: bytes) -> None:
        _load(folder, "bot_config.yaml", data)

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(text=st.text(alphabet="ab:-[]{}&*!|>'\"#%@\\\n\t 01.~<=,?xuU", max_size=60))
    def test_text_that_is_nearly_yaml(self, folder: Path, text: str) -> None:
        _load(folder, "models.yaml", text.encode())

    @settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=yaml_values)
    def test_values(self, folder: Path, data: object) -> None:
        _load(folder, "vram_config.yaml", _dump(data))

    @settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_values_under_the_right_keys(self, folder: Path, data: st.DataObject) -> None:
        file, model = data.draw(st.sampled_from(list(FILES.values())))

        _load(folder, file, _dump(data.draw(known_sections(model))))

    @settings(max_examples=80)
    @given(text=st.text(alphabet="ab:-[]{}'\"#\n 01.~,", max_size=80))
    def test_the_lines_are_lines_of_the_text(self, text: str) -> None:
        last = text.count("\n") + 1
        try:
            lines = list(read_yaml(text).lines.values())
        except YamlProblem as exc:
            lines = [exc.line]

        assert all(1 <= line <= last for line in lines)


def _dump(data: object) -> bytes:
    return yaml.dump(data, allow_unicode=True).encode("utf-8", errors="surrogatepass")


def _load(folder: Path, name: str, content: bytes) -> None:
    for old in folder.iterdir():
        old.unlink()
    (folder / name).write_bytes(content)
    problems: tuple[object, ...] = ()
    text = ""
    try:
        load_config(folder, {})
    except InvalidConfig as exc:
        problems, text = exc.problems, str(exc)

    assert len(text.encode().splitlines()) == len(problems)


def test_the_doom_profile_asks_the_shipped_clip_what_it_was_taught() -> None:
    taught = yaml.safe_load((REPOSITORY / "models/clip-doom/concepts.yaml").read_text())["concepts"]

    concepts = load_config(SHIPPED, {}).bot.profiles["doom"].concepts

    assert set(concepts) == {concept["name"] for concept in taught if concept["situation"]}
