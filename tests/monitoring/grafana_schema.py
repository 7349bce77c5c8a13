"""Grafana's schema, as its SDK for Python states it, applied strictly to a dashboard's JSON.

The SDK reads leniently: it drops what it does not know, fills in what is missing, and looks at no
value's type. So each object is read, written again and compared, and each value is held against the
annotation of its field.
"""

import enum
import json
import sys
import types
import typing

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.cog.runtime import Runtime, UnknownDataquery
from grafana_foundation_sdk.models import dashboard

# Open in the schema: "datasource will stick their raw DataQuery here". Prometheus' own fields, as
# its annotation support in Grafana reads them.
_PROMETHEUS_EVENT = {"step": str, "titleFormat": str, "textFormat": str, "tagKeys": str}


def problems(found: dict[str, typing.Any]) -> list[str]:
    """What Grafana's schema does not allow in this dashboard; empty when it is valid."""
    register_default_plugins()
    closed, trouble = _without_event_fields(found)
    try:
        read = dashboard.Dashboard.from_json(closed)
        written = json.loads(json.dumps(read, cls=JSONEncoder))
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        return [*trouble, f"unreadable: {exc!r}"]
    return [*trouble, *_differences(closed, written, "$"), *_wrong_types(read, "$")]


def _without_event_fields(found):
    closed = json.loads(json.dumps(found))
    trouble = []
    for event in closed["annotations"].get("list", []):
        for name, kind in _PROMETHEUS_EVENT.items():
            if not isinstance(event.pop(name, kind()), kind):
                trouble.append(f"annotation {event['name']}: {name} is no {kind.__name__}")
    return closed, trouble


def _differences(given, written, where):
    """Unknown fields are not written again; missing ones are added."""
    if isinstance(given, dict) and isinstance(written, dict):
        found = [f"{where}.{key}: unknown" for key in given.keys() - written.keys()]
        found += [f"{where}.{key}: missing" for key in written.keys() - given.keys()]
        for key in given.keys() & written.keys():
            found += _differences(given[key], written[key], f"{where}.{key}")
        return found
    if isinstance(given, list) and isinstance(written, list) and len(given) == len(written):
        pairs = enumerate(zip(given, written, strict=True))
        return [d for i, (a, b) in pairs for d in _differences(a, b, f"{where}[{i}]")]
    return [] if given == written else [f"{where}: {given!r} became {written!r}"]


def _wrong_types(value, where):
    """Fields of the SDK's objects whose value is not what their annotation says."""
    if isinstance(value, list):
        return [d for i, item in enumerate(value) for d in _wrong_types(item, f"{where}[{i}]")]
    if isinstance(value, dict):
        return [d for key, item in value.items() for d in _wrong_types(item, f"{where}.{key}")]
    if isinstance(value, UnknownDataquery):
        return [f"{where}: a query of no known data source"]
    if not hasattr(value, "to_json"):
        return []
    found = _plugin_trouble(value, where)
    names = vars(sys.modules[type(value).__module__])
    for name, hint in typing.get_type_hints(type(value), globalns=names).items():
        given = getattr(value, name)
        if not _fits(given, hint):
            found.append(f"{where}.{name}: {given!r} is no {hint}")
        found += _wrong_types(given, f"{where}.{name}")
    return found


def _plugin_trouble(value, where):
    """A panel of a kind that the SDK does not know would keep its options unread."""
    if not isinstance(value, dashboard.Panel):
        return []
    known = Runtime().panelcfg_config(value.type_val)
    return [] if known else [f"{where}: no panel is called {value.type_val}"]


def _fits(value, hint):
    inner = typing.get_args(hint)
    match typing.get_origin(hint) or hint:
        case typing.Union | types.UnionType:
            return any(_fits(value, one) for one in inner)
        case typing.Literal:
            return value in inner
        case kind if kind is list:
            return isinstance(value, list) and all(_fits(item, inner[0]) for item in value)
        case kind if kind is dict:
            return isinstance(value, dict) and all(_fits(v, inner[1]) for v in value.values())
        case plain:
            return plain is typing.Any or _is_a(value, plain)


def _is_a(value, kind):
    if isinstance(kind, enum.EnumMeta):
        return value in set(kind)  # it is read as the plain value
    if kind in {float, int}:
        return isinstance(value, int | kind) and not isinstance(value, bool)
    return isinstance(value, kind)
