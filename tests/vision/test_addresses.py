import asyncio
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.errors import BadUrl
from danzar.vision.addresses import check_url, is_public, without_credentials

PUBLIC = "93.184.216.34"
LISTED = (
    "cam.example.org",
    "evil.example.org",
    "two.example.org",
    "mapped.example.org",
    "nowhere.example.org",
    "port.example.org:8554",
)
NAMES = {
    "cam.example.org": [PUBLIC],
    "port.example.org": [PUBLIC],
    "evil.example.org": ["127.0.0.1"],
    "two.example.org": [PUBLIC, "192.168.1.5"],
    "mapped.example.org": ["::ffff:10.0.0.1"],
    "lan.example.org": ["192.168.1.20"],
    "localhost": ["127.0.0.1", "::1"],
}


async def lookup(host, port):
    if host not in NAMES:
        raise OSError("no such host")
    return NAMES[host]


async def checked(url, listed=LISTED):
    return await check_url(url, listed, lookup)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://localhost/x",
        "rtsp://10.1.2.3/live",
        "http://172.16.0.1",
        "http://192.168.1.1:8080/",
        "http://169.254.169.254/latest/meta-data",
        "http://0.0.0.0/",
        "http://100.64.0.1/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://[::1]/",
        "http://[::]/",
        "http://[fe80::1]/",
        "http://[fe80::1%25eth0]/",
        "http://[fc00::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[::127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.1./",
        "http://evil.example.org/",
        "http://EVIL.example.org./",
        "http://two.example.org/",
        "http://mapped.example.org/",
        "http://nowhere.example.org/",
        "http://not-listed.example.org/",
        "http://cam.example.org@127.0.0.1/",
        "http://127.0.0.1#@cam.example.org/",
        "http://127.0.0.1\\@cam.example.org/",
        "http://cam.example.org:99999/",
        "http://cam.example.org:8080x/",
        "http://cam.example.org /",
        "http://cam.example.org/\r\nHost: x",
        "http://ⓒam.example.org/",
        "http:///x",
        "http://",
        "https://[::1",
        "file:///etc/passwd",
        "ftp://cam.example.org/",
        "concat:http://cam.example.org/|/etc/passwd",
        "rtsp://port.example.org/live",
    ],
)
async def test_an_address_that_its_owner_did_not_allow_is_refused(url):
    with pytest.raises(BadUrl):
        await checked(url)


async def test_a_listed_name_is_opened_at_the_address_that_was_checked():
    assert await checked("rtsp://cam.example.org/live?x=1") == f"rtsp://{PUBLIC}:554/live?x=1"
    assert await checked("HTTP://Cam.Example.org:8080/a") == f"http://{PUBLIC}:8080/a"


async def test_a_secure_address_keeps_its_name_for_the_certificate():
    assert await checked("https://cam.example.org/a") == "https://cam.example.org/a"


async def test_a_host_may_be_listed_with_its_port_only():
    assert await checked("rtsp://port.example.org:8554/a") == f"rtsp://{PUBLIC}:8554/a"


@pytest.mark.parametrize(
    ("url", "listed"),
    [
        ("http://127.0.0.1:9000/x", "127.0.0.1:9000"),
        ("rtsp://192.168.1.20:554/live", "192.168.1.20"),
        ("http://[::1]:80/x", "[::1]"),
        ("http://[fd00::5]:80/x", "fd00::5"),
    ],
)
async def test_an_address_inside_the_network_is_open_when_it_is_listed_itself(url, listed):
    assert await checked(url, [listed]) == url


async def test_localhost_is_open_when_it_is_listed():
    assert await checked("http://localhost:9000/x", ["localhost:9000"]) == "http://127.0.0.1:9000/x"


async def test_a_listed_name_at_an_inside_address_needs_that_address_too():
    with pytest.raises(BadUrl, match=r"192\.168\.1\.20, an address inside the network"):
        await checked("http://lan.example.org/", ["lan.example.org"])
    both = ["lan.example.org", "192.168.1.20"]
    assert await checked("http://lan.example.org/", both) == "http://192.168.1.20:80/"


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "example.0x5d"])
async def test_an_unusual_way_to_write_an_address_is_refused_even_when_it_is_listed(host):
    async def public(name, port):
        return [PUBLIC]

    with pytest.raises(BadUrl, match="unusual way to write an address"):
        await check_url(f"http://{host}/", [host], public)


async def test_a_resolver_that_hangs_is_given_up(monkeypatch):
    async def hangs(host, port):
        await asyncio.Event().wait()

    monkeypatch.setattr("danzar.vision.addresses._LOOKUP_TIMEOUT_S", 0.01)
    with pytest.raises(BadUrl, match="no address was found"):
        await check_url("http://cam.example.org/", LISTED, hangs)


async def test_credentials_are_used_and_never_shown():
    assert await checked("rtsp://me:geheim@cam.example.org/a") == f"rtsp://me:geheim@{PUBLIC}:554/a"
    for url in ("rtsp://me:geheim@10.0.0.1/", "ftp://me:geheim@x/", "http://me:geheim@nope.org/"):
        with pytest.raises(BadUrl) as refused:
            await checked(url)
        assert "geheim" not in str(refused.value)


@given(st.text(min_size=1, max_size=20), st.text(max_size=10))
def test_what_is_shown_never_holds_a_password(password, rest):
    if any(char in "/?#@" or char.isspace() for char in password):
        return
    shown = without_credentials(f"http://me:{password}@host/{rest}")
    assert shown == f"http://host/{rest}" or "@" in rest


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_the_same_in_every_wrapper(address):
    number = int(address)
    for wrapped in (
        ipaddress.IPv6Address((0xFFFF << 32) | number),
        ipaddress.IPv6Address((0x64FF9B << 96) | number),
        ipaddress.IPv6Address((0x2002 << 112) | (number << 80)),
    ):
        assert is_public(wrapped) == is_public(address)


@given(st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=4, network="127.0.0.0/8"))
def test_no_address_inside_is_public(address):
    assert not is_public(address)
