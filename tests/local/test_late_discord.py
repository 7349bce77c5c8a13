"""A bot that is started before Discord can be reached."""

import asyncio

from danzar import bot as bot_module
from danzar.bot import DanzarBot
from danzar.config.bot import DiscordSettings
from danzar.discord_api import use_discord_api
from danzar.local.server import running
from danzar.local.settings import LocalSettings
from tests.local.rig import SOON_S, TOKEN


async def test_it_goes_online_as_soon_as_discord_is_there(unused_tcp_port, monkeypatch, caplog):
    monkeypatch.setattr(bot_module, "_RETRIES_S", (0.05,))
    address = f"http://127.0.0.1:{unused_tcp_port}/api/v10"
    use_discord_api(address, f"ws://127.0.0.1:{unused_tcp_port}/gateway")
    client = DanzarBot(DiscordSettings(api_url=address))

    async with asyncio.TaskGroup() as tasks:
        starting = tasks.create_task(client.start(TOKEN))
        async with asyncio.timeout(SOON_S):
            while caplog.text.count("can't be reached at") < 2:
                await asyncio.sleep(0.01)
        assert not starting.done()
        async with running(LocalSettings(token=TOKEN, port=unused_tcp_port)) as server:
            use_discord_api(server.api_url, server.gateway_url)
            async with asyncio.timeout(3 * SOON_S):
                await ready(client)
            assert [guild.name for guild in client.guilds]
            await client.close()


async def ready(client):
    while not client.is_ready():
        await asyncio.sleep(0.01)
