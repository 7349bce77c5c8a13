"""Secrets in files: Docker's, Kubernetes' and systemd's way."""

from pathlib import Path

import pytest

from danzar.commands.run import CannotStart, token_from
from danzar.config.secret_files import take_secrets
from danzar.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "discord_token"


def test_a_token_in_a_file_is_the_token(file: Path) -> None:
    file.write_text("the-token\n")
    environ = {"DISCORD_TOKEN_FILE": str(file)}
    take_secrets(environ)
    assert token_from(environ) == "the-token"


def test_a_token_in_the_environment_stays(file: Path) -> None:
    environ = {"DISCORD_TOKEN": "the-token"}
    take_secrets(environ)
    assert token_from(environ) == "the-token"


def test_without_a_token_both_ways_are_named() -> None:
    with pytest.raises(CannotStart, match="DISCORD_TOKEN is not set, nor DISCORD_TOKEN_FILE"):
        token_from({})


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(None, "can't be read: No such file", id="missing"),
        pytest.param(b"", "the secret alone", id="empty"),
        pytest.param(b" \n", "the secret alone", id="blank"),
        pytest.param(b"DISCORD_TOKEN = s3cret", "the secret alone", id="several words"),
        pytest.param(b"s3cret" * 1000, "the secret alone", id="too long"),
        pytest.param(b"\xff\xfes3cret", "is no text", id="not text"),
    ],
)
def test_a_file_that_is_none_is_named_and_never_shown(
    file: Path, content: bytes | None, complaint: str
) -> None:
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=complaint) as caught:
        take_secrets({"DISCORD_TOKEN_FILE": str(file)})
    assert str(file) in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_two_different_tokens_are_refused(file: Path) -> None:
    file.write_text("one")
    with pytest.raises(ConfigError, match="different things"):
        take_secrets({"DISCORD_TOKEN_FILE": str(file), "DISCORD_TOKEN": "two"})
