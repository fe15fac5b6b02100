"""The search language cut into pieces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gitexp.errors import QueryError

KEYWORDS = frozenset("and or not in like ilike is null true false".split())
LONGEST = 100_000

_OPERATOR = re.compile(r"==|!=|<>|<=|>=|[=<>]")
_WORD = re.compile(r"[^\s\"'`()=<>!,]+")
_SPACE = re.compile(r"\s*")
_QUOTES = ("'", '"', "`")
_SPELLINGS = {"==": "=", "<>": "!="}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of an expression.

    `kind` is "word", "text" (quoted), "field" (a word that ends in a dot and a quoted key), "end", or the operator,
    bracket or comma itself. `text` is the piece without its quotes; of a "field" what stands before the quoted `key`.
    """

    kind: str
    text: str
    start: int
    key: str = ""

    @property
    def keyword(self) -> str:
        """The keyword that this is, in lower case, or an empty text."""
        word = self.text.lower()
        return word if self.kind == "word" and word in KEYWORDS else ""


def tokens(text: str) -> Iterator[Token]:
    """The pieces of `text`, the last one an "end".

    Raises:
        QueryError: a quote is not closed, or a character has no meaning.
    """
    if len(text) > LONGEST:
        raise QueryError(f"The expression is longer than {LONGEST:,} characters.", text=text[:LONGEST], position=0)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise QueryError("Here is something that is not text.", text=text, position=error.start) from error
    at = 0
    while True:
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        if at == len(text):
            yield Token("end", "", at)
            return
        token, at = _token(text, at)
        yield token


def _token(text: str, start: int) -> tuple[Token, int]:
    character = text[start]
    if character in "(),":
        return Token(character, character, start), start + 1
    if character in _QUOTES:
        quoted, end = _quoted(text, start)
        return Token("text", quoted, start), end
    if found := _OPERATOR.match(text, start):
        return Token(_SPELLINGS.get(found.group(), found.group()), found.group(), start), found.end()
    found = _WORD.match(text, start)
    if not found:
        raise QueryError(f"{character!r} has no meaning here.", text=text, position=start, hint="Write '!=' or 'not'.")
    word, end = found.group(), found.end()
    if word[-1] == "." and text[end : end + 1] in _QUOTES:
        key, end = _quoted(text, end)
        return Token("field", word, start, key), end
    return Token("word", word, start), end


def _quoted(text: str, start: int) -> tuple[str, int]:
    """The text in quotes that begins at `start`, and where it ends.

    A doubled quote is one quote. A backslash makes the next quote or backslash plain, and is itself plain elsewhere, so
    that MLflow's texts keep theirs.
    """
    quote = text[start]
    pieces = []
    at = start + 1
    for found in re.compile(rf"{quote}{quote}|{quote}|\\['\"`\\]").finditer(text, at):
        pieces.append(text[at : found.start()])
        at = found.end()
        if found.group() == quote:
            return "".join(pieces), at
        pieces.append(found.group()[1])
    raise QueryError(f"The closing {quote} is missing.", text=text, position=start)
