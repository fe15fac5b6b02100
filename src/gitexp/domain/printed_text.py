"""A printed line while it is read: what is explained in it is hidden, so that the rest can be judged by what is left.

Lines are looked at as Latin-1 text, one character a byte, so that what is found can be cut out of the bytes of other
lines of the same shape.
"""

from __future__ import annotations

import re

HIDDEN = "\0"
Span = tuple[int, int]

_NOT_FOR_US = re.compile(
    r"\b[A-Z]\w*[a-z](?:Warning|Error|Exception)\b ?[:(]|^\s*(?i:warning|error|usage|note)\b[:!]|^\[?[WEF]\d{4} "
    r"|^\[[WEF] \d{4}-|^\s*File \"|\bNamespace\(|^\s*(?:raise|assert|import|from|def|class|return|diff|index) "
    r"|^\s+\w+ ?= ?\S+,$|^E {3,}|^[+\-](?: {2,}|\t)\s*\w+ ?[=(]|^\s*[A-Za-z_][\w.]*\([frFR]?[\"']"
)
"""Warnings, errors, settings and source code."""

_LEVEL = re.compile(
    r"(?P<before>(?:[\w\s\-:.,/+|*'<>@]|\[[^\[\]=]{0,60}\]){0,80}?)"
    r"[\[(|]?\b(?P<level>DEBUG|INFO|NOTICE|SUCCESS|WARN|WARNING|ERROR|CRITICAL|FATAL|Info|Warning|Error)\b[\])]?"
    r"(?:\s*[:|\-]\s*[\w.]+:[\w.<>]+:\d+\s*[-|:]?|:[\w.]+:|(?=\s|[\]:|\-]|$))[\s:|\-]*"
)
_TALKATIVE = ("DEBUG", "INFO", "NOTICE", "SUCCESS")
_STAMP = re.compile(
    r"\s{0,40}[\[(]?(?:[IWED] )?"
    r"(?:\d{4}[-/]\d\d?[-/]\d\d?|\d\d?/\d\d?(?:/\d{2,4})?|[A-Z][a-z]{2} +\d+(?: \d{4})?)?[ T,]{0,4}"
    r"\d\d?:\d\d:\d\d(?:[.,]\d+)?Z?(?:[+-]\d\d:?\d\d)?(?: [\w.]+)?[\])]?[\s:|\-]*|\s*\[[rR]ank ?:?\d+\]:?"
)
_ABSL = re.compile(r"[ID]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [^\]]*\] ")

_SYMBOLS = re.compile(r"[\xe2-\xf4][\x80-\xbf]{2,3}")
_BAR = re.compile(
    r"\d%\|.*\| *\d|\[\d+:\d\d(?::\d\d)?<|(?:\xe2\x94\x81|\xe2\x96[\x88-\x8f]){4}"
    r"|^\s*\d+/\d+ (?:\[[=>.]|- )|\[[=>#.\- ]{10,}\]"
)
_NOISE = re.compile(
    r"[A-Za-z][\w+.\-]{0,20}://\S+|[\w.+\-]{1,64}@[A-Za-z][\w\-]{0,63}(?:\.[\w\-]+)+|(?<!\d)\d+(?:\.\d+)?%\|"
    r"|(?<![\w.])[~.]{0,2}/[\w.\-]+/\S+|[A-Za-z]:\\\S+|(?<![\w.\-/\\])[\w.\-/\\]+\.(?:py|cc|cpp|js|rs|go):\d+\S*"
    r"|0x[0-9a-f]+|(?<![\w.])v?\d+\.\d+\.\d+[\w.+\-]*"
    r"|\d{4}-\d\d?-\d\d?(?:[ T]\d\d?:\d\d\S*)?|(?<![\w.])\d{1,4}:\d\d(?::\d\d(?:[.,]\d+)?)?(?![\d.])"
)
"""URLs, addresses, what a bar has done, paths, places in code, hexadecimal numbers, versions, dates and times."""

_SETTINGS_FOLLOW = re.compile(
    r"\b(?:and )?(?:hyper_?)?(?:param(?:eter)?s|hparams|config(?:uration)?|settings|options|args|arguments)\b"
    r"['\"]?\s*[:=].*|#.*$",
    re.IGNORECASE,
)


class PrintedText:
    """One line.

    Attributes:
        text: what is not explained yet; the rest is NUL characters.
        is_bar: whether it shows a progress bar.
    """

    __slots__ = ("is_bar", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.is_bar = False

    def hide(self, start: int, end: int) -> None:
        self.text = f"{self.text[:start]}{HIDDEN * (end - start)}{self.text[end:]}"

    def strip(self) -> bool:
        """Hide what no line is about: when and by whom it was logged, paths, versions, pictures.

        False where the line is not to be read at all.
        """
        if _NOT_FOR_US.search(self.text):
            return False
        level = _LEVEL.match(self.text) if "=" not in self.text[:8] else None
        if level is not None:
            if level["level"].upper() not in _TALKATIVE:
                return False
            self.hide(0, level.end())
        elif stamp := _ABSL.match(self.text) or _STAMP.match(self.text):
            self.hide(0, stamp.end())
        self.is_bar = _BAR.search(self.text) is not None
        for pattern in (_SYMBOLS, _SETTINGS_FOLLOW, _NOISE):
            self.text = pattern.sub(_hidden, self.text)
        return True


def _hidden(match: re.Match[str]) -> str:
    return HIDDEN * len(match[0])
