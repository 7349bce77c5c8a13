"""The base of every settings model, and the field types that several of them share."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from danzar.units import parse_size

Size = Annotated[int, BeforeValidator(parse_size), Field(ge=0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveSeconds = Annotated[float, Field(gt=0)]
Region = Annotated[
    tuple[Fraction, Fraction, Fraction, Fraction],
    Field(description="left, top, right, bottom as fractions of the picture"),
]


class Settings(BaseModel):
    """Closed and frozen: an unknown key is an error, and nothing changes a value in place."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
