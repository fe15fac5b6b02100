"""What all pages share: one repository, read by one request at a time, and how answers are made of it."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from array import array
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gitexp import __version__
from gitexp.browsing import Browser, Selection
from gitexp.domain.identity import is_run_id
from gitexp.errors import NotFound
from gitexp.repo import Repository
from gitexp.web.assets import Assets, template_folder
from gitexp.web.security import write_token
from gitexp.web.texts import diff_rows
from gitexp.web.wording import FILTERS


class Workspace:
    """One repository behind pages.

    Attributes:
        lock: held by whoever asks the repository: it is not made for several threads.
        read_only: whether pages offer changes.
        stopping: the server ends; streams of events have to.
        curves: points of curves that were looked at, the latest last.
    """

    def __init__(self, repository: Repository, *, read_only: bool, key: str | None) -> None:
        self.repository = repository
        self.read_only = read_only
        self.lock = threading.Lock()
        self.assets = Assets()
        self.token = write_token(key)
        self.stopping = False
        self.curves: OrderedDict[Any, tuple[Sequence[float], array[float]]] = OrderedDict()

    @cached_property
    def browser(self) -> Browser:
        return Browser(self.repository)

    def warm(self) -> None:
        """Look for what the first page needs, so that it is there when somebody comes."""
        with self.lock:
            self.browser.page(Selection(), limit=0)
            self.browser.columns(Selection())
            self.browser.experiments()

    @cached_property
    def name(self) -> str:
        """What a person calls this repository: the name of its folder."""
        git = self.repository.git
        folder = git.work_tree or git.common_dir
        return os.path.basename(os.path.realpath(folder)).removesuffix(".git") or "repository"

    @cached_property
    def _templates(self) -> Environment:
        environment = Environment(
            loader=FileSystemLoader(template_folder()),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters.update(FILTERS, diff_rows=diff_rows)
        environment.globals.update(
            asset=self.assets.url, version=__version__, link=link, workspace=self, embedded=embedded
        )
        return environment

    def page(self, template: str, values: Mapping[str, Any], *, status: int = 200) -> HTMLResponse:
        text = self._templates.get_template(template).render({"now": time.time(), **values})
        return HTMLResponse(text, status_code=status)


def workspace_of(request: Request) -> Workspace:
    found = request.app.state.workspace
    assert isinstance(found, Workspace)
    return found


def link(path: str, /, **query: object) -> str:
    """An address of ours; what is None or empty is left out, of a tuple each item is said."""
    kept = {key: value for key, value in query.items() if value not in (None, "", ())}
    return quote(path) + (f"?{urlencode(kept, doseq=True)}" if kept else "")


def answer(data: Any, *, status: int = 200) -> Response:
    """Strict JSON: NaN and infinities are texts, as in gitexp's own files."""
    try:
        text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_strict(data), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), status_code=status, media_type="application/json")


def embedded(data: Any) -> str:
    """JSON that can stand inside a script element, whatever texts it holds."""
    text = bytes(answer(data).body).decode()
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def parsed_id(text: str) -> str:
    if not is_run_id(text):
        raise NotFound(f"'{text}' is no run's id.")
    return text


def _strict(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: _strict(item) for key, item in value.items()}
    return [_strict(item) for item in value] if isinstance(value, (list, tuple)) else value
