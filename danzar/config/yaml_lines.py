"""YAML as plain data, with the line of every key; nothing in it can run, expand or overflow.

The core of YAML only: no tags, no anchors, no dates, no duplicate keys, text keys.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

KeyPath = tuple[str | int, ...]

MAX_BYTES = 256 * 1024
MAX_DEPTH = 24
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_SCALAR_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str")}


class YamlProblem(ValueError):
    """The text is not the YAML that is read here; ``line`` counts from 1, ``path`` is the key."""

    def __init__(self, line: int, message: str, path: KeyPath = ()) -> None:
        super().__init__(message)
        self.line = line
        self.path = path


@dataclass(slots=True)
class Document:
    """One file.

    Attributes:
        data: Its content; an empty file is ``{}``.
        lines: Where each key stands, counted from 1.
        problems: Mistakes that left the rest readable.
    """

    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[YamlProblem] = field(default_factory=list)


class _Loader(yaml.SafeLoader):
    """Refuses what could expand, before it is built; bounds the nesting while it is parsed."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the name and the kind are PyYAML's
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401
        event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise YamlProblem(line, "anchors and aliases (& and *) are not read; write it out")
        if self.depth >= MAX_DEPTH:
            raise YamlProblem(line, f"is nested deeper than {MAX_DEPTH} levels")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def read_yaml(raw: bytes | str) -> Document:
    """Parse one file.

    Raises:
        YamlProblem: It is too large, not UTF-8, or not YAML.
    """
    loader: _Loader | None = None
    try:
        loader = _Loader(decode(raw))
        root = loader.get_single_node()
        return _convert_document(loader, root)
    except YamlProblem:
        raise
    except yaml.MarkedYAMLError as exc:
        raise YamlProblem(_line_of(exc), _syntax_message(exc)) from exc
    except yaml.reader.ReaderError as exc:
        raise YamlProblem(
            1,
            f"has a character that YAML does not allow (U+{exc.character:04X})"
            if isinstance(exc.character, int)
            else "has a character that YAML does not allow",
        ) from exc
    except (ValueError, OverflowError, RecursionError) as exc:
        line = loader.line + 1 if loader is not None else 1
        raise YamlProblem(line, "is no YAML: a number or escape in it is out of range") from exc


def compose(text: str) -> yaml.Node | None:
    """The tree of a text that ``read_yaml`` reads, with the place of every part."""
    return _Loader(text).get_single_node()


def decode(raw: bytes | str) -> str:
    """The file's text, without its byte order mark.

    Raises:
        YamlProblem: It is too large, or not UTF-8.
    """
    if len(raw) > MAX_BYTES:
        raise YamlProblem(1, f"is larger than {MAX_BYTES // 1024} KiB")
    if isinstance(raw, str):
        return raw
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw[: exc.start].count(b"\n") + 1
        raise YamlProblem(line, "is not UTF-8 text; save the file as UTF-8") from exc


def _line_of(exc: yaml.MarkedYAMLError) -> int:
    mark = exc.problem_mark or exc.context_mark
    return mark.line + 1 if mark is not None else 1


def _syntax_message(exc: yaml.MarkedYAMLError) -> str:
    problem = re.sub(r"\s+", " ", exc.problem or exc.context or "can't be read")
    if "expected a single document" in f"{exc.context} {problem}":
        return "holds more than one YAML document; keep one"
    if "'\\t'" in problem:
        return "YAML syntax: a tab can't indent; use spaces"
    return f"YAML syntax: {problem}"


def _convert_document(loader: _Loader, root: yaml.Node | None) -> Document:
    document = Document({})
    if root is None:
        return document
    document.data = _convert(loader, root, (), document)
    if document.data is None:
        document.data = {}
    return document


def _convert(loader: _Loader, node: yaml.Node, path: KeyPath, document: Document) -> Any:  # noqa: ANN401
    document.lines.setdefault(path, node.start_mark.line + 1)
    match node:
        case yaml.MappingNode(tag="tag:yaml.org,2002:map"):
            return dict(_convert_mapping(loader, node, path, document))
        case yaml.SequenceNode(tag="tag:yaml.org,2002:seq"):
            return [
                _convert(loader, item, (*path, i), document) for i, item in enumerate(node.value)
            ]
        case yaml.ScalarNode() if node.tag in _SCALAR_TAGS:
            return _convert_scalar(loader, node, path)
    line = node.start_mark.line + 1
    raise YamlProblem(
        line, f"the tag {_short_tag(node.tag)} is not read; write a plain value", path
    )


def _convert_mapping(
    loader: _Loader, node: yaml.MappingNode, path: KeyPath, document: Document
) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise YamlProblem(line, "a key must be plain text", path)
        key = key_node.value
        here = (*path, key)
        if key_node.tag == "tag:yaml.org,2002:merge":
            raise YamlProblem(line, "merge keys (<<) are not read; write it out", path)
        if key_node.tag != "tag:yaml.org,2002:str":
            document.problems.append(YamlProblem(line, "must be text; put it in quotes", here))
        elif key in seen:
            first = document.lines[here]
            document.problems.append(
                YamlProblem(line, f"stands here a second time (first in line {first})", here)
            )
        seen.add(key)
        document.lines.setdefault(here, line)
        yield key, _convert(loader, value_node, here, document)


def _convert_scalar(loader: _Loader, node: yaml.ScalarNode, path: KeyPath) -> Any:  # noqa: ANN401
    line = node.start_mark.line + 1
    try:
        value = loader.construct_object(node)
        if isinstance(value, str):
            value.encode()
    except (ValueError, OverflowError) as exc:
        raise YamlProblem(line, "is no text or number that can be kept", path) from exc
    return value


def _short_tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")
