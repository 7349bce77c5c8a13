"""What a job may say about its work: ``params`` of ``POST /jobs``, by kind of model. Pure."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.aliases import AliasChoices

from danzar.config.base import Settings
from danzar.config.problems import model_problems, nearest
from danzar.config.yaml_lines import KeyPath
from danzar.http.api_errors import ApiError
from danzar.http.api_targets import JobKind
from danzar.workers.contract import ChatMessage, Generate, GenerateImages, GenerateVideo, Request

MAX_SEED = 2**32 - 1
_MAX_TEXT_CHARS = 50_000
_MOST_LINES = 5
_MOST_KEYS = 64
# As VramCram calls them.
ALIASES = {"sample_steps": "steps", "cfg_scale": "guidance"}


def _whole(value: object) -> object:
    """JSON has one kind of number: 4.0 is a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
Side = Annotated[Whole | None, Field(ge=64, le=4096, multiple_of=8)]
Seed = Annotated[Whole | None, Field(ge=0, le=MAX_SEED)]
Steps = Annotated[Whole | None, Field(ge=1, le=200)]
Guidance = Annotated[float | None, Field(ge=0, le=50)]
LongText = Annotated[str, Field(max_length=_MAX_TEXT_CHARS)]


class _Params(Settings):
    """Closed, and strict: ``"5"`` is no number."""

    model_config = ConfigDict(strict=True, populate_by_name=True)


class LlmParams(_Params):
    """For models that write."""

    max_tokens: Whole = Field(512, ge=1, le=131_072, description="Longest answer, tokens.")
    temperature: float = Field(0.7, ge=0, le=2, description="0 is always the likeliest word.")
    top_p: float = Field(0.95, gt=0, le=1)
    repeat_penalty: float = Field(1.0, ge=1, le=2, description="Above 1 avoids repetitions.")
    seed: Seed = Field(None, description="The same one gives the same text.")
    stop: list[str] = Field([], max_length=8, description="The text ends before these.")
    system: LongText | None = Field(None, description="Who the model is to be.")

    def work(self, prompt: str, _settings: Mapping[str, Any]) -> Request:
        """The request to the model."""
        system = () if self.system is None else (ChatMessage("system", self.system),)
        return Generate(
            messages=(*system, ChatMessage("user", prompt)),
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            repeat_penalty=self.repeat_penalty,
            seed=self.seed,
            stop=tuple(self.stop),
        )


class _MakerParams(_Params):
    """What pictures and videos have in common."""

    negative_prompt: LongText = Field("", description="What is not to be seen.")
    width: Side = Field(None, description="Pixels; a multiple of 8. Default: the model's.")
    height: Side = Field(None, description="Pixels; a multiple of 8. Default: the model's.")
    steps: Steps = Field(
        None,
        validation_alias=AliasChoices("steps", "sample_steps"),
        description="Of denoising; also as `sample_steps`. Default: the model's.",
    )
    guidance: Guidance = Field(
        None,
        validation_alias=AliasChoices("guidance", "cfg_scale"),
        description="How close to the prompt; also as `cfg_scale`. Default: the model's.",
    )


class DiffusionParams(_MakerParams):
    """For models that draw."""

    seed: Seed = Field(None, description="The same one gives the same picture.")
    count: Whole = Field(1, ge=1, le=16, description="Pictures.")

    def work(self, prompt: str, settings: Mapping[str, Any]) -> Request:
        """The request to the model; ``settings`` are its own, in ``models.yaml``."""
        return GenerateImages(prompt=prompt, **_sized(self.model_dump(), settings))


class VideoParams(_MakerParams):
    """For models that film."""

    frames: Whole = Field(33, ge=1, le=1000)
    fps: Whole = Field(16, ge=1, le=120)
    seed: Seed = Field(None, description="The same one gives the same video.")

    def work(self, prompt: str, settings: Mapping[str, Any]) -> Request:
        """The request to the model; ``settings`` are its own, in ``models.yaml``."""
        return GenerateVideo(prompt=prompt, **_sized(self.model_dump(), settings))


def _sized(given: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, with the model's own size where none was; else the request's default."""
    sides = {side: given.pop(side) or settings.get(side) for side in ("width", "height")}
    return given | {side: pixels for side, pixels in sides.items() if pixels is not None}


AnyParams = LlmParams | DiffusionParams | VideoParams
PARAMS: dict[JobKind, type[AnyParams]] = {
    JobKind.LLM: LlmParams,
    JobKind.DIFFUSION: DiffusionParams,
    JobKind.VIDEO: VideoParams,
}


def read_params(kind: JobKind, params: dict[str, Any]) -> AnyParams:
    """The parameters, checked.

    Raises:
        ApiError: 400; the first mistake, by its key, with the nearest known one.
    """
    model = PARAMS[kind]
    refuse_crowd(params, "params")
    try:
        return model.model_validate(params)
    except ValidationError as exc:
        raise refusal(model, params, exc, ("params",)) from exc


def refuse_crowd(data: object, name: str) -> None:
    """Refuse an object with far more keys than there are, before each of them is explained.

    Raises:
        ApiError: 400.
    """
    if isinstance(data, dict) and len(data) > _MOST_KEYS:
        raise ApiError(400, f"{name} has {len(data)} keys; at most {_MOST_KEYS}", param=name)


def refusal(
    model: type[Settings], data: object, error: ValidationError, above: KeyPath = ()
) -> ApiError:
    """What is wrong with the data, as one answer; ``above`` is where the data stands."""
    problems = model_problems(model, data, error, lambda _path: "")
    keys = [".".join((*map(str, above), problem.key)).strip(".") for problem in problems]
    lines = [
        f"{key}: {_unknown(model, str(detail['loc'][-1]))}"
        if detail["type"] == "extra_forbidden"
        else f"{key}: {problem.message}"
        for key, detail, problem in zip(keys, error.errors(), problems, strict=True)
    ]
    return ApiError(400, "; ".join(lines[:_MOST_LINES]), param=keys[0], code="invalid_value")


def _unknown(model: type[Settings], key: str) -> str:
    """That the key is unknown, and which one was probably meant."""
    fields = list(model.model_fields)
    known = [*fields, *(name for name in ALIASES if ALIASES[name] in fields)]
    close = nearest(key, known)
    hint = f"did you mean {close}?" if close else f"known here: {', '.join(fields)}"
    return f"unknown key; {hint}"
