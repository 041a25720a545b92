"""The OpenAPI document as one HTML page: no script, nothing loaded from elsewhere, readable on a machine without a network.

It shows what this API's own document uses of OpenAPI, not everything that OpenAPI can say.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from html import escape
from typing import Any

from entrypoints.api.operation_parts import JsonObject
from entrypoints.api.problems import KINDS

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #3b6ea8; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 6px; padding: .7rem 1rem; overflow-x: auto; }
section { border-top: 1px solid var(--line); margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .8rem .35rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; }
h3 code { font-size: 1.1rem; }
.method { color: var(--accent); font-weight: 700; }
.soft { opacity: .7; }
a { color: var(--accent); }
"""


def openapi_page(document: JsonObject) -> str:
    """A whole HTML document. Everything in it is escaped: names of job types come from other packages."""
    info = document["info"]
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    parts = [
        f"<h1>{_text(info['title'])} <small class=soft>{_text(info['version'])}</small></h1>",
        f"<p>{_prose(info['summary'])}.</p><p>{_prose(info['description'])}</p>",
        '<p><a href="/schema/openapi.json">openapi.json</a> says the same to programs. ',
        'See <a href="#models">models</a> and <a href="#problems">problems</a> below.</p>',
        _table(
            ("Request", "What it does"),
            (
                (
                    f'<a href="#{_text(operation["operationId"])}">{_request(method, path)}</a>',
                    _prose(operation["summary"]),
                )
                for method, path, operation in operations
            ),
        ),
        *(_operation(method, path, operation) for method, path, operation in operations),
        "<section id=models><h2>Models</h2>",
        *(_model(name, schema) for name, schema in document["components"]["schemas"].items()),
        "</section><section id=problems><h2>Problems</h2><p>What stands in the <code>type</code> of a problem document.</p>",
        _table(
            ("Type", "Status", "Meaning"),
            ((f"<code id={kind.code}>{kind.code}</code>", str(kind.status), _prose(kind.meaning)) for kind in KINDS),
        ),
        "</section>",
    ]
    title = _text(info["title"])
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}: HTTP API</title>'
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head><body>{"".join(parts)}</body></html>'
    )


def _operation(method: str, path: str, operation: JsonObject) -> str:
    parts = [
        f"<section id={_text(operation['operationId'])}><h3>{_request(method, path)}</h3>",
        f"<p><b>{_prose(operation['summary'])}.</b> {_prose(operation['description'])}</p>",
    ]
    parts.extend(f"<p>API key: scope {_prose(f'`{scope}`')}</p>" for scope in _scopes(operation))
    if parameters := operation.get("parameters"):
        rows = ((f"<code>{_text(p['name'])}</code>", _text(p["in"]), _prose(p["description"])) for p in parameters)
        parts.append(_table(("Parameter", "In", "Meaning"), rows))
    for media_type, media in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<p>Body: {_type(media['schema'])} as <code>{_text(media_type)}</code></p>")
        for example in media["examples"].values():
            body = example["value"] if isinstance(example["value"], str) else json.dumps(example["value"])
            how = "--data-binary" if isinstance(example["value"], str) else "-d"  # -d takes the line ends away
            command = f"curl -X {method.upper()} localhost:3000{path} -H 'Content-Type: {media_type}' {how} {shlex.quote(body)}"
            parts.append(f"<pre>{_text(command)}</pre>")
    parts.append(_table(("Status", "Answer"), (_response(*item) for item in operation["responses"].items())))
    parts.extend(
        f"<pre>{_text(json.dumps(example['value'], indent=2))}</pre>"
        for example in _first_json(operation["responses"]).get("examples", {}).values()
    )
    return "".join((*parts, "</section>"))


def _scopes(operation: JsonObject) -> list[str]:
    return [scope for schemes in operation.get("security", ()) for scopes in schemes.values() for scope in scopes]


def _response(status: str, response: JsonObject) -> tuple[str, str]:
    links = " ".join(_model_link(media["schema"]) for media in response.get("content", {}).values())
    headers = "".join(
        f"<br><span class=soft><code>{_text(name)}</code>: {_prose(header['description'])}</span>"
        for name, header in response.get("headers", {}).items()
    )
    return _text(status), f"{_prose(response['description'])} {links}{headers}"


def _first_json(responses: JsonObject) -> JsonObject:
    media: JsonObject = next(iter(responses.values()))["content"].get("application/json", {})
    return media


def _model(name: str, schema: JsonObject) -> str:
    required = schema.get("required", [])
    rows = (
        (
            f"<code>{_text(field)}</code>{'' if field in required else ' <span class=soft>optional</span>'}",
            _type(described),
            _prose(described.get("description", "")),
        )
        for field, described in schema["properties"].items()
    )
    example = json.dumps(schema["examples"][0], indent=2) if schema.get("examples") else ""
    heading = f"<h3 id=model-{_text(name)}>{_text(name)}</h3><p>{_prose(schema['description'])}</p>"
    return f"{heading}{_table(('Field', 'Type', 'Meaning'), rows)}<pre>{_text(example)}</pre>"


def _type(schema: JsonObject) -> str:
    if "$ref" in schema:
        return _model_link(schema)
    if "enum" in schema:
        return " ".join(f"<code>{_text(json.dumps(value))}</code>" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    kind = schema.get("type", "any JSON")
    return _text(" or ".join(kind) if isinstance(kind, list) else schema.get("format", kind))


def _model_link(schema: JsonObject) -> str:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return f'<a href="#model-{_text(name)}">{_text(name)}</a>' if name else ""


def _request(method: str, path: str) -> str:
    return f"<code><span class=method>{method.upper()}</span> {_text(path)}</code>"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Cells are HTML."""
    head = "".join(f"<th>{cell}</th>" for cell in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _text(value: Any) -> str:
    return escape(str(value), quote=True)


def _prose(text: str) -> str:
    """Text in which `backquotes` mark code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _text(text))
