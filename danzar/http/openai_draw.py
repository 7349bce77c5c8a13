"""Pictures from words for API clients: which model, whether it fits, and the files."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import msgspec

from danzar.core.asker import Asker, RequestClass
from danzar.errors import BackendFailed, BadInput, Cancelled, DanzarError
from danzar.http.api_auth import Caller
from danzar.http.api_errors import ApiError
from danzar.http.api_parts import ApiParts
from danzar.http.openai_answers import DanzarFacts, facts_of
from danzar.http.openai_ask import Wish, ask, is_elsewhere
from danzar.http.openai_choice import choose_model, names_with
from danzar.http.openai_more_bodies import ImagesRequest
from danzar.inference import MakeRequest, Outcome, Placed
from danzar.pictures.limits import check_request
from danzar.pictures.made import File, file_words, files_of, steps_of_each
from danzar.pictures.room import NoRoom, Run, Smaller, decide
from danzar.resources.generations import generation_limits
from danzar.workers.contract import GeneratedImages, GenerateImages, StepDone

_USUAL = (512, 512, 20)
_ANY_SIZE = (None, "auto")
_RETRY_S = 30.0


@dataclass(slots=True)
class Drawing:
    """Pictures on their way.

    Attributes:
        run: What is run, and what was changed so that it fits.
        steps: Of all pictures together, once that is known.
        placed: Where, once that is known.
    """

    wish: Wish
    run: Run
    request: GenerateImages
    created: int = field(default_factory=lambda: int(time.time()))
    steps: int | None = None
    placed: Placed | None = None


async def plan_drawing(body: ImagesRequest, parts: ApiParts, caller: Caller) -> Drawing:
    """What will be run.

    Raises:
        ApiError: Nothing draws here, no such model, or it doesn't fit.
    """
    model = _model(body, parts)
    wanted = _request(body, await _usual(parts, model))
    try:
        check_request(wanted, parts.config.bot.imagine)
    except BadInput as exc:
        raise ApiError(400, str(exc), code="invalid_value") from exc
    run = await _fit(body, parts, model, wanted)
    if not isinstance(run.request, GenerateImages):
        raise BackendFailed("the preflight made a video of a picture")
    wish = Wish(
        model,
        run.request,
        Asker(RequestClass.PICTURE, caller.owner),
        fitted=_fitted(parts, run.request),
        elsewhere=run.elsewhere is not None,
    )
    return Drawing(wish, run, run.request)


def _model(body: ImagesRequest, parts: ApiParts) -> str:
    name = body.model or parts.config.models.use.imagine
    if name is None and parts.pictures is not None:
        name = parts.pictures.elsewhere("imagine")
    targets = parts.targets()
    if name is None:
        listed = ", ".join(names_with("imagine", parts.config.models, targets)) or "none"
        raise ApiError(
            404,
            "nothing draws here: use.imagine in models.yaml is null; its owner names a model with "
            f"the role imagine there, or name one in the request. Listed: {listed}",
            param="model",
            code="model_not_found",
        )
    return choose_model(name, "imagine", parts.config.models, targets)


async def _usual(parts: ApiParts, model: str) -> tuple[int, int, int]:
    """Width, height and steps where the client says nothing."""
    try:
        limits = await asyncio.to_thread(generation_limits, parts.config, model)
    except DanzarError:  # another node's; or asking it tells what is missing
        return _USUAL
    return limits.width, limits.height, limits.steps


def _request(body: ImagesRequest, usual: tuple[int, int, int]) -> GenerateImages:
    width, height, steps = usual
    if body.size not in _ANY_SIZE:
        width, height = map(int, str(body.size).split("x"))
    count = body.n or 1
    previews = body.partial_images if body.stream else None
    all_steps = (body.steps or steps) * count
    return GenerateImages(
        body.prompt,
        body.negative_prompt or "",
        width,
        height,
        steps=body.steps,
        guidance=body.guidance,
        seed=body.seed,
        count=count,
        preview_every=max(1, all_steps // (previews + 1)) if previews else 0,
    )


async def _fit(body: ImagesRequest, parts: ApiParts, model: str, wanted: GenerateImages) -> Run:
    """The preflight; what a viewer would notice is only changed where the client allows it."""
    pictures = parts.pictures
    is_here = model in parts.config.models.models
    if pictures is None or pictures.preflight is None or not is_here:
        return Run(wanted)
    decision = decide(await pictures.preflight(model, wanted), wanted)
    if isinstance(decision, Run):
        return decision
    if is_elsewhere(parts, model):
        return Run(wanted, ("There is no room here; another machine makes it.",), elsewhere=model)
    if isinstance(decision, Smaller) and (body.allow_smaller or body.size in _ANY_SIZE):
        return decision.run
    raise _no_room(decision)


def _no_room(decision: Smaller | NoRoom) -> ApiError:
    if isinstance(decision, NoRoom):
        text = decision.text
    else:
        changes = "; ".join(decision.lines)
        text = (
            f"it does not fit just now; it would with: {changes}. Ask for that, or send "
            "allow_smaller: true"
        )
    return ApiError(503, text, code="insufficient_memory", retry_after_s=_RETRY_S)


def _fitted(parts: ApiParts, request: GenerateImages) -> MakeRequest | None:
    made = parts.pictures.fitted(request) if parts.pictures is not None else request
    return made if callable(made) else None


async def draw(parts: ApiParts, drawing: Drawing) -> Outcome:
    """The end of a drawing; same errors as ``drawing_steps``."""
    async with aclosing(drawing_steps(parts, drawing)) as steps:
        async for step in steps:
            if isinstance(step, Outcome):
                return step
    raise BackendFailed(f"{drawing.wish.model} ended without a picture")


async def drawing_steps(parts: ApiParts, drawing: Drawing) -> AsyncGenerator[StepDone | Outcome]:
    """Each step, then the end; where it runs is noted in ``drawing``.

    Raises:
        danzar.errors.DanzarError: With a message for the client.
    """
    async with aclosing(ask(parts, drawing.wish)) as steps:
        async for step in steps:
            match step:
                case Placed():
                    drawing.placed = step
                case StepDone():
                    drawing.steps = step.steps
                    yield step
                case Outcome():
                    if parts.pictures is not None:
                        await parts.pictures.learn(drawing.run, step)
                    yield step
                case _:
                    pass


def files_in(parts: ApiParts, drawing: Drawing, outcome: Outcome) -> Sequence[File]:
    """The PNG files, with the words that ``imagine.metadata`` allows.

    Raises:
        Cancelled: Somebody stopped it.
        BackendFailed: There are no pictures.
    """
    result = outcome.result
    if not isinstance(result, GeneratedImages):
        raise BackendFailed(f"{outcome.placed.model} answered with {type(result).__name__}")
    if result.finish_reason == "cancelled":
        raise Cancelled("The pictures were stopped before their end.")
    words = None
    if parts.config.bot.imagine.metadata and result.pictures:
        first = result.pictures[0]
        done = msgspec.structs.replace(drawing.request, width=first.width, height=first.height)
        words = file_words(done, outcome.placed.model, steps_of_each(done, drawing.steps))
    return files_of(result, words, result.seed)


def drawing_facts(drawing: Drawing, outcome: Outcome) -> DanzarFacts:
    """The answer's ``danzar``."""
    seed = outcome.result.seed if isinstance(outcome.result, GeneratedImages) else None
    notes = list(drawing.run.notes) or None
    return facts_of(outcome.placed, outcome, seed=seed, notes=notes)


def size_of(outcome: Outcome, drawing: Drawing) -> str:
    """``512x512``: of the pictures as they were made."""
    result = outcome.result
    pictures = result.pictures if isinstance(result, GeneratedImages) else ()
    first = pictures[0] if pictures else drawing.request
    return f"{first.width}x{first.height}"
