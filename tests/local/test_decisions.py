"""The parts that decide without doing: rate limits, command options, addresses."""

import pytest
import yarl
from discord import Asset
from discord.gateway import DiscordWebSocket
from discord.http import Route

from danzar.discord_api import use_discord_api
from danzar.local.backend import ApiError
from danzar.local.commands import invoke
from danzar.local.guard import is_loopback_host
from danzar.local.ratelimit import MAX_WINDOWS, RateLimiter

SEND = ("POST", "/channels/1/messages")


def test_a_bucket_is_full_after_its_limit_and_empties_with_time():
    limiter = RateLimiter()
    assert [limiter.take(*SEND, 0.0).remaining for _ in range(5)] == [4, 3, 2, 1, 0]
    refused = limiter.take(*SEND, 3.0)
    assert (refused.retry_after_s, refused.remaining) == (2.0, 0)
    assert limiter.take(*SEND, 5.0).retry_after_s is None


def test_channels_and_kinds_of_request_have_buckets_of_their_own():
    limiter = RateLimiter()
    for _ in range(5):
        limiter.take(*SEND, 0.0)
    assert limiter.take("POST", "/channels/2/messages", 0.0).retry_after_s is None
    assert limiter.take("PATCH", "/channels/1/messages/9", 0.0).retry_after_s is None


def test_fifty_requests_a_second_are_the_most_in_all():
    limiter = RateLimiter()
    for _ in range(50):
        assert limiter.take("GET", "/users/@me", 0.0) is None
    refused = limiter.take("GET", "/users/@me", 0.5)
    assert (refused.is_global, refused.retry_after_s) == (True, 0.5)
    assert limiter.take("POST", "/interactions/1/t/callback", 0.5) is None


def test_old_windows_are_forgotten():
    limiter = RateLimiter()
    for number in range(MAX_WINDOWS * 2):
        limiter.take("POST", f"/channels/{number}/messages", float(number))
    assert len(limiter._windows) <= MAX_WINDOWS


GPU = {
    "name": "gpu",
    "options": [
        {"name": "status", "type": 1, "options": []},
        {
            "name": "set",
            "type": 2,
            "options": [
                {
                    "name": "limit",
                    "type": 1,
                    "options": [
                        {"name": "gib", "type": 10, "required": True, "min_value": 0},
                        {"name": "dry", "type": 5},
                        {"name": "mode", "type": 3, "choices": [{"name": "Soft", "value": "soft"}]},
                    ],
                }
            ],
        },
    ],
}


def test_options_are_nested_below_group_and_subcommand():
    given = {"gib": "1.5", "dry": True, "mode": "soft"}
    invocation = invoke(GPU, ["set", "limit"], given, {})
    assert invocation.options == [
        {
            "name": "set",
            "type": 2,
            "options": [
                {
                    "name": "limit",
                    "type": 1,
                    "options": [
                        {"name": "gib", "type": 10, "value": 1.5},
                        {"name": "dry", "type": 5, "value": True},
                        {"name": "mode", "type": 3, "value": "soft"},
                    ],
                }
            ],
        }
    ]


@pytest.mark.parametrize(
    ("path", "given", "said"),
    [
        ([], {}, "needs a subcommand"),
        (["nope"], {}, "no subcommand 'nope'"),
        (["set"], {}, "needs a subcommand"),
        (["status"], {"x": 1}, "unknown option 'x'"),
        (["set", "limit"], {}, "'gib' is required"),
        (["set", "limit"], {"gib": "-1"}, "must be from 0"),
        (["set", "limit"], {"gib": "1", "dry": "yes"}, "can't be 'yes'"),
        (["set", "limit"], {"gib": "1", "mode": "hard"}, "one of soft"),
    ],
)
def test_a_wrong_invocation_says_what_is_wrong(path, given, said):
    with pytest.raises(ApiError) as refused:
        invoke(GPU, path, given, {})
    assert said in refused.value.payload["message"]


def test_completing_an_option_needs_no_other_one():
    invocation = invoke(GPU, ["set", "limit"], {"mode": "so"}, {}, focused="mode")
    [leaf] = invocation.options[0]["options"][0]["options"]
    assert leaf == {"name": "mode", "type": 3, "focused": True, "value": "so"}


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:8765", True),
        ("localhost:1", True),
        ("[::1]:8765", True),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.1:8765:evil", False),
        ("evil.example:8765", False),
        ("", False),
    ],
)
def test_only_names_of_loopback_count(host, allowed):
    assert is_loopback_host(host) is allowed


@pytest.mark.parametrize(
    ("api", "base", "cdn"),
    [
        (
            "http://127.0.0.1:8765/api/v10",
            "http://127.0.0.1:8765/api/v10",
            "http://127.0.0.1:8765/cdn",
        ),
        ("https://chat.example/api/", "https://chat.example/api/v10", "https://chat.example/cdn"),
        ("https://chat.example/api/v9/", "https://chat.example/api/v9", "https://chat.example/cdn"),
    ],
)
def test_discord_py_is_pointed_at_any_server(api, base, cdn):
    use_discord_api(api, "ws://127.0.0.1:8765/gateway")
    assert (base, cdn) == (Route.BASE, Asset.BASE)
    assert yarl.URL("ws://127.0.0.1:8765/gateway") == DiscordWebSocket.DEFAULT_GATEWAY
    use_discord_api(api, "ws://x/", "https://pictures.example/")
    assert Asset.BASE == "https://pictures.example"
