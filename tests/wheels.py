"""Tiny packages for tests, made here: wheels, and source trees that build themselves without anything else."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

BACKEND = """
import base64, hashlib, os, zipfile

NAME, VERSION, WAITS = {name!r}, {version!r}, {waits!r}

def _build(folder, files):
    if WAITS:
        with open(WAITS + ".pid", "w") as file:
            file.write(str(os.getpid()))
        open(WAITS, "rb").read()  # a fifo: until somebody has opened and closed it
    info = f"{{NAME}}-{{VERSION}}.dist-info"
    files = dict(files)
    files[f"{{info}}/METADATA"] = f"Metadata-Version: 2.1\\nName: {{NAME}}\\nVersion: {{VERSION}}\\n"
    files[f"{{info}}/WHEEL"] = "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{{path}},sha256={{digest}},{{len(text.encode())}}\\n")
    files[f"{{info}}/RECORD"] = "".join(lines) + f"{{info}}/RECORD,,\\n"
    wheel = f"{{NAME}}-{{VERSION}}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, wheel), "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return _build(wheel_directory, {{f"{{NAME}}.py": open(f"src/{{NAME}}.py").read()}})

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return _build(wheel_directory, {{f"_{{NAME}}.pth": os.path.abspath("src") + "\\n"}})
"""


def make_wheel(folder: Path, name: str, version: str, *, requires: str = "", **scripts: str) -> Path:
    """A wheel with one module, whose `version` is that of the package, and programs."""
    info = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files |= {f"{name}-{version}.data/scripts/{script}": text for script, text in scripts.items()}
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text.encode())}\n")
    files[f"{info}/RECORD"] = "".join(lines) + f"{info}/RECORD,,\n"
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = 0o100755 << 16
            archive.writestr(entry, text)
    return wheel


def make_source(folder: Path, name: str, version: str = "1.0", *, waits: Path | None = None) -> Path:
    """A source tree with one module in `src`, whose build waits for a fifo where one is given."""
    (folder / "src").mkdir(parents=True)
    (folder / "src" / f"{name}.py").write_text(f"version = {version!r}\n")
    (folder / "pyproject.toml").write_text(
        f'[build-system]\nrequires = []\nbuild-backend = "making"\nbackend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\n'
    )
    backend = BACKEND.format(name=name, version=version, waits=str(waits) if waits else None)
    (folder / "making.py").write_text(backend)
    return folder


def make_archive(folder: Path, source: Path, name: str, version: str = "1.0") -> Path:
    """The source archive of such a tree."""
    top = f"{name}-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{top}.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        for path in ("pyproject.toml", "making.py", f"src/{name}.py"):
            packed.add(source / path, f"{top}/{path}")
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
        entry = tarfile.TarInfo(f"{top}/PKG-INFO")
        entry.size = len(text)
        packed.addfile(entry, io.BytesIO(text))
    return archive
