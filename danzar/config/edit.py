"""One value changed in a YAML file, and not one byte besides it: comments and layout stay.

The value is replaced where it stands, by the places that the parser gives. A library that loads
and writes the whole file would indent lists anew, drop ``null`` and strip spaces.
"""

import json
from typing import Any

import yaml

from danzar.config.yaml_lines import KeyPath, YamlProblem, compose, decode, read_yaml

_BOM = b"\xef\xbb\xbf"
_NO_WRAP = 1_000_000

_Pair = tuple[yaml.Node, yaml.Node]


class CannotEdit(ValueError):
    """The value can't be changed without touching other parts of the file."""


def set_value(raw: bytes, path: tuple[str, ...], value: Any) -> bytes:  # noqa: ANN401
    """The file with ``value`` at ``path``; sections that are missing are added.

    Args:
        raw: The file, empty where there is none.
        path: Keys of sections, outermost first.
        value: What YAML can say: text, a number, true or false, ``None``, a list or a dict of them.

    Raises:
        CannotEdit: The value stands in a form that this does not know.
        danzar.config.yaml_lines.YamlProblem: The file is no YAML.
    """
    text = decode(raw)
    before = read_yaml(text).data
    edited = _edit(text, compose(text), path, value)
    _verify(edited, _with_value(before, path, value))
    return (_BOM if raw.startswith(_BOM) else b"") + edited.encode()


def _edit(text: str, root: yaml.Node | None, path: tuple[str, ...], value: object) -> str:
    if root is None:
        return _append(text, _block(path, value, 0, _newline(text)))
    parent, pair, rest = _find(root, path)
    if not rest and pair is not None:
        return _replace(text, pair, value)
    if _is_null(parent) and pair is not None:
        return _replace(text, pair, _nest(rest, value))
    if not isinstance(parent, yaml.MappingNode):
        raise CannotEdit("is not inside a section there")
    if parent.flow_style:
        return _insert_in_flow(text, parent, _nest(rest, value))
    return _insert_lines(text, parent, rest, value)


def _find(root: yaml.Node, path: tuple[str, ...]) -> tuple[yaml.Node, _Pair | None, KeyPath]:
    """The innermost part that is there, with its key, and the keys that are not there."""
    node, pair = root, None
    for i, key in enumerate(path):
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next((p for p in pairs if p[0].value == key), None)
        if found is None:
            return node, pair, path[i:]
        pair, node = found, found[1]
    return node, pair, ()


def _replace(text: str, pair: _Pair, value: object) -> str:
    node = pair[1]
    after_colon = text.index(":", _end(text, pair[0])) + 1
    if _is_block(node) or not _shown(text, node):
        return f"{text[:after_colon]} {_dump(value)}{text[_end(text, node, after_colon) :]}"
    return text[: node.start_mark.index] + _dump(value) + text[_end(text, node) :]


def _insert_in_flow(text: str, parent: yaml.MappingNode, value: object) -> str:
    """Before the closing brace."""
    start = parent.start_mark.index + 1
    inside = text[start : parent.end_mark.index - 1].rstrip()
    comma = "" if not inside else " " if inside.endswith(",") else ", "
    at = start + len(inside)
    return text[:at] + comma + _dump(value)[1:-1] + text[at:]


def _insert_lines(text: str, parent: yaml.MappingNode, rest: KeyPath, value: object) -> str:
    """Below the section's last value."""
    lines = _block(rest, value, parent.value[0][0].start_mark.column, _newline(text))
    line_end = text.find("\n", _end(text, parent))
    if line_end < 0:
        return _append(text, lines)
    return text[: line_end + 1] + lines + text[line_end + 1 :]


def _append(text: str, lines: str) -> str:
    gap = "" if not text or text.endswith("\n") else _newline(text)
    return text + gap + lines


def _block(path: KeyPath, value: object, column: int, newline: str) -> str:
    lines = [f"{' ' * (column + 2 * i)}{_dump(key)}:" for i, key in enumerate(path)]
    return newline.join([*lines[:-1], f"{lines[-1]} {_dump(value)}", ""])


def _end(text: str, node: yaml.Node, least: int = 0) -> int:
    """Where the node's own text ends: the parser counts what follows a block as its part."""
    if _is_block(node):
        last = node.value[-1]
        parts = last if isinstance(last, tuple) else (last,)
        return max(_end(text, part, least) for part in parts)
    return max(node.start_mark.index + len(_shown(text, node)), least)


def _shown(text: str, node: yaml.Node) -> str:
    return text[node.start_mark.index : node.end_mark.index].rstrip()


def _is_block(node: yaml.Node) -> bool:
    return isinstance(node, yaml.CollectionNode) and not node.flow_style and bool(node.value)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _nest(path: KeyPath, value: object) -> object:
    for key in reversed(path):
        value = {key: value}
    return value


def _dump(value: object) -> str:
    """On one line, and readable inside braces, too: the plainest form that reads back."""
    forms = (_yaml(value), json.dumps(value, ensure_ascii=False), _yaml(value, style='"'))
    return next((text for text in forms if _reads_back(text, value)), forms[0])


def _yaml(value: object, style: str | None = None) -> str:
    text: str = yaml.safe_dump(
        value,
        default_flow_style=True,
        default_style=style,
        width=_NO_WRAP,
        allow_unicode=True,
        sort_keys=False,
    )
    return text.removesuffix("...\n").strip()


def _reads_back(text: str, value: object) -> bool:
    """PyYAML leaves some texts without quotes that mean something else inside braces."""
    if "\n" in text:
        return False
    try:
        return bool(read_yaml(f"{{a: {text}}}").data == {"a": value})
    except YamlProblem:
        return False


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _with_value(data: object, path: KeyPath, value: object) -> dict[str | int, object]:
    known = dict(data) if isinstance(data, dict) else {}
    inner = _with_value(known.get(path[0]), path[1:], value) if path[1:] else value
    return {**known, path[0]: inner}


def _verify(edited: str, expected: object) -> None:
    try:
        found = read_yaml(edited).data
    except YamlProblem as exc:
        raise CannotEdit("stands in a form that can't be edited here") from exc
    if found != expected:
        raise CannotEdit("stands in a form that can't be edited here")
