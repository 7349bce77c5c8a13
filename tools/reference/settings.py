"""Every key of the four YAML files: its values, its default, and what it means."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from danzar.config.base import Settings
from danzar.config.changes import can_change_live
from danzar.config.keys import Key
from danzar.config.load import FILES
from danzar.config.schema import allowed
from danzar.units import format_size
from tools.reference.backend_settings import backend_sections
from tools.reference.markdown import code, page, sentence, table

Schema = dict[str, Any]
NAME = "NAME"
HEAD = ("key", "values", "default", "meaning")
ABOUT = """
Four YAML files in the settings' folder. A file or a key that is missing has its default. How they
are found, checked and changed while Danzar runs: [configuration](../configuration.md).

- A **size** is written `8 GiB`, `512 MiB` or in bytes; names that end in `_s` are seconds, in
  `_pct` percent, in `_c` degrees Celsius, in `_gb` GiB and in `_mb` MiB.
- **live**: `!gpu set KEY VALUE` or `danzar config set KEY VALUE` changes it while Danzar runs. The
  others count from the next start.
- `NAME` stands for a name of your choice, `[]` for each entry of a list.
- A variable of the environment overrides a key: the section says how it begins; the key follows in
  capitals. It is read as YAML.
"""
_TYPES = {
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "string": "text",
    "array": "list",
    "object": "keys with values",
}


@dataclass(frozen=True, slots=True)
class Described:
    """One key, or one section where it has ``keys`` of its own."""

    path: tuple[str, ...]
    schema: Schema
    default: object
    required: bool = False

    @property
    def text(self) -> str:
        """What it means; empty where nobody said."""
        return sentence(self.schema.get("description", ""))


def settings_page() -> str:
    """docs/reference/settings.md."""
    parts: list[str] = []
    for name, (file, model) in FILES.items():
        parts.append(f"## `{file}`")
        for path, keys in sections(model):
            parts += _section(name, path, keys)
        if name == "models":
            parts += backend_sections()
    return page("Every setting", ABOUT, parts)


def sections(model: type[Settings]) -> Iterator[tuple[tuple[str, ...], list[Described]]]:
    """Each section of a file with its keys; those at the top of the file first."""
    root = model.model_json_schema()
    yield from _walk(root, root, (), model().model_dump(mode="json"))


def _walk(
    root: Schema, schema: Schema, path: tuple[str, ...], defaults: object
) -> Iterator[tuple[tuple[str, ...], list[Described]]]:
    keys = [_describe(root, schema, path, key, defaults) for key in schema.get("properties", {})]
    keys = [*keys, *_variants(root, schema, path)]
    inner = [(key, section) for key in keys if (section := _inside(root, key)) is not None]
    plain = [key for key in keys if not key.schema.get("properties")]
    if plain:
        yield path, plain
    for key, (below, place) in inner:
        yield from _walk(root, below, place, key.default)


def _variants(root: Schema, schema: Schema, path: tuple[str, ...]) -> Iterator[Described]:
    """The keys of each kind that a value may be of."""
    for kind, ref in schema.get("discriminator", {}).get("mapping", {}).items():
        yield Described((*path, f"kind: {kind}"), _resolved(root, {"$ref": ref}), {})


def _describe(
    root: Schema, schema: Schema, path: tuple[str, ...], key: str, defaults: object
) -> Described:
    child = _resolved(root, schema["properties"][key])
    known = defaults.get(key) if isinstance(defaults, dict) else None
    default = child.get("default", known)
    return Described((*path, key), child, default, key in schema.get("required", ()))


def _inside(root: Schema, key: Described) -> tuple[Schema, tuple[str, ...]] | None:
    """What has keys of its own below a key, and how its place is called."""
    schema = key.schema
    if "properties" in schema:
        return schema, key.path
    entry = _resolved(root, _object(schema.get("additionalProperties")))
    if "properties" in entry:
        return entry, (*key.path, NAME)
    item = _resolved(root, _object(schema.get("items")))
    if "properties" in item:
        return item, (*key.path[:-1], f"{key.path[-1]}[]")
    return (schema, key.path) if "discriminator" in schema else None


def _object(schema: object) -> Schema:
    return schema if isinstance(schema, dict) else {}


def _resolved(root: Schema, schema: Schema) -> Schema:
    """Without references; of a value that may be null, what else it may be."""
    if "$ref" in schema:
        target = root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return {**_resolved(root, target), **rest}
    if "anyOf" in schema:
        options = [option for option in schema["anyOf"] if option.get("type") != "null"]
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        return {**_resolved(root, options[0]), **rest, "nullable": True}
    return schema


def _section(file: str, path: tuple[str, ...], keys: list[Described]) -> list[str]:
    *above, last = path or ("",)
    if last.startswith("kind: "):
        title = f"### `{'.'.join(above)}` with `{last}`"
    else:
        title = f"### `{'.'.join(path)}`" if path else f"### Alone in `{FILES[file][0]}`"
    rows = [_row(file, key) for key in keys]
    return [title, *_variables(file, path), table(HEAD, rows)]


def _variables(file: str, path: tuple[str, ...]) -> list[str]:
    if any("[]" in part for part in path):
        return []
    begin = "__".join((f"DANZAR_{file}", *path)).upper()
    return [f"Variables begin with `{begin}__`."]


def _row(file: str, key: Described) -> tuple[str, str, str, str]:
    default = "needed" if key.required else _default(key)
    live = " **live**" if can_change_live(Key(file, key.path)) else ""
    return code(key.path[-1]), values(key.schema), default, key.text + live


def values(schema: Schema) -> str:
    """What may stand there, in words."""
    words = "size" if schema.get("size") else _TYPES.get(schema.get("type", ""), "")
    if "const" in schema:
        words = code(schema["const"])
    elif "enum" in schema:
        words = " or ".join(code(value) for value in schema["enum"])
    elif "discriminator" in schema:
        words = "keys with values, by `kind`"
    elif "form" in schema:
        words = str(schema["form"])
    elif not schema.get("size") and (bounds := allowed(schema)):
        words = f"{words}, {bounds}"
    return f"{words}, or `null`" if schema.get("nullable") else words


def _default(key: Described) -> str:
    value = key.default
    if value is None:
        return code("null") if key.schema.get("nullable") else _empty(key.schema)
    if key.schema.get("size") and isinstance(value, int):
        return format_size(value).replace(".0 ", " ")
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict | list | tuple):
        return _several(value)
    return str(value) if isinstance(value, int) else code(value) or "empty"


def _several(value: dict[str, object] | list[object] | tuple[object, ...]) -> str:
    if not value:
        return code("{}") if isinstance(value, dict) else code("[]")
    if any(isinstance(item, dict) for item in value):
        return "as in the file"
    if isinstance(value, dict):
        return "as in the file"
    return code(f"[{', '.join(map(str, value))}]")


def _empty(schema: Schema) -> str:
    return code("[]") if schema.get("type") == "array" else code("{}")
