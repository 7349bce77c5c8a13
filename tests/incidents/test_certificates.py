"""Certificates that end are told of a month before: of real homes of keys, and real files."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from danzar.config.load import load_config
from danzar.core.incident import NONE_OPEN, Change, follow_incidents
from danzar.core.pressure import Level
from danzar.errors import DanzarError
from danzar.incidents.certificates import CertificateWatch
from danzar.keys.home import Wish, init_home, node_home, renew
from danzar.keys.own_certificates import own_certificates
from danzar.running import running
from tests.certificates import self_signed

NOW = datetime.now(UTC)
PATIENCE_S = 20.0


@pytest.fixture
def home(tmp_path):
    return tmp_path / "data" / "keys"


def config_with(tmp_path, **parts):
    config = load_config(None)
    changed = {
        name: getattr(config.bot, name).model_copy(update=new) for name, new in parts.items()
    }
    bot = config.bot.model_copy(update={"data_dir": str(tmp_path / "data"), **changed})
    return config.model_copy(update={"bot": bot})


async def seen(read):
    """What the watch tells after its first look."""
    watch = CertificateWatch(read)
    async with running(watch.run()), asyncio.timeout(PATIENCE_S):
        while not (told := watch.observe()):
            await asyncio.sleep(0.01)
    return told


async def levels(config, now):
    return {o.key: o.level for o in await seen(lambda: own_certificates(config, now))}


async def test_all_machines_whose_keys_lie_here_are_watched(tmp_path, home):
    init_home(home, Wish(("127.0.0.1",), ("main", "pc2")), NOW)
    config = config_with(tmp_path, jobs={"keys": str(node_home(home, "main"))})
    keys = {f"certificate:{name}" for name in ("the authority", "server", "main", "pc2")}
    assert await levels(config, NOW) == dict.fromkeys(keys, Level.NORMAL)
    soon = await levels(config, NOW + timedelta(days=710))
    assert {key for key, level in soon.items() if level is Level.WARNING} == keys - {
        "certificate:the authority"
    }
    over = await levels(config, NOW + timedelta(days=740))
    assert over["certificate:pc2"] is Level.CRITICAL


async def test_it_is_told_worsens_and_ends_with_the_renewal(tmp_path, home):
    init_home(home, Wish(("127.0.0.1",)), NOW)
    config, state, steps = config_with(tmp_path), NONE_OPEN, []
    for days in (0, 710, 740, 741):
        if days == 741:
            renew(home, (), (), NOW + timedelta(days=days))
        at = NOW + timedelta(days=days)
        told = await seen(lambda at=at: own_certificates(config, at))
        state, changes = follow_incidents(state, told, days * 86400.0)
        steps += [(days, c.change, c.incident.text) for c in changes if "main" in c.incident.key]
    assert [(days, change) for days, change, _ in steps] == [
        (710, Change.OPENED),
        (740, Change.WORSENED),
        (741, Change.CLOSED),
    ]
    day = f"{NOW + timedelta(days=730):%Y-%m-%d}"
    assert steps[0][2] == (
        f"The certificate of main ends on {day}. Before that: danzar keys renew main"
    )


async def test_those_of_the_api_and_the_page_are_watched(tmp_path):
    file, key = self_signed(tmp_path, days=10)
    tls = {"tls_certificate": file, "tls_key": key}
    config = config_with(tmp_path, api=tls, http=tls)
    told = await seen(lambda: own_certificates(config, NOW))
    assert [(o.key, o.level) for o in told] == [
        ("certificate:api.tls_certificate", Level.WARNING),
        ("certificate:http.tls_certificate", Level.WARNING),
    ]
    assert "renew it where it is from" in told[0].text


async def test_one_machine_alone_has_none(tmp_path):
    assert own_certificates(config_with(tmp_path), NOW) == []


async def test_what_can_not_be_read_is_logged_and_read_later(tmp_path, home, caplog):
    config = config_with(tmp_path, jobs={"keys": str(node_home(home, "main"))})

    def read():
        try:
            return own_certificates(config, NOW)
        except DanzarError:
            init_home(home, Wish(("127.0.0.1",)), NOW)
            raise

    watch = CertificateWatch(read, look_s=0.01)
    async with running(watch.run()), asyncio.timeout(PATIENCE_S):
        while not watch.observe():
            await asyncio.sleep(0.01)
    assert "certificates can't be looked at" in caplog.text
