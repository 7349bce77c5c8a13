"""A backup is whole and consistent, holds no secret, and is believed of nothing."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import zipfile
from contextlib import closing
from hashlib import sha256

import pytest

from danzar.maintenance.archive import opened
from danzar.maintenance.backup import Source, make_backup
from danzar.maintenance.databases import copy_database, keep_before_upgrade
from danzar.maintenance.errors import BackupFailed, BadBackup, CannotRestore
from danzar.maintenance.restore import KnownDatabase, Place, restore

KNOWN = {"danzar.db": KnownDatabase(2)}


def make_db(path, version=2, rows=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (value TEXT)")
        connection.executemany("INSERT INTO t VALUES (?)", [(row,) for row in rows])
        connection.execute(f"PRAGMA user_version = {version}")


def rows_of(path):
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT value FROM t")]


@pytest.fixture
def source(tmp_path):
    data, config = tmp_path / "data", tmp_path / "config"
    make_db(data / "danzar.db", rows=["hello"])
    (data / "reservations.json").write_text('{"chat": 8}')
    (data / "control.json").write_text('{"secret": "s3cret"}')
    (data / "holiday.jpg").write_bytes(b"mine")
    (data / "keys/ca").mkdir(parents=True)
    (data / "keys/ca/ca.key").write_text("PRIVATE")
    (data / "logs").mkdir()
    (data / "logs/danzar.jsonl").write_text("{}\n")
    config.mkdir()
    (config / "bot_config.yaml").write_text("profile: doom\n")
    return Source(data, config, {"chat": "ab" * 32, "ocr": None})


@pytest.fixture
def archive(source, tmp_path):
    file = tmp_path / "backup.zip"
    make_backup(source, file)
    return file


def place(tmp_path, name="elsewhere", *, in_use=False):
    return Place(tmp_path / name / "data", tmp_path / name / "config", lambda: in_use)


def test_a_backup_holds_what_outlives_a_machine_and_nothing_else(archive):
    with opened(archive) as (_, manifest):
        assert [file.path for file in manifest.files] == [
            "data/danzar.db",
            "data/reservations.json",
            "config/bot_config.yaml",
        ]
        assert manifest.files[0].version == 2
        assert manifest.models == {"chat": "ab" * 32, "ocr": None}


def test_keys_are_in_it_only_where_they_are_asked_for(source, tmp_path):
    file = tmp_path / "with-keys.zip"
    manifest = make_backup(source, file, with_keys=True)
    assert "data/keys/ca/ca.key" in [f.path for f in manifest.files]
    restored = restore(file, place(tmp_path), KNOWN)
    key = tmp_path / "elsewhere/data/keys/ca/ca.key"
    assert key.read_text() == "PRIVATE"
    assert restored.manifest.with_keys
    if os.name == "posix":
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_only_its_owner_may_read_a_backup(archive):
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600


def test_a_backup_overwrites_nothing_and_leaves_nothing_when_it_fails(source, tmp_path):
    taken = tmp_path / "taken.zip"
    taken.write_text("mine")
    with pytest.raises(BackupFailed, match="already"):
        make_backup(source, taken)
    assert taken.read_text() == "mine"
    (source.data / "danzar.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    with pytest.raises(BackupFailed, match=r"danzar\.db"):
        make_backup(source, tmp_path / "new.zip")
    assert {p.name for p in tmp_path.iterdir()} == {"data", "config", "taken.zip"}


def test_restored_elsewhere_everything_is_there(archive, tmp_path):
    there = place(tmp_path)
    restored = restore(archive, there, KNOWN)
    assert rows_of(there.data / "danzar.db") == ["hello"]
    assert (there.data / "reservations.json").read_text() == '{"chat": 8}'
    assert (there.config / "bot_config.yaml").read_text() == "profile: doom\n"
    assert restored.moved == []
    assert {p.name for p in there.data.parent.iterdir()} == {"data", "config"}


def test_nothing_is_overwritten_unless_it_is_moved_aside(archive, source, tmp_path):
    here = Place(source.data, source.config, lambda: False)
    make_db(source.data / "habits.db")
    (source.config / "bot_config.yaml").write_text("profile: other\n")
    with pytest.raises(CannotRestore, match="--force"):
        restore(archive, here, KNOWN)
    restored = restore(archive, here, KNOWN, force=True)
    assert not (source.data / "habits.db").exists()
    assert (source.config / "bot_config.yaml").read_text() == "profile: doom\n"
    aside = {path.name: to for path, to in restored.moved}
    assert (aside["data"] / "habits.db").exists()
    assert (aside["data"] / "holiday.jpg").read_bytes() == b"mine"
    assert aside["bot_config.yaml"].read_text() == "profile: other\n"
    # What the backup was not given is as it was.
    assert (source.data / "keys/ca/ca.key").read_text() == "PRIVATE"


def test_settings_that_are_the_same_are_not_in_the_way(archive, source, tmp_path):
    restored = restore(archive, Place(tmp_path / "new", source.config, lambda: False), KNOWN)
    assert restored.moved == []


def test_a_volume_that_can_not_be_renamed_is_filled_in_place(
    archive, source, tmp_path, monkeypatch
):
    monkeypatch.setattr(os.path, "ismount", lambda path: path == source.data)
    (source.data / "lost+found").mkdir()
    here = Place(source.data, None, lambda: False)
    restored = restore(archive, here, KNOWN, force=True)
    assert rows_of(source.data / "danzar.db") == ["hello"]
    assert (source.data / "keys/ca/ca.key").exists()
    (aside,) = source.data.glob("before-restore-*")
    assert (aside / "holiday.jpg").exists()
    assert len(restored.moved) == 5
    restore(archive, here, KNOWN, force=True)  # what was moved aside is not in the way


def test_a_bot_that_runs_is_not_pulled_the_rug_from_under(archive, tmp_path):
    with pytest.raises(CannotRestore, match="stop it first"):
        restore(archive, place(tmp_path, in_use=True), KNOWN, force=True)
    assert not (tmp_path / "elsewhere").exists()


def test_a_bot_that_starts_while_the_backup_is_unpacked_stops_it(archive, tmp_path):
    answers = iter([False, True])
    there = Place(tmp_path / "elsewhere/data", None, lambda: next(answers))
    with pytest.raises(CannotRestore, match="stop it first"):
        restore(archive, there, KNOWN)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_fails_half_way_is_taken_back(archive, source, tmp_path):
    before = {p: p.stat().st_mtime_ns for p in source.data.rglob("*")}
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    here = Place(source.data, blocked / "config", lambda: False)
    with pytest.raises(CannotRestore, match="put in place"):
        restore(archive, here, KNOWN, force=True)
    assert {p: p.stat().st_mtime_ns for p in source.data.rglob("*")} == before
    assert not list(tmp_path.glob("*before-restore*")) + list(tmp_path.glob(".danzar*"))


def test_a_backup_of_a_newer_danzar_is_refused(source, tmp_path):
    make_db(source.data / "jobs.db", version=9)
    make_backup(source, tmp_path / "new.zip")
    with pytest.raises(BadBackup, match=r"jobs\.db has version 9.*update Danzar"):
        restore(tmp_path / "new.zip", place(tmp_path), {**KNOWN, "jobs.db": KnownDatabase(1)})
    assert not (tmp_path / "elsewhere").exists()


def test_an_older_database_is_upgraded_before_it_is_put_in_place(archive, tmp_path):
    def upgrade(path):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("INSERT INTO t VALUES ('upgraded')")

    restore(archive, place(tmp_path), {"danzar.db": KnownDatabase(3, upgrade)})
    assert rows_of(tmp_path / "elsewhere/data/danzar.db") == ["hello", "upgraded"]


# --- what others may have made of it -----------------------------------------------------------


def forged(tmp_path, files, *, listed=None, kind="file", claim=None):
    """An archive with these members; the manifest says what ``listed`` says of them."""
    file = tmp_path / "forged.zip"
    entries = [
        {
            "path": path,
            "size_bytes": len(data) if claim is None else claim,
            "sha256": sha256(data).hexdigest(),
            "version": None,
        }
        for path, data in (files if listed is None else listed).items()
    ]
    manifest = {
        "format": 1,
        "danzar": "0.1.0",
        "made_at": "2026-01-31T18:00:00+00:00",
        "with_keys": False,
        "files": entries,
        "models": {},
    }
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            info = zipfile.ZipInfo(path)
            info.compress_type = zipfile.ZIP_DEFLATED
            if kind == "link":
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, data)
        archive.writestr("manifest.json", json.dumps(manifest))
    return file


@pytest.mark.parametrize(
    "path",
    [
        "../evil.json",
        "data/../../evil.json",
        "/etc/cron.d/evil",
        "data//danzar.db",
        "C:/evil.json",
        "data\\..\\evil.json",
        "data/control.json",
        "data/keys/ca/ca.key",
        "data/logs/danzar.jsonl",
        "data/evil.sh",
        "config/evil.py",
        "config/deeper/models.yaml",
        "elsewhere/danzar.db",
        "config/con.yaml",
        "config/.yaml.",
        "danzar.db",
        "config/a\0b.yaml",
    ],
)
def test_a_path_that_no_backup_has_is_refused(tmp_path, path):
    with pytest.raises(BadBackup):
        restore(forged(tmp_path, {path: b"x"}), place(tmp_path), KNOWN)
    assert {p.name for p in tmp_path.iterdir()} == {"forged.zip"}


def test_a_link_is_refused(tmp_path):
    file = forged(tmp_path, {"config/models.yaml": b"/etc/passwd"}, kind="link")
    with pytest.raises(BadBackup, match="something else than a file"):
        restore(file, place(tmp_path), KNOWN)


def test_a_bomb_is_refused_before_it_unpacks(tmp_path):
    bomb = forged(tmp_path, {"config/models.yaml": b"\0" * 50_000_000}, claim=10)
    with pytest.raises(BadBackup, match="another size"):
        restore(bomb, place(tmp_path), KNOWN)
    huge = forged(tmp_path, {"config/models.yaml": b"x"}, claim=10**18)
    with pytest.raises(BadBackup, match="larger than any"):
        restore(huge, place(tmp_path), KNOWN)
    assert not (tmp_path / "elsewhere").exists()


def test_a_bomb_whose_header_lies_writes_no_byte_more_than_it_said(tmp_path):
    file = forged(tmp_path, {"config/models.yaml": b"\0" * 50_000_000})
    data = bytearray(file.read_bytes())
    real, said = (50_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")
    file.write_bytes(
        bytes(data.replace(real, said)).replace(b'"size_bytes": 50000000', b'"size_bytes": 10')
    )
    with pytest.raises(BadBackup):
        restore(file, place(tmp_path), KNOWN)
    assert not list((tmp_path / "elsewhere").glob("*"))


def test_a_member_that_is_not_listed_or_missing_is_refused(tmp_path):
    extra = forged(
        tmp_path, {"config/a.yaml": b"a", "config/b.yaml": b"b"}, listed={"config/a.yaml": b"a"}
    )
    with pytest.raises(BadBackup, match="does not hold what it lists"):
        restore(extra, place(tmp_path), KNOWN)


def test_one_changed_byte_is_noticed_and_nothing_is_restored(tmp_path):
    file = forged(tmp_path, {"config/a.yaml": b"b"}, listed={"config/a.yaml": b"a"})
    with pytest.raises(BadBackup, match=r"config/a\.yaml is damaged"):
        restore(file, place(tmp_path), KNOWN)
    assert not list((tmp_path / "elsewhere").glob("*"))


@pytest.mark.parametrize("data", [b"", b"no archive", b"PK\x03\x04" + b"\0" * 100])
def test_what_is_no_archive_is_refused(tmp_path, data):
    file = tmp_path / "file.zip"
    file.write_bytes(data)
    with pytest.raises(BadBackup):
        restore(file, place(tmp_path), KNOWN)


def test_an_archive_that_is_cut_anywhere_is_refused(archive, tmp_path):
    whole = archive.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 40)):
        archive.write_bytes(whole[:length])
        with pytest.raises(BadBackup):
            restore(archive, place(tmp_path), KNOWN)


# --- while others write ------------------------------------------------------------------------

WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
for number in range(1_000_000):
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO t VALUES (?)", (f"{number} first " + "x" * 500,))
    connection.execute("INSERT INTO t VALUES (?)", (f"{number} second",))
    connection.execute("COMMIT")
    print(number, flush=True)
"""


@pytest.mark.process
def test_a_copy_is_whole_while_another_process_writes_without_a_pause(tmp_path):
    path = tmp_path / "danzar.db"
    make_db(path, rows=["y" * 1000] * 1500)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    written = []
    reader = threading.Thread(target=lambda: written.extend(map(int, writer.stdout)))
    reader.start()
    try:
        for number in range(2):
            while len(written) < 20 * (number + 1):
                assert writer.poll() is None
            before = written[-1]
            target = tmp_path / f"copy-{number}.db"
            copy_database(path, target)
            rows = [row.split()[:2] for row in rows_of(target) if not row.startswith("y")]
            pairs = len(rows) // 2
            # Every transaction whole, none missing, and all that was acknowledged before.
            assert rows == [[str(n), part] for n in range(pairs) for part in ("first", "second")]
            assert before < pairs <= written[-1] + 2
    finally:
        writer.kill()
        writer.wait()
        reader.join()
        writer.stdout.close()


def test_before_an_upgrade_a_copy_is_kept_and_the_oldest_go(tmp_path):
    path = tmp_path / "danzar.db"
    make_db(path, rows=["dear"])
    for version in range(1, 6):
        copy = keep_before_upgrade(path, version)
        os.utime(copy, (version, version))
    assert sorted(p.name for p in tmp_path.glob("*before*")) == [
        "danzar.db.before-v5",
        "danzar.db.before-v6",
    ]
    assert rows_of(copy) == ["dear"]
