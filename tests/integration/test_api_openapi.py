"""The OpenAPI document and its page. That answers are as documented is shown by every other test of the API."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from importlib.metadata import version
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator, ValidationError
from openapi_spec_validator import validate

from entrypoints.api.model_examples import EXAMPLES
from entrypoints.api.openapi import openapi_document
from entrypoints.api.problems import HEAD_TOO_LARGE, INVALID_REQUEST, KINDS, REQUEST_TOO_SLOW
from tests.api_under_test import DOCUMENT, check, client_of, make_api
from tests.fakes.event_log import FakeEventLog
from tests.fakes.health_reader import FakeHealthReader


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(make_api(FakeEventLog(), FakeHealthReader())) as client:
        yield client


async def test_the_document_is_valid_openapi_and_served_as_json(client: httpx.AsyncClient) -> None:
    served = (await client.get("/schema/openapi.json")).json()

    validate(served)
    assert served == DOCUMENT
    assert served["openapi"].startswith("3.1.")
    assert served["info"]["title"] == "Jobledger"
    assert served["info"]["version"] == version("jobledger")


async def test_every_route_is_documented_and_nothing_else(client: httpx.AsyncClient) -> None:
    app = make_api(FakeEventLog(), FakeHealthReader())
    routes = {
        (re.sub(r"\{job_id:str\}", "{id}", route.path), method.lower())
        for route in app.routes
        for method in getattr(route, "methods", ())
        if method not in ("HEAD", "OPTIONS")  # these follow from the others
    }

    assert routes == {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}


def test_every_model_and_field_is_described_and_every_example_is_valid() -> None:
    schemas = DOCUMENT["components"]["schemas"]

    assert set(schemas) == {model.__name__ for model in EXAMPLES}
    for name, schema in schemas.items():
        Draft202012Validator.check_schema(schema)
        assert schema["description"], name
        for field, described in schema["properties"].items():
            assert described.get("description") or "$ref" in described, f"{name}.{field}"
        assert schema["examples"], name
        for example in schema["examples"]:
            check(example, {"$ref": f"#/components/schemas/{name}"})
            assert set(example) <= set(schema["properties"]), name


def test_every_example_of_an_operation_is_valid() -> None:
    checked = 0
    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert operation["description"]
            contents = [response.get("content", {}) for response in operation["responses"].values()]
            contents += [operation["requestBody"]["content"]] if "requestBody" in operation else []
            for content in contents:
                for media in content.values():
                    for example in media.get("examples", {}).values():
                        check(example["value"], media["schema"])
                        checked += 1
            for parameter in operation.get("parameters", ()):
                assert parameter["description"]
                if "example" in parameter:
                    check(parameter["example"], parameter["schema"])
                for example in parameter.get("examples", {}).values():
                    check(example["value"], parameter["schema"])
    assert checked > 30


def test_what_the_server_answers_by_itself_is_documented_everywhere() -> None:
    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            for kind in (INVALID_REQUEST, REQUEST_TOO_SLOW, HEAD_TOO_LARGE):
                problems = operation["responses"][str(kind.status)]["content"]["application/problem+json"]["examples"]
                assert kind.code in problems, operation["operationId"]


def test_two_waits_are_no_job_by_the_document_either() -> None:
    both = {"type": "CSV_EXPORT", "payload": None, "runAt": "2026-01-27T10:30:00Z", "delaySeconds": 1}
    for model in ("NewJob", "BatchJob"):
        schema = {"$ref": f"#/components/schemas/{model}"}

        check(both | {"runAt": None}, schema)
        check(both | {"delaySeconds": None}, schema)
        with pytest.raises(ValidationError):
            check(both, schema)


def test_the_body_names_the_job_types_that_are_installed() -> None:
    own: dict[str, Any] = openapi_document(["GREET"])["components"]["schemas"]["NewJob"]

    assert DOCUMENT["components"]["schemas"]["NewJob"]["properties"]["type"]["enum"] == ["CSV_EXPORT", "EMAIL_SEND"]
    assert own["properties"]["type"]["enum"] == ["GREET"]
    assert own["examples"] == [{"type": "GREET", "payload": None}]


class _Page(HTMLParser):
    """Collects what a page loads, its anchors and the links to them, and checks that every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag in ("script", "link", "img", "iframe") or "src" in named:
            self.loaded.append(tag)
        if named.get("id"):
            self.ids.append(str(named["id"]))
        if tag == "a":
            self.links.append(str(named["href"]))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_the_page_is_complete_in_itself_and_its_links_lead_somewhere(client: httpx.AsyncClient) -> None:
    answer = await client.get("/schema")
    page = _Page()
    page.feed(answer.text)

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert page.open == []
    assert page.loaded == []
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links if link.startswith("#")} <= set(page.ids)
    assert {link for link in page.links if not link.startswith("#")} == {"/schema/openapi.json"}
    # The `type` of a problem document leads to where it is explained.
    assert {kind.uri.removeprefix("/schema#") for kind in KINDS} <= set(page.ids)


async def test_the_bare_address_leads_to_the_page(client: httpx.AsyncClient) -> None:
    answer = await client.get("/")
    followed = await client.get("/", follow_redirects=True)

    assert (answer.status_code, answer.headers["location"]) == (307, "/schema")
    assert "/schema" in answer.text  # for those who do not follow, such as curl
    assert followed.text == (await client.get("/schema")).text
    assert (await client.head("/")).headers["location"] == "/schema"


async def test_a_name_from_another_package_cannot_break_the_page() -> None:
    from entrypoints.api.openapi_page import openapi_page

    page = openapi_page(openapi_document(["<script>alert(1)</script>"]))

    assert "<script" not in page
