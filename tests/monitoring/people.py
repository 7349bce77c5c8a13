"""Someone at the demo's page, as a program: posts messages and pictures, reads nothing."""

import asyncio
import json

import aiohttp

from tests.e2e.conftest import ROOT

FRAMES = ROOT / "assets"


def post(url, channel, text, picture=None):
    """Post as the demo's operator; ``@Danzar`` becomes a mention, as on the page."""
    asyncio.run(_post(url, channel, text, picture))


async def _post(url, channel, text, picture):
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(url, timeout=timeout, headers={"Origin": url}) as session:
        async with session.ws_connect("/page/feed", max_msg_size=0) as feed:
            hello = json.loads((await feed.receive()).data)["d"]
        (channel_id,) = [c["id"] for c in hello["channels"] if c["name"] == channel]
        (user_id,) = [p["id"] for p in hello["people"] if p["operator"]]
        form = aiohttp.FormData(default_to_multipart=True)
        content = text.replace("@Danzar", f"<@{hello['bot']['id']}>")
        body = {"channel_id": channel_id, "user_id": user_id, "content": content}
        form.add_field("json", json.dumps(body))
        if picture is not None:
            (path,) = FRAMES.rglob(picture)
            data = await asyncio.to_thread(path.read_bytes)
            form.add_field("files[0]", data, filename=picture, content_type="image/png")
        async with session.post("/page/messages", data=form) as answer:
            assert answer.status == 200, await answer.text()
