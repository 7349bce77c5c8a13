"""What the adapter needs of the pinned simcord, and the walls that it adds."""

from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import discord
import pytest

from danzar.local import backend as adapter
from danzar.local.backend import ApiError, Call, Upload
from danzar.local.blobs import BlobStore, picture_size, safe_filename
from danzar.local.settings import Limits
from danzar.local.world import create_world


@pytest.fixture
def small():
    return create_world(Limits(messages_per_channel=3, stored_bytes=100, log_entries=5))


def post(world, content, files=()):
    general = world.channel_ids["general"]
    return adapter.post_as_person(world.backend, general, world.person_id, content, list(files))


def test_the_pinned_version_is_installed():
    assert version("simcord") == "3.2.1"


def test_ids_rise_and_carry_the_time_of_now(small):
    ids = [small.backend.snowflake() for _ in range(1000)]
    assert ids == sorted(set(ids))
    made = discord.utils.snowflake_time(ids[0])
    assert abs(made - datetime.now(UTC)) < timedelta(minutes=1)


def test_making_ids_keeps_nothing(small):
    for _ in range(1000):
        small.backend.snowflake()
    assert not small.backend._reserved_ids
    assert not small.backend._sequences


def test_a_channel_keeps_its_newest_messages_only(small):
    for number in range(10):
        post(small, str(number))
    general = small.channel_ids["general"]
    kept = adapter.recent_messages(small.backend, general, small.person_id, 100)
    assert [m["content"] for m in kept] == ["7", "8", "9"]


def test_the_record_of_events_and_requests_is_bounded(small):
    for _ in range(20):
        post(small, "x")
        adapter.call_api(small.backend, Call("GET", "/users/@me"))
    assert len(small.backend.transcript) == 5
    assert len(small.backend.http_requests) == 5


def test_files_of_forgotten_messages_are_forgotten(small):
    for number in range(10):
        post(small, str(number), [Upload("a.bin", b"x" * 10)])
    assert small.backend.blobs.held_bytes == 30


def test_an_edit_without_its_attachment_frees_it(small):
    general = small.channel_ids["general"]
    path = f"/channels/{general}/messages"
    call = Call("POST", path, {"content": "x"}, files=[Upload("a.bin", b"x" * 10)])
    message = adapter.call_api(small.backend, call)
    assert small.backend.blobs.held_bytes == 10
    adapter.call_api(
        small.backend, Call("PATCH", f"{path}/{message['id']}", {"content": "y", "attachments": []})
    )
    assert small.backend.blobs.held_bytes == 0


def test_expired_interactions_are_forgotten(small, monkeypatch):
    backend, general = small.backend, small.channel_ids["general"]
    old = backend.new_interaction(2, general, small.person_id, small.guild_id)
    old.expires_at = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    new = backend.new_interaction(2, general, small.person_id, small.guild_id)
    assert list(backend.interactions) == [new.id]
    assert list(backend.interaction_tokens) == [new.token]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/channels/1", None, 404, 10003),
        ("POST", "/channels/{general}/messages", {"content": ""}, 400, 50035),
        ("POST", "/channels/{general}/messages", {"content": "x" * 2001}, 400, 50035),
        ("GET", "/channels/{general}/messages/1", None, 404, 10008),
        ("POST", "/channels/x/messages", {"content": "x"}, 400, 50035),
    ],
)
def test_refusals_are_discords(small, method, path, body, status, code):
    call = Call(method, path.format(general=small.channel_ids["general"]), body)
    with pytest.raises(ApiError) as refused:
        adapter.call_api(small.backend, call)
    assert (refused.value.status, refused.value.payload["code"]) == (status, code)


def test_only_those_who_may_can_ping_everyone(small):
    backend, general = small.backend, small.channel_ids["general"]
    asked = adapter.post_as_person(backend, general, small.guest_id, "@everyone", [])
    assert asked["mention_everyone"] is False
    call = Call(
        "POST",
        f"/channels/{general}/messages",
        {"content": "@everyone <@&1>", "allowed_mentions": {"parse": []}},
    )
    assert adapter.call_api(backend, call)["mention_everyone"] is False


def test_the_oldest_files_go_when_the_store_is_full():
    store = BlobStore(limit_bytes=25)
    urls = [store.store_attachment(n, 1, "a.bin", b"x" * 10, None)["url"] for n in range(4)]
    assert [store.get(u) is not None for u in urls] == [False, False, True, True]
    assert store.held_bytes == 20


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a b.png", "a_b.png"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\x.exe", "x.exe"),
        ("<img>.png", "_img_.png"),
        ("...", "file"),
        ("x" * 300 + ".png", "x" * 196 + ".png"),
    ],
)
def test_a_filename_fits_into_a_url(given, kept):
    assert safe_filename(given) == kept


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n broken"])
def test_what_is_no_picture_has_no_size(data):
    assert picture_size(data) == {}
