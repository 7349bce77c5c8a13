"""The doctor's look at Discord: is the token one, is it accepted, may the bot read messages?"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from danzar.commands.doctor_finding import FAIL, OK, WARN, Finding
from danzar.config.bot import DiscordSettings
from danzar.config.settings import Config

TOKEN_VARIABLE: Final = "DISCORD_TOKEN"  # noqa: S105 - the name, not the secret
PORTAL: Final = "https://discord.com/developers/applications"
# Either bit: the second is that of bots in fewer than 100 servers.
MESSAGE_CONTENT: Final = (1 << 18) | (1 << 19)

_TIMEOUT = aiohttp.ClientTimeout(total=10)
_SHAPE = re.compile(r"^[\w-]{20,40}\.[\w-]{5,8}\.[\w-]{25,60}$")
_OFFICIAL = "discord.com"
_UNAUTHORISED = 401
_OK = 200
# View channels, send messages and files, embed, read history, use application commands.
_PERMISSIONS = (1 << 10) | (1 << 11) | (1 << 14) | (1 << 15) | (1 << 16) | (1 << 31)


def check_discord(config: Config | None, environ: Mapping[str, str]) -> list[Finding]:
    """The token and the intents. Asks Discord only with a token that could be one."""
    token = environ.get(TOKEN_VARIABLE, "").strip()
    settings = config.bot.discord if config is not None else DiscordSettings()
    of_token = check_token(token, official=_OFFICIAL in settings.api_url)
    if of_token.level == FAIL or not token:
        return [of_token]
    return [of_token, asyncio.run(ask_discord(settings, token))]


def check_token(token: str, *, official: bool) -> Finding:
    """Whether there is a token, and whether it has a token's shape. Never shows it. Pure."""
    where = f"{PORTAL}: your application, Bot, Reset Token; then: export {TOKEN_VARIABLE}=..."
    if not token:
        text = f"{TOKEN_VARIABLE} is not set; `danzar demo` works without it"
        return Finding(WARN, "token", text, where)
    if token.lower().startswith("bot "):
        text = f'{TOKEN_VARIABLE} begins with "Bot "; only the token itself belongs there'
        return Finding(FAIL, "token", text, where)
    if official and _SHAPE.match(token) is None:
        text = f"{TOKEN_VARIABLE} is set ({len(token)} characters), but is no bot token"
        return Finding(FAIL, "token", text, where)
    return Finding(OK, "token", f"{TOKEN_VARIABLE} is set and looks like one")


async def ask_discord(settings: DiscordSettings, token: str) -> Finding:
    """What Discord says about the application behind the token."""
    url = f"{settings.api_url.rstrip('/')}/applications/@me"
    headers = {"Authorization": f"Bot {token}"}
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.get(url, headers=headers, allow_redirects=False) as response,
        ):
            body = await response.json() if response.status == _OK else {}
            return judge_application(response.status, body)
    except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
        text = f"can't be reached at {settings.api_url} ({type(exc).__name__})"
        return Finding(WARN, "Discord", text, "check the network, then: danzar doctor")


def judge_application(status: int, body: Mapping[str, Any]) -> Finding:
    """Whether the bot may read messages. Pure."""
    if status == _UNAUTHORISED:
        remedy = f"{PORTAL}: your application, Bot, Reset Token"
        return Finding(FAIL, "Discord", f"refuses the token in {TOKEN_VARIABLE}", remedy)
    flags = body.get("flags")
    if status != _OK or not isinstance(flags, int):
        return Finding(WARN, "Discord", f"answered {status}, so the intents are unknown")
    if not flags & MESSAGE_CONTENT:
        remedy = f"{PORTAL}: your application, Bot, switch on Message Content Intent, Save Changes"
        return Finding(FAIL, "intents", "Message Content Intent is off", remedy)
    return Finding(OK, "intents", f"Message Content Intent is on; invite: {invite(body)}")


def invite(body: Mapping[str, Any]) -> str:
    """The address that brings the bot into a server."""
    client_id = re.sub(r"\D", "", str(body.get("id", "")))
    return (
        f"https://discord.com/oauth2/authorize?client_id={client_id}"
        f"&scope=bot+applications.commands&permissions={_PERMISSIONS}"
    )
