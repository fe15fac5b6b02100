"""Configurations that are composed from files and the command line: Hydra and OmegaConf."""

# mypy: ignore-errors

import re
import sys

PURE = frozenset(
    "hydra now python_version oc.create oc.decode oc.deprecated oc.dict.keys oc.dict.values oc.select".split()
)
"""Resolvers that may be called once more. Others might count, draw random numbers, or read secrets."""

RESOLVER = re.compile(r"\$\{\s*([A-Za-z_][\w.]*)\s*:")
MOST_CONFIGS = 16
"""How many of the latest configurations with something of the command line in them are told from others."""

PACKAGES = frozenset(("hydra", "omegaconf"))


def watch_hydra(callbacks, params):
    jobs = _Jobs()

    def finished(_result, call):
        args, kwargs = call
        jobs.add(_plain_config(args[1] if len(args) > 1 else kwargs["config"]))
        params.add("hydra", None, jobs.params, packages=PACKAGES)

    params.watch(callbacks.Callbacks, "on_job_start", finished)


def watch_omegaconf(omegaconf, params):
    ours = []

    def is_ours(configs):
        return any(config is one for config in configs for one in ours)

    def add(config, args=None):
        ours.append(config)
        del ours[:-MOST_CONFIGS]
        params.add("omegaconf", args, _plain_config(config), packages=PACKAGES)

    def read(result, call):
        args, kwargs = call
        add(result, args[0] if args else kwargs.get("args_list"))

    def merged(result, call):
        if is_ours(call[0]):
            add(result)

    def merged_into(_result, call):
        if is_ours(call[0]):
            add(call[0][0])

    params.watch(omegaconf.OmegaConf, "from_cli", read)
    for name in ("merge", "unsafe_merge"):
        if name in vars(omegaconf.OmegaConf):
            params.watch(omegaconf.OmegaConf, name, merged)
    container = omegaconf.BaseContainer
    params.watch(container, "merge_with", merged_into)
    params.watch(container, "merge_with_cli", lambda _result, call: add(call[0][0]))


class _Jobs:
    """The jobs of a multirun in one process: what they differ in becomes a list of their values."""

    def __init__(self):
        self.params = {}
        self._count = 0
        self._differing = set()

    def add(self, config):
        job = dict(_flat(config, ""))
        count = self._count
        self._count += 1
        if not count:
            self.params = job
            return
        for name in [*self.params, *(name for name in job if name not in self.params)]:
            value = job.get(name)
            if name in self._differing:
                self.params[name].append(value)
                continue
            before = self.params.get(name)
            if name not in self.params or type(before) is not type(value) or before != value:
                self._differing.add(name)
                self.params[name] = [before] * count + [value]


def _flat(config, prefix):
    for name, value in config.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _plain_config(config):
    """A configuration as plain values; what only a resolver with effects could tell stays as it is written."""
    omegaconf = sys.modules["omegaconf"].OmegaConf
    written = omegaconf.to_container(config, resolve=False)
    if not isinstance(written, dict):
        return {}
    written.pop("hydra", None)  # how it runs, not with what
    kept = []
    raw = _without_effects(written, kept)
    try:
        plain = omegaconf.to_container(omegaconf.create(raw), resolve=True)
    except Exception:  # an interpolation to what is not there yet
        return written
    return _restored(plain, kept)


def _without_effects(value, kept):
    if isinstance(value, dict):
        return {key: _without_effects(item, kept) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_effects(item, kept) for item in value]
    if isinstance(value, str) and not PURE.issuperset(RESOLVER.findall(value)):
        kept.append(value)
        return f"\0{len(kept) - 1}\0"
    return value


def _restored(value, kept):
    if not kept:
        return value
    if isinstance(value, dict):
        return {key: _restored(item, kept) for key, item in value.items()}
    if isinstance(value, list):
        return [_restored(item, kept) for item in value]
    if isinstance(value, str) and "\0" in value:
        return re.sub("\0([0-9]+)\0", lambda match: kept[int(match[1])], value)
    return value
