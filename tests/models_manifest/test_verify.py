"""Whether a file is the one that the manifest means."""

import hashlib
from pathlib import Path

import pytest
from aiohttp import web

from danzar.config.load import load_config
from danzar.errors import ModelMissing, ModelRefused
from danzar.models.checksums import Checksums
from danzar.models.pull import pull
from danzar.models.verify import verify

REPOSITORY = Path(__file__).resolve().parents[2]
CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    path.write_bytes(CONTENT)
    return path


def test_the_right_file_is_vouched_for_by_the_manifest(project, file: Path) -> None:
    verified = verify("m", project(m={"path": file.name, "sha256": SHA256}))

    assert (verified.basis, verified.sha256, verified.size_bytes) == (
        "manifest",
        SHA256,
        len(CONTENT),
    )


def test_another_file_is_refused_with_what_to_do(project, file: Path) -> None:
    config = project(m={"path": file.name, "sha256": "0" * 64, "url": "https://models.example/m"})

    with pytest.raises(ModelRefused, match="run: danzar models pull m"):
        verify("m", config)


def test_another_size_is_refused(project, file: Path) -> None:
    with pytest.raises(ModelRefused, match="has 7000 bytes, the manifest says 1"):
        verify("m", project(m={"path": file.name, "size": 1}))


def test_a_file_without_a_checksum_is_vouched_for_by_nothing(project, file: Path) -> None:
    assert verify("m", project(m={"path": file.name})).basis == "nothing"


def test_a_missing_file_is_missing(project) -> None:
    with pytest.raises(ModelMissing):
        verify("m", project(m={"path": "m.safetensors"}))


def test_the_shipped_chat_model_is_in_order(tmp_path: Path) -> None:
    config = load_config(REPOSITORY / "config", {"DANZAR_BOT__DATA_DIR": str(tmp_path)})

    assert verify("smollm2", config).basis == "manifest"


def test_a_gguf_cut_in_half_is_refused(project, tmp_path: Path) -> None:
    whole = verify("smollm2", load_config(REPOSITORY / "config", {})).path
    assert whole is not None
    (tmp_path / "half.gguf").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])

    with pytest.raises(ModelRefused, match="half"):
        verify("m", project(m={"path": "half.gguf", "backend": "llama", "role": "chat"}))


class TestChecksums:
    def test_an_unchanged_file_is_not_read_again(self, file: Path, tmp_path: Path) -> None:
        reads: list[int] = []
        checksums = Checksums(tmp_path / "data")

        assert checksums.of(file, lambda done, _total: reads.append(done)) == SHA256
        assert checksums.of(file, lambda done, _total: reads.append(done)) == SHA256

        assert reads == [len(CONTENT)]

    def test_a_changed_file_is_read_again(self, file: Path, tmp_path: Path) -> None:
        checksums = Checksums(tmp_path / "data")
        checksums.of(file)
        file.write_bytes(b"other")

        assert checksums.of(file) == hashlib.sha256(b"other").hexdigest()

    def test_a_fresh_look_reads_again(self, file: Path, tmp_path: Path) -> None:
        reads: list[int] = []
        checksums = Checksums(tmp_path / "data")
        checksums.of(file)

        checksums.of(file, lambda done, _total: reads.append(done), fresh=True)

        assert reads == [len(CONTENT)]

    def test_a_damaged_note_is_forgotten(self, file: Path, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "checksums.json").write_text("{")

        assert Checksums(tmp_path / "data").of(file) == SHA256


class TestPull:
    async def test_a_model_without_a_checksum_is_refused(self, project, server) -> None:
        config = project(m={"path": "m.safetensors", "url": server.on("/m", _serve)})

        with pytest.raises(ModelRefused, match="--trust-unverified m"):
            await pull("m", config)

        assert server.requests == []

    async def test_a_trusted_model_is_held_to_the_checksum_that_came(
        self, project, server, tmp_path: Path
    ) -> None:
        config = project(m={"path": "m.safetensors", "url": server.on("/m", _serve)})

        assert (await pull("m", config, trust_unverified=True)).basis == "first pull"

        damage(tmp_path / "m.safetensors")
        with pytest.raises(ModelRefused, match="expected"):
            verify("m", config)
        assert (await pull("m", config)).sha256 == SHA256

    async def test_what_is_no_model_is_not_trusted(self, project, server, tmp_path: Path) -> None:
        fields = {"path": "m.gguf", "url": server.on("/m", _serve)}
        config = project(m=fields | {"backend": "llama", "role": "chat"})

        with pytest.raises(ModelRefused, match="GGUF"):
            await pull("m", config, trust_unverified=True)

        assert Checksums(tmp_path / "data").trusted("m") is None
        assert names(tmp_path, "m.gguf*") == []

    async def test_a_model_that_is_there_is_not_fetched(self, project, server, file: Path) -> None:
        url = server.on("/m", _serve)
        config = project(m={"path": file.name, "url": url, "sha256": SHA256})

        assert (await pull("m", config)).basis == "manifest"

        assert server.requests == []

    async def test_a_damaged_model_is_fetched_again(self, project, server, file: Path) -> None:
        url = server.on("/m", _serve)
        damage(file)
        config = project(m={"path": file.name, "url": url, "sha256": SHA256})

        await pull("m", config)

        assert content(file) == CONTENT

    async def test_a_model_that_is_a_folder_gets_its_file_into_it(
        self, project, server, tmp_path: Path
    ) -> None:
        url = server.on("/x/open_clip_model.safetensors", _serve)
        config = project(m={"path": "models/m", "url": url, "sha256": SHA256})

        await pull("m", config)

        assert content(tmp_path / "models/m/open_clip_model.safetensors") == CONTENT

    async def test_a_pickle_without_a_checksum_is_refused_even_when_trusted(
        self, project, server
    ) -> None:
        config = project(m={"path": "m.pt", "url": server.on("/m", _serve)})

        with pytest.raises(ModelRefused, match="allow_unverified"):
            await pull("m", config, trust_unverified=True)

        assert server.requests == []

    async def test_a_model_without_an_address_must_be_there(self, project) -> None:
        with pytest.raises(ModelMissing, match="has no url"):
            await pull("m", project(m={"path": "m.safetensors"}))


def damage(path: Path) -> None:
    path.write_bytes(b"damaged")


def content(path: Path) -> bytes:
    return path.read_bytes()


def names(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))


async def _serve(_request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(body=CONTENT)


@pytest.mark.parametrize("name", ["smollm2", "yolo-nano", "clip-doom"])
def test_every_model_that_ships_is_the_one_in_the_manifest(name: str, tmp_path: Path) -> None:
    config = load_config(REPOSITORY / "config", {"DANZAR_BOT__DATA_DIR": str(tmp_path)})

    assert verify(name, config).basis == "manifest"


def test_the_shipped_clip_serves_until_the_general_one_is_pulled() -> None:
    config = load_config(REPOSITORY / "config", {})
    if (REPOSITORY / "models" / "clip-vit-b-32").exists():
        pytest.skip("the general one was pulled here")

    assert (config.models.use.detect, config.models.use.rank) == ("yolo-nano", "clip-doom")
