"""Kinds of fields in OpenAI's request bodies: ignored ones, and those refused unless harmless."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

UNSUPPORTED = "unsupported_parameter"

Ignored = Annotated[Any, Field(description="Accepted, and without effect here.")]


class Body(BaseModel):
    """What a client sends: an unknown key is an error, and ``"5"`` is no number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


@dataclass(frozen=True, slots=True)
class Only:
    """A field that would change the answer in a way that Danzar can't serve.

    Clients send it with its default all the same: those values pass, all others are refused.

    Attributes:
        values: What passes.
        why: What Danzar lacks, as the end of a sentence.
    """

    values: tuple[Any, ...]
    why: str

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """How pydantic checks it."""
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """How OpenAPI shows it."""
        return {"enum": list(self.values), "description": f"Only these: {self.why}."}

    def _check(self, value: object) -> object:
        if any(type(value) is type(passes) and value == passes for passes in self.values):
            return value
        raise PydanticCustomError(UNSUPPORTED, "is not supported here: {why}", {"why": self.why})


def shape_of(value: object) -> str:
    """Which member of a union is meant, so that only its own errors are told."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, list | tuple):
        return "list"
    return "number" if isinstance(value, int | float) else "object"


def texts_of(value: str | list[str] | None) -> tuple[str, ...]:
    """One text, several or none, as a tuple."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
