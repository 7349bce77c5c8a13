from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from danzar.config.api import ApiSettings, is_loopback

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("192.168.1.5", False),
        ("danzar.lan", False),
        ("", False),
    ],
)
def test_only_loopback_is_this_machine_alone(host, ours):
    assert is_loopback(host) is ours


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"host": ""}, "host"),
        ({"port": 70000}, "port"),
        ({"origins": ["localhost:3000"]}, "origins"),
        ({"origins": ["http://a/b"]}, "origins"),
        ({"hosts": ["a:80"]}, "hosts"),
        ({"tls_certificate": "a.crt"}, "tls_key"),
        ({"tls_key": "a.key"}, "belong together"),
        ({"max_body": 0}, "max_body"),
        ({"max_body": "a lot"}, "max_body"),
        ({"drain_s": 0}, "drain_s"),
        ({"concurent": 5}, "concurent"),
    ],
)
def test_a_mistake_in_the_settings_is_named(settings, words):
    with pytest.raises(ValidationError, match=words):
        ApiSettings(**settings)


def test_the_file_says_the_defaults():
    written = yaml.safe_load((ROOT / "config/bot_config.yaml").read_text())["api"]
    assert ApiSettings(**written) == ApiSettings()
    assert written.keys() == ApiSettings.model_fields.keys()


def test_every_key_is_in_the_documents():
    page = (ROOT / "docs/configuration.md").read_text()
    section = page.split("## The HTTP API")[1].split("\n## ")[0]
    assert all(f"`{key}`" in section for key in ApiSettings.model_fields)
