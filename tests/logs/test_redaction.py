import pytest

from danzar.logs.redaction import known_secrets, redact_line

SECRET = "hunter2-is-long"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f'{{"token": "{SECRET}"}}', id="JSON"),
        pytest.param(f'{{\\"api_key\\": \\"{SECRET}\\", \\"a\\": 1}}', id="JSON inside JSON"),
        pytest.param(f'{{"password": "a\\"{SECRET}"}}', id="a quote inside the secret"),
        pytest.param(f"redis_password={SECRET}&x=1", id="a query"),
        pytest.param(f"client_secret: {SECRET}", id="YAML"),
        pytest.param(f"connect(password='{SECRET}')", id="a call"),
        pytest.param(f"Authorization: Bearer {SECRET}", id="a header"),
        pytest.param(f"{{'Authorization': 'Bot {SECRET}'}}", id="a header as Python shows it"),
        pytest.param(f"(b'authorization', b'Basic {SECRET}')", id="a header as ASGI has it"),
        pytest.param(f"Cookie: session={SECRET}", id="a cookie"),
        pytest.param(f"rediss://node:{SECRET}@queue.lan:6379/0", id="an address"),
        pytest.param(f"https://discord.com/api/v10/webhooks/12/{SECRET}", id="a webhook"),
        pytest.param(f"/api/webhooks/12/{SECRET}?wait=1", id="a webhook's path"),
        pytest.param(f"danzar_0123abcd_{SECRET * 3}", id="a key of the API"),
        pytest.param(
            f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----", id="a private key"
        ),
        pytest.param(f"-----BEGIN EC PRIVATE KEY-----\n{SECRET}", id="half a private key"),
    ],
)
def test_a_secret_is_found_by_its_form_or_name(text):
    assert SECRET not in redact_line(text)


@pytest.mark.parametrize(
    "text",
    [
        "plan committed model=chat device=cuda:0 evict=()",
        "max_tokens=5, history_token_budget: 900",
        "https://example.org/path?page=2",
        '{"at":"2026-01-31T18:00:00","text":"3 tokens in 0.2 s"}',
    ],
)
def test_what_is_no_secret_stays(text):
    assert redact_line(text) == text


def test_secrets_of_the_environment_are_known_by_value():
    secrets = known_secrets(
        {
            "DISCORD_TOKEN": f" {SECRET} ",
            "QUEUE": "rediss://u:p%40ss-word@queue/0",
            "SOME_API_KEY": "short",
            "HOME": "/home/me",
        }
    )
    assert set(secrets) == {SECRET, "p%40ss-word", "p@ss-word"}
    assert redact_line(f"odd place: <{SECRET}>", secrets) == "odd place: <***>"


@pytest.mark.parametrize(
    "piece", ["a-", "token", "token= ", "://", '\\"', "A.A-", "authorization:"]
)
def test_a_hostile_text_costs_no_more_than_a_long_one(piece):
    """Quadratic patterns would take minutes here, and the test's time limit ends them."""
    for _ in range(5):
        redact_line(piece * 100_000)
