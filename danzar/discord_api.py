"""Points discord.py at a Discord-compatible server."""

import re

import discord
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import INTERNAL_API_VERSION, Route

_VERSION = re.compile(r"/v\d+$")


def use_discord_api(api_url: str, gateway_url: str, cdn_url: str | None = None) -> None:
    """Make every discord.py client of this process talk to this server.

    Must be called before a client logs in. The addresses of discord.com itself are as good as
    any other, so that no place in the product has to tell them apart.

    Args:
        api_url: Base of the REST interface; the version is added when it has none.
        gateway_url: Address of the gateway, ``ws://`` or ``wss://``.
        cdn_url: Base of avatars and other assets; by default ``/cdn`` on the host of ``api_url``.
    """
    base = api_url.rstrip("/")
    if _VERSION.search(base) is None:
        base = f"{base}/v{INTERNAL_API_VERSION}"
    Route.BASE = base
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway_url)
    origin = yarl.URL(base).origin()
    discord.Asset.BASE = (cdn_url or f"{origin}/cdn").rstrip("/")
