"""Who is not meant to be there gets nothing from a real Redis, and one clear line says why."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from redis.exceptions import NoPermissionError

from danzar.keys.address import CONNECT_TIMEOUT_S, open_redis, probe_queue, queue_address
from danzar.keys.authority import Pair, make_node_certificate, make_server_certificate
from danzar.keys.errors import QueueRefused, QueueUrlRefused
from danzar.keys.home import Wish, add_node, init_home, node_home, remove_node, renew
from danzar.keys.queue_url import check_queue_url, with_login
from danzar.keys.refusals import explain_queue_error
from tests.keys.servers import PlainRedis, TlsRedis, free_port, outside_address

pytestmark = pytest.mark.redis
NOW = datetime.now(UTC)


async def refusal(address, timeout_s=CONNECT_TIMEOUT_S):
    with pytest.raises(QueueRefused) as refused:
        await probe_queue(address, timeout_s)
    text = str(refused.value)
    assert "\n" not in text
    assert address.shown in text
    _, password = login(address)
    assert not password or password not in text
    return text


def login(address):
    parts = address.text.partition("://")[2].rpartition("@")[0]
    user, _, password = parts.partition(":")
    return user, password


def changed(address, **parameters):
    """The same login with other TLS files."""
    user, password = login(address)
    place = address.text.partition("@")[2].partition("?")[0]
    return check_queue_url(with_login(f"rediss://{place}", user, password, parameters))


def paths(folder):
    return {
        "ssl_ca_certs": str(folder / "ca.crt"),
        "ssl_certfile": str(folder / "node.crt"),
        "ssl_keyfile": str(folder / "node.key"),
    }


@pytest.fixture(scope="module")
def other_home(tmp_path_factory):
    """Keys of somebody else, made in the same way."""
    home = tmp_path_factory.mktemp("other") / "home"
    init_home(home, Wish(("127.0.0.1",), ("main", "pc2")), NOW)
    return home


async def test_each_node_is_let_in(tls_redis):
    await probe_queue(tls_redis.address("main"))
    await probe_queue(tls_redis.address("pc2"))


async def test_a_server_of_another_authority_is_not_believed(tls_redis, other_home):
    ours, theirs = paths(tls_redis.folder("pc2")), paths(node_home(other_home, "pc2"))
    mixed = ours | {"ssl_ca_certs": theirs["ssl_ca_certs"]}
    text = await refusal(changed(tls_redis.address("pc2"), **mixed))
    assert "not from the authority that this machine knows" in text


async def test_a_server_is_not_believed_without_our_authority_at_all(tls_redis):
    files = paths(tls_redis.folder("pc2"))
    del files["ssl_ca_certs"]
    text = await refusal(changed(tls_redis.address("pc2"), **files))
    assert "not from the authority" in text


async def test_a_client_without_a_certificate_gets_nothing(tls_redis):
    files = paths(tls_redis.folder("pc2"))
    address = changed(tls_redis.address("pc2"), ssl_ca_certs=files["ssl_ca_certs"])
    assert "it asks for a client certificate" in await refusal(address)


async def test_a_client_of_another_authority_gets_nothing(tls_redis, other_home):
    files = paths(node_home(other_home, "pc2"))
    files["ssl_ca_certs"] = paths(tls_redis.folder("pc2"))["ssl_ca_certs"]
    text = await refusal(changed(tls_redis.address("pc2"), **files))
    assert "does not know the authority of this machine's certificate" in text


async def test_an_expired_client_gets_nothing(tls_redis, tmp_path):
    pair = issued(tls_redis, make_node_certificate, "pc2", NOW - timedelta(days=800))
    files = written(tmp_path, pair, tls_redis)
    text = await refusal(changed(tls_redis.address("pc2"), **files))
    assert "this machine's certificate has expired" in text


async def test_a_servers_certificate_does_not_open_as_a_client(tls_redis, tmp_path):
    pair = issued(tls_redis, make_server_certificate, ("127.0.0.1",), NOW)
    files = written(tmp_path, pair, tls_redis)
    text = await refusal(changed(tls_redis.address("pc2"), **files))
    assert "is none for clients" in text


async def test_an_expired_server_is_not_believed(redis_program, tmp_path):
    server = TlsRedis(tmp_path / "home", made=NOW - timedelta(days=731))
    try:
        main = written(tmp_path, issued(server, make_node_certificate, "main", NOW), server)
        base = check_queue_url((server.folder("main") / "queue.url").read_text().strip())
        text = await refusal(changed(base, **main))
    finally:
        server.stop()
    assert "its certificate has expired" in text
    assert "danzar keys renew server" in text


async def test_a_server_for_another_host_is_not_believed(redis_program, tmp_path):
    server = TlsRedis(tmp_path / "home", hosts=("127.0.0.1",))
    try:
        renamed(server, "10.9.8.7")
        server.restart()
        text = await refusal(server.address("pc2"))
    finally:
        server.stop()
    assert "its certificate is not for 127.0.0.1" in text
    assert "danzar keys renew server --also 127.0.0.1" in text


async def test_a_stolen_node_key_can_not_pose_as_the_server(redis_program, tmp_path):
    server = TlsRedis(tmp_path / "home")
    try:
        for part in ("crt", "key"):
            stolen = (server.folder("pc2") / f"node.{part}").read_bytes()
            (server.home / "server" / f"server.{part}").write_bytes(stolen)
        server.restart()
        text = await refusal(server.address("main"))
    finally:
        server.stop()
    assert "not from the authority" in text or "not for servers" in text


async def test_a_wrong_password_gets_nothing(tls_redis):
    address = tls_redis.address("pc2")
    _, password = login(address)
    wrong = check_queue_url(address.text.replace(password, "x" * 43))
    assert "it knows no user pc2 with this password" in await refusal(wrong)


async def test_another_nodes_password_does_not_fit(tls_redis):
    address, main = tls_redis.address("pc2"), tls_redis.address("main")
    wrong = check_queue_url(address.text.replace(login(address)[1], login(main)[1]))
    assert "it knows no user pc2" in await refusal(wrong)


async def test_nobody_gets_in_without_a_user(tls_redis):
    address = tls_redis.address("pc2")
    anonymous = check_queue_url(f"rediss://{address.text.partition('@')[2]}")
    with pytest.raises(QueueRefused):
        await probe_queue(anonymous)


async def test_a_removed_node_is_shut_out_and_a_new_one_let_in_after_a_restart(own_tls_redis):
    removed = own_tls_redis.address("pc2")
    remove_node(own_tls_redis.home, "pc2")
    add_node(own_tls_redis.home, "pc3", NOW)
    own_tls_redis.restart()
    assert "it knows no user pc2" in await refusal(removed)
    await probe_queue(own_tls_redis.address("pc3"))


async def test_renewed_keys_open_and_the_old_ones_no_longer_do(own_tls_redis):
    old = own_tls_redis.address("pc2")
    renew(own_tls_redis.home, [], [], NOW)
    own_tls_redis.restart()
    await probe_queue(own_tls_redis.address("pc2"))
    assert "it knows no user pc2" in await refusal(
        changed(old, **paths(own_tls_redis.folder("pc2")))
    )


async def test_plain_words_to_a_tls_port_get_nothing(tls_redis):
    text = await refusal(check_queue_url(f"redis://127.0.0.1:{tls_redis.port}/0"))
    assert "it closed the connection" in text


async def test_tls_to_a_plain_port_is_told(plain_redis, tls_redis):
    address = changed(tls_redis.address("pc2"), **paths(tls_redis.folder("pc2")))
    other = check_queue_url(address.text.replace(f":{tls_redis.port}", f":{plain_redis.port}"))
    # Redis waits for the end of a line that never comes, so only the time tells.
    assert f"is {plain_redis.port} its TLS port?" in await refusal(other, 0.5)


async def test_an_empty_port_is_told():
    port = free_port()
    text = await refusal(check_queue_url(f"redis://127.0.0.1:{port}/0"))
    assert f"nothing listens on port {port}" in text


async def test_plain_redis_at_another_address_is_refused_though_it_would_answer(
    redis_program, tmp_path
):
    host = outside_address()
    if host is None:
        pytest.skip("this machine has no address but loopback")
    server = PlainRedis(tmp_path, host)
    try:
        with pytest.raises(QueueUrlRefused, match=f"danzar keys init --host {host}"):
            queue_address(server.url, None)
    finally:
        server.stop()


async def test_tls_at_another_address_is_let_in(redis_program, tmp_path):
    host = outside_address()
    if host is None:
        pytest.skip("this machine has no address but loopback")
    server = TlsRedis(tmp_path / "home", host)
    try:
        assert server.address("pc2").host == host
        await probe_queue(server.address("pc2"))
    finally:
        server.stop()


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL",
        "KEYS *",
        "SCAN 0",
        "CONFIG GET *",
        "ACL LIST",
        "CLIENT LIST",
        "MONITOR",
        "SHUTDOWN NOSAVE",
        "REPLICAOF 10.0.0.1 6379",
        "MODULE LIST",
        "FUNCTION LIST",
        "SWAPDB 0 1",
        "SAVE",
        "SET elsewhere 1",
        "GET elsewhere",
        "SET danzar:node:main:state x",
        "XADD danzar:node:pc2:commands * a b",
        "XADD danzar:node:main:commands * a b",
        "DEL danzar:node:pc2:commands",
        "XADD danzar:node:main:answers * a b",
        "EVAL return(redis.call('set',KEYS[1],'1')) 1 elsewhere",
    ],
)
async def test_a_node_can_not(tls_redis, command):
    address = tls_redis.address("pc2")
    async with open_redis(address) as client:
        with pytest.raises(NoPermissionError) as refused:
            await client.execute_command(*command.split(" "))
    text = explain_queue_error(refused.value, address)
    assert "the user pc2 may not do that" in text
    assert login(address)[1] not in text


@pytest.mark.parametrize(
    "command",
    [
        "SET danzar:jobs:x 1",
        "ZADD danzar:nodes 1 pc2",
        "SET danzar:node:pc2:state x",
        "GET danzar:node:main:state",
        "XADD danzar:node:pc2:answers * a b",
        "XREAD STREAMS danzar:node:pc2:commands 0",
        "TIME",
    ],
)
async def test_a_node_can(tls_redis, command):
    async with open_redis(tls_redis.address("pc2")) as client:
        await client.execute_command(*command.split(" "))


async def test_the_main_node_can_command_the_others(tls_redis):
    async with open_redis(tls_redis.address("main")) as client:
        await client.execute_command("XADD", "danzar:node:pc2:commands", "*", "a", "b")


def issued(server, make, names, made):
    ca = server.home / "ca"
    authority = Pair((ca / "ca.crt").read_bytes(), (ca / "ca.key").read_bytes())
    return make(authority, names, made)


def written(folder, pair, server):
    (folder / "node.crt").write_bytes(pair.certificate)
    (folder / "node.key").write_bytes(pair.key)
    return paths(folder) | {"ssl_ca_certs": str(server.home / "ca" / "ca.crt")}


def renamed(server, host):
    pair = issued(server, make_server_certificate, (host,), NOW)
    (server.home / "server" / "server.crt").write_bytes(pair.certificate)
    (server.home / "server" / "server.key").write_bytes(pair.key)


def test_any_error_becomes_one_line():
    address = check_queue_url("rediss://pc2:word@h:6380/0")
    for error in (ValueError("a\nb"), ssl.SSLError("?"), ConnectionResetError(), TimeoutError()):
        text = explain_queue_error(error, address)
        assert text.startswith("the queue at rediss://pc2@h:6380/0: ")
        assert "\n" not in text
        assert "word" not in text
