"""Markdown, code and terminal output as HTML that can do nothing: what is logged is text, whatever it looks like."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it import MarkdownIt

    from gitexp.codediff import FileDiff, Pieces

MOST_COLOURED = 200_000
"""Characters of code that get colours; longer ones are plain."""

_TAGS = set(
    "p br hr h1 h2 h3 h4 h5 h6 em strong s del code pre blockquote ul ol li a table thead tbody tr th td img span div "
    "sup sub".split()
)
_ATTRIBUTES = {"a": {"href", "title"}, "img": {"src", "alt", "title"}, "th": {"colspan"}, "td": {"colspan"}}
_NOT_SHOWN = re.compile(
    r"\x1b[\]PX^_].*?(?:\x07|\x1b\\)|\x1b\[[\d;?]*[A-HJKSTfhlnsu]|[\x00-\x08\x0b\x0c\x0e-\x1a\x7f]", re.DOTALL
)
"""Titles, movements of the cursor, bells: what a page has no place for."""

_IMAGE_SOURCES = re.compile(r"(data:image/(png|jpeg|gif|webp);|/raw/)", re.IGNORECASE)
_BASIC = {name: number for number, name in enumerate("black red green yellow blue magenta cyan white".split())}


def markdown(text: str) -> Markup:
    """Markdown without raw HTML; links lead only to web pages, images only to what is here."""
    return clean(_markdown().render(text))


def clean(html: str) -> Markup:
    """HTML of which only harmless elements are left."""
    import nh3  # only where there is a note

    def keep(tag: str, name: str, value: str) -> str | None:
        return None if tag == "img" and name == "src" and not _IMAGE_SOURCES.match(value) else value

    return Markup(
        nh3.clean(
            html,
            tags=_TAGS,
            attributes=_ATTRIBUTES,
            attribute_filter=keep,
            url_schemes={"http", "https", "mailto", "data"},
            link_rel="noopener noreferrer nofollow",
        )
    )


def highlighted(text: str, language: str) -> Markup:
    """Code with an element for each piece that has a colour; plain where the language is not known."""
    return Markup("").join(coloured_lines(text, language))


def coloured_lines(text: str, language: str) -> list[Markup]:
    """The lines of `highlighted`, each whole in itself, with their ends."""
    lines = text.splitlines(keepends=True)
    if len(text) > MOST_COLOURED:
        return [escape(line) for line in lines]
    lexer = _lexer(language)
    if lexer is None:
        return [escape(line) for line in lines]
    from pygments.token import STANDARD_TYPES  # only where code is shown

    made: list[Markup] = []
    current = Markup("")
    for kind, piece in lexer.get_tokens(text):
        name = STANDARD_TYPES.get(kind) or STANDARD_TYPES.get(kind.parent, "")
        for part in piece.splitlines(keepends=True):
            current += (
                Markup('<span class="{}">{}</span>').format(name, part)
                if name not in ("", "w", "n", "p")
                else escape(part)
            )
            if part.endswith("\n"):
                made.append(current)
                current = Markup("")
    return [*made, current] if current else made


def terminal(text: str) -> Markup:
    """What a program printed, its colours as classes; of a line that was written over, what came last."""
    made = []
    for line in terminal_lines(text):
        for classes, piece in line:
            made.append(Markup('<span class="{}">{}</span>').format(classes, piece) if classes else escape(piece))
        made.append(Markup("\n"))
    return Markup("").join(made)


def terminal_lines(text: str) -> list[list[tuple[str, str]]]:
    """The same as pieces: the classes of each and its text, line by line."""
    from rich.ansi import AnsiDecoder  # only where there is output

    if not text:
        return []
    text = _NOT_SHOWN.sub("", text.removesuffix("\n"))
    return [list(_pieces_of(line)) for line in AnsiDecoder().decode(text)]


def _pieces_of(line: Any) -> Iterator[tuple[str, str]]:
    plain, at = line.plain, 0
    for span in sorted(line.spans, key=lambda span: span.start):
        classes = _classes(span.style)
        if span.start < at or not classes:
            continue
        if span.start > at:
            yield "", plain[at : span.start]
        yield classes, plain[span.start : span.end]
        at = span.end
    if at < len(plain):
        yield "", plain[at:]


def _classes(style: Any) -> str:
    if isinstance(style, str):
        return ""
    found = [f"a-{name}" for name in ("bold", "dim", "italic", "underline", "strike") if getattr(style, name)]
    for prefix, colour in (("f", style.color), ("b", style.bgcolor)):
        number = _basic(colour)
        if number is not None:
            found.append(f"{prefix}{number}")
    return " ".join(found)


def _basic(colour: Any) -> int | None:
    """The nearest of a terminal's eight colours."""
    if colour is None or colour.is_default:
        return None
    if colour.number is not None and colour.number < 16:
        return int(colour.number) % 8
    red, green, blue = colour.get_truecolor()
    high = max(red, green, blue)
    if high - min(red, green, blue) < 40:
        return 7 if high > 128 else 0
    return sum(bit for bit, part in ((1, red), (2, green), (4, blue)) if part > high * 0.6)


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt  # only where there is a note

    return MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])


@cache
def _lexer(language: str) -> Any:
    from pygments.lexers import get_lexer_for_filename  # only where code is shown
    from pygments.util import ClassNotFound

    try:
        return get_lexer_for_filename(f"file.{language}", stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


def diff_rows(file: FileDiff) -> list[list[dict[str, Any]]]:
    """The hunks of a file's difference with syntax colours: of each line its numbers and both states as HTML."""
    language = file.path.rpartition(".")[2]
    old, new = (coloured_lines("".join(lines), language) for lines in (file.old, file.new))

    def shown(coloured: list[Markup], number: int | None, parts: Pieces) -> Markup:
        if number is None:
            return Markup("")
        whole = coloured[number - 1] if number <= len(coloured) else escape("".join(text for _, text in parts))
        return _marked(whole, parts) if any(is_marked for is_marked, _ in parts) else whole

    return [
        [
            {
                "old": line.old,
                "new": line.new,
                "same": line.is_same,
                "before": shown(old, line.old, line.before),
                "after": shown(new, line.new, line.after),
            }
            for line in hunk
        ]
        for hunk in file.hunks
    ]


def _marked(html: Markup, parts: Pieces) -> Markup:
    """HTML whose text the parts cover, with what they mark inside mark elements, spans closed around them."""
    begins, ends, at = set(), set(), 0
    for is_marked, text in parts:
        if is_marked:
            begins.add(at)
            ends.add(at + len(text))
        at += len(text)
    made, place, opened = [], 0, ""
    for tag, entity, letter in _HTML_PIECE.findall(html):
        if tag:
            opened = "" if tag.startswith("</") else tag
            made.append(tag)
            continue
        closing, opening = ("</span>", opened) if opened else ("", "")
        if place in begins:
            made.append(f"{closing}<mark>{opening}")
        made.append(entity or letter)
        place += 1
        if place in ends:
            made.append(f"{closing}</mark>{opening}")
    return Markup("".join(made))


_HTML_PIECE = re.compile(r"(<[^>]*>)|(&[^;]+;)|(.|\n)")
