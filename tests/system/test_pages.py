"""The pages of docs/ do what they say: their commands run, from top to bottom, against a real `jobledger up`.

One service serves all of them. What counts or names a position is compared where the page comes first.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.pages import ROOT, steps_of
from tests.system.reader import Reader

pytestmark = pytest.mark.usefixtures("unmeasured")

PAGES = ["auditing.md", "following-jobs.md", "operating.md", "rebuild.md"]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    reader = Reader(tmp_path_factory.mktemp("pages"))
    reader.start()
    yield reader
    reader.leave()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_goes_as_it_is_shown(reader: Reader, page: str) -> None:
    steps = steps_of((ROOT / "docs" / page).read_text())
    assert steps
    for step in steps:
        reader.follow(step, numbers_too=page == PAGES[0])
