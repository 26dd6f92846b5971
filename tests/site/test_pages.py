"""The repository's pages on the site: where links lead, which files come along; each name is in the reference."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

import pytest

import nblstm
from site_source import pages, reference

PAGE = PurePosixPath("docs/cells.md")


@pytest.mark.parametrize(
    ("text", "alone", "addressed"),
    [
        ("[a](layers.md#nets)", None, None),
        ("[a](../course/README.md)", None, None),
        ("[a](#here) [b](https://numpy.org/doc)", None, None),
        ("![a](scale.png)", None, None),
        ("[a](../course/project/recorded.npz)", None, None),
        ("[a](../course/concept_test.ipynb)", *["[a](path:../course/concept_test.ipynb)"] * 2),
        ("[`a[0]`](../LICENSE) b", "`a[0]` b", "[`a[0]`](https://github.com/o/n/blob/main/LICENSE) b"),
        ("[a](../tests)", "a", "[a](https://github.com/o/n/tree/main/tests)"),
        ("```\n[a](../tests)\n```", None, None),
    ],
)  # fmt: skip
def test_links_lead_to_pages_or_to_the_repository(
    text: str, alone: str | None, addressed: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "REPOSITORY", "")
    assert pages.with_links(text, PAGE) == (alone or text)
    monkeypatch.setattr(pages, "REPOSITORY", "o/n")
    assert pages.with_links(text, PAGE) == (addressed or text)


def test_a_link_to_nothing_is_refused_with_its_page() -> None:
    with pytest.raises(ValueError, match=r"docs/cells\.md links to nothing\.md, which is not there"):
        pages.with_links("[a](nothing.md)", PAGE)


def test_files_come_with_the_pages_that_show_them() -> None:
    text = '![a](scale.png) [b](layers.md) [c](../LICENSE) <img alt="d" src="search.png"> [e](../tests)'
    assert pages.linked_files(text, PAGE) == {PurePosixPath("docs/scale.png"), PurePosixPath("LICENSE")}
    assert pages.pictures_of_html(text, PAGE) == {PurePosixPath("docs/search.png")}


def test_links_of_every_page_lead_somewhere() -> None:
    for page in pages.PAGES:
        if page.suffix == ".md":
            pages.with_links((pages.ROOT / page).read_text(encoding="utf-8"), page)


def test_every_page_is_in_a_table_of_contents() -> None:
    """Sphinx warns of one that is not, and the site is not built."""
    own = {page: (pages.ROOT / "site_source" / page).read_text(encoding="utf-8") for page in pages.OWN_PAGES}
    listed = []
    for page, text in [*own.items(), (PurePosixPath("course/README.md"), pages.LESSONS_IN_ORDER)]:
        for table in re.findall(r"```\{toctree\}\n(?::.*\n)*\n(.*?)```", text, flags=re.DOTALL):
            entries = [re.sub(r".*<(.*)>", r"\1", entry) for entry in table.splitlines()]
            listed += [str(page.parent / entry) for entry in entries]
    missing = [page for page in pages.PAGES if not any(fnmatchcase(str(page.with_suffix("")), each) for each in listed)]
    assert missing == []


def test_every_public_name_is_in_the_reference_once() -> None:
    names = [name for group in reference.groups() for name in group.names]
    assert len(names) == len(set(names)) > 150
    assert {f"nblstm.{name}" for name in nblstm.__all__ if name != "weights"} <= set(names)
    assert len(reference.pages()) == len(reference.groups()) + 1
