"""A line of `requirements.txt` as a value: PEP 508 requirements, and what pip understands besides."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gitexp.errors import UsageError

# Patterns stay text until the first use: `re` keeps them compiled, and most commands need none of them.
_PLAIN = r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!+_-]*[A-Za-z0-9])\Z"
_NAMED = r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[([^\]]*)\])?\s*(.*)\Z"
_COMMENT = r"(?:^|\s+)#\s*(.*)\Z"
_HASH = r"\s+--hash[= ]\s*(\w+:[0-9a-fA-F]+)"
_OWN_OPTION = r"\s+--(?:global-option|install-option|config-settings?)\b.*"
_ADDRESS = r"(?:[a-z][a-z0-9+.-]*://|file:)"
_FILE_NAME = r"(.+?)-([^-]+?)(?:-[^/]*)?\.(?:whl|tar\.gz|tar\.bz2|zip)\Z"
_WORD_BREAK = r"[-_.]+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One package that an environment needs.

    Attributes:
        name: normalised (PEP 503); empty where the line does not say.
        specifier: the versions that will do, like "==1.2", "==1.2+cpu" or ">=1,<2"; empty for any.
        url: where it is from, if not from an index; with its `#fragment`. `git+https://...@<commit>` for a repository.
        path: a folder or file instead of a URL; relative to the project's top.
        editable: installed so that changes to its source count at once.
        hashes: `sha256:<hex>`, any of which its archive may have; empty where unknown.
        extras: normalised and sorted.
        marker: the condition behind `;`, empty for always.
        comment: what stood behind `#`.
    """

    name: str
    specifier: str = ""
    url: str | None = None
    path: str | None = None
    editable: bool = False
    hashes: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    marker: str = ""
    comment: str = ""

    @property
    def version(self) -> str | None:
        """The one version that will do; None where several will, or where it is not from an index."""
        is_exact = self.specifier.startswith("==") and "," not in self.specifier and "*" not in self.specifier
        return self.specifier.lstrip("=").strip() if is_exact else None

    @property
    def origin(self) -> str:
        """Which one it is, in a few words: a version, or where it is from."""
        if self.path is not None:
            return f"-e {self.path}" if self.editable else self.path
        if self.url is not None:
            return f"-e {self.url}" if self.editable else self.url
        return self.version or self.specifier

    @property
    def subdirectory(self) -> str:
        """Where in its repository or archive the package lies, as the URL's fragment says; empty for its top."""
        return next((value for key, value in self._fragment() if key == "subdirectory"), "")

    @property
    def is_repository(self) -> bool:
        """Whether it is from a version control system."""
        return self.url is not None and re.match(r"(git|hg|svn|bzr)\+", self.url) is not None

    def line(self) -> str:
        """As `requirements.txt` says it, for pip and uv; without the comment."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        source = self.path if self.path is not None else self.url
        if source is not None and (self.editable or not self.name or self.path is not None):
            text = f"{'-e ' if self.editable else ''}{source}{extras}"
        elif source is not None:
            text = f"{self.name}{extras} @ {source}"
        else:
            text = f"{self.name}{extras}{self.specifier}"
        if self.marker:
            text += f" ; {self.marker}"
        return text + "".join(f" --hash={digest}" for digest in self.hashes)

    def _fragment(self) -> list[tuple[str, str]]:
        parts = (self.url or "").partition("#")[2].split("&")
        return [(key, value) for key, _, value in (part.partition("=") for part in parts)]


def parse_requirement(line: str) -> Requirement | None:
    """The requirement that a line states; None for an empty line, a comment, or an option like `--index-url`.

    Raises:
        UsageError: the line is neither.
    """
    plain = re.match(_PLAIN, line)  # almost every line that is ever read
    if plain:
        return Requirement(name=normal(plain[1]), specifier=f"=={plain[2]}")
    text, comment = _without_comment(line.strip())
    if not text:
        return None
    editable = re.match(r"(?:-e|--editable)[=\s]\s*", text)
    if text.startswith("-") and not editable:
        return None
    hashes = tuple(sorted(found.lower() for found in re.findall(_HASH, text)))
    text = re.sub(_OWN_OPTION, "", re.sub(_HASH, "", text)).strip()
    if editable:
        text = text[editable.end() :].strip()
    if editable or re.match(_ADDRESS, text) or _is_path(text):
        return _from_place(text, is_editable=bool(editable), hashes=hashes, comment=comment)
    match = re.match(_NAMED, text)
    if match is None:
        raise UsageError(f"'{line.strip()}' is not a requirement.", hint="Examples: numpy==2.1.0, torch>=2")
    name, extras, rest = match.groups()
    specifier, _, marker = rest.partition(";")
    url = None
    if specifier.startswith("@"):
        # Only a blank before it makes `;` the beginning of a marker: a URL may have one.
        url, _, marker = specifier_and_marker(rest[1:].strip())
        specifier = ""
    specifier = re.sub(r"\s+", "", specifier.strip().removeprefix("(").removesuffix(")"))
    if specifier and not re.match(r"(===|[=!~<>]=|[<>])[A-Za-z0-9]", specifier):
        raise UsageError(f"'{line.strip()}' is not a requirement.", hint="Examples: numpy==2.1.0, torch>=2")
    return Requirement(
        name=normal(name),
        specifier=specifier,
        url=url,
        hashes=hashes,
        extras=_parse_extras(extras),
        marker=marker.strip(),
        comment=comment,
    )


def specifier_and_marker(text: str) -> tuple[str, str, str]:
    """A URL or path and the marker behind it, which a blank must set apart."""
    found = re.match(r"(\S+)(\s+;|;\s)?(.*)\Z", text, re.DOTALL)
    return (found[1], found[2] or "", found[3].strip().lstrip(";")) if found else (text, "", "")


def normal(name: str) -> str:
    """A package's name as all its spellings are compared: PEP 503."""
    return re.sub(_WORD_BREAK, "-", name).lower()


def named_by_file(place: str) -> tuple[str, str] | None:
    """The package and version that the name of a wheel or source archive says; None where it is neither."""
    match = re.match(_FILE_NAME, place.partition("#")[0].rpartition("/")[2])
    return (normal(match[1]), match[2]) if match else None


def _from_place(text: str, *, is_editable: bool, hashes: tuple[str, ...], comment: str) -> Requirement:
    place, _, marker = specifier_and_marker(text)
    extras = re.search(r"(?<!^)\[([^\]]*)\]\Z", place)
    if extras:
        place = place[: extras.start()]
    is_url = bool(re.match(_ADDRESS, place)) and not re.match(r"file:(?!//)", place)
    egg = re.search(r"[#&]egg=([A-Za-z0-9._-]+)", place)
    stated = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z", comment)
    by_file = named_by_file(place)
    name = egg[1] if egg else by_file[0] if by_file else stated[0] if stated else ""
    return Requirement(
        name=normal(name),
        url=place if is_url else None,
        path=None if is_url else place.removeprefix("file:"),
        editable=is_editable,
        hashes=hashes,
        extras=_parse_extras(extras[1] if extras else None),
        marker=marker.strip(),
        comment=comment,
    )


def _parse_extras(text: str | None) -> tuple[str, ...]:
    return tuple(sorted({normal(extra.strip()) for extra in (text or "").split(",") if extra.strip()}))


def _is_path(text: str) -> bool:
    first = text.split()[0].partition("[")[0]
    is_archive = first.endswith((".whl", ".tar.gz", ".zip", ".tar.bz2"))
    return first.startswith((".", "/", "~")) or is_archive or ("/" in first and "@" not in first)


def _without_comment(text: str) -> tuple[str, str]:
    match = re.search(_COMMENT, text)
    return (text[: match.start()].rstrip(), match[1].strip()) if match else (text, "")
