"""The palette: text can be read, runs are told apart, with each kind of colour blindness, light and dark."""

from __future__ import annotations

import math
import re
from itertools import combinations
from pathlib import Path

import pytest

from gitexp.web.colours import DASHES, HUES, colour_of, dash_of

CSS = (Path(__file__).parent.parent / "src/gitexp/web/static/app.css").read_text()
LIGHT, DARK = 0, 1
Colour = tuple[float, float, float]

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
SEEN = {
    "usual": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}


def token(name: str, theme: int) -> Colour:
    """A colour of the style sheet in linear RGB."""
    found = re.search(rf"--{name}: light-dark\((#[0-9a-f]{{6}}), (#[0-9a-f]{{6}})\)", CSS)
    assert found, name
    text = found.group(1 + theme)
    parts = [int(text[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return red, green, blue


def contrast(one: Colour, other: Colour) -> float:
    """As WCAG 2 has it: 1 to 21."""
    low, high = sorted(0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in (one, other))
    return (high + 0.05) / (low + 0.05)


def oklab(colour: Colour) -> Colour:
    red, green, blue = colour
    long = max(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue, 0) ** (1 / 3)
    middle = max(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue, 0) ** (1 / 3)
    short = max(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue, 0) ** (1 / 3)
    return (
        0.2104542553 * long + 0.793617785 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.428592205 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.808675766 * short,
    )


def seen(colour: Colour, matrix: tuple[Colour, Colour, Colour]) -> Colour:
    red, green, blue = (sum(a * b for a, b in zip(row, colour, strict=True)) for row in matrix)
    return red, green, blue


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize("kind", SEEN)
def test_runs_are_told_apart(theme: int, kind: str) -> None:
    """Any two colours of runs differ by what is clearly seen side by side, whoever looks."""
    colours = [oklab(seen(token(f"run-{number}", theme), SEEN[kind])) for number in range(HUES)]
    assert min(math.dist(one, other) for one, other in combinations(colours, 2)) > 0.065


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_lines_of_runs_stand_out(theme: int) -> None:
    """Each colour of a run is seen against the card that its line is drawn on: 3 to 1, as for controls."""
    surface = token("surface", theme)
    assert min(contrast(token(f"run-{number}", theme), surface) for number in range(HUES)) >= 3


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize("text", ["text", "muted", "accent", "good", "bad", "warn", "live"])
@pytest.mark.parametrize("behind", ["page", "surface", "raised", "sunken", "hover", "chosen"])
def test_text_can_be_read(theme: int, text: str, behind: str) -> None:
    """Every colour of text has 4.5 to 1 on every surface."""
    assert contrast(token(text, theme), token(behind, theme)) >= 4.5


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_controls_have_edges(theme: int) -> None:
    """The edge of a field is seen on its surface: 3 to 1."""
    assert contrast(token("control-line", theme), token("surface", theme)) >= 3


def test_a_run_has_one_colour_everywhere() -> None:
    """Colour and pattern follow from the id alone, and all of them are used."""
    ids = [f"a{number:011x}" for number in range(2_000)]
    assert [(colour_of(run), dash_of(run)) for run in ids] == [(colour_of(run), dash_of(run)) for run in ids]
    assert {(colour_of(run), dash_of(run)) for run in ids} == {
        (hue, dash) for hue in range(HUES) for dash in range(DASHES)
    }
    assert colour_of("k7m29x4qh3vd") == 6
