"""A local Discord on a free port, and a real discord.py bot that talks to it over sockets."""

import aiohttp
import discord
import pytest
from discord.gateway import DiscordWebSocket
from discord.http import Route

from danzar.discord_api import use_discord_api
from danzar.local.server import running
from danzar.local.settings import LocalSettings
from tests.local.rig import TOKEN, Page, make_bot, online


@pytest.fixture(autouse=True)
def restore_discord_addresses():
    """discord.py keeps its addresses in class attributes; give them back after each test."""
    kept = (Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY, discord.Asset.BASE)
    yield
    Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY, discord.Asset.BASE = kept


@pytest.fixture
async def local():
    async with running(LocalSettings(token=TOKEN)) as server:
        use_discord_api(server.api_url, server.gateway_url)
        yield server


@pytest.fixture
async def page(local):
    async with aiohttp.ClientSession() as session:
        yield Page(local, session)


@pytest.fixture
async def bot(local):
    async with online(make_bot()) as client:
        yield client
