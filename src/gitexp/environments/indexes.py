"""Where packages come from: what pip's user configuration says, as options for uv, which does not read it."""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress

_LISTS = {"extra-index-url", "find-links", "trusted-host", "no-binary", "only-binary"}
_UV_OPTIONS = {
    "index-url": "--default-index",
    "extra-index-url": "--index",
    "find-links": "--find-links",
    "trusted-host": "--allow-insecure-host",
    "no-binary": "--no-binary",
    "only-binary": "--only-binary",
}
_UV_INDEX = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX")


def pip_settings(environ: Mapping[str, str], prefix: str = sys.prefix) -> dict[str, str]:
    """What pip's files and variables say about `install`, by the names of its options; later places win.

    Args:
        prefix: the virtual environment whose own file counts.
    """
    found: dict[str, str] = {}
    for path in _files(environ, prefix):
        parser = configparser.RawConfigParser()
        with suppress(configparser.Error, OSError, UnicodeDecodeError):
            parser.read(path, encoding="utf-8")
        for section in ("global", "install"):
            if parser.has_section(section):
                found |= {name.replace("_", "-"): value for name, value in parser.items(section)}
    for name, value in environ.items():
        if name.startswith("PIP_") and name != "PIP_CONFIG_FILE" and value:
            found[name.removeprefix("PIP_").replace("_", "-").lower()] = value
    return found


def uv_options(environ: Mapping[str, str], prefix: str = sys.prefix) -> tuple[list[str], dict[str, str]]:
    """Options and variables that make uv look where pip would; none about indexes where uv has settings of its own."""
    settings = pip_settings(environ, prefix)
    options: list[str] = []
    if not any(environ.get(name) for name in _UV_INDEX):
        for name, option in _UV_OPTIONS.items():
            values = settings.get(name, "")
            if name in ("no-binary", "only-binary"):
                words = [] if values == ":none:" else values.replace(",", " ").split()
            else:
                words = values.split() if name in _LISTS else [values] if values else []
            for word in words:
                options += [option, word]
        if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
            options.append("--no-index")
        # pip takes the best of all indexes, uv what the first one that knows the name has.
        options += ["--index-strategy", "unsafe-best-match"]
    variables = {}
    for name, variable in (
        ("cert", "SSL_CERT_FILE"),
        ("client-cert", "SSL_CLIENT_CERT"),
        ("timeout", "UV_HTTP_TIMEOUT"),
    ):
        value = settings.get(name) or (settings.get("default-timeout") if name == "timeout" else None)
        if value and variable not in environ:
            variables[variable] = value
    proxy = settings.get("proxy")
    if proxy and "ALL_PROXY" not in environ:
        variables["ALL_PROXY"] = proxy
    return options, variables


def _files(environ: Mapping[str, str], prefix: str) -> Iterator[str]:
    """As `pip config debug` lists them; a PIP_CONFIG_FILE of `/dev/null` turns all off."""
    own = environ.get("PIP_CONFIG_FILE")
    if own == os.devnull:
        return
    home = os.path.expanduser("~")
    config = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    if sys.platform == "darwin":
        yield "/Library/Application Support/pip/pip.conf"
        support = os.path.join(home, "Library/Application Support/pip")
        user = support if os.path.isdir(support) else os.path.join(home, ".config/pip")
    else:
        for folder in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep):
            yield os.path.join(folder, "pip/pip.conf")
        yield "/etc/pip.conf"
        user = os.path.join(config, "pip")
    yield os.path.join(home, ".pip/pip.conf")
    yield os.path.join(user, "pip.conf")
    yield os.path.join(prefix, "pip.conf")
    if own:
        yield own
