"""Every kind of mistake is one clear line with file, line, key, and what to write."""

from pathlib import Path

import pytest

from danzar.config.load import load_config
from danzar.config.problems import InvalidConfig
from danzar.errors import ConfigError

TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA.GabcdE.abcdefghijklmnopqrstuvwxyz0123456789"
RULE = """\
profiles:
  doom:
    title: Doom
    concepts: [a boss]
    hud: {health: {region: [0, 0, 1, 1]}}
    rules:
      - {name: r, message: m, when: WHEN}
"""
MODEL = """\
models:
  m: {backend: llama, role: chat, path: models/m.gguf}
"""
FALLBACKS = """\
use: {{chat: null, detect: null, rank: null, read: null, media: med}}
models:
  a: {{backend: llama, role: chat, fallback: {a}}}
  b: {{backend: llama, role: chat, fallback: {b}}}
  med: {{backend: media, role: media}}
"""


def lines_of(folder: Path, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(InvalidConfig) as caught:
        load_config(folder, environ or {})
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        pytest.param(
            "vision",
            "gpu_memory:\n  main_llm_memory_reservaton_gb: 8.0\n",
            "config/vision_config.yaml:2: gpu_memory.main_llm_memory_reservaton_gb: unknown key; "
            "did you mean main_llm_memory_reservation_gb?",
            id="a misspelt key names the right one",
        ),
        pytest.param(
            "vision",
            "vision_device: cuda:1\n",
            "config/vision_config.yaml:1: vision_device: unknown key here; "
            "did you mean gpu_memory.vision_device?",
            id="a key in the wrong section names the right section",
        ),
        pytest.param(
            "vision",
            "wibble: 1\n",
            "config/vision_config.yaml:1: wibble: unknown key; "
            "known here: gpu_memory, clip, yolo, performance",
            id="a key that is like none lists the known ones",
        ),
        pytest.param(
            "vision",
            'clip:\n  max_insights: "ten"\n',
            "config/vision_config.yaml:2: clip.max_insights: must be a whole number, not 'ten'",
            id="text for a number",
        ),
        pytest.param(
            "vision",
            'clip:\n  processing_fps: "1"\n',
            "config/vision_config.yaml:2: clip.processing_fps: must be a number, not '1'",
            id="a number in quotes",
        ),
        pytest.param(
            "vision",
            "clip:\n  enabled: 1\n",
            "config/vision_config.yaml:2: clip.enabled: must be true or false, not 1",
            id="1 for true",
        ),
        pytest.param(
            "vision",
            "yolo:\n  classes: enemy\n",
            "config/vision_config.yaml:2: yolo.classes: must be a list, not 'enemy'",
            id="text for a list",
        ),
        pytest.param(
            "vision",
            "clip: true\n",
            "config/vision_config.yaml:1: clip: must be a section with keys, not true",
            id="a value for a section",
        ),
        pytest.param(
            "vision",
            "clip:\n  processing_fps: 99\n",
            "config/vision_config.yaml:2: clip.processing_fps: is 99; allowed: above 0, at most 30",
            id="too large",
        ),
        pytest.param(
            "vision",
            "clip:\n  processing_fps: .inf\n",
            "config/vision_config.yaml:2: clip.processing_fps: must be a finite number, not inf",
            id="infinite",
        ),
        pytest.param(
            "vision",
            "gpu_memory:\n  vision_device: gpu1\n",
            "config/vision_config.yaml:2: gpu_memory.vision_device: is 'gpu1'; "
            "allowed: cuda:N, cpu, or a GPU's UUID (GPU-...)",
            id="a device that is none",
        ),
        pytest.param(
            "vram",
            "telemetry: {mode: simulatd}\n",
            "config/vram_config.yaml:1: telemetry.mode: is 'simulatd'; "
            "allowed: auto or nvml or simulated or none",
            id="a word that is not among the choices",
        ),
        pytest.param(
            "vram",
            "placement:\n  margin: 12 GB\n",
            "config/vram_config.yaml:2: placement.margin: '12 GB' is no size; "
            "write it as 8 GiB, 512 MiB or a number of bytes",
            id="a size in a unit that is not known",
        ),
        pytest.param(
            "vram",
            "placement:\n  margin: [1]\n",
            "config/vram_config.yaml:2: placement.margin: is no size; "
            "write it as 8 GiB, 512 MiB or a number of bytes",
            id="a list for a size",
        ),
        pytest.param(
            "vram",
            "placement:\n  margin: -1\n",
            "config/vram_config.yaml:2: placement.margin: is -1; allowed: at least 0",
            id="a negative size",
        ),
        pytest.param(
            "vram",
            "monitor:\n  clear_pct: 95\n",
            "config/vram_config.yaml:2: monitor.clear_pct: is 95; "
            "allowed: at most warning_pct (90)",
            id="two keys that contradict each other",
        ),
        pytest.param(
            "vram",
            "telemetry:\n  simulated_cards:\n    - name: x\n",
            "config/vram_config.yaml:3: telemetry.simulated_cards[0].memory: is missing",
            id="a key that is missing in a list",
        ),
        pytest.param(
            "vram",
            "workers\nthreads: 1\n",
            "config/vram_config.yaml:2: YAML syntax: mapping values are not allowed here",
            id="no YAML",
        ),
        pytest.param(
            "vram",
            "workers:\n\tthreads: 1\n",
            "config/vram_config.yaml:2: YAML syntax: a tab can't indent; use spaces",
            id="a tab",
        ),
        pytest.param(
            "vram",
            "workers: {}\n---\nworkers: {}\n",
            "config/vram_config.yaml:2: holds more than one YAML document; keep one",
            id="two documents",
        ),
        pytest.param(
            "vram",
            "- 1\n",
            "config/vram_config.yaml:1: must be keys with values",
            id="a list for a file",
        ),
        pytest.param(
            "vram",
            "workers:\n  threads: 1\n  threads: 2\n",
            "config/vram_config.yaml:3: workers.threads: stands here a second time "
            "(first in line 2)",
            id="a key twice",
        ),
        pytest.param(
            "vram",
            "workers: &a {threads: 1}\n",
            "config/vram_config.yaml:1: anchors and aliases (& and *) are not read; write it out",
            id="an anchor",
        ),
        pytest.param(
            "vram",
            "workers:\n  <<: {threads: 1}\n",
            "config/vram_config.yaml:2: workers: merge keys (<<) are not read; write it out",
            id="a merge key",
        ),
        pytest.param(
            "vram",
            "workers: !!python/object/apply:os.system ['true']\n",
            "config/vram_config.yaml:1: workers: the tag !!python/object/apply:os.system is not "
            "read; write a plain value",
            id="a tag that would run code",
        ),
        pytest.param(
            "vram",
            "workers:\n  threads: 0x\x01\n",
            "config/vram_config.yaml:1: has a character that YAML does not allow (U+0001)",
            id="a control character",
        ),
        pytest.param(
            "bot",
            "watch:\n  sources:\n    1: a.mp4\n",
            "config/bot_config.yaml:3: watch.sources.1: must be text; put it in quotes",
            id="a key that is no text",
        ),
        pytest.param(
            "bot",
            "discord:\n  alert_channel: off\n",
            "config/bot_config.yaml:2: discord.alert_channel: "
            "must be text (put it in quotes), not false",
            id="YAML's off for a name",
        ),
        pytest.param(
            "bot",
            "discord:\n  api_url: discord.com\n",
            "config/bot_config.yaml:2: discord.api_url: is 'discord.com'; "
            "allowed: an address that begins with https:// or http://",
            id="an address without its scheme",
        ),
        pytest.param(
            "bot",
            "profile: quake\n",
            "config/bot_config.yaml:1: profile: 'quake' is not under profiles; known: doom",
            id="a profile that is not there",
        ),
        pytest.param(
            "bot",
            f"discord:\n  token: {TOKEN}\n",
            "config/bot_config.yaml:2: discord.token: "
            "secrets belong in DISCORD_TOKEN (the environment), never in a file",
            id="the token by its key",
        ),
        pytest.param(
            "bot",
            "api_key: hunter2\n",
            "config/bot_config.yaml:1: api_key: "
            "secrets belong in DISCORD_TOKEN (the environment), never in a file",
            id="another secret by its key",
        ),
        pytest.param(
            "bot",
            f"chat:\n  persona: 'say {TOKEN}'\n",
            "config/bot_config.yaml:2: chat.persona: "
            "secrets belong in DISCORD_TOKEN (the environment), never in a file",
            id="the token in some text",
        ),
        pytest.param(
            "bot",
            RULE.replace("WHEN", "{kind: sean, label: enemy}"),
            "config/bot_config.yaml:7: profiles.doom.rules[0].when: "
            "needs kind: one of seen, hud_below, concept_above",
            id="a rule of no kind",
        ),
        pytest.param(
            "bot",
            RULE.replace("WHEN", "{kind: seen, labl: enemy, label: enemy}"),
            "config/bot_config.yaml:7: profiles.doom.rules[0].when.labl: "
            "unknown key; did you mean label?",
            id="a misspelt key in a rule",
        ),
        pytest.param(
            "bot",
            RULE.replace("WHEN", "{kind: seen, label: dragon}"),
            "config/bot_config.yaml:7: profiles.doom.rules[0].when.label: 'dragon' is no class of "
            "vision_config.yaml (yolo.classes: health_bar, minimap, boss, player, enemy)",
            id="a rule on a label that no model knows",
        ),
        pytest.param(
            "bot",
            RULE.replace("WHEN", "{kind: hud_below, field: ammo, below: 5}"),
            "config/bot_config.yaml:7: profiles.doom.rules[0].when.field: "
            "'ammo' is not under hud of this profile",
            id="a rule on a number that is not read",
        ),
        pytest.param(
            "bot",
            RULE.replace("WHEN", "{kind: concept_above, concept: a bos, above: 0.5}"),
            "config/bot_config.yaml:7: profiles.doom.rules[0].when.concept: "
            "'a bos' is not under concepts of this profile",
            id="a rule on a concept that is not ranked",
        ),
        pytest.param(
            "bot",
            "profiles:\n  doom:\n    title: Doom\n    hud:\n      healht: {region: [0, 0, 1, 1]}\n",
            "config/bot_config.yaml:5: profiles.doom.hud.healht: unknown key; did you mean health?",
            id="a misspelt number of the display",
        ),
        pytest.param(
            "bot",
            "profiles: {doom: {title: D, hud: {health: {region: [0, 1, 1, 0]}}}}\n",
            "config/bot_config.yaml:1: profiles.doom.hud.health.region: "
            "must be [left, top, right, bottom] with left < right and top < bottom",
            id="a region that is inside out",
        ),
        pytest.param(
            "bot",
            "profiles: {doom: {title: D, hud: {health: {region: [0, 0, 1, 1], pattern: '('}}}}\n",
            "config/bot_config.yaml:1: profiles.doom.hud.health.pattern: is no regular expression: "
            "missing ), unterminated subpattern at position 0",
            id="a pattern that is none",
        ),
        pytest.param(
            "models",
            "use: {chat: m}\nmodels:\n  n: {backend: llama, role: chat}\n",
            "config/models.yaml:1: use.chat: 'm' is not under models; known: n",
            id="a role whose model is not listed",
        ),
        pytest.param(
            "models",
            "use: {chat: m, detect: m, rank: null, read: null, media: m}\n" + MODEL,
            "config/models.yaml:1: use.detect: 'm' has the role chat, not detect",
            id="a role whose model has another",
        ),
        pytest.param(
            "models",
            "models:\n  m: {backend: lama, role: chat}\n",
            "config/models.yaml:2: models.m.backend: is 'lama'; "
            "allowed: llama or yolo or clip or ocr or media or echo or diffusion",
            id="a backend that is none",
        ),
        pytest.param(
            "models",
            "models:\n  m: {backend: yolo, role: detect, sha256: abc}\n",
            "config/models.yaml:2: models.m.sha256: is 'abc'; allowed: 64 digits 0-9 and a-f",
            id="a checksum that is none",
        ),
        pytest.param(
            "models",
            "models:\n  m: {backend: yolo, role: detect, path: a, package: {name: b, file: c}}\n",
            "config/models.yaml:2: models.m: path and package exclude each other; keep one",
            id="two homes for one file",
        ),
        pytest.param(
            "models",
            "allow_unverified: [x]\n",
            "config/models.yaml:1: allow_unverified[0]: 'x' is not under models; known: ",
            id="an allowed model that is not listed",
        ),
    ],
)
def test_a_mistake_is_one_line(folder: Path, file: str, text: str, expected: str) -> None:
    name = "models.yaml" if file == "models" else f"{file}_config.yaml"
    (folder / name).write_text(text)

    assert expected in lines_of(folder)


def test_all_mistakes_of_all_files_are_told_at_once(folder: Path) -> None:
    (folder / "bot_config.yaml").write_text("chat:\n  top_p: 2\n  temperature: -1\nprofil: x\n")
    (folder / "vram_config.yaml").write_text("workers: {threads: 1.5}\n")

    assert [line.partition(": ")[0] for line in lines_of(folder)] == [
        "config/bot_config.yaml:2",
        "config/bot_config.yaml:3",
        "config/bot_config.yaml:4",
        "config/vram_config.yaml:1",
    ]


def test_a_number_with_too_many_digits_is_a_mistake(folder: Path) -> None:
    (folder / "vram_config.yaml").write_text(f"workers:\n  threads: {'9' * 5000}\n")

    assert lines_of(folder) == [
        "config/vram_config.yaml:2: workers.threads: is no text or number that can be kept"
    ]


def test_a_file_that_is_too_large_is_not_read(folder: Path) -> None:
    (folder / "vram_config.yaml").write_text("# " + "x" * (256 * 1024))

    assert lines_of(folder) == ["config/vram_config.yaml:1: is larger than 256 KiB"]


def test_deep_nesting_is_refused_before_it_is_built(folder: Path) -> None:
    (folder / "vram_config.yaml").write_text("[" * 100_000)

    assert lines_of(folder) == ["config/vram_config.yaml:1: is nested deeper than 24 levels"]


def test_a_billion_laughs_is_refused_at_its_first_anchor(folder: Path) -> None:
    rows = ["a: &a [x, x, x]"] + [
        f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    (folder / "vram_config.yaml").write_text("\n".join(rows))

    assert len(lines_of(folder)) == 1


def test_a_file_in_another_encoding_is_a_mistake(folder: Path) -> None:
    (folder / "bot_config.yaml").write_bytes("chat:\n  persona: ä\n".encode("latin-1"))

    assert lines_of(folder) == [
        "config/bot_config.yaml:2: is not UTF-8 text; save the file as UTF-8"
    ]


def test_a_file_with_a_byte_order_mark_is_read(folder: Path) -> None:
    (folder / "vram_config.yaml").write_bytes("workers: {threads: 3}\n".encode("utf-8-sig"))

    assert load_config(folder, {}).vram.workers.threads == 3


def test_a_folder_that_is_named_must_exist(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere: no such folder \(named by --config\)"):
        load_config(folder / "nowhere", {})
    with pytest.raises(ConfigError, match=r"no such folder \(named by DANZAR_CONFIG\)"):
        load_config(None, {"DANZAR_CONFIG": str(folder / "nowhere")})


@pytest.mark.parametrize(
    "text",
    [
        f"token: {TOKEN}\n",
        f"discord: {{token: {TOKEN}, alert_channel: [{TOKEN}]}}\n",
        f"{TOKEN}: 1\n",
        f"chat: {{max_answer_tokens: {TOKEN}}}\n",
        f"chat:\n  persona: {TOKEN}: x\n",
        f"watch: {{allow_hosts: [1, {TOKEN}]}}\n",
        f"profile: {TOKEN}\n",
        f"- {TOKEN}\n",
        f"discord: !{TOKEN} x\n",
    ],
)
def test_a_token_is_never_repeated(folder: Path, text: str) -> None:
    (folder / "bot_config.yaml").write_text(text)

    assert TOKEN not in "\n".join(lines_of(folder))


def test_a_secret_under_a_telling_key_is_never_repeated(folder: Path) -> None:
    (folder / "bot_config.yaml").write_text("password: hunter2\nchat: {token: hunter2}\n")

    assert "hunter2" not in "\n".join(lines_of(folder))


def test_a_password_in_an_address_is_never_repeated(folder: Path) -> None:
    (folder / "bot_config.yaml").write_text("discord: {api_url: 'ftp://me:hunter2@host/'}\n")

    assert lines_of(folder)[0].startswith(
        "config/bot_config.yaml:1: discord.api_url: is 'ftp://***@host/'"
    )


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        pytest.param(
            "vram",
            "pressure:\n  critical_pct: 70\n",
            "config/vram_config.yaml:2: pressure.critical_pct: is 70; "
            "allowed: above warning_pct (75)",
            id="levels that do not rise",
        ),
        pytest.param(
            "vram",
            "queue:\n  bounds_s: {chat: 8}\n",
            "config/vram_config.yaml:2: queue.bounds_s.chat: is 8; "
            "allowed: above placement.drain_after_s (10)",
            id="a bound that ends before busy models leave",
        ),
        pytest.param(
            "vram",
            "monitor: {critical_pct: 80}\n",
            "config/vram_config.yaml:1: monitor.critical_pct: is 80; "
            "allowed: above warning_pct (90)",
            id="an alert below the one before it",
        ),
        pytest.param(
            "vram",
            "devices:\n  gpu1: {limit: 1 GiB}\n",
            "config/vram_config.yaml:2: devices.gpu1: is no device; "
            "allowed: cuda:N, cpu, or a GPU's UUID (GPU-...)",
            id="a device that is none",
        ),
        pytest.param(
            "vram",
            "devices:\n  cuda:0: {limt: 1 GiB}\n",
            "config/vram_config.yaml:2: devices.cuda:0.limt: unknown key; did you mean limit?",
            id="a misspelt key of a device",
        ),
        pytest.param(
            "vram",
            "placement: {policy: random}\n",
            "config/vram_config.yaml:1: placement.policy: is 'random'; "
            "allowed: cost or lru or largest or priority",
            id="a policy that is none",
        ),
        pytest.param(
            "vram",
            "idle_timeout: 900\n",
            "config/vram_config.yaml:1: idle_timeout: unknown key; "
            "here it is placement.keep_alive_s (seconds)",
            id="a key of another program",
        ),
        pytest.param(
            "models",
            "models:\n  m: {backend: llama, role: chat, vram_mb: 5000}\n",
            "config/models.yaml:2: models.m.vram_mb: unknown key; "
            "here it is memory: vram_mb: 5000 is memory: 5000 MiB",
            id="a model's key of another program",
        ),
        pytest.param(
            "models",
            "models: [{name: m, type: llm}]\n",
            "config/models.yaml:1: models: must be models by name: "
            "models: {NAME: {backend: ..., role: ...}}",
            id="models as a list",
        ),
        pytest.param(
            "models",
            FALLBACKS.format(a="b", b="a"),
            "config/models.yaml:3: models.a.fallback: goes round in a circle: a -> b -> a",
            id="fallbacks in a circle",
        ),
        pytest.param(
            "models",
            FALLBACKS.format(a="a", b="null"),
            "config/models.yaml:3: models.a.fallback: goes round in a circle: a -> a",
            id="a model that is its own fallback",
        ),
        pytest.param(
            "models",
            FALLBACKS.format(a="b", b="c"),
            "config/models.yaml:4: models.b.fallback: 'c' is not under models; known: a, b, med",
            id="a fallback that is not there",
        ),
        pytest.param(
            "models",
            FALLBACKS.format(a="med", b="null"),
            "config/models.yaml:3: models.a.fallback: 'med' has the role media, not chat",
            id="a fallback for something else",
        ),
        pytest.param(
            "models",
            "models:\n  m: {backend: llama, role: chat, priority: 1000}\n",
            "config/models.yaml:2: models.m.priority: is 1000; allowed: at least -100, at most 100",
            id="a priority without measure",
        ),
    ],
)
def test_the_settings_of_the_cards_and_of_models(
    folder: Path, file: str, text: str, expected: str
) -> None:
    name = {"vram": "vram_config.yaml", "models": "models.yaml"}[file]
    (folder / name).write_text(text)

    assert lines_of(folder) == [expected]
