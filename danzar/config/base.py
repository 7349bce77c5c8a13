"""The base of every settings model, and the field types that several of them share."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from danzar.units import parse_size


class KeyProblem(ValueError):
    """A rule over several keys is broken; ``path`` is the key that the owner should look at."""

    def __init__(self, path: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.path = path


def must_be(form: str) -> dict[str, Any]:
    """For ``json_schema_extra``: what a text must look like, in words for the error message."""
    return {"form": form}


def _size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("is no size; write it as 8 GiB, 512 MiB or a number of bytes")  # noqa: TRY004
    try:
        return parse_size(value)
    except OverflowError as exc:
        raise ValueError("is a size without end") from exc


def _ordered(region: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = region
    if left >= right or top >= bottom:
        raise ValueError("must be [left, top, right, bottom] with left < right and top < bottom")
    return region


DEVICE_FORM = "cuda:N, cpu, or a GPU's UUID (GPU-...)"
DEVICE_PATTERN = r"^(cuda:\d{1,3}|cpu|GPU-[0-9a-fA-F-]+)$"

DeviceName = Annotated[str, Field(pattern=DEVICE_PATTERN, json_schema_extra=must_be(DEVICE_FORM))]
Size = Annotated[int, Field(ge=0, json_schema_extra={"size": True}), BeforeValidator(_size)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Percent = Annotated[float, Field(gt=0, le=100)]
PositiveSeconds = Annotated[float, Field(gt=0)]
Seconds = Annotated[float, Field(ge=0)]
Region = Annotated[
    tuple[Fraction, Fraction, Fraction, Fraction],
    AfterValidator(_ordered),
    Field(description="left, top, right, bottom as fractions of the picture"),
]


class Settings(BaseModel):
    """Closed and frozen: an unknown key is an error, and nothing changes a value in place."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )
