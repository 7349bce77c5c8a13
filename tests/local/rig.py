"""A local Discord on a free port, and a real discord.py bot that talks to it over sockets."""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field

import aiohttp
import discord
import yarl
from discord import app_commands
from discord.ext import commands

from danzar.local.server import LocalDiscord

TOKEN = "local-test-token"
SOON_S = 10.0


class Ask(discord.ui.View):
    def __init__(self):
        super().__init__(timeout=None)

    @discord.ui.button(label="Stop", style=discord.ButtonStyle.danger, custom_id="stop")
    async def stop_it(self, interaction, button):
        button.disabled = True
        await interaction.response.edit_message(content="stopped", view=self)

    @discord.ui.button(label="Off", disabled=True, custom_id="off")
    async def off(self, interaction, button):
        raise AssertionError("a disabled button was clicked")


class Form(discord.ui.Modal, title="A form"):
    what: discord.ui.TextInput = discord.ui.TextInput(
        label="What", custom_id="what", min_length=2, max_length=5
    )
    why: discord.ui.TextInput = discord.ui.TextInput(label="Why", custom_id="why", required=False)

    async def on_submit(self, interaction):
        await interaction.response.send_message(f"{self.what.value} because {self.why.value!r}")


def make_bot(**options) -> commands.Bot:  # noqa: C901, PLR0915
    """A small bot that uses what Danzar uses."""
    intents = options.pop("intents", None) or discord.Intents.all()
    client = commands.Bot("!", intents=intents, guild_ready_timeout=0.05, **options)
    client.heard = []

    @client.listen()
    async def on_message(message):
        client.heard.append(message)

    @client.command()
    async def ping(ctx):
        await ctx.reply("pong")

    @client.command()
    async def stream(ctx, steps: int):
        message = await ctx.send("step 0")
        for step in range(1, steps + 1):
            await message.edit(content=f"step {step}")

    @client.command()
    async def echo(ctx):
        files = [await a.to_file() for a in ctx.message.attachments]
        embed = discord.Embed(title="Echo").set_image(url=f"attachment://{files[0].filename}")
        await ctx.send(embed=embed, files=files)

    @client.command()
    async def buttons(ctx):
        await ctx.send("choose", view=Ask())

    @client.tree.command()
    @app_commands.describe(text="What to say")
    async def later(interaction: discord.Interaction, text: str):
        await interaction.response.defer(thinking=True)
        await interaction.edit_original_response(content=f"later: {text}")
        await interaction.followup.send(f"followup: {text}")

    @client.tree.command()
    async def secret(interaction: discord.Interaction):
        await interaction.response.send_message("only you", ephemeral=True)

    @client.tree.command()
    async def measure(
        interaction: discord.Interaction,
        picture: discord.Attachment,
        times: app_commands.Range[int, 1, 5],
    ):
        data = await picture.read()
        await interaction.response.send_message(f"{len(data) * times} {picture.filename}")

    @client.tree.command()
    async def form(interaction: discord.Interaction):
        await interaction.response.send_modal(Form())

    @client.tree.command()
    @app_commands.describe(map_name="Which map")
    async def level(interaction: discord.Interaction, map_name: str):
        await interaction.response.send_message(map_name)

    @level.autocomplete("map_name")
    async def complete(interaction: discord.Interaction, current: str):
        names = [n for n in ("entry", "exit", "vault") if n.startswith(current)]
        return [app_commands.Choice(name=n.title(), value=n) for n in names]

    @client.tree.command()
    async def mute(interaction: discord.Interaction):
        """Never answers."""

    @client.tree.context_menu(name="Ask Danzar")
    async def ask(interaction: discord.Interaction, message: discord.Message):
        await interaction.response.send_message(f"about: {message.content}")

    @client.event
    async def setup_hook():
        await client.tree.sync()

    return client


@contextlib.asynccontextmanager
async def online(client: discord.Client, token: str = TOKEN):
    """Run a client until the block ends; it is ready when the block begins."""
    async with asyncio.TaskGroup() as tasks:
        running_client = tasks.create_task(client.start(token))
        ready = tasks.create_task(_ready(client))
        await asyncio.wait({running_client, ready}, return_when=asyncio.FIRST_COMPLETED)
        if running_client.done():
            ready.cancel()
            running_client.result()
        try:
            yield client
        finally:
            await client.close()


async def _ready(client):
    while not client.is_ready():
        await asyncio.sleep(0.01)


@dataclass
class Page:
    """What the page in the browser does, without a browser."""

    local: LocalDiscord
    session: aiohttp.ClientSession
    headers: dict[str, str] = field(init=False)

    def __post_init__(self):
        self.headers = {"Origin": self.local.url}

    @property
    def world(self):
        return self.local.world

    @property
    def general(self) -> int:
        return self.world.channel_ids["general"]

    @property
    def direct(self) -> int:
        return self.world.dm_channel_ids[self.world.person_id]

    async def act(self, action: str, files=(), **body):
        body.setdefault("user_id", str(self.world.person_id))
        body.setdefault("channel_id", str(self.general))
        form = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
        form.add_field("json", json.dumps(body))
        for name, filename, data in files:
            form.add_field(name, data, filename=filename, content_type="application/octet-stream")
        url = f"{self.local.url}/page/{action}"
        async with self.session.post(url, data=form, headers=self.headers) as response:
            return response.status, await response.json()

    async def post(self, content, files=(), **body):
        named = [("files", name, data) for name, data in files]
        status, message = await self.act("messages", named, content=content, **body)
        assert status == 200, message
        return message

    async def command(self, name, kind="slash", channel=None):
        query = {"channel": str(channel or self.general), "user": str(self.world.person_id)}
        url = yarl.URL(f"{self.local.url}/page/commands").with_query(query)
        async with self.session.get(url) as response:
            found = await response.json()
        return next(c for c in found[kind] if c["name"] == name)

    @contextlib.asynccontextmanager
    async def feed(self):
        """Messages of the page's socket, after its greeting."""
        url = f"{self.local.url}/page/feed"
        async with self.session.ws_connect(url, headers=self.headers) as socket:
            hello = json.loads((await socket.receive()).data)
            assert hello["t"] == "hello"
            yield Feed(socket, hello["d"])


@dataclass
class Feed:
    socket: aiohttp.ClientWebSocketResponse
    hello: dict

    async def until(self, kind, matches=lambda data: True):
        """The next event of this kind that matches."""
        async with asyncio.timeout(SOON_S):
            while True:
                message = await self.socket.receive()
                assert message.type is aiohttp.WSMsgType.TEXT, message
                event = json.loads(message.data)
                if event["t"] == kind and matches(event["d"]):
                    return event["d"]

    async def answer(self, content):
        """The bot's message with this content, new or edited."""
        async with asyncio.timeout(SOON_S):
            while True:
                event = json.loads((await self.socket.receive()).data)
                if event["t"].startswith("MESSAGE_") and event["d"].get("content") == content:
                    return event["d"]
