"""Unencrypted queues are for this machine alone, however the address is written."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from redis.asyncio.connection import parse_url

from danzar.keys.errors import QueueUrlRefused
from danzar.keys.queue_url import check_queue_url, is_loopback, show_url, with_login

SECRET = "hunter2secret"


@pytest.mark.parametrize(
    "url",
    [
        "memory://",
        "memory://danzar",
        "redis://127.0.0.1:6379/0",
        "redis://localhost",
        "redis://LOCALHOST:1/2",
        "redis://127.9.9.9",
        "redis://[::1]:6379/0",
        "redis://[::ffff:127.0.0.1]",
        "redis:///0",
        "redis://user:p%40ss@127.0.0.1/0?db=3",
        "unix:///run/redis.sock",
        "rediss://192.168.1.10:6380/0",
        "rediss://pc2:word@queue.example.org",
        "rediss://h?ssl_ca_certs=/a/ca.crt&ssl_cert_reqs=required&ssl_check_hostname=true",
    ],
)
def test_safe_addresses_are_taken(url):
    assert check_queue_url(url).text == url


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("redis://192.168.1.10:6379/0", id="another machine"),
        pytest.param("redis://0.0.0.0", id="every address"),
        pytest.param("redis://[::]", id="every address, IPv6"),
        pytest.param("redis://queue.example.org", id="a name"),
        pytest.param("redis://localhost.example.org", id="a name that begins like this machine's"),
        pytest.param("redis://127.0.0.1.example.org", id="a name that begins like loopback"),
        pytest.param("redis://127.1", id="a short form that a resolver may read otherwise"),
        pytest.param("redis://2130706433", id="loopback as one number"),
        pytest.param("redis://127.0.0.1@10.0.0.5", id="loopback as the user"),
        pytest.param("redis://127.0.0.1\\@10.0.0.5", id="a backslash"),
        pytest.param("redis://127.0.0.1%2f@10.0.0.5/", id="an escaped slash"),
        pytest.param("redis://%31%30.0.0.5", id="an escaped host"),
        pytest.param("redis:///0?host=10.0.0.5", id="the host as a parameter"),
        pytest.param("redis://127.0.0.1?host=10.0.0.5", id="the host twice"),
        pytest.param("redis://127.0.0.1?path=/x", id="a parameter nobody needs"),
        pytest.param("rediss://h?ssl_cert_reqs=none", id="certificates unchecked"),
        pytest.param("rediss://h?ssl_cert_reqs=optional", id="certificates half checked"),
        pytest.param("rediss://h?ssl_check_hostname=false", id="names unchecked"),
        pytest.param("rediss://h?ssl_check_hostname=False", id="names unchecked, capital"),
        pytest.param("rediss://h?ssl_ciphers=NULL", id="no cipher"),
        pytest.param("rediss:///0", id="TLS to nobody"),
        pytest.param("redis+sentinel://a,b/m/0", id="sentinel"),
        pytest.param("redis+cluster://10.0.0.5", id="cluster"),
        pytest.param("http://127.0.0.1", id="not a queue"),
        pytest.param("127.0.0.1:6379", id="no scheme"),
        pytest.param("", id="nothing"),
        pytest.param("redis://127.0.0.1:0", id="port 0"),
        pytest.param("redis://127.0.0.1:99999", id="port too high"),
        pytest.param("redis://[::1", id="half a bracket"),
        pytest.param(" redis://127.0.0.1", id="a space before"),
        pytest.param("redis://127.0.0.1/\n", id="a line break"),
    ],
)
def test_unsafe_addresses_are_refused(url):
    with pytest.raises(QueueUrlRefused):
        check_queue_url(url)


def test_the_refusal_names_both_lines_to_type_and_not_the_password():
    with pytest.raises(QueueUrlRefused) as refused:
        check_queue_url(f"redis://me:{SECRET}@192.168.1.10:6379/0")
    assert "danzar keys init --host 192.168.1.10 " in str(refused.value)
    assert "rediss://me@192.168.1.10:6380" in str(refused.value)
    assert SECRET not in str(refused.value)


@given(st.text(max_size=60), st.sampled_from(["redis", "rediss", "unix", "memory"]))
@example("127.0.0.1?host=10.0.0.5", "redis")
@example("%31%30.0.0.5", "redis")
def test_whatever_is_taken_without_tls_leads_the_client_library_to_this_machine(rest, scheme):
    try:
        address = check_queue_url(f"{scheme}://{rest}")
    except QueueUrlRefused:
        return
    if scheme == "redis":
        options = parse_url(address.text)
        assert is_loopback(str(options.get("host", "localhost")))
        assert "path" not in options


_SECRETS = st.text("abcXYZ019/?#@:%&=+ -_.~\\", min_size=1, max_size=12).map(lambda t: f"SEKRET{t}")


@given(_SECRETS, st.sampled_from(["redis", "rediss", "bad"]), st.sampled_from(["127.0.0.1", "h"]))
def test_a_password_is_never_shown_however_it_is_written(secret, scheme, host):
    url = f"{scheme}://user:{secret}@{host}:6379/0?db=1"
    assert "SEKRET" not in show_url(url)
    try:
        address = check_queue_url(url)
    except QueueUrlRefused as exc:
        assert "SEKRET" not in str(exc)  # noqa: PT017 - both ways are looked at
    else:
        assert "SEKRET" not in f"{address} {address!r} {address.shown}"


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_login_comes_out_of_the_address_as_it_went_in(user, password):
    text = with_login("rediss://[fd00::2]:6380/0", user, password, {"ssl_keyfile": "/a b/c&d%.key"})
    options = parse_url(text)
    assert (options["username"], options["password"]) == (user, password)
    assert (options["host"], options["port"]) == ("fd00::2", 6380)
    assert options["ssl_keyfile"] == "/a b/c&d%.key"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rediss://pc2:word@192.168.1.10:6380/0?ssl_keyfile=x", "rediss://pc2@192.168.1.10:6380/0"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("redis://user:word", "redis://user"),
        ("redis://:word@h", "redis://h"),
        ("memory://", "memory://"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock"),
        ("nothing", "(no address)"),
    ],
)
def test_an_address_is_shown_by_user_host_and_database(url, shown):
    assert show_url(url) == shown
