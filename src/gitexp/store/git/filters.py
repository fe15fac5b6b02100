"""What git stores for a file's content: clean filters, encodings, line ends and `$Id$`; follows git's `convert.c`.

The LFS filter is not run but computed (`is_lfs`, `lfs_pointer`), so git-lfs need not be installed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, NamedTuple

from gitexp.store.git.attributes import Attributes, Value

if TYPE_CHECKING:
    from subprocess import Popen

_IDENT = re.compile(rb"\$Id:[^$\n]*\$")
_NOT_PRINTABLE = bytes(byte for byte in range(32) if byte not in b"\b\t\n\f\r\x1b") + b"\x7f"
_UTF8 = re.compile(r"utf-?8\Z", re.IGNORECASE)
_WITH_BOM = re.compile(r"utf-?(16|32)(?:le-bom|be-bom)?\Z", re.IGNORECASE)
_WITHOUT_BOM = re.compile(r"utf-?(?:16|32)(?:le|be)\Z", re.IGNORECASE)
_SAME_AS_ICONV = re.compile(r"utf-?(?:16|32)|iso-?8859|latin-?1|us-ascii|ascii|(?:cp|windows-)125|koi8", re.IGNORECASE)
_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0", b"\0\0\xfe\xff")
_LFS_COMMAND = re.compile(r"\bgit[- ]lfs\b")
_LFS_POINTER = re.compile(
    rb"version (?:https://git-lfs\.github\.com/spec/v1|http://git-media\.io/v/2|https://hawser\.github\.com/spec/v1)\r?\n"
    rb"(?:ext-[0-9]-[^\n]+\n)*oid sha256:[0-9a-f]{64}\r?\nsize [0-9]+"
)
_LONGEST_LFS_POINTER = 1024
_PACKET = 65516
_PATIENCE_S = 10


class FilterFailed(Exception):
    """A filter that git requires did not work, so git would refuse the file."""


class Driver(NamedTuple):
    """A filter as `filter.<name>.*` configure it."""

    name: str
    clean: str | None
    process: str | None
    required: bool

    @property
    def is_lfs(self) -> bool:
        """Whether it runs git-lfs, and not something else under its name."""
        return self.name == "lfs" and _LFS_COMMAND.search(self.process or self.clean or "") is not None


class Conversion(NamedTuple):
    """What git does with one file on its way in.

    Attributes:
        line_ends: "keep", "text" (CRLF becomes LF) or "auto" (the same, unless it looks binary).
        encoding: of the file in the work tree, where it is not UTF-8.
    """

    driver: Driver | None = None
    encoding: str | None = None
    line_ends: str = "keep"
    ident: bool = False


class FilterSettings(NamedTuple):
    """What git's configuration says about conversions.

    Attributes:
        autocrlf: whether files that no attribute speaks of are converted.
        driver: the filter of a name.
        work_tree: where filters run.
        environ: the variables that filters see.
    """

    autocrlf: bool
    driver: Callable[[str], Driver | None]
    work_tree: bytes
    environ: Mapping[str, str]


class Filters:
    """Converts files of one work tree as `git add` would. `close` ends the processes it started.

    Args:
        in_index: the content that the index has for a path, None where it has none.
    """

    def __init__(
        self, settings: FilterSettings, attributes: Attributes, in_index: Callable[[bytes], bytes | None]
    ) -> None:
        self._settings = settings
        self._attributes = attributes
        self._in_index = in_index
        self._drivers: dict[str, Driver | None] = {}
        self._processes: dict[str, _FilterProcess] = {}

    def conversion(self, path: bytes) -> Conversion:
        """What happens to a file."""
        found = self._attributes.of(path)
        if not found and not self._settings.autocrlf:
            return _NONE
        return Conversion(
            driver=self._driver(found.get(b"filter")),
            encoding=_encoding(found.get(b"working-tree-encoding")),
            line_ends=_line_ends(found, self._settings.autocrlf),
            ident=found.get(b"ident") is True,
        )

    def clean(self, path: bytes, data: bytes, conversion: Conversion) -> bytes:
        """The content as git stores it.

        Raises:
            FilterFailed: git would refuse the file.
        """
        if conversion.driver is not None:
            filtered = self._run(conversion.driver, path, data)
            if filtered is None and conversion.driver.required:
                raise FilterFailed(f"The clean filter '{conversion.driver.name}' failed.")
            data = data if filtered is None else filtered
        if conversion.encoding and data:
            data = _decode(data, conversion.encoding)
        if conversion.line_ends != "keep" and b"\r\n" in data and self._wants_line_feeds(path, data, conversion):
            data = data.replace(b"\r\n", b"\n")
        return _IDENT.sub(b"$Id$", data) if conversion.ident else data

    def close(self) -> None:
        """Ends filter processes."""
        for process in self._processes.values():
            process.close()
        self._processes = {}

    def _wants_line_feeds(self, path: bytes, data: bytes, conversion: Conversion) -> bool:
        if conversion.line_ends == "text":
            return True
        if _looks_binary(data):
            return False
        # Once CRLF was committed, git leaves such a file alone.
        before = self._in_index(path)
        return before is None or b"\r\n" not in before or _looks_binary(before)

    def _driver(self, value: Value) -> Driver | None:
        if not isinstance(value, bytes):
            return None
        name = value.decode("utf-8", "surrogateescape")
        if name not in self._drivers:
            self._drivers[name] = self._settings.driver(name)
        return self._drivers[name]

    def _run(self, driver: Driver, path: bytes, data: bytes) -> bytes | None:
        """What the filter makes of `data`, None where it fails or has nothing to say."""
        if driver.process:
            process = self._processes.get(driver.process)
            if process is None:
                process = self._processes[driver.process] = _FilterProcess(driver.process, self._settings)
            return process.clean(path, data)
        if not driver.clean:
            return None
        import subprocess  # slow to import, and few repositories have filters

        done = subprocess.run(
            _with_path(driver.clean, path),
            shell=True,
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._settings.work_tree,
            env=dict(self._settings.environ),
            check=False,
        )
        return done.stdout if done.returncode == 0 else None


def is_lfs_pointer(data: bytes) -> bool:
    """Whether git-lfs takes `data` for a pointer, which its filter leaves as it is."""
    return len(data) < _LONGEST_LFS_POINTER and _LFS_POINTER.fullmatch(data.strip()) is not None


class _FilterProcess:
    """A filter that stays and takes file after file: gitattributes(5), "Long Running Filter Process"."""

    def __init__(self, command: str, settings: FilterSettings) -> None:
        import subprocess  # slow to import, and few repositories have filters

        self._works = True
        self._process: Popen[bytes] = subprocess.Popen(
            command,
            shell=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=settings.work_tree,
            env=dict(settings.environ),
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in: IO[bytes] = self._process.stdin
        self._out: IO[bytes] = self._process.stdout
        try:
            self._works = self._greet()
        except (OSError, ValueError):
            self._works = False

    def clean(self, path: bytes, data: bytes) -> bytes | None:
        if not self._works:
            return None
        try:
            self._send([b"command=clean\n", b"pathname=%s\n" % path])
            self._send(data[at : at + _PACKET] for at in range(0, len(data), _PACKET))
            status = self._status(b"")
            if status == b"success":
                cleaned = b"".join(self._packets())
                status = self._status(status)
        except (OSError, ValueError):
            status = b""
        if status == b"success":
            return cleaned
        self._works = status == b"error"
        return None

    def close(self) -> None:
        for pipe in (self._in, self._out):
            try:
                pipe.close()
            except OSError:
                pass
        from subprocess import TimeoutExpired  # the process shows that it is imported

        try:
            self._process.wait(timeout=_PATIENCE_S)
        except TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _greet(self) -> bool:
        self._send([b"git-filter-client\n", b"version=2\n"])
        if list(self._packets()) != [b"git-filter-server\n", b"version=2\n"]:
            return False
        self._send([b"capability=clean\n", b"capability=smudge\n"])
        return b"capability=clean\n" in list(self._packets())

    def _send(self, packets: Iterable[bytes]) -> None:
        for packet in packets:
            self._in.write(b"%04x%s" % (len(packet) + 4, packet))
        self._in.write(b"0000")
        self._in.flush()

    def _packets(self) -> Iterator[bytes]:
        """Packets up to the next flush. Raises ValueError where the stream ends or is none."""
        while size := int(self._exactly(4), 16):
            yield self._exactly(size - 4)

    def _exactly(self, size: int) -> bytes:
        data = self._out.read(size)
        if len(data) != size:
            raise ValueError("the filter ended")
        return data

    def _status(self, status: bytes) -> bytes:
        for packet in self._packets():
            if packet.startswith(b"status="):
                status = packet[7:].rstrip(b"\n")
        return status


def _line_ends(found: Mapping[bytes, Value], autocrlf: bool) -> str:
    said = found.get(b"text")
    action = _ACTIONS.get(said)
    if action is None:
        action = _ACTIONS.get(found.get(b"crlf"))
    if action is None and found.get(b"eol") in (b"lf", b"crlf"):
        return "text"
    if action is None:
        return "auto" if autocrlf else "keep"
    return action


def _encoding(value: Value) -> str | None:
    if not isinstance(value, bytes) or not value:
        return None
    name = value.decode("latin-1")
    return None if _UTF8.match(name) else name


def _decode(data: bytes, encoding: str) -> bytes:
    """`data` as UTF-8. Where git would refuse it, it stays as it is: an experiment must not fail for it."""
    wide = _WITH_BOM.match(encoding)
    has_bom = data.startswith(_BOMS)
    if has_bom != bool(wide) and (wide or _WITHOUT_BOM.match(encoding)):
        return data
    if not wide and not _SAME_AS_ICONV.match(encoding):
        converted = _iconv(data, encoding)
        if converted is not None:
            return converted
    try:
        return data.decode(f"utf-{wide[1]}" if wide else encoding).encode()
    except (LookupError, ValueError):
        return data


def _iconv(data: bytes, encoding: str) -> bytes | None:
    """What git's library makes of it, which for Shift-JIS is not what Python does. None without it."""
    import subprocess  # slow to import, and few repositories have such files

    command = ["iconv", "-f", encoding, "-t", "UTF-8"]
    try:
        done = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else data


def _looks_binary(data: bytes) -> bool:
    if b"\0" in data or data.count(b"\r") != data.count(b"\r\n"):
        return True
    odd = len(data) - len(data.translate(None, _NOT_PRINTABLE))
    printable = len(data) - odd - data.count(b"\r") - data.count(b"\n")
    return printable >> 7 < odd - data.endswith(b"\x1a")


def _with_path(command: str, path: bytes) -> bytes:
    """The command with `%f` replaced by the quoted path."""
    quoted = b"'" + path.replace(b"'", b"'\\''") + b"'"
    raw = command.encode("utf-8", "surrogateescape")
    return re.sub(rb"%[%f]", lambda match: b"%" if match[0] == b"%%" else quoted, raw)


_NONE = Conversion()
_ACTIONS: dict[Value, str] = {True: "text", False: "keep", b"input": "text", b"auto": "auto"}
