"""``/docs``: the API's description as one page, with a line for curl for each route.

It needs no script, and nothing from another server: it works on a machine without a network.
"""

import html
import json
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

Json = dict[str, Any]

router = APIRouter(include_in_schema=False)
_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
_METHODS = ("get", "post", "put", "delete")
_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 56rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #8884 }
h3 { margin: 2rem 0 .25rem; font-size: 1.05rem }
code, pre { font: .875rem/1.45 ui-monospace, monospace }
pre { padding: .75rem; overflow-x: auto; background: #8881; border-radius: .375rem }
table { border-collapse: collapse; font-size: .9rem }
td { padding: .15rem 1rem .15rem 0; vertical-align: top }
td:first-child { white-space: nowrap }
nav a { margin-right: 1rem }
.get { color: #2a7de1 } .post { color: #2a9d4a } .delete { color: #d04a3a }
"""


@router.get("/docs", response_class=HTMLResponse)
async def get_docs(request: Request) -> HTMLResponse:
    """Show every route with its keys and examples."""
    page = render(request.app.openapi(), str(request.base_url).rstrip("/"))
    return HTMLResponse(page, headers=_HEADERS)


def render(document: Json, base_url: str) -> str:
    """The page. Pure."""
    info = document["info"]
    body = "".join(_sections(document, base_url))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{_text(info['title'])} API</title><style>{_STYLE}</style></head><body>"
        f"<h1>{_text(info['title'])} {_text(info['version'])}</h1>"
        f"{_paragraphs(info['description'])}"
        '<p><a href="/openapi.json">openapi.json</a> is the same for programs.</p>'
        f"{body}</body></html>"
    )


def _sections(document: Json, base_url: str) -> Iterator[str]:
    by_tag: dict[str, list[tuple[str, str, Json]]] = {}
    for path, operations in document["paths"].items():
        for method in filter(operations.__contains__, _METHODS):
            operation = operations[method]
            tag = operation.get("tags", ["other"])[0]
            by_tag.setdefault(tag, []).append((method, path, operation))
    yield "<nav>" + "".join(f'<a href="#{_text(t)}">{_text(t)}</a>' for t in by_tag) + "</nav>"
    for tag, routes in by_tag.items():
        yield f'<h2 id="{_text(tag)}">{_text(tag)}</h2>'
        for method, path, operation in routes:
            yield _route(document, method, path, operation, base_url)


def _route(document: Json, method: str, path: str, operation: Json, base_url: str) -> str:
    title = f'<h3><span class="{method}">{method.upper()}</span> <code>{_text(path)}</code></h3>'
    keys = "".join(_keys(document, operation))
    examples = "".join(
        f"<pre>{_text(_curl(method, base_url + path, example))}</pre>"
        for example in _examples(document, operation)
    )
    answers = "".join(
        f"<tr><td>{_text(status)}</td><td>{_text(answer['description'])}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    folded = f"<details><summary>Answers</summary><table>{answers}</table></details>"
    about = _paragraphs(operation.get("description", ""))
    return f"{title}{about}{examples}<table>{keys}</table>{folded}"


def _keys(document: Json, operation: Json) -> Iterator[str]:
    for parameter in operation.get("parameters", []):
        yield _key(parameter["name"], parameter["schema"], parameter.get("description"))
    schema = _body_schema(document, operation)
    for name, key in (schema or {}).get("properties", {}).items():
        yield _key(name, key, key.get("description"))


def _key(name: str, schema: Json, about: str | None) -> str:
    default = schema.get("default")
    note = "" if default in (None, {}, [], "") else f" Default: {json.dumps(default)}."
    kinds = [part.get("type") for part in schema.get("anyOf", [schema])]
    kind = " or ".join(str(kind) for kind in kinds if kind) or "object"
    text = f"<i>{_text(kind)}</i> {_text((about or '') + note)}"
    return f"<tr><td><code>{_text(name)}</code></td><td>{text}</td></tr>"


def _body_schema(document: Json, operation: Json) -> Json | None:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    reference = content.get("schema", {}).get("$ref")
    if reference is None:
        return None
    schema: Json = document["components"]["schemas"][reference.rsplit("/", 1)[1]]
    return schema


def _examples(document: Json, operation: Json) -> list[Any]:
    """Bodies to show; one ``None`` where there is no body."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    examples = [example["value"] for example in content.get("examples", {}).values()]
    schema = _body_schema(document, operation) or {}
    of_schema = [schema["example"]] if "example" in schema else schema.get("examples", [])
    return examples or of_schema or [None]


def _curl(method: str, url: str, example: Any) -> str:  # noqa: ANN401 - any JSON
    verb = "" if method in ("get", "post") else f"-X {method.upper()} "
    if example is None:
        return f"curl {verb}{url}"
    body = json.dumps(example, indent=2, ensure_ascii=False).replace("'", "'\\''")
    return f"curl {verb}{url} -H 'Content-Type: application/json' -d '{body}'"


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_text(part)}</p>" for part in text.strip().split("\n\n") if part)


def _text(text: object) -> str:
    return html.escape(str(text))
