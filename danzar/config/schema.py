"""Questions to a settings model's JSON schema: which keys are there, and what may a value be?"""

from functools import cache
from typing import Any

from danzar.config.base import Settings
from danzar.config.yaml_lines import KeyPath

Schema = dict[str, Any]
NOTHING = object()

_BOUNDS = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "above {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "below {}"),
)


@cache
def schema_of(model: type[Settings]) -> Schema:
    """The model's JSON schema."""
    return model.model_json_schema()


def schema_at(model: type[Settings], path: KeyPath, data: object = None) -> Schema | None:
    """The schema of the value at ``path``, or ``None`` where the model knows no such key.

    ``data`` is the document: where a value may have one of several shapes, its ``kind`` decides.
    """
    root = schema_of(model)
    here = _resolve(root, root, data)
    for part in path:
        data = step(data, part)
        child = _child(here, part)
        if child is None:
            return None
        here = _resolve(root, child, data)
    return here


def known_keys(schema: Schema) -> list[str]:
    """The keys that a section may have; empty where its owner chooses them."""
    if "propertyNames" in schema:
        return list(schema["propertyNames"].get("enum", []))
    return list(schema.get("properties", {}))


def allowed(schema: Schema) -> str:
    """What a value may be: ``at least 0, at most 30``; empty where the schema does not say."""
    if "form" in schema:
        return str(schema["form"])
    if "enum" in schema:
        return " or ".join(str(value) for value in schema["enum"])
    bounds = [words.format(_number(schema[key])) for key, words in _BOUNDS if key in schema]
    return ", ".join(bounds)


def is_text(schema: Schema) -> bool:
    """Whether the value is text, so that no other reading of it is meant."""
    return schema.get("type") == "string"


def paths(model: type[Settings]) -> list[KeyPath]:
    """Every key that has a fixed name, sections before what is in them."""
    root = schema_of(model)
    found: list[KeyPath] = []
    _collect(root, root, (), found)
    return found


def step(data: object, part: str | int) -> object:
    """What stands under ``part``, or ``NOTHING``."""
    match data, part:
        case dict(), _:
            return data.get(part, NOTHING)
        case list(), int() if part < len(data):
            return data[part]
    return NOTHING


def _collect(root: Schema, schema: Schema, path: KeyPath, found: list[KeyPath]) -> None:
    for key, child in schema.get("properties", {}).items():
        found.append((*path, key))
        _collect(root, _resolve(root, child, None), (*path, key), found)


def _child(schema: Schema, part: str | int) -> Schema | None:
    if isinstance(part, int):
        prefix: list[Schema] = schema.get("prefixItems", [])
        items: Schema | None = schema.get("items")
        return prefix[part] if part < len(prefix) else items
    child: Schema | bool | None = schema.get("properties", {}).get(part)
    if child is None:
        child = schema.get("additionalProperties")
    return {} if child is True else child or None


def _resolve(root: Schema, schema: Schema, data: object) -> Schema:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return {**_resolve(root, root["$defs"][name], data), **_without_ref(schema)}
    if "allOf" in schema:
        return _resolve(root, schema["allOf"][0], data)
    if "anyOf" in schema:
        options = [option for option in schema["anyOf"] if option.get("type") != "null"]
        outer = {key: value for key, value in schema.items() if key != "anyOf"}
        return {**_resolve(root, options[0], data), **outer, "nullable": True}
    if "discriminator" in schema:
        kind = str(step(data, schema["discriminator"]["propertyName"]))
        mapping: dict[str, str] = schema["discriminator"]["mapping"]
        return _resolve(root, {"$ref": mapping[kind]}, data) if kind in mapping else schema
    return schema


def _without_ref(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key != "$ref"}


def _number(value: float) -> str:
    return str(value).removesuffix(".0")
