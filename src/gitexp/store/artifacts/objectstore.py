"""Artifacts in an object store (`s3://`, `gs://`, `az://`), through obstore."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from gitexp.domain.masking import mask_url
from gitexp.domain.pointer import Pointer
from gitexp.errors import AccessDenied, NotFound, RemoteFailed, UsageError
from gitexp.store.arriving import Arriving
from gitexp.store.artifacts.outgoing import Outgoing
from gitexp.store.artifacts.sidebyside import side_by_side
from gitexp.store.artifacts.store import OnBytes
from gitexp.store.content import ContentStore

CLOUDS = {
    "s3": "Amazon S3", "s3a": "Amazon S3",
    "gs": "Google Cloud Storage",
    "az": "Azure", "azure": "Azure", "adl": "Azure", "abfs": "Azure", "abfss": "Azure",
}  # fmt: skip
AT_ONCE = 4
ASK_AT_ONCE = 16
PART = 8 << 20
MOST_PARTS = 9_000
"""S3 takes 10,000 for one object."""
PIECE = 2 << 20

_CLIENT = {
    "allow_http": True,  # where the user's own endpoint is without TLS
    "connect_timeout": timedelta(seconds=20),
    "read_timeout": timedelta(seconds=60),
    "timeout": timedelta(days=2),  # of a whole transfer, however large
}
_RETRIES = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}

_LOGIN_HINTS = {
    "Amazon S3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or type: aws configure; "
    "a store that is not Amazon's needs AWS_ENDPOINT_URL, too.",
    "Google Cloud Storage": "Set GOOGLE_APPLICATION_CREDENTIALS to the path of a key file, "
    "or type: gcloud auth application-default login",
    "Azure": "Set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY.",
}
_NOBODY = ("169.254.169.254", "metadata.google.internal", "Missing", "must be specified", "CredentialsError")
"""What is said where no credentials were found, and the machine's own were asked for."""

_UNREACHED = "error sending request"


class ObjectStore:
    """See `ArtifactStore`. Content lies at `<url>/<aa>/<bb>/<sha256>`, as on this machine.

    Args:
        url: like `s3://bucket/runs`. Who we are comes from where the cloud's own tools have it: `AWS_...` variables and
            `~/.aws`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_...`.

    Raises:
        UsageError: obstore is not installed, or it cannot make sense of the address.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._cloud = CLOUDS.get(urlsplit(url).scheme, "")
        if not self._cloud:
            raise UsageError(
                f"Artifacts cannot be kept at '{mask_url(url)}'.",
                hint="Use s3://, gs://, az:// or the path of a folder.",
            )
        try:
            import obstore  # an extra
            from obstore.store import from_url
        except ImportError as error:
            raise UsageError(
                f"Artifacts at '{mask_url(url)}' need obstore, which is not installed.",
                hint="pip install 'gitexp[cloud]'",
            ) from error
        self._obstore: Any = obstore
        open_store: Any = from_url
        options: dict[str, Any] = {}
        if self._cloud == "Amazon S3":
            from gitexp.store.artifacts.aws_profile import read_profile

            options["config"] = read_profile()
        try:
            self._store: Any = open_store(url, client_options=_CLIENT, retry_config=_RETRIES, **options)
        except Exception as error:  # each store has exceptions of its own
            raise UsageError(
                f"'{mask_url(url)}' cannot be used for artifacts: {_reason(error)}.", hint=_LOGIN_HINTS[self._cloud]
            ) from error

    @property
    def name(self) -> str:
        return mask_url(self._url)

    def lacking(self, pointers: Collection[Pointer]) -> set[Pointer]:
        lacking: set[Pointer] = set()

        def look(pointer: Pointer, _tell: OnBytes) -> None:
            with self._explained():
                try:
                    size = self._obstore.head(self._store, _key(pointer))["size"]
                except FileNotFoundError:
                    size = None
            if size != pointer.size_bytes:
                lacking.add(pointer)

        side_by_side(look, pointers, lambda _: None, at_once=ASK_AT_ONCE)
        return lacking

    def upload(self, pointers: Collection[Pointer], content: ContentStore, on_bytes: OnBytes) -> None:
        def send(pointer: Pointer, tell: OnBytes) -> None:
            part = max(PART, -(-pointer.size_bytes // MOST_PARTS))
            with content.open(pointer) as file:
                data = Outgoing(file, pointer, tell)
                what = iter(data) if pointer.size_bytes > part else b"".join(data)
                with self._explained():
                    self._obstore.put(self._store, _key(pointer), what, chunk_size=part, max_concurrency=2)

        side_by_side(send, self.lacking(pointers), on_bytes, at_once=AT_ONCE)

    def download(self, pointers: Collection[Pointer], content: ContentStore, on_bytes: OnBytes) -> None:
        missing: list[Pointer] = []

        def receive(pointer: Pointer, tell: OnBytes) -> None:
            with content.arriving(pointer) as arriving, self._explained():
                tell(arriving.received)
                try:
                    for piece in self._read(pointer, arriving, tell):
                        arriving.write(piece)
                        tell(len(piece))
                except FileNotFoundError as error:
                    if "NoSuchBucket" in str(error):
                        raise
                    missing.append(pointer)
                    return
                arriving.finish()

        side_by_side(receive, pointers, on_bytes, at_once=AT_ONCE)
        if missing:
            raise NotFound(f"{len(missing)} artifacts are not at '{self.name}'.")

    def _read(self, pointer: Pointer, arriving: Arriving, tell: OnBytes) -> Iterator[memoryview]:
        """What is not here yet, in pieces; all of it from stores that cannot give the rest."""
        start = arriving.received
        if start and start == pointer.size_bytes:
            return
        found = None
        if start:
            try:
                found = self._obstore.get(self._store, _key(pointer), options={"range": (start, pointer.size_bytes)})
            except self._obstore.exceptions.GenericError as error:
                if "non-partial" not in str(error) and "range" not in str(error).lower():
                    raise
            if found is None or found.range != (start, pointer.size_bytes):
                found = None
                tell(-start)
                arriving.restart()
        found = found or self._obstore.get(self._store, _key(pointer))
        for piece in found.stream(min_chunk_size=PIECE):
            yield memoryview(piece)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What goes wrong is told in our words."""
        try:
            yield
        except FileNotFoundError as error:
            raise RemoteFailed(
                f"'{self.name}' cannot be used: there is no such bucket or container.",
                hint="Check its name, or make it.",
            ) from error
        except Exception as error:
            kind = type(error)
            if not kind.__module__.startswith("obstore"):
                raise
            login = _LOGIN_HINTS[self._cloud]
            if kind.__name__ in ("PermissionDeniedError", "UnauthenticatedError"):
                raise AccessDenied(f"'{self.name}' does not let us: {_reason(error)}.", hint=login) from error
            if any(word in str(error) for word in _NOBODY):
                what = f"'{self.name}' wants to know who we are, and no credentials were found."
                raise AccessDenied(what, hint=login) from error
            if _UNREACHED in str(error):
                raise RemoteFailed(f"'{self.name}' cannot be reached: {_reason(error)}.", hint="Try again.") from error
            raise RemoteFailed(f"'{self.name}' fails: {_reason(error)}.", hint="Try again.") from error


def _key(pointer: Pointer) -> str:
    sha256 = pointer.sha256
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}"


def _reason(error: BaseException) -> str:
    """What is worth telling: the server's or the system's own words, else the first line without its prefixes."""
    text, _, debug = str(error).partition("\n\nDebug source")
    for tag in ("Message", "Code"):
        _, found, rest = text.partition(f"<{tag}>")
        if found:
            return rest.partition("<")[0].strip().rstrip(".")
    if _UNREACHED in text:
        said = re.search(r'message: "([^"]+)"', debug)
        return said[1] if said else "no connection"
    first = re.sub(r"^Generic \w+ error: ", "", text.split("\n", 1)[0])
    for prefix in ("Server returned non-2xx status code: ", "HTTP error: "):
        first = first.rpartition(prefix)[2]
    return first.strip().rstrip(".: ")[:300] or type(error).__name__
