"""The documents lead to each other, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
DOCUMENTS = [PROJECT / "README.md", PROJECT / "CHANGELOG.md", *sorted((PROJECT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    """Each relative link names a file of the project, and each anchor a heading in it."""
    for link in links(document):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{document.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{document.name}: {link}"


def test_the_readme_leads_to_every_document() -> None:
    """From the README each document is reached by links."""
    reached, todo = set(), [PROJECT / "README.md"]
    while todo:
        document = todo.pop()
        if document not in reached:
            reached.add(document)
            found = ((document.parent / link.partition("#")[0]).resolve() for link in links(document))
            todo += [path for path in found if path.suffix == ".md"]
    assert set(DOCUMENTS) <= reached


def links(document: Path) -> list[str]:
    return [link for link in LINK.findall(CODE.sub("", document.read_text())) if "://" not in link]


def anchors(document: Path) -> set[str]:
    """The anchors that its headings get."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_architecture_names_files_that_exist() -> None:
    """A newcomer who is told to open a file finds it."""
    text = (PROJECT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`([a-z_/]+(?:\.py|/))`", text))
    assert named
    assert [name for name in sorted(named) if not (PROJECT / "src" / "gitexp" / name).exists()] == []
