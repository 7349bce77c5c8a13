import json

import pytest

from danzar.broker.reservations import MOST_RESERVATIONS, Reservations, parse_amount, parse_purpose
from danzar.core.book import Reservation
from danzar.errors import BadInput
from danzar.units import GIB, MIB

CHAT = Reservation("GPU-0", "chat", 8 * GIB)
GAMES = Reservation("GPU-0", "games", 2 * GIB)


def row(**changes) -> bytes:
    """A file with one reservation."""
    whole = {"device_uuid": "G", "purpose": "x", "size_bytes": 1, "actor": "a", "at_s": 1.0}
    return json.dumps({"reservations": [{**whole, **changes}]}).encode()


def make(applied, *configured, path=None):
    return Reservations(configured, applied.append, path, lambda: 50.0)


async def test_a_persons_reservation_is_kept_beside_the_configured_ones():
    applied = []
    desk = make(applied, CHAT)
    await desk.add(GAMES, "ann")
    assert applied[-1] == (CHAT, GAMES)
    (row,) = desk.asked
    assert (row.actor, row.at_s) == ("ann", 50.0)


async def test_it_stands_in_for_the_configured_one_until_it_is_cleared():
    applied = []
    desk = make(applied, CHAT)
    await desk.add(Reservation("GPU-0", "chat", GIB), "ann")
    assert [r.size_bytes for r in applied[-1]] == [GIB]
    gone = await desk.clear()
    assert [r.size_bytes for r in gone] == [GIB]
    assert applied[-1] == (CHAT,)


async def test_clearing_one_device_leaves_the_others():
    applied = []
    desk = make(applied)
    await desk.add(GAMES, "ann")
    other = Reservation("GPU-1", "games", GIB)
    await desk.add(other, "ann")
    await desk.clear("GPU-0")
    assert applied[-1] == (other,)


async def test_changed_settings_leave_peoples_alone():
    applied = []
    desk = make(applied, CHAT)
    await desk.add(GAMES, "ann")
    desk.configure(())
    assert applied[-1] == (GAMES,)


async def test_looking_ahead_changes_nothing():
    applied = []
    desk = make(applied, CHAT)
    assert desk.with_one(GAMES) == (CHAT, GAMES)
    assert desk.all == (CHAT,)
    assert applied == []


async def test_they_outlive_a_restart(tmp_path):
    path = tmp_path / "data" / "reservations.json"
    await make([], path=path).add(GAMES, "ann")
    applied = []
    again = make(applied, CHAT, path=path)
    await again.restore()
    assert applied == [(CHAT, GAMES)]
    assert again.asked[0].actor == "ann"


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{",
        b'{"reservations": [{"device_uuid": 1}]}',
        row(purpose="@x"),
        row(size_bytes=-1),
    ],
)
async def test_a_damaged_file_counts_as_empty_and_is_told_in_the_log(tmp_path, damaged, caplog):
    path = tmp_path / "reservations.json"
    path.write_bytes(damaged)
    desk = make([], CHAT, path=path)
    await desk.restore()
    assert desk.asked == ()
    assert "can't be read" in caplog.text


async def test_there_is_an_end_to_them():
    desk = make([])
    for n in range(MOST_RESERVATIONS):
        await desk.add(Reservation("GPU-0", f"p{n}", GIB), "ann")
    with pytest.raises(BadInput, match="clear some first"):
        await desk.add(GAMES, "ann")


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("6GB", 6 * GIB), ("1.5g", 1536 * MIB), ("512 MB", 512 * MIB), ("6 GiB", 6 * GIB)],
)
def test_sizes_are_read_as_people_write_them(text, size_bytes):
    assert parse_amount(text) == size_bytes


@pytest.mark.parametrize("text", ["", "x", "-3GB", "6TB", "6", "0GB", "1e99GB", "nan"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(BadInput):
        parse_amount(text)


@pytest.mark.parametrize("text", ["", "two words", "@everyone", "x" * 30, "<b>"])
def test_what_is_no_purpose_is_refused(text):
    with pytest.raises(BadInput):
        parse_purpose(text)
