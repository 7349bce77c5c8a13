"""The page in a real browser."""

import asyncio
import contextlib

import pytest
import pytest_asyncio
from aiohttp import web
from PIL import Image
from playwright.async_api import async_playwright, expect

from danzar.discord_api import use_discord_api
from danzar.local.server import running
from danzar.local.settings import Limits, LocalSettings
from danzar.units import GIB, MIB
from tests.browser import CHROMIUM, FLAGS
from tests.local import panel_status
from tests.local.rig import TOKEN, make_bot, online

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}"),
]
expect.set_options(timeout=10_000)

STATUS = {
    "version": 1,
    "bot": {"name": "Danzar", "ready": True, "latency_s": 0.01},
    "devices": [
        {
            "uuid": "GPU-1",
            "label": "cuda:0",
            "name": "NVIDIA GeForce RTX 4070",
            "simulated": True,
            "total_bytes": 12 * GIB,
            "free_bytes": 5 * GIB,
            "used_bytes": 7 * GIB,
            "foreign_bytes": 2 * GIB,
            "foreign": [{"pid": 7, "name": "<b>game</b>.exe", "used_bytes": None}],
            "utilisation_pct": None,
            "temperature_c": 61,
            "reservations": [
                {"purpose": "chat", "bytes": 8 * GIB, "by": None},
                {"purpose": "games", "bytes": GIB, "by": "<i>ann</i>"},
            ],
            "leases": [
                {
                    "model": "qwen2.5-7b-instruct",
                    "purpose": "chat",
                    "bytes": 5 * GIB,
                    "state": "resident",
                }
            ],
        }
    ],
    "models": panel_status.models(),
    "watches": [],
    "alerts": [{"text": "Health is low", "at": "2026-01-01T00:00:00+00:00"}],
    "decisions": panel_status.decisions(),
    "messages": [],
}


@contextlib.asynccontextmanager
async def status_server():
    async def status(request):
        return web.json_response(STATUS)

    app = web.Application()
    app.router.add_get("/v1/status", status)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
def assets(tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(2):
        Image.new("RGB", (320, 240), (200, 40 * number, 0)).save(frames / f"frame_{number}.png")
    return tmp_path


@pytest_asyncio.fixture(loop_scope="module")
async def local(assets):
    async with status_server() as status_url:
        limits = Limits(person_upload_bytes=8 * MIB)
        settings = LocalSettings(
            token=TOKEN, status_url=status_url, assets_dir=assets, limits=limits
        )
        async with running(settings) as server:
            use_discord_api(server.api_url, server.gateway_url)
            yield server


@pytest_asyncio.fixture(loop_scope="module")
async def bot(local):
    async with online(make_bot()) as client:
        yield client


# One Chromium for all tests; each has windows of its own, which share nothing.
@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser():
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        await chromium.close()


@contextlib.asynccontextmanager
async def opened(browser, local, prepare="", **options):
    """A window at the page, after this script; any error in its console fails the test."""
    context = await browser.new_context(viewport={"width": 1300, "height": 800}, **options)
    await context.add_init_script(prepare)
    window = await context.new_page()
    troubles = []
    window.on("pageerror", lambda error: troubles.append(str(error)))
    window.on("dialog", lambda dialog: troubles.append(f"dialog: {dialog.message}"))
    await window.goto(local.url)
    await expect(window.get_by_test_id("channel-general")).to_be_visible()
    yield window
    await context.close()
    assert troubles == []


# A machine that is busy: what the server sends arrives late.
LATE_FEED = """
window.WebSocket = class extends WebSocket {
  addEventListener(kind, listener) {
    super.addEventListener(kind, (event) => setTimeout(() => listener(event), 800));
  }
};
"""


async def say(window, text):
    await window.get_by_test_id("composer").fill(text)
    await window.keyboard.press("Enter")


def from_danzar(window):
    return window.locator('[data-testid="message"][data-author="Danzar"]')


async def test_a_question_is_asked_and_its_answer_grows_before_the_eyes(browser, local, bot):
    async with opened(browser, local) as window:
        await say(window, "!stream 3")
        answer = from_danzar(window).last
        await expect(answer).to_contain_text("step 3")
        await expect(answer).to_have_attribute("data-edits", "3")
        await expect(window.get_by_test_id("composer")).to_have_value("")


async def test_what_is_typed_as_soon_as_the_page_lets_one_is_sent(browser, local, bot):
    async with opened(browser, local, prepare=LATE_FEED) as window:
        await window.reload()
        await say(window, "!stream 1")
        await expect(from_danzar(window).last).to_contain_text("step 1")


async def test_what_is_written_and_added_while_a_message_is_sent_is_the_next_one(
    browser, local, bot
):
    async def late(route):
        await asyncio.sleep(0.8)
        await route.continue_()

    async with opened(browser, local) as window:
        await say(window, "earlier")
        await expect(window.get_by_test_id("message").last).to_contain_text("earlier")
        await window.route("**/page/messages", late)
        await say(window, "first")
        await window.keyboard.type("second")
        await window.get_by_test_id("message").last.hover()
        await window.get_by_role("button", name="Reply", exact=True).last.click()
        await window.get_by_test_id("sample-frame").first.click()
        await expect(window.get_by_test_id("message").last).to_contain_text("first")
        await expect(window.get_by_test_id("composer")).to_have_value("second")
        await expect(window.get_by_test_id("ticket")).to_contain_text("frame_0.png")
        await expect(window.locator(".replying")).to_be_visible()


async def test_a_sample_frame_is_one_click_away_and_comes_back_in_an_embed(browser, local, bot):
    async with opened(browser, local) as window:
        await window.get_by_test_id("sample-frame").first.click()
        await expect(window.get_by_test_id("ticket")).to_contain_text("frame_0.png")
        await say(window, "!echo")
        image = window.get_by_test_id("embed").get_by_test_id("attachment-image")
        await expect(image).to_be_visible()
        assert await image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 320
        await image.click()
        await expect(window.get_by_role("dialog")).to_be_visible()
        await window.keyboard.press("Escape")
        await expect(window.get_by_role("dialog")).to_be_hidden()


async def test_a_slash_command_is_found_filled_in_and_used_with_the_keyboard_alone(
    browser, local, bot
):
    async with opened(browser, local) as window:
        await window.get_by_test_id("composer").press_sequentially("/lat")
        await expect(window.get_by_test_id("command-picker")).to_contain_text("/later")
        await window.keyboard.press("Enter")
        await expect(window.get_by_test_id("option-text")).to_be_focused()
        await window.keyboard.type("hello")
        await window.keyboard.press("Enter")
        await expect(from_danzar(window).last).to_contain_text("followup: hello")
        await expect(window.get_by_test_id("composer")).to_be_focused()


async def test_a_form_that_the_bot_opens_is_filled_in_on_this_page_only(browser, local, bot):
    async with opened(browser, local) as other, opened(browser, local) as window:
        await window.get_by_test_id("composer").press_sequentially("/form")
        await expect(window.get_by_test_id("command-picker")).to_contain_text("/form")
        await window.keyboard.press("Enter")
        await window.keyboard.press("Enter")
        await expect(window.get_by_test_id("field-what")).to_be_focused()
        await window.keyboard.type("lunch")
        await window.keyboard.press("Enter")
        await expect(from_danzar(window).last).to_contain_text("lunch because")
        await expect(window.get_by_test_id("modal")).to_have_count(0)
        await expect(other.get_by_test_id("modal")).to_have_count(0)


async def test_a_picture_option_takes_a_sample_frame(browser, local, bot):
    async with opened(browser, local) as window:
        await window.get_by_test_id("composer").press_sequentially("/measure")
        await expect(window.get_by_test_id("command-picker")).to_contain_text("/measure")
        await window.keyboard.press("Enter")
        await window.get_by_test_id("command-form").locator("select").select_option("frame_1.png")
        await window.get_by_test_id("option-times").fill("1")
        await window.get_by_test_id("command-use").click()
        await expect(from_danzar(window).last).to_contain_text("frame_1.png")


async def test_a_button_is_pressed_and_a_disabled_one_is_not(browser, local, bot):
    async with opened(browser, local) as window:
        await say(window, "!buttons")
        await expect(window.get_by_test_id("button-Off")).to_be_disabled()
        await window.get_by_test_id("button-Stop").click()
        await expect(from_danzar(window).last).to_contain_text("stopped")
        await expect(window.get_by_test_id("button-Stop")).to_be_disabled()


async def test_a_message_command_is_in_the_messages_menu(browser, local, bot):
    async with opened(browser, local) as window:
        await say(window, "what is this?")
        message = window.get_by_test_id("message").last
        await message.locator(".content").click(button="right")
        await window.get_by_role("menuitem", name="Ask Danzar").click()
        await expect(from_danzar(window).last).to_contain_text("about: what is this?")


async def test_an_ephemeral_answer_is_seen_by_its_asker_only_and_can_be_dismissed(
    browser, local, bot
):
    async with opened(browser, local) as window:
        await window.get_by_test_id("composer").press_sequentially("/secret")
        await expect(window.get_by_test_id("command-picker")).to_contain_text("/secret")
        await window.keyboard.press("Enter")
        await window.get_by_test_id("command-use").click()
        answer = from_danzar(window).last
        await expect(answer).to_contain_text("Only you can see this")
        await window.get_by_test_id("person-Robin").click()
        await expect(from_danzar(window)).to_have_count(0)
        await window.get_by_test_id("person-Player One").click()
        await from_danzar(window).get_by_role("button", name="Dismiss").click()
        await expect(from_danzar(window)).to_have_count(0)


async def test_html_in_a_message_is_text(browser, local):
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script> [x](javascript:alert(3)) **<b>**"
    async with opened(browser, local) as window:
        await say(window, evil)
        content = window.get_by_test_id("message").last.locator(".content")
        await expect(content).to_contain_text("<img src=x onerror=alert(1)><script>")
        assert await content.locator("img, script, a, b").count() == 0
        await expect(content.locator("strong")).to_have_text("<b>")


async def test_markdown_is_shown(browser, local):
    text = "**bold** *it* `x<y` ~~no~~\n> quoted\n- one\n- two\n```py\na < b\n```\n<#{}>"
    channel = local.world.channel_ids["alerts"]
    async with opened(browser, local) as window:
        await window.get_by_test_id("composer").fill(text.format(channel))
        await window.get_by_test_id("send").click()
        content = window.get_by_test_id("message").last.locator(".content")
        shown = await content.evaluate(
            "(content, kinds) => Object.fromEntries(kinds.map("
            "  kind => [kind, [...content.querySelectorAll(kind)].map(e => e.textContent)]))",
            ["strong", "em", ":not(pre) > code", "s", "blockquote", "li", "pre", ".mention"],
        )
    assert shown == {
        "strong": ["bold"],
        "em": ["it"],
        ":not(pre) > code": ["x<y"],
        "s": ["no"],
        "blockquote": ["quoted"],
        "li": ["one", "two"],
        "pre": ["a < b"],
        ".mention": ["#alerts"],
    }


async def test_ten_pictures_are_posted_and_the_eleventh_is_not_taken(browser, local, assets):
    data = next(assets.glob("frames/*.png")).read_bytes()
    files = [{"name": f"{n}.png", "mimeType": "image/png", "buffer": data} for n in range(11)]
    async with opened(browser, local) as window:
        await window.get_by_test_id("file-input").set_input_files(files)
        await expect(window.get_by_test_id("toast")).to_contain_text("At most 10 files")
        await expect(window.get_by_test_id("ticket")).to_have_count(10)
        await window.get_by_role("button", name="Remove 3.png").click()
        await expect(window.get_by_test_id("ticket")).to_have_count(9)
        await window.get_by_test_id("send").click()
        message = window.get_by_test_id("message").last
        await expect(message.get_by_test_id("attachment-image")).to_have_count(9)


async def test_a_picture_is_pasted(browser, local):
    async with opened(browser, local) as window:
        await window.get_by_test_id("composer").evaluate(
            """input => {
              const data = new DataTransfer();
              const options = { type: "image/png" };
              data.items.add(new File([new Uint8Array([1, 2])], "pasted.png", options));
              const event = { clipboardData: data, cancelable: true };
              input.dispatchEvent(new ClipboardEvent("paste", event));
            }"""
        )
        await expect(window.get_by_test_id("ticket")).to_contain_text("pasted.png")
        await window.get_by_test_id("send").click()
        message = window.get_by_test_id("message").last
        await expect(message).to_contain_text("can't be shown as a picture")


async def test_too_large_a_file_is_refused_with_its_size(browser, local):
    async with opened(browser, local) as window:
        big = {"name": "big.bin", "mimeType": "text/plain", "buffer": bytes(9 * MIB)}
        await window.get_by_test_id("file-input").set_input_files(big)
        await expect(window.get_by_test_id("toast")).to_contain_text("9.0 MiB; at most 8.0 MiB")
        await expect(window.get_by_test_id("ticket")).to_have_count(0)


async def test_a_mention_is_completed_and_sent_as_one(browser, local, bot):
    async with opened(browser, local) as window:
        await window.get_by_test_id("composer").press_sequentially("@Dan")
        await expect(window.get_by_test_id("mention-picker")).to_contain_text("@Danzar")
        await window.keyboard.press("Tab")
        await window.keyboard.type("hello")
        await window.keyboard.press("Enter")
        await expect(window.get_by_test_id("message").last.locator(".mention")).to_have_text(
            "@Danzar"
        )
    general = local.world.channel_ids["general"]
    [message] = local.world.backend.messages[general].values()
    assert message.content == f"<@{bot.user.id}> hello"


async def test_a_reply_quotes_the_message(browser, local, bot):
    async with opened(browser, local) as window:
        await say(window, "first")
        await window.get_by_test_id("message").last.hover()
        await window.get_by_role("button", name="Reply", exact=True).last.click()
        await say(window, "second")
        await expect(window.get_by_test_id("message").last.locator(".quoted")).to_contain_text(
            "first"
        )


async def test_shift_enter_makes_a_new_line(browser, local):
    async with opened(browser, local) as window:
        await window.get_by_test_id("composer").press_sequentially("one")
        await window.keyboard.press("Shift+Enter")
        await window.keyboard.type("two")
        await expect(window.get_by_test_id("composer")).to_have_value("one\ntwo")
        await expect(window.get_by_test_id("message")).to_have_count(0)


async def test_the_cards_are_shown_with_what_is_known(browser, local):
    async with opened(browser, local) as window:
        panel = window.locator("#panel")
        bar = panel.get_by_test_id("device-bar")
        await expect(bar).to_have_attribute(
            "aria-label",
            "cuda:0: qwen2.5-7b-instruct 5.0 GiB, chat 3.0 GiB, games 1.0 GiB, "
            "other programs 2.0 GiB, free 1.0 GiB",
        )
        await expect(panel).to_contain_text("kept for games by <i>ann</i>")
        for text in ("simulated", "7.0 of 12.0 GiB", "61 °C", "<b>game</b>.exe", "Health is low"):
            await expect(panel).to_contain_text(text)
        busy = panel.locator(".figure", has_text="busy")
        await expect(busy).to_contain_text("unknown")


async def test_each_model_is_shown_with_its_place_bytes_rung_and_pin(browser, local):
    async with opened(browser, local) as window:
        chat = window.locator('[data-testid="model-row"][data-model="qwen2.5-7b-instruct"]')
        for text in (
            "cuda:0",
            "4.8 GiB (estimated 5.0 GiB)",
            "with less context",
            "pinned",
            "protected",
            "1 running",
            "2 waiting",
            "reload 9.4 s",
            "6.2GB are needed, cuda:0 has room for 5.4GB",
        ):
            await expect(chat).to_contain_text(text)
        rows = window.get_by_test_id("model-row")
        assert await rows.evaluate_all("rows => rows.map(r => r.dataset.model)") == [
            "qwen2.5-7b-instruct",
            "yolo-nano",
            "clip-doom",
            "sdxl",
        ]
        await expect(rows.nth(2)).to_contain_text("left for other programs")
        await expect(rows.nth(3)).to_contain_text("the file is damaged")


async def test_the_last_decisions_are_shown_newest_first_with_their_reasons(browser, local):
    async with opened(browser, local) as window:
        steps = window.get_by_test_id("decision")
        await expect(steps).to_have_count(4)
        await expect(steps.first).to_contain_text("sdxl failed")
        await expect(steps.nth(1)).to_contain_text("room for qwen2.5-7b-instruct")
        await expect(steps.nth(2)).to_contain_text("clip-doom made way · cuda:1")
        await expect(steps.nth(2)).to_contain_text("makes way for <b>game</b>.exe")


async def test_two_pages_show_the_same(browser, local, bot):
    async with opened(browser, local) as one, opened(browser, local) as two:
        await say(one, "!ping")
        for window in (one, two):
            await expect(from_danzar(window).last).to_contain_text("pong")


async def test_a_bot_that_restarts_is_seen_going_and_coming(browser, local):
    async with opened(browser, local) as window:
        state = window.get_by_test_id("connection")
        await expect(state).to_have_text("Danzar is offline")
        for _ in range(2):
            async with online(make_bot()):
                await expect(state).to_have_text("Danzar is here")
                await say(window, "!ping")
                await expect(from_danzar(window).last).to_contain_text("pong")
            await expect(state).to_have_text("Danzar is offline")


async def test_a_page_finds_a_server_that_restarts(browser):
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(running(LocalSettings(token=TOKEN)))
        async with opened(browser, first) as window:
            await say(window, "before")
            await expect(window.get_by_test_id("message")).to_have_count(1)
            await stack.aclose()
            await expect(window.get_by_test_id("connection")).to_have_text("reconnecting")
            await say(window, "lost?")
            await expect(window.get_by_test_id("toast")).to_contain_text("nothing was sent")
            await expect(window.get_by_test_id("composer")).to_have_value("lost?")
            port = int(first.url.rsplit(":", 1)[1])
            async with running(LocalSettings(token=TOKEN, port=port)):
                await expect(window.get_by_test_id("connection")).to_have_text("Danzar is offline")
                await window.get_by_test_id("send").click()
                await expect(window.get_by_test_id("message")).to_have_count(1)
                await expect(window.get_by_test_id("message")).to_contain_text("lost?")


async def test_lines_of_small_print_stand_below_the_text(browser, local, bot):
    async with opened(browser, local) as window:
        await say(window, "answer\n-# cuda:0 (simulated)\n-# 1.2 s")
        small = window.get_by_test_id("message").last.locator("small")
        tops = await small.evaluate_all("all => all.map(s => s.getBoundingClientRect().top)")
        assert len(tops) == 2
        assert tops[0] < tops[1]


async def test_the_bots_typing_is_shown(browser, local, bot):
    async with opened(browser, local) as window:
        async with bot.get_channel(local.world.channel_ids["general"]).typing():
            await expect(window.get_by_test_id("typing")).to_have_text("Danzar is typing")
        await bot.get_channel(local.world.channel_ids["general"]).send("done")
        await expect(window.get_by_test_id("typing")).to_have_text("")


async def test_a_message_elsewhere_is_counted_until_its_channel_is_opened(browser, local, bot):
    async with opened(browser, local) as window:
        await bot.get_channel(local.world.channel_ids["alerts"]).send("look!")
        channel = window.get_by_test_id("channel-alerts")
        await expect(channel.locator(".unread")).to_have_text("1")
        await channel.click()
        await expect(window.get_by_test_id("message")).to_contain_text("look!")
        await expect(channel.locator(".unread")).to_have_count(0)


async def test_an_empty_channel_suggests_what_to_try(browser, local):
    async with opened(browser, local) as window:
        await window.get_by_test_id("suggestion").nth(1).click()
        await expect(window.get_by_test_id("composer")).to_have_value("@Danzar Is my health low?")
        await expect(window.get_by_test_id("ticket")).to_have_count(1)


async def test_appearance_follows_the_system_and_the_toggle(browser, local):
    async with opened(browser, local, color_scheme="dark") as window:
        dark = await colour(window)
        await window.get_by_test_id("theme").click()  # auto to dark
        assert await colour(window) == dark
        await window.get_by_test_id("theme").click()  # dark to light
        assert await colour(window) != dark


async def colour(window):
    return await window.evaluate("getComputedStyle(document.body).backgroundColor")


async def test_on_a_narrow_screen_the_panel_is_away_until_it_is_opened(browser, local):
    async with opened(browser, local) as window:
        await window.set_viewport_size({"width": 390, "height": 780})
        await expect(window.locator("#panel")).to_be_hidden()
        await window.get_by_test_id("toggle-panel").click()
        await expect(window.get_by_test_id("device-bar")).to_be_visible()
        await window.keyboard.press("Escape")
        await expect(window.locator("#panel")).to_be_hidden()
        wide = await window.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390


async def test_the_page_loads_nothing_from_elsewhere(browser, local, bot):
    context = await browser.new_context()
    window = await context.new_page()
    asked = []
    window.on("request", lambda request: asked.append(request.url))
    await window.goto(local.url)
    await expect(window.get_by_test_id("channel-general")).to_be_visible()
    await context.close()
    foreign = [u for u in asked if not u.startswith((local.url, f"ws{local.url[4:]}"))]
    assert foreign == []
    assert len(asked) > 10
