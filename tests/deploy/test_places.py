"""Where settings and files are, for a bot that does not run from its checkout; `danzar init`."""

from pathlib import Path

import pytest

from danzar.commands.init import CannotLayDown, Places, lay_down, places_for, take_key
from danzar.config.load import config_folder, load_config, root_folder
from danzar.config.places import data_folder, platform_config_folder, platform_data_folder
from danzar.errors import BadInput
from danzar.http.api_keys import FILE, ApiKeys, key_text, new_parts
from danzar.models.files import resolve

ROOT = Path(__file__).parents[2]
SETTINGS = """\
use: {chat: null, detect: null, rank: mine, read: null}
models:
  media: {backend: media, role: media}
  mine: {backend: clip, role: rank, path: models/mine}
  large:
    backend: llama
    role: chat
    path: models/pulled.gguf
    url: https://example.org/pulled.gguf
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and a working folder without settings."""
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "DANZAR_CONFIG", "DANZAR_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Something small to lay down: settings that name one folder of weights."""
    origin = tmp_path / "checkout"
    for name, text in {
        "config/models.yaml": SETTINGS,
        "config/bot_config.yaml": "{}\n",
        "models/mine/weights.safetensors": "weights",
        "models/pulled.gguf": "large",
        "assets/frame.png": "picture",
    }.items():
        file = origin / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return origin


def names(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def test_what_ships_is_laid_down_and_found_from_there(home: Path) -> None:
    places = places_for(home / "mine")
    assert lay_down(places)
    config = load_config(places.config, environ={})
    for name in ("yolo-nano", "clip-doom"):
        file = resolve(name, config)
        assert file is not None
        assert file.is_relative_to(home / "mine")
    assert (config.root / "assets" / "sample-clip.mp4").is_file()


def test_only_weights_that_nobody_can_pull_are_copied(tmp_path: Path, checkout: Path) -> None:
    places = Places(tmp_path / "config", tmp_path / "data")
    lay_down(places, checkout)
    assert names(places.config) == {"models.yaml", "bot_config.yaml"}
    assert names(places.root) == {"models/mine/weights.safetensors", "assets/frame.png"}


def test_what_is_there_stays_as_its_owner_left_it(tmp_path: Path, checkout: Path) -> None:
    places = Places(tmp_path / "config", tmp_path / "data")
    lay_down(places, checkout)
    (places.config / "models.yaml").write_text(f"# mine\n{SETTINGS}")
    (places.config / "bot_config.yaml").unlink()
    (places.root / "assets" / "frame.png").unlink()
    assert lay_down(places, checkout) == [places.root / "assets" / "frame.png"]
    assert (places.config / "models.yaml").read_text().startswith("# mine")
    assert not (places.config / "bot_config.yaml").exists()


def test_a_folder_that_cannot_be_written_says_whose_it_must_be(
    tmp_path: Path, checkout: Path
) -> None:
    (tmp_path / "config").write_text("a file where the folder should be")
    with pytest.raises(CannotLayDown, match="can't be written"):
        lay_down(Places(tmp_path / "config", tmp_path / "data"), checkout)


def test_places_are_as_the_environment_says(home: Path) -> None:
    said = {"DANZAR_CONFIG": str(home / "config"), "DANZAR_ROOT": str(home / "data")}
    assert places_for(None, said) == Places(home / "config", home / "data")
    lay_down(places_for(None, said))
    config = load_config(environ=said)
    assert (config.folder, config.root) == (home / "config", home / "data")


def test_without_a_word_they_are_the_platforms(home: Path) -> None:
    places = places_for(None, {})
    assert places == Places(platform_config_folder(), platform_data_folder())
    lay_down(places)
    assert config_folder({}) == platform_config_folder()
    config = load_config(environ={})
    assert config.root == platform_data_folder()
    assert data_folder(config) == platform_data_folder()


def test_the_platforms_folder_counts_only_with_settings_in_it(home: Path) -> None:
    platform_config_folder().mkdir(parents=True)
    assert config_folder({}) == ROOT / "config"


def test_a_folder_of_settings_elsewhere_has_its_root_around_it(home: Path) -> None:
    (home / "mine" / "config").mkdir(parents=True)
    assert root_folder(home / "mine" / "config", {}) == home / "mine"


async def test_a_key_that_is_handed_over_opens_and_the_one_before_ends(
    tmp_path: Path, checkout: Path
) -> None:
    places = Places(tmp_path / "config", tmp_path / "data")
    lay_down(places, checkout)
    first, second = key_text(*new_parts()), key_text(*new_parts())
    for text in (first, first, second):
        await take_key(places, {"DANZAR_API_KEY": text, "DANZAR_BOT__DATA_DIR": str(tmp_path)})
    async with ApiKeys.open(tmp_path / FILE) as keys:
        assert await keys.find(second) is not None
        assert await keys.find(first) is None
        assert len(await keys.all()) == 2


async def test_a_key_of_another_form_is_refused_without_being_shown(
    tmp_path: Path, checkout: Path
) -> None:
    places = Places(tmp_path / "config", tmp_path / "data")
    lay_down(places, checkout)
    given = {"DANZAR_API_KEY": "hunter2hunter2", "DANZAR_BOT__DATA_DIR": str(tmp_path)}
    with pytest.raises(BadInput, match="danzar keys make") as caught:
        await take_key(places, given)
    assert "hunter2" not in str(caught.value)
