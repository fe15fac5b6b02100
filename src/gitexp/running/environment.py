"""What a run ran on, read from plain files: no process is started, and nothing heavy is imported."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from gitexp.domain.environment import Environment
from gitexp.domain.masking import mask_url
from gitexp.domain.requirements import normal
from gitexp.errors import GitexpError

VARIABLES = frozenset(
    "PYTHONHASHSEED PYTHONOPTIMIZE CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES"
    " OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS NUMEXPR_NUM_THREADS VECLIB_MAXIMUM_THREADS"
    " CUBLAS_WORKSPACE_CONFIG CUDA_LAUNCH_BLOCKING NVIDIA_TF32_OVERRIDE TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"
    " PYTORCH_CUDA_ALLOC_CONF TF_DETERMINISTIC_OPS TF_CUDNN_DETERMINISTIC TF_ENABLE_ONEDNN_OPTS XLA_FLAGS"
    " JAX_PLATFORMS JAX_ENABLE_X64 TOKENIZERS_PARALLELISM WORLD_SIZE RANK LOCAL_RANK SLURM_JOB_ID".split()
)
"""The only environment variables that are recorded."""

_NAME_AND_VERSION = re.compile(r"([A-Za-z0-9][^-]*)-([^-]+)(?:-py[0-9.]+)?\.(?:dist|egg)-info\Z")
_CONDA_TAILS = (768, 1 << 20)
"""Bytes of a file in `conda-meta` that are read: its keys are sorted, so its long lists come before what we want."""

_CONDA_PLACE = re.compile(rb'"url"\s*:\s*"([^"\\]+)"')
_CONDA_DIGEST = re.compile(rb'.*"sha256"\s*:\s*"([0-9a-f]{64})"', re.DOTALL)


class _Package(NamedTuple):
    """A package that was found: its line, or the folder that it is installed from."""

    line: str
    folder: str = ""
    is_editable: bool = False


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


def capture_environment(environ: Mapping[str, str] = os.environ, *, root: str | None = None) -> Environment:
    """The environment of this process; `root` is the top of the work tree that is recorded."""
    return environment_of(this_python(), environ, root=root)


def environment_of(python: PythonFacts | None, environ: Mapping[str, str], *, root: str | None = None) -> Environment:
    """The environment of a process on this machine.

    Args:
        python: None where the process is not Python, or did not say.
        environ: its environment variables; only those in `VARIABLES` are recorded.
        root: the top of the work tree that is recorded; what is installed from it is named relative to it.
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
    if python is None:
        return Environment(python=facts)
    prefix = os.path.dirname(os.path.dirname(python.executable))
    conda = conda_packages(prefix) if prefix else ()
    return Environment(python=facts, requirements=freeze(python.path, root=root), conda=conda)


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
        "cpu": _without_none(model=_cpu_model(root), count=os.cpu_count(), usable=_usable()),
        "memory_bytes": _memory_bytes(),
        "gpus": _gpus(root) or None,
        "driver": _driver(root),
    }
    return _without_none(**facts)


def _usable() -> int | None:
    """How many processors this process may use, where that is not all of them: batch systems and `taskset` say so."""
    if not hasattr(os, "sched_getaffinity"):  # macOS
        return None
    usable = len(os.sched_getaffinity(0))
    return usable if usable != os.cpu_count() else None


def freeze(path: tuple[str, ...], *, root: str | None = None) -> tuple[str, ...]:
    """The packages on such a `sys.path`, one line each, sorted by name.

    `name==version`; `name @ url` where a package was installed from there; `-e ./path  # name` where it is installed
    from below `root`. An editable install of another git repository has the commit that is checked out there.
    """
    stamps = []
    for folder in dict.fromkeys(path):
        with suppress(OSError):
            stamps.append((folder, os.stat(folder).st_mtime_ns))
    found = _freeze(tuple(stamps))
    return tuple(_from_folder(name, package, root) if package.folder else package.line for name, package in found)


def conda_packages(prefix: str) -> tuple[str, ...]:
    """What conda installed below a prefix, as its explicit list has it; empty where conda did not make it."""
    meta = os.path.join(prefix, "conda-meta")
    try:
        names = [name for name in os.listdir(meta) if name.endswith(".json")]
    except OSError:
        return ()
    lines = []
    for name in sorted(names):
        for size in _CONDA_TAILS:
            text = _read_end(f"{meta}/{name}", size)
            place, digest = _CONDA_PLACE.search(text), _CONDA_DIGEST.match(text)
            if place:
                checked = f"#sha256:{digest[1].decode()}" if digest else ""
                lines.append(mask_url(place[1].decode(errors="replace")) + checked)
                break
    return ("@EXPLICIT", *lines) if lines else ()


@cache
def _freeze(stamps: tuple[tuple[str, int], ...]) -> tuple[tuple[str, _Package], ...]:
    """Cached by when something was last installed into, or removed from, each folder."""
    found: dict[str, _Package] = {}
    for folder, _changed in stamps:
        for name, package in _packages_in(folder):
            found.setdefault(name, package)  # the first on the path is the one that is imported
    return tuple(sorted(found.items()))


def _packages_in(folder: str) -> Iterator[tuple[str, _Package]]:
    try:
        names = os.listdir(folder)
    except OSError:  # a zip file, or gone
        return
    for entry in names:
        if not entry.endswith("-info"):
            continue
        match = _NAME_AND_VERSION.match(entry)
        if match:
            name = normal(match[1])
            direct = _direct(name, os.path.join(folder, entry)) if entry.endswith(".dist-info") else None
            yield name, direct or _Package(f"{name}=={match[2]}")
        elif entry.endswith(".egg-info") and os.path.isdir(os.path.join(folder, entry)):
            name = normal(entry.removesuffix(".egg-info"))  # `setup.py develop`: the source folder itself
            yield name, _Package("", folder=folder, is_editable=True)


def _direct(name: str, folder: str) -> _Package | None:
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
        if url.startswith("file://") and _read(os.path.join(folder, "INSTALLER"), 16).strip() == "conda":
            return None  # a folder of the machine that built conda's package
        if "dir_info" in origin and url.startswith("file://"):
            is_editable = bool(origin["dir_info"].get("editable"))
            return _Package("", folder=_unquoted(url), is_editable=is_editable)
        fragment = []
        if source := origin.get("vcs_info"):
            url = f"{source['vcs']}+{url}@{source['commit_id']}"
        if (archive := origin.get("archive_info")) and "#" not in url:
            hashes = archive.get("hashes") or dict([str(archive.get("hash", "=")).split("=", 1)])
            fragment += [f"sha256={hashes['sha256']}"] if hashes.get("sha256") else []
        if origin.get("subdirectory"):
            fragment.append(f"subdirectory={origin['subdirectory']}")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return _Package(f"{name} @ {mask_url(url)}{'#' if fragment else ''}{'&'.join(fragment)}")


def _from_folder(name: str, package: _Package, root: str | None) -> str:
    folder = os.path.realpath(package.folder)
    top = _top_of(folder)
    if root is not None and top == os.path.realpath(root):
        inside = "." if folder == top else f"./{os.path.relpath(folder, top)}"
        return f"{'-e ' if package.is_editable else ''}{inside}  # {name}"
    from urllib.parse import quote  # few packages are installed from a folder

    address = f"file://{quote(folder)}"
    if not package.is_editable:
        return f"{name} @ {address}"
    if top is not None and (source := _checked_out(top)):
        inside = f"#subdirectory={os.path.relpath(folder, top)}" if folder != top else ""
        return f"{name} @ {source}{inside}  # editable in {folder}"
    return f"-e {address}  # {name}"


def _top_of(folder: str) -> str | None:
    """The work tree that a folder is in."""
    while not os.path.lexists(os.path.join(folder, ".git")):
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above
    return folder


def _checked_out(top: str) -> str | None:
    """The commit that is checked out in another work tree, with the address it was cloned from or else its own."""
    from gitexp.store.git.repository import discover  # few packages are editable installs of another repository

    try:
        git = discover(top, {})
        commit = git.head().commit
        url = git.config("remote", "url", "origin")
    except (GitexpError, OSError):
        return None
    if commit is None:
        return None
    if url is None or "://" not in url:
        scp = re.match(r"([\w.-]+@)?([\w.-]+):(?!/{2})(.+)\Z", url or "")
        from urllib.parse import quote

        url = f"ssh://{scp[1] or ''}{scp[2]}/{scp[3].lstrip('/')}" if scp else f"file://{quote(top)}"
    return f"git+{mask_url(url)}@{commit}"


def _unquoted(url: str) -> str:
    from urllib.parse import unquote  # few packages are installed from a folder

    return unquote(url.removeprefix("file://"))


def _read_end(path: str, most: int) -> bytes:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.pread(file, most, max(0, os.fstat(file).st_size - most))
    except OSError:
        return b""
    finally:
        os.close(file)


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
