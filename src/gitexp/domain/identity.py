"""Ids, names and slugs: parsed once, at the edge, into types of their own."""

from __future__ import annotations

import hashlib
import re
from typing import NewType

from gitexp.errors import InvalidName

RunId = NewType("RunId", str)
Slug = NewType("Slug", str)

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ID_LENGTH = 12
DEFAULT_EXPERIMENT = "default"
REFS = "refs/gitexp/"
RUNS = f"{REFS}runs/"
EXPERIMENTS = f"{REFS}experiments/"
MODELS = f"{REFS}models/"
VIEWS = f"{REFS}views/"
LIVE = f"{REFS}live/"
SAVED = f"{REFS}saved/"

_ID = re.compile(f"[{ALPHABET[10:]}][{ALPHABET}]{{{ID_LENGTH - 1}}}\\Z")
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_NOT_SLUG = re.compile(r"[^a-z0-9]+")
_NOT_IN_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_ADJECTIVES = (
    "able amber bold brave brisk calm clear clever cosy crisp deft eager early fair fleet fond free fresh gentle "
    "glad golden grand green happy hazel humble jolly keen kind lively lucid lucky lunar mellow merry mild neat "
    "nimble noble olive polite prime proud quick quiet rapid rosy royal silver sleek smart snowy solar solid spry "
    "still sunny swift tidy vivid warm wise witty young"
).split()
_NOUNS = (
    "badger beetle bison brook cedar clover comet condor coral crane cricket dolphin dune ember falcon fern finch "
    "fox gecko glacier harbor hare hawk heron ibex iris jay juniper kestrel lark lemur lily linden lynx maple "
    "marmot meadow mole moose newt oak orca osprey otter owl panda pebble pine plover puffin quail raven reef robin "
    "salmon sparrow spruce stoat stork swan tern thistle toad trout vole willow wren zebra"
).split()


def run_id(random: bytes) -> RunId:
    """The run id made of `random`, 8 random bytes: a letter, then 55 bits. So an id never looks like a number."""
    number = int.from_bytes(random[:8], "big")
    first = ALPHABET[10 + (number >> 55) % 22]
    return RunId(first + "".join(ALPHABET[number >> 5 * i & 31] for i in range(ID_LENGTH - 1)))


def parse_run_id(text: str) -> RunId:
    if not is_run_id(text):
        raise InvalidName(f"{text!r} is not a run id.", hint=f"A run id is {ID_LENGTH} characters of {ALPHABET}.")
    return RunId(text)


def is_run_id(text: str) -> bool:
    return _ID.match(text) is not None


def readable_name(run: RunId) -> str:
    """A name that a person can say, made from the run's id: the same id always gives the same name."""
    number = 0
    for character in run:
        number = number << 5 | ALPHABET.index(character)
    number, noun = divmod(number, len(_NOUNS))
    number, adjective = divmod(number, len(_ADJECTIVES))
    return f"{_ADJECTIVES[adjective]}-{_NOUNS[noun]}-{number % 90 + 10}"


def parse_name(text: object, *, what: str = "run name") -> str:
    """A name for people: 1 to 250 bytes of UTF-8 on one line, without spaces at its ends.

    Names that the command line reads as something else (`@`, `best:...`, `a..b`, a leading `-`) are refused.
    """
    if not isinstance(text, str):
        raise InvalidName(f"A {what} must be text, not {type(text).__name__}.")
    if not text:
        raise InvalidName(f"The {what} is empty.")
    if _NOT_IN_NAME.search(text):
        raise InvalidName(f"The {what} {text!r} holds a control character or a lone surrogate.")
    if text != text.strip():
        raise InvalidName(f"The {what} {text!r} begins or ends with a space.")
    if len(text.encode()) > 250:
        raise InvalidName(f"The {what} '{text[:40]}...' is longer than 250 bytes.")
    if text[0] in "-@" or text.startswith("best:"):
        raise InvalidName(
            f"The {what} {text!r} would be read as an option or a selector.", hint="Start it with a letter."
        )
    return text


def slug(name: str) -> Slug:
    """The part of a ref that stands for `name`: itself where it can be, else its remains and a digest of it."""
    if _SLUG.match(name):
        return Slug(name)
    remains = _NOT_SLUG.sub("-", name.lower()).strip("-")[:54].rstrip("-")
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return Slug(f"{remains}-{digest}" if remains else digest)


def run_ref(experiment: str, run: RunId) -> str:
    return f"{RUNS}{slug(experiment)}/{run}"


def live_ref(run: RunId) -> str:
    return f"{LIVE}{run}"


def experiment_ref(experiment: str) -> str:
    return f"{EXPERIMENTS}{slug(experiment)}"


def model_ref(model: str) -> str:
    return f"{MODELS}{slug(model)}"


def view_ref(view: str) -> str:
    return f"{VIEWS}{slug(view)}"


def is_same_person(one: str, other: str) -> bool:
    """Whether two authors, as "Name <email>" or as an address alone, have one address. Nobody is like nobody."""
    address = _address(one)
    return address != "" and address == _address(other)


def _address(author: str) -> str:
    return author.rpartition("<")[2].rstrip(">").strip().lower()
