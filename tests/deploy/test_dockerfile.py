"""The image: what its Dockerfile promises, read from the file itself."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.dockerfile import (
    Stage,
    expand,
    ignores,
    is_ignored,
    needed,
    pairs,
    read_dockerfile,
)

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "docker"
STAGES = read_dockerfile(FOLDER / "Dockerfile")
TARGETS = ("cpu", "cuda")
SMALL = """\
# a comment
ARG LATER=1
FROM debian:12.1 AS one
ARG A=x
RUN --mount=type=cache,target=/c \\
    # between
    echo $A

FROM debian:12.1 AS two
COPY --from=one /a /b
CMD ["run"]
"""


def installed(stage: Stage) -> set[str]:
    text = " ".join(step.text for step in stage.all("RUN"))
    found = re.findall(r"apt-get install -y --no-install-recommends ([\w\s.+-]+?)\s*&&", text)
    return {package for names in found for package in names.split()}


def environment(stage: Stage) -> dict[str, str]:
    return {name: value for step in stage.all("ENV") for name, value in pairs(step.text)}


def test_hadolint_has_nothing_to_say() -> None:
    beside_python = str(Path(sys.executable).parent)
    hadolint = shutil.which("hadolint", path=os.pathsep.join([beside_python, os.environ["PATH"]]))
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    said = subprocess.run(
        [hadolint, str(FOLDER / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stdout) == (0, "")


def test_every_exception_from_hadolint_has_its_reason_above_it() -> None:
    lines = (FOLDER / "Dockerfile").read_text().splitlines()
    excepted = [lines[i - 1 : i + 1] for i, line in enumerate(lines) if "hadolint ignore" in line]
    first = excepted[0]
    assert first[0].startswith("# ")
    assert {rule for _, line in excepted for rule in re.findall(r"DL\d+|SC\d+", line)} == {"DL3008"}


@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)
def test_every_base_is_pinned_to_a_version(stage: Stage) -> None:
    _, _, tag = stage.base.partition(":")
    assert re.match(r"\d+\.\d+", tag), stage.base


@pytest.mark.parametrize("target", TARGETS)
def test_what_runs_has_no_compiler_and_no_installer(target: str) -> None:
    assert installed(STAGES[target]) == {"ca-certificates", "libgomp1", "python3", "tini"}
    assert "-devel-" not in STAGES[target].base
    assert "g++" in installed(needed(STAGES, target)[0])


@pytest.mark.parametrize("target", TARGETS)
def test_it_runs_as_a_fixed_user_without_a_name_to_look_up(target: str) -> None:
    user = STAGES[target].last("USER")
    assert user is not None
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user.text)


@pytest.mark.parametrize("target", TARGETS)
def test_signals_reach_danzar_and_health_needs_no_curl(target: str) -> None:
    stage = STAGES[target]
    assert stage.steps_listed("ENTRYPOINT")[:2] == ["tini", "--"]
    health = stage.last("HEALTHCHECK")
    assert health is not None
    assert health.text.endswith('CMD ["danzar", "health"]')
    assert (FOLDER / "entrypoint.sh").read_text().rstrip().endswith('exec danzar "$@"')


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_written_is_in_the_volumes(target: str) -> None:
    volumes = STAGES[target].steps_listed("VOLUME")
    said = environment(STAGES[target])
    for name in ("HOME", "DANZAR_CONFIG", "DANZAR_ROOT", "DANZAR_BOT__DATA_DIR"):
        assert any(f"{said[name]}/".startswith(f"{volume}/") for volume in volumes), name


@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)
def test_no_secret_is_built_in(stage: Stage) -> None:
    names = {*environment(stage), *(step.text.partition("=")[0] for step in stage.all("ARG"))}
    assert not [name for name in names if re.search(r"TOKEN|SECRET|PASSW|KEY", name)]


def test_both_targets_run_alike_but_for_the_cards() -> None:
    cpu, cuda = (environment(STAGES[target]) for target in TARGETS)
    assert {name for name in cuda if name not in cpu} == {
        "NVIDIA_VISIBLE_DEVICES",
        "NVIDIA_DRIVER_CAPABILITIES",
    }
    for word in ("USER", "VOLUME", "ENTRYPOINT", "CMD", "HEALTHCHECK", "EXPOSE", "STOPSIGNAL"):
        assert STAGES["cpu"].last(word) == STAGES["cuda"].last(word), word


def test_llama_cpp_is_built_for_cuda_in_one_and_for_other_processors_in_both() -> None:
    cpu, cuda = (environment(STAGES[f"build-{target}"])["CMAKE_ARGS"] for target in TARGETS)
    assert "-DGGML_NATIVE=OFF" in cpu
    assert "-DGGML_NATIVE=OFF" in cuda
    assert "-DGGML_CUDA=on" in cuda


@pytest.mark.parametrize(
    ("path", "goes"),
    [
        ("danzar/cli.py", True),
        ("cogs/chat.py", True),
        ("danzar/jobs/lua/put.lua", True),
        ("config/models.yaml", True),
        ("models/yolo-nano.pt", True),
        ("models/clip-doom/open_clip_model.safetensors", True),
        ("assets/sample-clip.mp4", True),
        ("deploy/docker/entrypoint.sh", True),
        ("pyproject.toml", True),
        pytest.param("models/Qwen2.5-7B-Instruct-Q4_K_M.gguf", False, id="pulled weights"),
        pytest.param("models/heldout/E1M3-1-00180.jpg", False, id="pictures for training"),
        pytest.param("deploy/docker/secrets/discord_token", False, id="secrets"),
        pytest.param(".git/config", False, id="git"),
        pytest.param(".venv/bin/python", False, id="an environment"),
        pytest.param("data/danzar.db", False, id="data"),
        pytest.param("danzar/__pycache__/cli.cpython-311.pyc", False, id="bytecode"),
        pytest.param("tests/deploy/replay.py", False, id="tests"),
    ],
)
def test_only_what_runs_goes_into_the_image(path: str, goes: bool) -> None:
    assert is_ignored(path, ignores(ROOT / ".dockerignore")) is not goes


@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)
def test_everything_that_is_copied_is_there(stage: Stage) -> None:
    for step in stage.all("COPY"):
        for source in step.text.split()[:-1]:
            assert step.flag("from") in STAGES or (ROOT / source).exists(), source


def test_the_parser_reads_flags_continuations_and_variables(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text(SMALL)
    stages = read_dockerfile(file)
    run = stages["one"].last("RUN")
    assert run is not None
    assert run.flag("mount") == "type=cache,target=/c"
    assert run.text.split() == ["echo", "$A"]
    assert [stage.name for stage in needed(stages, "two")] == ["one", "two"]
    assert stages["two"].steps_listed("CMD") == ["run"]
    assert expand("$A ${A} ${B:-y}", {"A": "x"}) == "x x y"
