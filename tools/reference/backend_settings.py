"""Each backend's own settings, read from its source: importing it would load torch or llama.cpp."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from tools.reference.markdown import code, sentence, table

BACKENDS = Path(__file__).parents[2] / "danzar" / "backends"
# Filled in by Danzar; nobody writes them.
GIVEN = ("sha256", "gpu_memory_fraction", "unverified", "allow_pickle")
# The llama backend's, although the place that books memory reads it.
SLOTS = (
    "`slots`",
    "whole number",
    "`1`",
    "Conversations that are answered at once, each with its own cache; 1 to 64.",
)
Kinds = dict[str, ast.expr]
FOR_TESTS = ("echo",)
_KINDS = {
    "int": "whole number",
    "float": "number",
    "str": "text",
    "bool": "`true` or `false`",
    "None": "`null`",
}
_ENTRY = re.compile(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Field:
    """One setting of a backend."""

    name: str
    kind: str
    default: str
    text: str


def backend_sections() -> list[str]:
    """A heading and a table for each backend that has settings."""
    parts = ["### `models.NAME.settings`", "Each backend has its own."]
    for backend, fields in backends().items():
        rows = [(code(f.name), f.kind, f.default, f.text) for f in fields]
        if backend == "llama":
            rows.insert(1, SLOTS)
        if rows:
            parts += [f"#### `{backend}`", table(("key", "values", "default", "meaning"), rows)]
    return parts


def backends() -> dict[str, list[Field]]:
    """The settings of every backend, by its name."""
    found: dict[str, list[Field]] = {}
    for file in sorted(BACKENDS.glob("*.py")):
        body = ast.parse(file.read_text(encoding="utf-8")).body
        kinds = dict(_alias(node) for node in body if isinstance(node, ast.Assign))
        for node in body:
            if isinstance(node, ast.ClassDef) and node.name.endswith("Settings"):
                found[node.name.removesuffix("Settings").lower()] = _fields(node, kinds)
    return {name: fields for name, fields in sorted(found.items()) if name not in FOR_TESTS}


def _alias(node: ast.Assign) -> tuple[str, ast.expr]:
    """A name that stands for a type, such as ``Precision = Literal[...]``."""
    return ast.unparse(node.targets[0]), node.value


def _fields(node: ast.ClassDef, kinds: Kinds) -> list[Field]:
    texts = dict(_ENTRY.findall(ast.get_docstring(node) or ""))
    return [
        Field(
            line.target.id,
            _kind(line.annotation, kinds),
            "needed" if line.value is None else code(_value(line.value)),
            sentence(texts.get(line.target.id, "")).replace("``", "`").replace("`None`", "`null`"),
        )
        for line in node.body
        if isinstance(line, ast.AnnAssign)
        and isinstance(line.target, ast.Name)
        and line.target.id not in GIVEN
    ]


def _kind(annotation: ast.expr, kinds: Kinds) -> str:
    """A type in the words of the other settings."""
    match annotation:
        case ast.BinOp():
            either = _kind(annotation.left, kinds), _kind(annotation.right, kinds)
            return " or ".join(dict.fromkeys(either))
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[kind, *_])):
            return _kind(kind, kinds)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=values):
            several = values.elts if isinstance(values, ast.Tuple) else [values]
            return " or ".join(code(ast.literal_eval(value)) for value in several)
        case ast.Subscript():
            return "list"
        case ast.Name() if annotation.id in kinds:
            return _kind(kinds[annotation.id], kinds)
    text = ast.unparse(annotation)
    return _KINDS.get(text, code(text))


def _value(value: ast.expr) -> str:
    words = {"None": "null", "True": "true", "False": "false"}
    known = ast.literal_eval(value)
    if isinstance(known, tuple):
        return f"[{', '.join(map(repr, known))}]"
    return words.get(str(known), str(known))
