"""A value is changed where it stands; everything else in the file stays byte for byte."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from danzar.config.edit import CannotEdit, set_value
from danzar.config.yaml_lines import YamlProblem, read_yaml

SHIPPED = Path(__file__).resolve().parents[2] / "config"


@pytest.mark.parametrize(
    ("before", "path", "value", "after"),
    [
        pytest.param("a:\n  b: 1  # why\n", "a.b", 2, "a:\n  b: 2  # why\n", id="comment stays"),
        pytest.param('a: "x"\nb: 1\n', "a", "y", "a: y\nb: 1\n", id="a value in quotes"),
        pytest.param('"a": 1\n', "a", 2, '"a": 2\n', id="a key in quotes"),
        pytest.param("a: {b: 1, c: 2}\n", "a.b", 3, "a: {b: 3, c: 2}\n", id="inside braces"),
        pytest.param("a: {b: 1}\n", "a.c", 3, "a: {b: 1, c: 3}\n", id="new inside braces"),
        pytest.param("a: {b: 1,}\n", "a.c", 3, "a: {b: 1, c: 3}\n", id="after a last comma"),
        pytest.param("a: {}\n", "a.b.c", 3, "a: {b: {c: 3}}\n", id="into empty braces"),
        pytest.param("a: # later\nb: 1\n", "a.c", 3, "a: {c: 3} # later\nb: 1\n", id="empty"),
        pytest.param("a: null\n", "a", "x", "a: x\n", id="null"),
        pytest.param("a:\nb: 1\n", "a", 2, "a: 2\nb: 1\n", id="nothing after the colon"),
        pytest.param(
            "a:\n    b: 1\n\n# about d\nd: 2\n",
            "a.c",
            3,
            "a:\n    b: 1\n    c: 3\n\n# about d\nd: 2\n",
            id="a new key below its section, indented like it",
        ),
        pytest.param("a:\n  b: 1", "a.c", 3, "a:\n  b: 1\n  c: 3\n", id="no last line end"),
        pytest.param(
            "a:\r\n  b: 1\r\nd: 2\r\n",
            "a.c",
            3,
            "a:\r\n  b: 1\r\n  c: 3\r\nd: 2\r\n",
            id="Windows line ends",
        ),
        pytest.param("", "a.b", 1, "a:\n  b: 1\n", id="an empty file"),
        pytest.param("# c", "a.b", 1, "# c\na:\n  b: 1\n", id="a file of comments"),
        pytest.param(
            "a: >-\n  long\n  text\n\n# c\nb: 1\n",
            "a",
            "s",
            "a: s\n\n# c\nb: 1\n",
            id="a folded text",
        ),
        pytest.param(
            "a:\n- 1  # one\n- 2\n# c\nb: 1\n", "a", [3], "a: [3]\n# c\nb: 1\n", id="a list"
        ),
        pytest.param("a: 1\n", "b.cuda:0", "1 GiB", "a: 1\nb:\n  cuda:0: 1 GiB\n", id="colon"),
        pytest.param("a: 1\n", "a", "- x: #", "a: '- x: #'\n", id="text that looks like YAML"),
        pytest.param("a: 1\n", "a", "x\ny", 'a: "x\\ny"\n', id="text of two lines"),
    ],
)
def test_only_the_value_changes(before: str, path: str, value: object, after: str) -> None:
    assert set_value(before.encode(), tuple(path.split(".")), value).decode() == after


def test_a_byte_order_mark_stays() -> None:
    assert set_value(b"\xef\xbb\xbfa: 1\n", ("a",), 2) == b"\xef\xbb\xbfa: 2\n"


def test_a_value_that_is_no_section_takes_no_keys() -> None:
    with pytest.raises(CannotEdit, match="not inside a section"):
        set_value(b"a: 5\n", ("a", "b"), 1)


def test_what_would_not_read_back_is_refused() -> None:
    with pytest.raises(CannotEdit, match="can't be edited"):
        set_value(b"a: {b: 1  # the brace is on the next line\n}\n", ("a", "c"), 1)


def test_a_file_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(YamlProblem):
        set_value(b"a: [1\n", ("a",), 1)


keys = st.text(alphabet="ab:.- 0é", min_size=1, max_size=4).filter(
    lambda k: read_yaml(yaml.safe_dump({k: 1})).problems == []
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-99, 99),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(alphabet="ab:#'\"{}[],&*-?|> \n0.é", max_size=12),
)
values = scalars | st.lists(scalars, max_size=3)
sections = st.recursive(
    st.dictionaries(keys, values, min_size=1, max_size=3),
    lambda inner: st.dictionaries(keys, values | inner, min_size=1, max_size=3),
    max_leaves=8,
)


def leaves(data: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(data, dict):
        return [path]
    return [leaf for key, inner in data.items() for leaf in leaves(inner, (*path, key))]


def value_at(data: object, path: tuple[str, ...]) -> object:
    for part in path:
        data = data[part]  # type: ignore[index]
    return data


@settings(max_examples=200)
@given(
    data=sections,
    flow=st.sampled_from([None, True, False]),
    value=values,
    new=st.lists(keys, max_size=2),
    choice=st.data(),
)
def test_the_file_then_says_just_that(
    data: dict[str, object], flow: bool | None, value: object, new: list[str], choice: st.DataObject
) -> None:
    raw = yaml.safe_dump(
        data, default_flow_style=flow, allow_unicode=True, sort_keys=False
    ).encode()
    leaf = choice.draw(st.sampled_from(leaves(data)))
    path = (*leaf[:-1], *new) if new else leaf
    try:
        edited = set_value(raw, path, value)
    except CannotEdit:
        # Only where a key of the path is a value, not a section.
        known = data
        for part in path[:-1]:
            known = known.get(part) if isinstance(known, dict) else None  # type: ignore[assignment]
            if known is None:
                break
        assert known is not None
        assert not isinstance(known, dict)
        return

    found = read_yaml(edited).data

    assert value_at(found, path) == value
    others = [p for p in leaves(data) if p[: len(path)] != path and path[: len(p)] != p]
    assert [value_at(found, p) for p in others] == [value_at(data, p) for p in others]


@pytest.mark.parametrize("name", ["bot_config", "models", "vision_config", "vram_config"])
def test_every_value_of_a_shipped_file_can_be_set_and_set_back(name: str) -> None:
    raw = (SHIPPED / f"{name}.yaml").read_bytes()
    data = read_yaml(raw).data
    for path in leaves(data):
        changed = set_value(raw, path, "other")
        back = set_value(changed, path, value_at(data, path))

        comments = [line for line in raw.splitlines() if line.lstrip().startswith(b"#")]
        kept = set(changed.splitlines())
        assert all(line in kept for line in comments)
        assert read_yaml(back).data == data


def test_a_number_without_a_point_beside_a_line_break_can_be_written() -> None:
    edited = set_value(b"a: 1\n", ("a",), [5e-324, "\n"])
    assert read_yaml(edited).data == {"a": [5e-324, "\n"]}
