"""Artifacts in an object store (`s3://`, `gs://`, `az://`) or a folder, through obstore."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit

from gitexp.domain.masking import mask_url
from gitexp.domain.pointer import Pointer
from gitexp.errors import AccessDenied, CorruptData, NotFound, RemoteFailed, UsageError
from gitexp.store.content import ContentStore
from gitexp.store.git.transport import OnBytes

SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "file", "http", "https")
AT_ONCE = 8
PART = 8 << 20
PIECE = 4 << 20

T = TypeVar("T")


class ObjectStore:
    """See `ArtifactStore`. Content lies at `<url>/<aa>/<bb>/<sha256>`, as on this machine.

    Args:
        url: like `s3://bucket/runs`, or a folder. Who we are comes from the environment, as the cloud's own tools
            read it: `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_...`.

    Raises:
        UsageError: obstore is not installed, or it cannot make sense of the address.
    """

    def __init__(self, url: str) -> None:
        try:
            import obstore  # an extra
            from obstore.store import from_url
        except ImportError as error:
            raise UsageError(
                f"Artifacts at '{mask_url(url)}' need obstore, which is not installed.",
                hint="pip install 'gitexp[cloud]'",
            ) from error
        self._obstore: Any = obstore
        self._url = url
        options: dict[str, Any] = {}
        if _is_folder(url):
            os.makedirs(_folder(url), exist_ok=True)
            url = f"file://{_folder(url)}"
        elif os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"):
            options["client_options"] = {"allow_http": True}
        try:
            self._store: Any = from_url(url, **options)
        except Exception as error:  # each store has exceptions of its own
            raise UsageError(f"'{mask_url(self._url)}' cannot be used for artifacts: {_reason(error)}.") from error

    @property
    def name(self) -> str:
        return mask_url(self._url)

    def lacking(self, pointers: Collection[Pointer]) -> set[Pointer]:
        there = dict(self._each(self._size, pointers))
        return {pointer for pointer in pointers if there[pointer] != pointer.size_bytes}

    def upload(self, pointers: Collection[Pointer], content: ContentStore, on_bytes: OnBytes) -> None:
        def send(pointer: Pointer) -> None:
            with content.open(pointer) as file:
                counted = _Counted(file, on_bytes)
                self._obstore.put(self._store, _key(pointer), counted, chunk_size=PART, max_concurrency=2)

        list(self._each(send, pointers))

    def download(self, pointers: Collection[Pointer], content: ContentStore, on_bytes: OnBytes) -> None:
        def receive(pointer: Pointer) -> bool:
            try:
                with content.arriving(pointer) as arriving:
                    for piece in self._read(pointer, arriving.received):
                        arriving.write(piece)
                        on_bytes(len(piece))
                    arriving.finish()
            except FileNotFoundError:
                return False
            return True

        missing = [pointer for pointer, came in self._each(receive, pointers) if not came]
        if missing:
            raise NotFound(f"{len(missing)} artifacts are not at {self.name}.")

    def _read(self, pointer: Pointer, start: int) -> Iterator[memoryview]:
        """The content from `start` on, in pieces; a range is only asked for where something is here already."""
        if start and start == pointer.size_bytes:
            return
        options: dict[str, Any] = {"range": (start, pointer.size_bytes)} if start else {}
        found = self._obstore.get(self._store, _key(pointer), options=options)
        if start and found.range != (start, pointer.size_bytes):
            raise CorruptData(f"{self.name} answers with another part than was asked for.")
        for piece in found.stream(min_chunk_size=PIECE):
            yield memoryview(piece)

    def _size(self, pointer: Pointer) -> int | None:
        try:
            size: int = self._obstore.head(self._store, _key(pointer))["size"]
        except FileNotFoundError:
            return None
        return size

    def _each(self, act: Callable[[Pointer], T], pointers: Iterable[Pointer]) -> Iterator[tuple[Pointer, T]]:
        """Act on several at once; what goes wrong is told in our words."""
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="gitexp-objects") as pool:
            futures = {pool.submit(act, pointer): pointer for pointer in pointers}
            try:
                for future, pointer in futures.items():
                    yield pointer, future.result()
            except BaseException as error:
                for future in futures:
                    future.cancel()
                if isinstance(error, Exception) and type(error).__module__.startswith("obstore"):
                    denied = type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError")
                    kind = AccessDenied if denied else RemoteFailed
                    raise kind(f"{self.name} failed: {_reason(error)}.", hint="Try again.") from error
                raise


class _Counted:
    """A file that tells how much of it has been read."""

    def __init__(self, file: Any, on_bytes: OnBytes) -> None:
        self._file = file
        self._on_bytes = on_bytes

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        self._on_bytes(len(data))
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        position: int = self._file.seek(offset, whence)
        return position

    def tell(self) -> int:
        position: int = self._file.tell()
        return position


def _key(pointer: Pointer) -> str:
    sha256 = pointer.sha256
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}"


def _is_folder(url: str) -> bool:
    return "://" not in url or url.startswith("file://")


def _folder(url: str) -> str:
    return os.path.abspath(os.path.expanduser(urlsplit(url).path if url.startswith("file://") else url))


def _reason(error: BaseException) -> str:
    return str(error).split("\n", 1)[0].strip().rstrip(".")[:300] or type(error).__name__
