"""``api`` in ``bot_config.yaml``: the HTTP API for programs."""

import ipaddress
from typing import Annotated

from pydantic import Field, model_validator

from danzar.config.base import KeyProblem, PositiveSeconds, Settings, Size, must_be
from danzar.units import MIB

_NAME = r"^[A-Za-z0-9.-]+$"
_ORIGIN = r"^https?://[A-Za-z0-9.-]+(:\d{1,5})?$"
HostName = Annotated[
    str, Field(pattern=_NAME, json_schema_extra=must_be("a name or address without a port"))
]
Origin = Annotated[
    str, Field(pattern=_ORIGIN, json_schema_extra=must_be("http://NAME:PORT, without a path"))
]


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach what listens there."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class ApiSettings(Settings):
    """The HTTP API. Its keys are made with ``danzar keys add``, and are in no file of settings."""

    enabled: bool = Field(False, description="Whether `danzar run` has it; `danzar serve` always.")
    host: str = Field("127.0.0.1", min_length=1, description="The address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="0 takes a free port.")
    hosts: tuple[HostName, ...] = Field(
        (), description="Further names that clients may call this machine by."
    )
    origins: tuple[Origin, ...] = Field((), description="Web pages that may use it from a browser.")
    picture_hosts: tuple[str, ...] = Field(
        (), description="Hosts (name or name:port) that pictures in messages may be fetched from."
    )
    tls_certificate: str | None = Field(
        None, description="PEM file of the certificate, with its chain; null is plain HTTP."
    )
    tls_key: str | None = Field(None, description="PEM file of its private key.")
    requests_per_minute: int = Field(
        600, ge=1, le=1_000_000, description="Of a key that was made without a limit of its own."
    )
    concurrent: int = Field(
        16, ge=1, le=10_000, description="Requests of a key that are answered at once."
    )
    jobs: int = Field(
        1000, ge=1, le=10_000_000, description="Jobs of a key that wait or run, at most."
    )
    max_body: Size = Field(20 * MIB, gt=0, description="Larger requests are refused.")
    max_prompt_chars: int = Field(50_000, ge=1, description="Longest prompt of a job.")
    body_timeout_s: PositiveSeconds = Field(30.0, description="Until a request must be here whole.")
    answer_timeout_s: PositiveSeconds = Field(
        600.0, description="Until an answer must begin; later it is refused with 504."
    )
    write_timeout_s: PositiveSeconds = Field(
        60.0, description="A client that takes nothing for so long is dropped."
    )
    keep_alive_s: PositiveSeconds = Field(
        15.0, description="Between two signs of life in a stream that has nothing to tell."
    )
    drain_s: PositiveSeconds = Field(
        20.0, description="How long requests may go on when Danzar is stopped."
    )

    @model_validator(mode="after")
    def both_or_none(self) -> "ApiSettings":
        """A certificate is of no use without its key."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            missing = "tls_key" if self.tls_key is None else "tls_certificate"
            raise KeyProblem((missing,), "tls_certificate and tls_key belong together; name both")
        return self
