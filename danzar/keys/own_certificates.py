"""The certificates that this machine lives by: of the queue, and of its own servers. Blocks."""

from datetime import datetime
from pathlib import Path
from typing import Final

from danzar.config.places import key_folder, keys_home
from danzar.config.settings import Config
from danzar.keys.expiry import Expiry, read_expiries
from danzar.keys.home import AUTHORITY, HOME_FILE, certificate_files, read_facts
from danzar.keys.node_folder import CERTIFICATE_FILE, keys_node_name

API: Final = "api.tls_certificate"
PAGE: Final = "http.tls_certificate"


def own_certificates(config: Config, now: datetime) -> list[Expiry]:
    """This machine's, all machines' where their keys lie with its data, and its servers'.

    Raises:
        danzar.keys.errors.KeyFileBad: A file is missing or no certificate.
    """
    files = _of_all_machines(config) | _of_this_machine(config) | server_certificates(config)
    return read_expiries(files, now)


def server_certificates(config: Config) -> dict[str, Path]:
    """Those of the API and of the page, by the key that names them."""
    named = {
        API: config.bot.api.tls_certificate,
        PAGE: config.bot.http.tls_certificate,
    }
    return {name: Path(file) for name, file in named.items() if file is not None}


def remedy(name: str) -> str:
    """What to do about a certificate that ends."""
    if name in (API, PAGE):
        return "renew it where it is from, in the same file"
    if name == AUTHORITY:
        return "danzar keys init --force, and carry all folders again"
    return f"danzar keys renew {name}"


def _of_all_machines(config: Config) -> dict[str, Path]:
    home = keys_home(config)
    return dict(certificate_files(home, read_facts(home))) if (home / HOME_FILE).exists() else {}


def _of_this_machine(config: Config) -> dict[str, Path]:
    folder = key_folder(config)
    return {} if folder is None else {keys_node_name(folder): folder / CERTIFICATE_FILE}
