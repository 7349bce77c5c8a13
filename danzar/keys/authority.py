"""Certificates: a private authority, and what it signs for the queue's server and each node.

ECDSA on P-256, SHA-256. A node's certificate is for clients only, so that a stolen one can't pose
as the server. PEM bytes in and out; nothing here touches a file or asks the clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from danzar.keys.errors import KeyFileBad

AUTHORITY_DAYS: Final = 3650
CERTIFICATE_DAYS: Final = 730
# A clock that is a little behind must not refuse a certificate that was made just now.
_BACKDATED: Final = timedelta(hours=1)
_ORGANISATION: Final = "Danzar"


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM. ``repr`` hides the key."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Pair(...)"


def make_authority(now: datetime) -> Pair:
    """A new authority of one's own; whoever has its key can let machines in."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Danzar queue authority")
    usage = _key_usage(signs_certificates=True)
    certificate = (
        _builder(name, name, key.public_key(), key.public_key(), now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return Pair(_pem(certificate), _key_pem(key))


def make_server_certificate(
    authority: Pair, hosts: Sequence[str], now: datetime, days: int = CERTIFICATE_DAYS
) -> Pair:
    """For the queue's server; ``hosts`` are all addresses and names that clients may type."""
    names = x509.SubjectAlternativeName([_alternative(host) for host in dict.fromkeys(hosts)])
    return _issue(authority, hosts[0], ExtendedKeyUsageOID.SERVER_AUTH, (now, days), names)


def make_node_certificate(
    authority: Pair, node: str, now: datetime, days: int = CERTIFICATE_DAYS
) -> Pair:
    """For a client of the queue by this name."""
    return _issue(authority, node, ExtendedKeyUsageOID.CLIENT_AUTH, (now, days), None)


def read_certificate(pem: bytes, name: str) -> x509.Certificate:
    """The certificate; ``name`` is what a message calls it.

    Raises:
        KeyFileBad: It is none.
    """
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as exc:
        raise KeyFileBad(f"{name} is no certificate, or is damaged") from exc


def is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether this authority made this certificate."""
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # noqa: BLE001 - ValueError, TypeError or InvalidSignature: all mean no
        return False
    return True


def key_fits(certificate: x509.Certificate, key_pem: bytes) -> bool:
    """Whether the private key is the certificate's."""
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError):
        return False
    return key.public_key() == certificate.public_key()


def hosts_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The addresses and names that a server's certificate is for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = found.get_values_for_type(x509.IPAddress)
    return (*(str(address) for address in addresses), *found.get_values_for_type(x509.DNSName))


def _issue(
    authority: Pair,
    name: str,
    purpose: x509.ObjectIdentifier,
    validity: tuple[datetime, int],
    alternatives: x509.SubjectAlternativeName | None,
) -> Pair:
    issuer = read_certificate(authority.certificate, "the authority's certificate")
    signer = serialization.load_pem_private_key(authority.key, password=None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise KeyFileBad("the authority's key is not one that Danzar made")
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_name(name), issuer.subject, key.public_key(), signer.public_key(), *validity)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    )
    if alternatives is not None:
        builder = builder.add_extension(alternatives, critical=False)
    return Pair(_pem(builder.sign(signer, hashes.SHA256())), _key_pem(key))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False
        )
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, text[:64]),
        ]
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
