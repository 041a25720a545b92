"""What `jobledger up` says of where things are: addresses that can be opened."""

from __future__ import annotations

from io import StringIO

import pytest

from entrypoints.settings import Settings
from entrypoints.where_things_are import say_where_things_are


def said(settings: Settings, *, catches_mail: bool = True) -> str:
    output = StringIO()
    say_where_things_are(settings, catches_mail=catches_mail, output=output)
    return output.getvalue()


@pytest.mark.parametrize(
    ("host", "opened"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.2"),
        ("::1", "[::1]"),
    ],
)
def test_the_api_and_the_mail_page_are_where_they_listen(host: str, opened: str) -> None:
    text = said(Settings(api_host=host, mail_catcher_host=host, log_format="console"))
    assert f"http://{opened}:3000/schema" in text
    assert f"http://{opened}:8025\n" in text


def test_without_a_catcher_it_names_the_mail_server() -> None:
    text = said(Settings(mail_host="smtp.example.com", log_format="console"), catches_mail=False)
    assert "sent by smtp.example.com" in text
    assert ":8025" not in text
