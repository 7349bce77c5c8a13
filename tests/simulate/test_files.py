import pytest

from danzar.config.problems import InvalidConfig
from danzar.errors import BadInput, ConfigError
from danzar.simulate.files import check_names, parse_trace, parse_world
from danzar.simulate.makers import make_trace
from danzar.simulate.trace import Ask, Foreign, Lose, RunOut, encode
from danzar.units import GIB
from tests.simulate.worlds import described

LINES = (Ask(1.0, "a", 2.5), Foreign(2.0, "cuda:0", 7), Lose(3.0, "a"), RunOut(4.0, "a"))


def test_a_trace_comes_back_as_it_was_written():
    assert parse_trace(encode(LINES), "some.jsonl") == LINES


def test_a_trace_may_be_yaml_and_is_put_in_order():
    text = (
        b"- {kind: ask, at_s: 9, model: a}\n"
        b"- {kind: foreign, at_s: 2, device: 'cuda:0', size_bytes: 7}\n"
    )
    assert parse_trace(text, "some.yaml") == (LINES[1], Ask(9, "a"))


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        (encode(LINES[:1]) + b"{}\n", "t.jsonl", r"t\.jsonl:2: is no line of a trace"),
        (b'{"kind":"ask","at_s":-1,"model":"a"}', "t.jsonl", r"t\.jsonl:1: .*>= 0"),
        (b'{"kind":"ask","at_s":1,"model":"a","sekonds":1}', "t.jsonl", r"t\.jsonl:1: .*sekonds"),
        (b"- {kind: ask, at_s: 1}\n", "t.yaml", r"t\.yaml:1: .*model"),
        (b"kind: ask\n", "t.yaml", r"t\.yaml:1: a trace in YAML is a list"),
    ],
)
def test_a_wrong_line_is_named(text, name, words):
    with pytest.raises(ConfigError, match=words):
        parse_trace(text, name)


def test_a_trace_that_names_what_the_world_does_not_have_is_refused():
    world = described({"a": {"gib": 1}})
    with pytest.raises(ConfigError, match="no model 'b'; it has a"):
        check_names((Ask(1.0, "b"),), world, "t.jsonl")
    with pytest.raises(ConfigError, match="no 'cuda:7'; it has cuda:0"):
        check_names((Foreign(1.0, "cuda:7", GIB),), world, "t.jsonl")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("models: {a: {size: 1 GiB, sise: 2}}", r"w\.yaml:1: models\.a\.sise: unknown key"),
        ("models: {a: {size: 9 parsecs}}", r"w\.yaml:1: models\.a\.size: .*is no size"),
        ("models: {}", r"w\.yaml:1: models"),
        ("models:\n  a: {size: 1, devices: ['cuda:3']}", r"w\.yaml:2: models\.a\.devices.*cuda:3"),
        ("rules: {policy: fifo}\nmodels: {a: {size: 1}}", r"w\.yaml:1: rules\.policy: .*fifo"),
        ("models:\n  a: {size: 1, fallback: b}", r"w\.yaml:2: models\.a\.fallback: no model 'b'"),
        ("[", r"w\.yaml:1: YAML syntax"),
    ],
)
def test_a_mistake_in_a_devices_file_is_named_with_its_line(text, words):
    with pytest.raises(InvalidConfig, match=words):
        parse_world(text, "w.yaml")


@pytest.mark.parametrize("text", ["zipf:", "zipf:x", "zipf:1:x", "zipf:1:0", "zipf:1:9999999"])
def test_a_maker_without_a_proper_seed_is_refused(text):
    with pytest.raises(BadInput, match="zipf"):
        make_trace(text, described({"a": {"gib": 1}}))


def test_what_is_no_maker_is_left_to_others():
    assert make_trace("some.jsonl", described({"a": {"gib": 1}})) is None


def test_popularity_in_the_devices_file_is_followed():
    models = {"a": {"gib": 1, "popularity": 9}, "b": {"gib": 1, "popularity": 1}}
    trace = make_trace("zipf:1:1000", described(models))
    asked = [line.model for line in trace or () if isinstance(line, Ask)]
    assert 0.85 < asked.count("a") / len(asked) < 0.95


def test_hostile_traces_hold_every_kind_of_line():
    trace = make_trace("hostile:1:300", described({"a": {"gib": 1}})) or ()
    assert {type(line) for line in trace} == {Ask, Foreign, Lose, RunOut}
