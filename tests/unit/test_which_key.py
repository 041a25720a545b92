"""Which API key a command sends: that of a file, or of the setting; and what is no key is told without showing it."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoints.settings import Settings
from entrypoints.which_key import UnusableKey, token_of

TOKEN = "jl_" + "a" * 43  # a token's form, and nobody's


def test_the_file_counts_more_than_the_setting(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"  {TOKEN}\n")
    assert token_of(Settings(jobledger_api_key="jl_other"), tmp_path / "key") == TOKEN
    assert token_of(Settings(jobledger_api_key=" jl_other "), None) == "jl_other"
    assert token_of(Settings(), None) == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"two words", "holds no token"),
        (b"a\nb", "holds no token"),
        (b"\xff", "no token"),
    ],
)
def test_a_file_that_holds_no_key_is_told_by_its_name_alone(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(UnusableKey, match=said) as refused:
        token_of(Settings(), tmp_path / "key")
    assert "two words" not in str(refused.value)


def test_a_file_that_is_not_there_and_a_setting_that_is_no_key_are_told(tmp_path: Path) -> None:
    with pytest.raises(UnusableKey, match="cannot be read: No such file"):
        token_of(Settings(), tmp_path / "nothing")
    with pytest.raises(UnusableKey, match="JOBLEDGER_API_KEY holds no token"):
        token_of(Settings(jobledger_api_key="a\r\nX: b"), None)
