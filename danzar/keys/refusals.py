"""Why the queue's server and this machine do not accept each other, in one line. Pure.

redis-py, ``ssl`` and the operating system each have their own words, nested in each other.
"""

import ssl
from collections.abc import Iterator
from typing import Final

from redis.exceptions import AuthenticationError, NoPermissionError
from redis.exceptions import TimeoutError as RedisTimeout

from danzar.keys.queue_url import QueueUrl

# OpenSSL's numbers of a failed check (X509_V_ERR_...).
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_WRONG_HOST: Final = (62, 64)
_AUTHORITY_WORDS: Final = "its certificate is not from the authority that this machine knows"
_USE_FOLDER: Final = "; use the folder made by danzar keys for this node"
# What TLS alerts and the operating system say, by a part of their text.
_TEXTS: Final = (
    (
        "certificate required",
        f"it asks for a client certificate, and this machine has shown none{_USE_FOLDER}",
    ),
    ("unknown ca", f"it does not know the authority of this machine's certificate{_USE_FOLDER}"),
    ("alert bad certificate", f"it refused this machine's certificate{_USE_FOLDER}"),
    ("certificate expired", "this machine's certificate has expired; type: danzar keys renew"),
    ("unsupported certificate", f"this machine's certificate is none for clients{_USE_FOLDER}"),
    ("wrong version number", "there is no TLS at that port"),
    ("record layer failure", "there is no TLS at that port"),
    ("protocol version", "it can't agree with this machine on a version of TLS"),
    ("name or service not known", "there is no machine by that name"),
    ("getaddrinfo failed", "there is no machine by that name"),
    ("no route to host", "there is no way to it in this network"),
    ("network is unreachable", "there is no way to it in this network"),
    ("connection closed by server", "it closed the connection"),
    ("connection reset", "it closed the connection"),
    ("eof occurred", "it closed the connection"),
)


def explain_queue_error(error: BaseException, address: QueueUrl) -> str:
    """One line with the server, the reason and what to do; never with the password."""
    reason = next(
        (text for each in _chain(error) if (text := _reason(each, address))),
        f"it can't be reached ({type(error).__name__})",
    )
    return f"the queue at {address.shown}: {reason}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it, the innermost cause first."""
    found: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in found:
        found.append(each)
        each = each.__cause__ or each.__context__
    yield from reversed(found)


def _reason(error: BaseException, address: QueueUrl) -> str | None:
    user = address.user or "default"
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate_reason(error, address)
    if isinstance(error, AuthenticationError):
        return f"it knows no user {user} with this password{_USE_FOLDER}"
    if isinstance(error, NoPermissionError):
        return f"the user {user} may not do that ({_first_words(error)})"
    return _transport_reason(error, address)


def _transport_reason(error: BaseException, address: QueueUrl) -> str | None:
    text = str(error).lower()
    told = next((reason for part, reason in _TEXTS if part in text), None)
    if told is not None:
        return told
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens on port {address.port}; is redis-server running there?"
    if isinstance(error, TimeoutError | RedisTimeout):
        port = f", and is {address.port} its TLS port" if address.is_tls else ""
        return f"it did not answer in time; is it switched on, does a firewall let us pass{port}?"
    return None


def _certificate_reason(error: ssl.SSLCertVerificationError, address: QueueUrl) -> str:
    match error.verify_code:
        case code if code in _WRONG_HOST:
            return (
                f"its certificate is not for {address.host}; where the authority is, type: "
                f"danzar keys renew server --also {address.host}"
            )
        case code if code == _EXPIRED:
            return (
                "its certificate has expired; where the authority is, type: "
                "danzar keys renew server"
            )
        case code if code == _NOT_YET_VALID:
            return "its certificate is not valid yet; are both clocks right?"
    return f"{_AUTHORITY_WORDS}{_USE_FOLDER}"


def _first_words(error: BaseException) -> str:
    return " ".join(str(error).split())[:120]
