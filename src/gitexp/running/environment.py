"""What a run ran on, read from plain files: no process is started, and nothing heavy is imported."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from gitexp.domain.environment import Environment
from gitexp.domain.masking import mask_url

VARIABLES = frozenset(
    "PYTHONHASHSEED PYTHONOPTIMIZE CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES"
    " OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS NUMEXPR_NUM_THREADS VECLIB_MAXIMUM_THREADS"
    " CUBLAS_WORKSPACE_CONFIG CUDA_LAUNCH_BLOCKING NVIDIA_TF32_OVERRIDE TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"
    " PYTORCH_CUDA_ALLOC_CONF TF_DETERMINISTIC_OPS TF_CUDNN_DETERMINISTIC TF_ENABLE_ONEDNN_OPTS XLA_FLAGS"
    " JAX_PLATFORMS JAX_ENABLE_X64 TOKENIZERS_PARALLELISM WORLD_SIZE RANK LOCAL_RANK SLURM_JOB_ID".split()
)
"""The only environment variables that are recorded."""

_NAME_AND_VERSION = re.compile(r"([A-Za-z0-9][^-]*)-([^-]+)(?:-py[0-9.]+)?\.(?:dist|egg)-info\Z")
_WORD_BREAK = re.compile(r"[-_.]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonFacts:
    """What an interpreter says of itself. `path` is its `sys.path`, without the script's own folder."""

    implementation: str
    version: str
    executable: str
    path: tuple[str, ...]


def this_python() -> PythonFacts:
    """The interpreter that runs this very code."""
    path = sys.path if sys.flags.safe_path else sys.path[1:]
    return PythonFacts(
        implementation=sys.implementation.name,
        version=sys.version.split()[0],
        executable=sys.executable,
        path=tuple(path),
    )


def capture_environment(environ: Mapping[str, str] = os.environ) -> Environment:
    """The environment of this process."""
    return environment_of(this_python(), environ)


def environment_of(python: PythonFacts | None, environ: Mapping[str, str]) -> Environment:
    """The environment of a process on this machine.

    Args:
        python: None where the process is not Python, or did not say.
        environ: its environment variables; only those in `VARIABLES` are recorded.
    """
    facts: dict[str, Any] = {}
    if python is not None:
        facts = {
            "implementation": python.implementation,
            "version": python.version,
            "executable": python.executable,
        }
    facts |= machine_facts()
    variables = {name: environ[name] for name in sorted(VARIABLES & environ.keys())}
    if variables:
        facts["variables"] = variables
    return Environment(python=facts, requirements=freeze(python.path) if python is not None else ())


@cache
def machine_facts(root: str = "/") -> dict[str, Any]:
    """Platform, processor, memory, GPUs and driver, as `environment/python.yaml` has them; unknown ones are absent.

    Args:
        root: where `proc` is, for tests.
    """
    system = os.uname()
    facts = {
        "platform": "-".join([system.sysname, system.release, system.machine, *_libc()]),
        "machine": system.machine,
        "cpu": _without_none(model=_cpu_model(root), count=os.cpu_count()),
        "memory_bytes": _memory_bytes(),
        "gpus": _gpus(root) or None,
        "driver": _driver(root),
    }
    return _without_none(**facts)


def freeze(path: tuple[str, ...]) -> tuple[str, ...]:
    """The packages on such a `sys.path`: `name==version`, or `name @ url` where a package was installed from a URL."""
    stamps = []
    for folder in dict.fromkeys(path):
        with suppress(OSError):
            stamps.append((folder, os.stat(folder).st_mtime_ns))
    return _freeze(tuple(stamps))


@cache
def _freeze(stamps: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    """Cached by when something was last installed into, or removed from, each folder."""
    found: dict[str, str] = {}
    for folder, _changed in stamps:
        for name, requirement in _packages_in(folder):
            found.setdefault(name, requirement)  # the first on the path is the one that is imported
    return tuple(sorted(found.values()))


def _packages_in(folder: str) -> Iterator[tuple[str, str]]:
    try:
        names = os.listdir(folder)
    except OSError:  # a zip file, or gone
        return
    for entry in names:
        if not entry.endswith("-info"):
            continue
        match = _NAME_AND_VERSION.match(entry)
        if match:
            name = _normal(match[1])
            url = _direct_url(os.path.join(folder, entry)) if entry.endswith(".dist-info") else None
            yield name, f"{name} @ {url}" if url else f"{name}=={match[2]}"
        elif entry.endswith(".egg-info") and os.path.isdir(os.path.join(folder, entry)):
            name = _normal(entry.removesuffix(".egg-info"))  # `setup.py develop`: the source folder itself
            yield name, f"{name} @ file://{folder}"


def _normal(name: str) -> str:
    return _WORD_BREAK.sub("-", name).lower()


def _direct_url(folder: str) -> str | None:
    """Where a package was installed from, if not from an index: PEP 610's `direct_url.json`."""
    try:
        with open(os.path.join(folder, "direct_url.json"), encoding="utf-8") as file:
            text = file.read()
    except (OSError, ValueError):
        return None
    import json  # few packages have this file

    try:
        origin = json.loads(text)
        url = str(origin["url"])
        source = origin.get("vcs_info")
        if source:
            url = f"{source['vcs']}+{url}@{source['commit_id']}"
        if origin.get("subdirectory"):
            url += f"#subdirectory={origin['subdirectory']}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return mask_url(url)


def _libc() -> list[str]:
    with suppress(AttributeError, ValueError, OSError):
        version = os.confstr("CS_GNU_LIBC_VERSION")
        if version:
            return ["with", version.replace(" ", "")]
    return []


def _cpu_model(root: str) -> str | None:
    if sys.platform == "darwin":
        import subprocess  # the one fact that macOS keeps in no file

        asked = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        return asked.stdout.strip() or None
    # The first processor is enough: the kernel takes milliseconds to tell of a hundred.
    return _field(_read(os.path.join(root, "proc/cpuinfo"), 4096), "model name")


def _memory_bytes() -> int | None:
    with suppress(ValueError, OSError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _gpus(root: str) -> list[str]:
    folder = os.path.join(root, "proc/driver/nvidia/gpus")
    try:
        slots = sorted(os.listdir(folder))
    except OSError:
        return []
    return [_field(_read(os.path.join(folder, slot, "information"), 4096), "Model") or "unknown" for slot in slots]


def _driver(root: str) -> str | None:
    match = re.search(r"\s(\d+\.\d+(?:\.\d+)?)\s", _read(os.path.join(root, "proc/driver/nvidia/version"), 4096))
    return match[1] if match else None


def _field(text: str, name: str) -> str | None:
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() == name:
            return value.strip()
    return None


def _read(path: str, most: int) -> str:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(most).decode(errors="replace")
    except OSError:
        return ""


def _without_none(**items: Any) -> dict[str, Any]:
    return {key: value for key, value in items.items() if value is not None}
