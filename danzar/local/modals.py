"""Forms that the bot opens: what the page must show, and what a filled one looks like. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from danzar.local.multipart import malformed

ACTION_ROW, STRING_SELECT, TEXT_INPUT, TEXT_DISPLAY, LABEL = 1, 3, 4, 10, 18
MAX_TEXT = 4000


def fields_of(modal: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The fields to fill in, or ``None`` when one is of a kind that the page can't show."""
    fields = list(_fields(modal.get("components") or []))
    return fields if all(f["type"] in {TEXT_INPUT, STRING_SELECT} for f in fields) else None


def filled(modal: Mapping[str, Any], values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The form's components with the person's values, as Discord sends them to the bot.

    Raises:
        ApiError: A required field is empty, or a text is too short or too long.
    """
    return [_filled(component, values) for component in modal.get("components") or []]


def _fields(components: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for component in components:
        if component["type"] == ACTION_ROW:
            yield from _fields(component.get("components") or [])
        elif component["type"] == LABEL:
            [field] = _fields([component["component"]])
            yield {
                **field,
                "label": component.get("label"),
                "description": component.get("description"),
            }
        elif component["type"] != TEXT_DISPLAY:
            yield component


def _filled(component: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    head = {"type": component["type"], "id": component.get("id", 0)}
    if component["type"] == ACTION_ROW:
        return {**head, "components": [_filled(c, values) for c in component["components"]]}
    if component["type"] == LABEL:
        return {**head, "component": _filled(component["component"], values)}
    if component["type"] == TEXT_DISPLAY:
        return head
    value = str(values.get(component["custom_id"]) or "")
    head["custom_id"] = component["custom_id"]
    if component["type"] == STRING_SELECT:
        return {**head, "values": [value] if value else []}
    _check_length(component, value)
    return {**head, "value": value}


def _check_length(component: Mapping[str, Any], value: str) -> None:
    label = component.get("label") or component["custom_id"]
    if not value and component.get("required", True):
        raise malformed(f"{label!r} must be filled in")
    low, high = component.get("min_length") or 0, component.get("max_length") or MAX_TEXT
    if value and not low <= len(value) <= high:
        raise malformed(f"{label!r} takes {low} to {high} characters, got {len(value)}")
