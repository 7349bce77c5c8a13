"""What is wrong with a request that pydantic refuses, in Danzar's words. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from danzar.config.base import Settings
from danzar.http.api_errors import ApiError
from danzar.http.api_params import refusal, refuse_crowd

_MOST_LINES = 5
_LONGEST_PARAM = 200
_BODY = "body"
# Kinds of mistake that programs may tell apart; all others are one.
_CODES = {"unsupported_parameter": "unsupported_parameter"}
_INVALID = "invalid_value"


def invalid(error: RequestValidationError, route: object) -> ApiError:
    """The answer to a request that is not as its route wants it."""
    if isinstance(error.body, bytes):
        return ApiError(400, "the body must be JSON: send Content-Type: application/json")
    try:
        return _of_own_model(error, route) or _of_details(error)
    except ApiError as crowd:
        return crowd


def _of_own_model(error: RequestValidationError, route: object) -> ApiError | None:
    """With the nearest known key, where the body is one of Danzar's own models."""
    field = getattr(route, "body_field", None)
    model = None if field is None else field.field_info.annotation
    if not (isinstance(model, type) and issubclass(model, Settings)):
        return None
    refuse_crowd(error.body, _BODY)
    try:
        model.model_validate(error.body)
    except ValidationError as exc:
        return refusal(model, error.body, exc)
    return None


def _of_details(error: RequestValidationError) -> ApiError:
    """The first mistakes, by their keys, without what was given: it may be long, or a secret."""
    details = error.errors()
    places = [_place(detail["loc"], error.body) for detail in details[:_MOST_LINES]]
    lines = [f"{place}: {detail['msg']}" for place, detail in zip(places, details, strict=False)]
    code = _CODES.get(details[0]["type"], _INVALID)
    return ApiError(400, "; ".join(lines), param=places[0], code=code)


def _place(loc: Sequence[str | int], body: Any) -> str:  # noqa: ANN401 - any JSON
    """The key as its sender knows it: pydantic's path names kinds of values in between."""
    where, *path = loc
    inside = _in_data(path, body) if where == _BODY else path
    return ".".join(map(str, inside))[:_LONGEST_PARAM] or str(where)


def _in_data(path: Sequence[str | int], data: Any) -> list[str | int]:  # noqa: ANN401
    inside: list[str | int] = []
    for depth, part in enumerate(path):
        match data, part:
            case Mapping(), str() if part in data:
                data = data[part]
            case list(), int() if part < len(data):
                data = data[part]
            case Mapping(), str() if depth == len(path) - 1:
                data = None  # A key that is missing.
            case _:
                continue
        inside.append(part)
    return inside
