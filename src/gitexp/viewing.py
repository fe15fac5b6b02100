"""Saved views: lists of runs under a name, kept in git."""

from __future__ import annotations

import time

from gitexp.repo import Repository
from gitexp.store.runs import Signature
from gitexp.store.views import SavedView, ViewStore

__all__ = ["SavedView", "forget_view", "save_view", "views"]


def views(repository: Repository) -> list[SavedView]:
    """All saved views, by name."""
    return ViewStore(repository.objects, repository.refs).list()


def save_view(repository: Repository, view: SavedView) -> None:
    """Keep a view; one of the same name becomes this one. Raises InvalidName, Conflict."""
    store = ViewStore(repository.objects, repository.refs)
    store.save(view, Signature(author=repository.author, time=time.time()))


def forget_view(repository: Repository, name: str) -> None:
    """Mark a view as removed. Raises NotFound."""
    store = ViewStore(repository.objects, repository.refs)
    store.remove(name, Signature(author=repository.author, time=time.time()))
