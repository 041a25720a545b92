"""The OpenAPI 3.1 document, made from the models and the table of operations.

It is not left to the framework: endpoints here take raw requests, which tell the framework nothing. Tests hold every answer
that they get against the schema that stands here for its status.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from importlib.metadata import metadata
from typing import Any

import msgspec
from msgspec import Struct

from entrypoints.api.access import ACCESS
from entrypoints.api.job_batch import MAX_JOBS
from entrypoints.api.model_examples import EXAMPLES
from entrypoints.api.models import BatchJob, NewJob
from entrypoints.api.operation_parts import JsonObject
from entrypoints.api.operations import ANY_REQUEST, OPERATIONS, Operation, Reply
from entrypoints.api.problems import (
    KEY_NOT_ACCEPTED,
    KEY_REQUIRED,
    SCOPE_INSUFFICIENT,
    TOO_MANY_REQUESTS,
    Kind,
)

_DESCRIPTION = """\
Post jobs, ask what became of them, and see everything that happened to them: each job is a list of events that are never \
changed. Whatever is wrong is told as a problem document (RFC 9457).

Once a first API key was made (`jobledger keys create`), requests need one: `Authorization: Bearer` and its token. Its scope is \
`read`, `submit` or `operate`; each may do what those before it may. The key's name is the `actor` of the events that it causes.
"""
_KEY_PROBLEMS = (KEY_REQUIRED, KEY_NOT_ACCEPTED, SCOPE_INSUFFICIENT, TOO_MANY_REQUESTS)
_KEY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "jl_ and 43 letters and digits",
    "description": "The token of an API key. While no key was ever made, none is needed (`access` of `GET /health` says so).",
}
_TAGS = [
    {"name": "Jobs", "description": "Create jobs and follow them."},
    {"name": "Watching", "description": "How the service is."},
    {"name": "Schema", "description": "This documentation."},
]
_TWO_WAITS = {
    "description": "A job has a delay or a time to run at, not both.",
    "properties": {"runAt": {"type": "string"}, "delaySeconds": {"type": "number"}},
    "required": ["runAt", "delaySeconds"],
}
# Three operations answer with something that is not a model.
_SPECIAL_CONTENT: dict[str, JsonObject] = {
    "getRoot": {"text/plain": {"schema": {"type": "string"}}},
    "getSchemaPage": {"text/html": {"schema": {"type": "string"}}},
    "getSchema": {"application/json": {"schema": {"type": "object"}}},
}


def openapi_document(job_types: Sequence[str]) -> JsonObject:
    """The document of an API on which these job types are installed."""
    about = metadata("jobledger")
    paths: dict[str, JsonObject] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, job_types)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Jobledger",
            "version": about["Version"],
            "summary": about["Summary"],
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": _TAGS,
        "paths": paths,
        "components": {"schemas": _schemas(job_types), "securitySchemes": {"apiKey": _KEY_SCHEME}},
    }


def _operation(operation: Operation, job_types: Sequence[str]) -> JsonObject:
    described: JsonObject = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
    }
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.body is not None:
        examples = _examples(operation.body, job_types)
        content = (
            _many(operation.body, examples)
            if operation.takes_many
            else {"application/json": _media(operation.body, examples)}
        )
        described["requestBody"] = {"required": operation.needs_body, "description": "In UTF-8.", "content": content}
    needed = ACCESS[operation.method.upper(), operation.path]
    described["security"] = [] if needed is None else [{"apiKey": [needed]}]
    responses = {str(reply.status): _reply(operation, reply, job_types) for reply in operation.replies}
    kinds: dict[int, list[Kind]] = {}
    for kind in (*operation.problems, *(() if needed is None else _KEY_PROBLEMS), *ANY_REQUEST):
        kinds.setdefault(kind.status, []).append(kind)
    responses |= {str(status): _problem(operation, of_status) for status, of_status in sorted(kinds.items())}
    described["responses"] = responses
    return described


def _reply(operation: Operation, reply: Reply, job_types: Sequence[str]) -> JsonObject:
    described: JsonObject = {"description": reply.description}
    if reply.headers:
        described["headers"] = reply.headers
    if reply.content is not None:
        described |= {"content": reply.content} if reply.content else {}
    elif reply.model is None:
        described["content"] = _SPECIAL_CONTENT[operation.id]
    else:
        described["content"] = {"application/json": _media(reply.model, _examples(reply.model, job_types))}
    return described


def _problem(operation: Operation, kinds: Sequence[Kind]) -> JsonObject:
    examples = {
        kind.code: {
            "summary": kind.title,
            "value": {
                "type": kind.uri,
                "title": kind.title,
                "status": kind.status,
                "detail": kind.meaning,
                "instance": operation.path.replace("{id}", "0190f5fe-7c00-7a00-8000-000000000000"),
            },
        }
        for kind in kinds
    }
    media = {"schema": {"$ref": "#/components/schemas/ProblemDocument"}, "examples": examples}
    described: JsonObject = {
        "description": " ".join(f"{kind.title}." for kind in kinds),
        "content": {"application/problem+json": media},
    }
    if kinds[0].status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        challenge = {"description": "How to ask (RFC 6750).", "required": True, "schema": {"type": "string"}}
        described["headers"] = {"WWW-Authenticate": challenge}
    if kinds[0].status == HTTPStatus.METHOD_NOT_ALLOWED:
        described["headers"] = {"Allow": {"description": "The methods that are.", "schema": {"type": "string"}}}
    if kinds[0].status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        described["headers"] = {
            "Content-Range": {"description": "`bytes */` and how many there are.", "schema": {"type": "string"}}
        }
    if kinds[0].status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        seconds = {"description": "Seconds to wait before trying again.", "schema": {"type": "integer", "minimum": 1}}
        described["headers"] = {"Retry-After": seconds}
    if kinds[0].status == HTTPStatus.TOO_MANY_REQUESTS:
        described["headers"] |= {
            "RateLimit-Policy": {"description": "The quota, and its window in seconds.", "schema": {"type": "string"}},
            "RateLimit": {"description": "What is left of it.", "schema": {"type": "string"}},
        }
    return described


def _media(model: type[Struct], examples: list[JsonObject]) -> JsonObject:
    return {
        "schema": {"$ref": f"#/components/schemas/{model.__name__}"},
        "examples": {f"example{number}": {"value": value} for number, value in enumerate(examples, start=1)},
    }


def _many(model: type[Struct], examples: list[JsonObject]) -> JsonObject:
    lines = "".join(f"{json.dumps(example)}\n" for example in examples)
    array = {
        "type": "array",
        "items": {"$ref": f"#/components/schemas/{model.__name__}"},
        "minItems": 1,
        "maxItems": MAX_JOBS,
    }
    return {
        "application/json": {"schema": array, "examples": {"example1": {"value": examples}}},
        "application/x-ndjson": {"schema": {"type": "string"}, "examples": {"example1": {"value": lines}}},
    }


def _examples(model: type[Struct], job_types: Sequence[str]) -> list[JsonObject]:
    if model in (NewJob, BatchJob) and "CSV_EXPORT" not in job_types:
        return [{"type": name, "payload": None} for name in job_types[:1]]
    return EXAMPLES[model]


def _schemas(job_types: Sequence[str]) -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components(list(EXAMPLES), ref_template="#/components/schemas/{name}")
    for model in EXAMPLES:
        schemas[model.__name__]["examples"] = _examples(model, job_types)
    for model in (NewJob, BatchJob):
        schemas[model.__name__]["properties"]["type"]["enum"] = list(job_types)
        schemas[model.__name__]["not"] = _TWO_WAITS
    return schemas
