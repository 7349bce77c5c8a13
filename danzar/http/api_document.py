"""The API's description for programs: ``/openapi.json``. Pure, made once."""

from importlib import metadata
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from danzar.http.api_bodies import PARAMS_DOCUMENTED

Json = dict[str, Any]
_ABOUT = """Jobs for the models of this machine and its nodes, and what OpenAI's clients ask.

A key goes into the header `Authorization: Bearer danzar_...`; `danzar keys add NAME` makes one. As
long as there is no key, programs of this machine need none. Every answer has an `X-Request-ID`,
which may be given, and which the log has. Every refusal has the body `{"error": {...}}`.
"""
_SCHEME = "key"
_PUBLIC = ("/docs", "/openapi.json")


def describe(app: FastAPI) -> Json:
    """The OpenAPI document of the application."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=metadata.version("danzar"),
            description=_ABOUT,
            routes=app.routes,
        )
        _add_params(document)
        _add_security(document)
        _without_422(document)
        app.openapi_schema = document
    return app.openapi_schema


def _add_params(document: Json) -> None:
    """``params`` may be of one of three kinds, which its model decides."""
    schemas = document["components"]["schemas"]
    refs = []
    for model in PARAMS_DOCUMENTED:
        schemas[model.__name__] = TypeAdapter(model).json_schema()
        refs.append({"$ref": f"#/components/schemas/{model.__name__}"})
    params = schemas["JobBody"]["properties"]["params"]
    params.pop("additionalProperties", None)
    params.pop("type", None)
    params["anyOf"] = refs


def _add_security(document: Json) -> None:
    document["components"]["securitySchemes"] = {_SCHEME: {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        if path not in _PUBLIC:
            for operation in operations.values():
                operation["security"] = [{_SCHEME: []}]


def _without_422(document: Json) -> None:
    """FastAPI tells of a refusal that here is a 400."""
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
