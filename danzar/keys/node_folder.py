"""The folder that a node carries: what is in it, and whether it is whole. Blocks."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from cryptography import x509
from cryptography.x509.oid import NameOID

from danzar.keys.authority import is_signed_by, key_fits, read_certificate
from danzar.keys.errors import KeyFileBad
from danzar.keys.private_files import read_private
from danzar.keys.queue_url import QueueUrl, check_queue_url

CA_FILE: Final = "ca.crt"
CERTIFICATE_FILE: Final = "node.crt"
KEY_FILE: Final = "node.key"
URL_FILE: Final = "queue.url"
ENV_FILE: Final = "node.env"


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """A folder that is whole.

    Attributes:
        folder: Absolute.
        node: Whom the certificate names.
        address: Where the queue is, with this node's user and password.
    """

    folder: Path
    node: str
    address: QueueUrl
    expires: datetime

    def login(self) -> tuple[str, str]:
        """User and password in the queue."""
        parts = urlsplit(self.address.text)
        return unquote(parts.username or ""), unquote(parts.password or "")

    def tls_parameters(self) -> dict[str, str]:
        """What redis-py wants to know in the address for this node's TLS."""
        return {
            "ssl_ca_certs": str(self.folder / CA_FILE),
            "ssl_certfile": str(self.folder / CERTIFICATE_FILE),
            "ssl_keyfile": str(self.folder / KEY_FILE),
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": "true",
        }


def read_node_folder(folder: Path, now: datetime) -> NodeFolder:
    """The folder, if its parts belong together and are still good.

    Raises:
        KeyFileBad: A file is missing, damaged, of another set, or has expired.
        danzar.keys.errors.QueueUrlRefused: ``queue.url`` holds no safe address.
    """
    folder = folder.expanduser().absolute()
    if not folder.is_dir():
        raise KeyFileBad(
            f"there is no key folder {folder}; danzar keys init makes one for each node"
        )
    certificate = _checked_certificate(folder)
    expires = certificate.not_valid_after_utc
    if expires <= now:
        name = node_name(certificate)
        raise KeyFileBad(
            f"the certificate in {folder} expired on {expires:%Y-%m-%d}; "
            f"where the authority is, type: danzar keys renew {name}"
        )
    url = read_private(folder / URL_FILE).decode(errors="replace").strip()
    return NodeFolder(folder, node_name(certificate), check_queue_url(url), expires)


def keys_node_name(folder: Path) -> str:
    """The name of the node that the folder was made for.

    Raises:
        KeyFileBad: There is no such folder, or its certificate is damaged.
    """
    file = folder.expanduser() / CERTIFICATE_FILE
    return node_name(read_certificate(read_private(file), str(file)))


def node_name(certificate: x509.Certificate) -> str:
    """Whom the certificate names."""
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _checked_certificate(folder: Path) -> x509.Certificate:
    authority, certificate = (
        read_certificate(read_private(folder / name), str(folder / name))
        for name in (CA_FILE, CERTIFICATE_FILE)
    )
    if not key_fits(certificate, read_private(folder / KEY_FILE)):
        raise KeyFileBad(f"{folder / KEY_FILE} is not the key of {folder / CERTIFICATE_FILE}")
    if not is_signed_by(certificate, authority):
        raise KeyFileBad(
            f"{folder / CERTIFICATE_FILE} was not signed by {folder / CA_FILE}: the files are of "
            "different sets; copy the whole folder again"
        )
    return certificate
