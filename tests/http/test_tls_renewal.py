"""A renewed certificate is taken up without a restart: over real sockets."""

import asyncio
import ssl
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from danzar.http.tls_renewal import follow_certificate
from danzar.running import running
from tests.certificates import PEM, self_signed

PATIENCE_S = 20.0


async def greet(_reader, writer):
    writer.close()


@asynccontextmanager
async def serving(certificate, key):
    """A server over TLS that looks at its files often; yields its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)
    async with server, running(follow_certificate(context, certificate, key, look_s=0.02)):
        yield server.sockets[0].getsockname()[1]


async def shown(port):
    """The serial number of the certificate that a new connection is shown."""
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=anybody)
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(certificate).serial_number


async def renewed(port, folder):
    """Renew it until that is seen; each time anew, since the server may not have looked yet."""
    async with asyncio.timeout(PATIENCE_S):
        while await shown(port) != 2:
            self_signed(folder, serial=2)
            await asyncio.sleep(0.05)


async def test_new_connections_see_the_renewed_one(tmp_path):
    certificate, key = self_signed(tmp_path, serial=1)
    async with serving(certificate, key) as port:
        assert await shown(port) == 1
        await renewed(port, tmp_path)


def write_half(folder):
    (folder / "server.crt").write_text("-----BEGIN CERTIFICATE-----\nMIIB")


def write_key_of_another(folder):
    (folder / "other").mkdir(exist_ok=True)
    _, key = self_signed(folder / "other")
    (folder / "server.key").write_bytes(Path(key).read_bytes())


def delete(folder):
    (folder / "server.crt").unlink(missing_ok=True)
    (folder / "server.key").touch()


def lock_with_passphrase(folder):
    """Nobody is there to type it: that must not wait for one."""
    key = serialization.load_pem_private_key((folder / "server.key").read_bytes(), None)
    locked = key.private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    (folder / "server.key.new").write_bytes(locked)
    (folder / "server.key.new").replace(folder / "server.key")


@pytest.mark.parametrize("spoil", [write_half, write_key_of_another, delete])
async def test_what_can_not_be_used_leaves_the_old_one_until_it_can(tmp_path, caplog, spoil):
    certificate, key = self_signed(tmp_path, serial=1)
    async with serving(certificate, key) as port:
        async with asyncio.timeout(PATIENCE_S):
            while "can't be used" not in caplog.text:
                spoil(tmp_path)
                await asyncio.sleep(0.05)
        assert await shown(port) == 1
        await renewed(port, tmp_path)


async def test_a_key_with_a_passphrase_is_refused_without_asking_for_it(tmp_path, caplog):
    certificate, key = self_signed(tmp_path, serial=1)
    async with serving(certificate, key) as port:
        assert await shown(port) == 1
        lock_with_passphrase(tmp_path)
        async with asyncio.timeout(PATIENCE_S):
            while "can't be used" not in caplog.text:
                await asyncio.sleep(0.05)
                (tmp_path / "server.key").touch()
        await renewed(port, tmp_path)


async def test_without_tls_there_is_nothing_to_follow():
    await follow_certificate(None, None, None)
