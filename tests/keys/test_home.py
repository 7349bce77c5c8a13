"""What `danzar keys init` leaves: private files that fit each other, and never by accident anew."""

import os
import re
from datetime import UTC, datetime, timedelta

import pytest

from danzar.keys.address import queue_address
from danzar.keys.errors import KeyFileBad
from danzar.keys.expiry import read_expiries
from danzar.keys.home import (
    Wish,
    add_node,
    certificate_files,
    init_home,
    node_home,
    read_facts,
    remove_node,
    renew,
    served_hosts,
    server_conf,
)
from danzar.keys.node_folder import read_node_folder
from danzar.keys.operators import read_operators

NOW = datetime.now(UTC)


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "keys"
    init_home(folder, Wish(("192.168.1.10",), ("main", "pc2")), NOW)
    return folder


def contents(folder):
    return {file: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def password(home, node):
    return read_node_folder(node_home(home, node), NOW).login()[1]


def users(home):
    return (home / "server" / "users.acl").read_text()


def test_every_node_folder_is_whole_and_leads_to_the_queue_by_tls(home):
    for node in ("main", "pc2"):
        address = queue_address(None, node_home(home, node))
        assert (address.user, address.host, address.port) == (node, "192.168.1.10", 6380)
        assert address.is_tls
        assert address.has_password


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
def test_nobody_else_can_read_any_of_it(home):
    for path in (home, *home.rglob("*")):
        assert not path.stat().st_mode & 0o077, path


def test_passwords_are_in_one_file_each_and_redis_knows_their_hash_alone(home):
    for node in ("main", "pc2"):
        secret = password(home, node).encode()
        holding = [file for file, text in contents(home).items() if secret in text]
        assert holding == [node_home(home, node) / "queue.url"]


def test_private_keys_of_the_authority_and_of_operators_do_not_travel_with_other_nodes(home):
    names = {file.name for file in node_home(home, "pc2").iterdir()}
    assert names == {"ca.crt", "node.crt", "node.key", "queue.url", "node.env", "operators.txt"}
    assert (node_home(home, "main") / "operator.key").exists()


def test_a_second_init_changes_nothing_unless_it_is_forced(home):
    before = contents(home)
    with pytest.raises(KeyFileBad, match="--force"):
        init_home(home, Wish(("192.168.1.10",)), NOW)
    assert contents(home) == before
    init_home(home, Wish(("192.168.1.10",)), NOW, force=True)
    assert contents(home) != before


def test_a_node_added_later_leaves_the_others_as_they_are(home):
    before = {file: text for file, text in contents(home).items() if "nodes" in str(file)}
    facts = add_node(home, "pc3", NOW)
    assert facts.nodes == ("main", "pc2", "pc3")
    after = contents(home)
    assert {file: after[file] for file in before} == before
    assert [line.split()[1] for line in users(home).splitlines()] == [
        "default",
        "main",
        "pc2",
        "pc3",
    ]
    with pytest.raises(KeyFileBad, match="pc3 has keys already"):
        add_node(home, "pc3", NOW)


def test_a_new_operator_is_known_to_every_node(home):
    add_node(home, "laptop", NOW, operator=True)
    for node in ("main", "pc2", "laptop"):
        operators = read_operators(node_home(home, node) / "operators.txt")
        assert set(operators) == {"main", "laptop"}


def test_renewing_ends_the_old_password_and_keeps_the_authority(home):
    old = password(home, "pc2")
    authority = (home / "ca" / "ca.crt").read_bytes()
    old_line = next(line for line in users(home).splitlines() if line.startswith("user pc2"))
    renew(home, ["pc2"], [], NOW)
    assert password(home, "pc2") != old
    assert old_line not in users(home)
    assert (home / "ca" / "ca.crt").read_bytes() == authority
    renew(home, [], [], NOW + timedelta(days=700))
    assert read_node_folder(node_home(home, "pc2"), NOW + timedelta(days=800)).node == "pc2"


def test_the_server_can_get_one_more_address(home):
    renew(home, ["server"], ["10.0.0.7", "mainpc.lan"], NOW)
    assert {"192.168.1.10", "10.0.0.7", "mainpc.lan", "127.0.0.1"} <= set(served_hosts(home))
    assert "bind 127.0.0.1 192.168.1.10 10.0.0.7\n" in server_conf(home).read_text()
    assert read_facts(home).hosts == ("192.168.1.10", "10.0.0.7", "mainpc.lan")


def test_a_removed_node_has_no_user_and_no_say(home):
    remove_node(home, "pc2")
    assert "user pc2" not in users(home)
    remove_node(home, "main")
    assert not read_operators(home / "operators.txt")
    with pytest.raises(KeyFileBad, match="no node 'pc2'"):
        remove_node(home, "pc2")


@pytest.mark.parametrize("name", ["", "PC2", "a b", "../x", "default", "server", "a" * 33, "~*"])
def test_names_that_redis_or_a_folder_can_not_bear_are_refused(tmp_path, name):
    with pytest.raises(KeyFileBad, match="can't be a node's name"):
        init_home(tmp_path / "keys", Wish(("h",), ("main", name)), NOW)
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("host", ["", "a b", "x\ny", "192.168.1", "*.lan", "h:6380", "rediss://h"])
def test_hosts_that_are_none_are_refused(tmp_path, host):
    with pytest.raises(KeyFileBad, match="no address or name"):
        init_home(tmp_path / "keys", Wish((host,)), NOW)
    assert not (tmp_path / "keys").exists()


def test_a_folder_that_would_break_out_of_redis_conf_is_refused(tmp_path):
    with pytest.raises(KeyFileBad, match="--out"):
        init_home(tmp_path / 'a"b', Wish(("h",)), NOW)


def test_where_only_a_name_is_known_redis_listens_everywhere(tmp_path):
    init_home(tmp_path / "keys", Wish(("mainpc.lan",)), NOW)
    assert re.search(r"^bind \* -::\*$", server_conf(tmp_path / "keys").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", ["ca.crt", "node.crt", "node.key", "queue.url"])
def test_a_folder_with_a_missing_or_foreign_file_is_refused_by_its_name(home, tmp_path, name):
    folder, other = node_home(home, "pc2"), tmp_path / "other"
    init_home(other, Wish(("192.168.1.10",), ("main", "pc2")), NOW)
    good = (folder / name).read_bytes()
    (folder / name).unlink()
    with pytest.raises(KeyFileBad, match=name):
        queue_address(None, folder)
    if name != "queue.url":
        (folder / name).write_bytes((node_home(other, "pc2") / name).read_bytes())
        with pytest.raises(KeyFileBad, match=r"is not the key of|was not signed by"):
            queue_address(None, folder)
    (folder / name).write_bytes(good)
    assert queue_address(None, folder).user == "pc2"


def test_an_expired_folder_says_what_to_type(tmp_path):
    init_home(tmp_path / "keys", Wish(("h",)), NOW - timedelta(days=731))
    with pytest.raises(KeyFileBad, match=r"expired on .*danzar keys renew main"):
        queue_address(None, node_home(tmp_path / "keys", "main"))


def test_no_folder_says_which_command_makes_one(tmp_path):
    with pytest.raises(KeyFileBad, match="danzar keys init"):
        queue_address("rediss://h", tmp_path / "none")


def test_without_tls_the_folder_is_not_looked_at(tmp_path):
    assert queue_address("redis://127.0.0.1", tmp_path / "none").text == "redis://127.0.0.1"
    assert queue_address(None, None).is_memory


def test_another_address_for_the_same_queue_keeps_the_login(home):
    address = queue_address("rediss://mainpc.lan:7000/2", node_home(home, "pc2"))
    assert address.shown == "rediss://pc2@mainpc.lan:7000/2"
    assert address.has_password


@pytest.mark.parametrize(
    ("days", "health"), [(0, "good"), (699, "good"), (701, "soon"), (729, "soon"), (731, "expired")]
)
def test_the_end_of_each_certificate_is_told_a_month_before(home, days, health):
    found = read_expiries(certificate_files(home, read_facts(home)), NOW + timedelta(days=days))
    assert [each.health for each in found] == [health, health, health, "good"]
    assert found[-1].name == "the authority"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
def test_a_key_that_others_can_read_is_told(home):
    (node_home(home, "pc2") / "node.key").chmod(0o644)
    found = read_expiries(certificate_files(home, read_facts(home)), NOW)
    assert [each.name for each in found if each.exposed] == ["pc2"]
