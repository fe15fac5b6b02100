"""The settings of `.gitexp/config.yaml`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from gitexp.domain.identity import DEFAULT_EXPERIMENT, parse_name
from gitexp.errors import UsageError

KIB, MIB, GIB = 1024, 1024**2, 1024**3
DAY = 86_400.0

SECRET_FILES = (
    ".env",
    ".env.*",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.kdbx",
    "*.keystore",
    "id_rsa*",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
    ".netrc",
    "_netrc",
    ".pypirc",
    ".npmrc",
    ".git-credentials",
    ".pgpass",
    ".htpasswd",
    "*.env",
    "credentials*.json",
    "secrets.json",
    "secrets.toml",
    "secrets.y*ml",
    "kaggle.json",
    "*.tfstate",
    "client_secret*.json",
    "service-account*.json",
    "service_account*.json",
    ".aws/credentials",
    ".docker/config.json",
    "kubeconfig",
)
NOT_SECRET_FILES = (".env.example", ".env.sample", ".env.template", ".env.dist", "*.pub")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSettings:
    """What is set for one remote.

    Attributes:
        refs: "hidden", or "heads" for a host that accepts only branches.
        artifacts: where its artifacts are: "lfs", "git" (the remote itself), an address like `Config.artifacts_store`,
            or "auto".
        engine: how it is talked to: "auto", "dulwich" or "git".
    """

    refs: str = "hidden"
    artifacts: str = "auto"
    engine: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One field a setting; `parse_config` says which key of the file each is.

    Attributes:
        experiment: where runs go that name no experiment.
        strict: whether an error of gitexp's own ends the training instead of being a warning.
        snapshot_max_file_bytes: a file of the code larger than this goes to the object store.
        snapshot_max_total_bytes: untracked files beyond this sum are recorded by path and size only.
        snapshot_secrets: patterns of untracked files that are never captured.
        output_max_bytes: how much of what a process prints is kept.
        gc_keep_s: how long a removed run can be restored, in seconds.
        params_files: patterns of files whose values are params, besides `params.yaml`.
        params_constants: whether constants at the top of a script that has no command-line parser are params.
        metrics_output: whether metrics are read from the lines that a command prints.
        metrics_patterns: regular expressions for such lines, tried before the built-in rules.
        metrics_ignore: patterns of metrics that are never read from lines or files.
        metrics_files: patterns of files that a command writes metrics to: CSV logs, DVCLive folders, event files.
        outputs: patterns of files that are artifacts where a run made or changed them, git-ignored ones too.
        outputs_untracked: whether untracked files that a run made or changed are artifacts.
        inputs: patterns of files that runs read.
        inputs_opened: whether untracked files of the repository that a run opens are inputs.
        autolog: whether frameworks are watched in what `gitexp run` launches.
        autolog_exclude: frameworks that are not.
        system_metrics: whether processor, memory, disk, network and GPUs are sampled.
        system_interval_s: how often, in seconds.
        stop_when: conditions that end a command, like "metrics.loss > 10 for 5 steps".
        timeout_s: how long a command may take, in seconds; None: as long as it likes.
        hooks_after: a shell command that gets each run's record as JSON on its stdin when the run has ended.
        artifacts_store: where large artifacts are shared: s3://, gs://, az://, a folder; None: with each remote.
        models_trusted: whose models may run code that they bring along, as "Name <email>" or an address.
        registry_gates: what a model version must meet before it may have an alias or a stage, by that.
        remotes: what is set for single remotes, by name.
    """

    experiment: str = DEFAULT_EXPERIMENT
    strict: bool = False
    snapshot_max_file_bytes: int = 10 * MIB
    snapshot_max_total_bytes: int = GIB
    snapshot_secrets: tuple[str, ...] = SECRET_FILES
    output_max_bytes: int = 10 * MIB
    gc_keep_s: float = 30 * DAY
    params_files: tuple[str, ...] = ()
    params_constants: bool = True
    metrics_output: bool = True
    metrics_patterns: tuple[str, ...] = ()
    metrics_ignore: tuple[str, ...] = ()
    metrics_files: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    outputs_untracked: bool = True
    inputs: tuple[str, ...] = ()
    inputs_opened: bool = True
    autolog: bool = True
    autolog_exclude: tuple[str, ...] = ()
    system_metrics: bool = True
    system_interval_s: float = 10.0
    stop_when: tuple[str, ...] = ()
    timeout_s: float | None = None
    hooks_after: tuple[str, ...] = ()
    artifacts_store: str | None = None
    models_trusted: tuple[str, ...] = ()
    registry_gates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    remotes: Mapping[str, RemoteSettings] = field(default_factory=dict)


def parse_config(data: object, *, file: str) -> Config:
    """The settings in a mapping read from `file`.

    Raises:
        UsageError: a key that does not exist or a value that makes no sense; the message names it.
    """
    if data is None:
        return Config()
    if not isinstance(data, Mapping):
        raise UsageError(f"{file}: expected settings like 'strict: true'.")
    found: dict[str, Any] = {}
    remotes: dict[str, dict[str, str]] = {}
    gates: dict[str, tuple[str, ...]] = {}
    for key, value in _flat(data):
        name, setting = _remote_setting(key)
        gate = key.removeprefix(_GATES) if key.startswith(_GATES) else ""
        if key not in _SETTINGS and setting not in _REMOTE_SETTINGS and not gate:
            group = [name for name in _SETTINGS if name.startswith(f"{key}.")]
            if group:
                raise UsageError(f"{file}: {key!r} is a group of settings.", hint=f"They are {', '.join(group)}.")
            known = [*_SETTINGS, *(f"remotes.NAME.{name}" for name in _REMOTE_SETTINGS), f"{_GATES}NAME"]
            raise UsageError(f"{file}: there is no setting {key!r}.", hint=f"The settings are {', '.join(known)}.")
        try:
            if name:
                remotes.setdefault(name, {})[setting] = _REMOTE_SETTINGS[setting](value)
            elif gate:
                gates[gate] = _patterns(value)
            else:
                target, parse = _SETTINGS[key]
                found[target] = parse(value)
        except ValueError as error:
            raise UsageError(f"{file}: {key!r}: {error}.") from error
    settings = {name: RemoteSettings(**said) for name, said in remotes.items()}
    return Config(**found, remotes=settings, registry_gates=gates)


def parse_size(value: object) -> int:
    """Bytes: a whole number, or text like "10 MiB", "1.5GB", "64k". Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(str(value).strip())
    if not match:
        raise ValueError(f"expected a size like '10 MiB', found {value!r}")
    unit = match[2].lower().rstrip("b")
    decimal = match[2].lower().endswith("b") and not unit.endswith("i")
    return int(float(match[1]) * (1000 if decimal else 1024) ** " kmgt".index(unit[:1] or " "))


def parse_span(value: object) -> float:
    """Seconds: text like "30d", "12h", "90 min", "45s", "1h30m". Raises ValueError."""
    text = str(value).strip()
    if not _SPANS.fullmatch(text):
        raise ValueError(f"expected a time like '30d', '12h' or '1h30m', found {value!r}")
    return sum(float(number) * _SECONDS[unit[0]] for number, unit in _SPAN.findall(text))


def parse_seconds(value: object) -> float:
    """Like `parse_span`; a plain number is seconds, too. Raises ValueError."""
    is_plain = isinstance(value, (int, float, str)) and not isinstance(value, bool)
    if is_plain and _PLAIN_NUMBER.fullmatch(text := str(value).strip()):
        return float(text)
    try:
        return parse_span(value)
    except ValueError as error:
        raise ValueError(f"expected seconds or a time like '12h' or '1h30m', found {value!r}") from error


_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?i?b?)", re.IGNORECASE)
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(seconds?|sec|s|minutes?|min|m|hours?|h|days?|d|weeks?|w)")
_SPANS = re.compile(rf"{_SPAN.pattern}(?:\s*{_SPAN.pattern})*")
_PLAIN_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY, "w": 7 * DAY}


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, found {value!r}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"expected a text, found {value!r}")
    return value


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _one_of(*allowed: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in allowed:
            raise ValueError(f"expected {' or '.join(allowed)}, found {value!r}")
        return str(value)

    return parse


def _remote_setting(key: str) -> tuple[str, str]:
    """The remote and the setting in a key such as `remotes.origin.refs`; empty where it is none."""
    if not key.startswith("remotes."):
        return "", ""
    name, _, setting = key.removeprefix("remotes.").rpartition(".")
    return name, setting


def _span_or_none(value: object) -> float | None:
    return None if value is None else parse_seconds(value)


def _name(value: object) -> str:
    try:
        return parse_name(value, what="experiment name")
    except UsageError as error:
        raise ValueError(str(error).rstrip(".")) from error


def _patterns(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f'expected a list of texts, like ["..."], found {value!r}')
    return tuple(value)


_SETTINGS: dict[str, tuple[str, Callable[[object], Any]]] = {
    "experiment": ("experiment", _name),
    "strict": ("strict", _flag),
    "snapshot.max_file": ("snapshot_max_file_bytes", parse_size),
    "snapshot.max_total": ("snapshot_max_total_bytes", parse_size),
    "snapshot.secrets": ("snapshot_secrets", _patterns),
    "output.max": ("output_max_bytes", parse_size),
    "gc.keep": ("gc_keep_s", parse_span),
    "params.files": ("params_files", _patterns),
    "params.constants": ("params_constants", _flag),
    "metrics.output": ("metrics_output", _flag),
    "metrics.patterns": ("metrics_patterns", _patterns),
    "metrics.ignore": ("metrics_ignore", _patterns),
    "metrics.files": ("metrics_files", _patterns),
    "outputs.paths": ("outputs", _patterns),
    "outputs.untracked": ("outputs_untracked", _flag),
    "inputs": ("inputs", _patterns),
    "inputs.paths": ("inputs", _patterns),
    "inputs.opened": ("inputs_opened", _flag),
    "autolog.enabled": ("autolog", _flag),
    "autolog.exclude": ("autolog_exclude", _patterns),
    "system.metrics": ("system_metrics", _flag),
    "system.interval": ("system_interval_s", parse_seconds),
    "stop_when": ("stop_when", _patterns),
    "timeout": ("timeout_s", _span_or_none),
    "hooks.after": ("hooks_after", _patterns),
    "models.trusted": ("models_trusted", _patterns),
    "artifacts.store": ("artifacts_store", _text_or_none),
}
_GATES = "registry.gates."
_REMOTE_SETTINGS: dict[str, Callable[[object], str]] = {
    "refs": _one_of("hidden", "heads"),
    "artifacts": _text,
    "engine": _one_of("auto", "dulwich", "git"),
}
_BY_NAME = {"remotes", "registry_gates"}
assert _BY_NAME | {name for name, _ in _SETTINGS.values()} == {item.name for item in fields(Config)}
assert _REMOTE_SETTINGS.keys() == {item.name for item in fields(RemoteSettings)}


def _flat(data: Mapping[Any, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in data.items():
        name = f"{prefix}{key}"
        pairs += _flat(value, f"{name}.") if isinstance(value, Mapping) else [(name, value)]
    return pairs
