"""TensorBoard's event files, read without TensorBoard, as they grow.

A file is a row of TFRecords (tensorflow/core/lib/io/record_writer.h): u64 length, u32 masked CRC-32C of it, data, u32
masked CRC-32C of the data, all little-endian. The data are protocol buffers (tensorflow/core/util/event.proto,
framework/summary.proto, tensor.proto; tensorboard/plugins/hparams/plugin_data.proto); this knows of them what it needs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from gitexp.domain.values import Value

LARGEST_RECORD = 64 << 20
"""Bytes; a larger record (a graph, a dump of an embedding) is passed over."""

MOST_CHECKED = 64 << 10
"""Bytes; of larger records the checksum is not looked at, which would take Python seconds."""

_BUFFER = 1 << 20

_HEADER = struct.Struct("<QI")
_double = struct.Struct("<d").unpack
_float = struct.Struct("<f").unpack
_pack_float = struct.Struct("<f").pack

_NUMBER_FORMATS = {
    1: "<f",
    2: "<d",
    3: "<i",
    4: "<B",
    5: "<h",
    6: "<b",
    9: "<q",
    10: "<?",
    17: "<H",
    19: "<e",
    22: "<I",
    23: "<Q",
}
"""By the number of a DataType: how one number of it is stored."""
_FLOAT, _BFLOAT16 = 1, 14
_FLOATS = (_FLOAT, 2, _BFLOAT16, 19)
_FLOAT_VAL, _DOUBLE_VAL, _HALF_VAL, _STRING_VAL = 5, 6, 13, 8
_INTEGER_VALS = (7, 10, 11, 16, 17)

_ENDINGS = ((b"\x89PNG", ".png"), (b"\xff\xd8", ".jpg"), (b"GIF8", ".gif"), (b"RIFF", ".wav"), (b"BM", ".bmp"))


class Scalar(NamedTuple):
    """One value of a metric; the time is in seconds since 1970, UTC."""

    tag: str
    step: int
    time: float
    value: float | int


class Media(NamedTuple):
    """An image, a text or a sound, as the file that it is; `ending` begins with a dot."""

    tag: str
    step: int
    data: bytes
    ending: str


class HParams(NamedTuple):
    """What `add_hparams` was given."""

    values: dict[str, Value]


Item = Scalar | Media | HParams


class EventFile:
    """One event file, from which can be read on whenever it has grown.

    Attributes:
        trouble: what is wrong with it, a sentence; empty where nothing is. After a damaged length nothing more is read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.trouble = ""
        self._offset = 0
        self._is_lost = False
        self._damaged = 0
        self._plugins: dict[str, str] = {}

    def first_time(self) -> float | None:
        """When the file was begun, as its first event says, in seconds since 1970, UTC; None where it has none yet.

        Raises:
            OSError: it cannot be read.
        """
        with open(self.path, "rb") as file:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size or masked_crc(header[:8]) != _HEADER.unpack(header)[1]:
                return None
            data = file.read(min(_HEADER.unpack(header)[0], LARGEST_RECORD))
        try:
            return next((_double(_bytes(value))[0] for number, value in _fields(data) if number == 1), None)
        except (ValueError, IndexError, struct.error):
            return None

    def read(self) -> Iterator[Item]:
        """What was written since the last call. An unfinished record at the end is left for the next.

        Raises:
            OSError: it cannot be read.
        """
        if self._is_lost:
            return
        with open(self.path, "rb", buffering=_BUFFER) as file:
            file.seek(self._offset)
            while len(header := file.read(_HEADER.size)) == _HEADER.size:
                length, check = _HEADER.unpack(header)
                if masked_crc(header[:8]) != check:
                    self._is_lost = True
                    self.trouble = f"What follows {self._offset:,} bytes in it is no event."
                    return
                whole = _HEADER.size + length + 4
                if length > LARGEST_RECORD:
                    file.seek(self._offset + whole - 1)
                    if not file.read(1):
                        return
                else:
                    data = file.read(length + 4)
                    if len(data) < length + 4:
                        return
                    yield from self._items(data[:-4], int.from_bytes(data[-4:], "little"))
                self._offset += whole

    def _items(self, data: bytes, check: int) -> list[Item]:
        try:
            items = self._decode(data)
        except (ValueError, IndexError, TypeError, struct.error):
            items = None
        if items is None or (items and len(data) <= MOST_CHECKED and masked_crc(data) != check):
            self._damaged += 1
            self.trouble = f"{self._damaged:,} of its events are damaged."
            return []
        return items

    def _decode(self, data: bytes) -> list[Item]:
        moment, step = 0.0, 0
        summaries = []
        for number, value in _fields(data):
            if number == 1:
                moment = _double(_bytes(value))[0]
            elif number == 2:
                step = _signed(value)
            elif number == 5:
                summaries.append(_bytes(value))
        items: list[Item] = []
        for summary in summaries:
            for number, value in _fields(summary):
                if number == 1:
                    items += self._value(_bytes(value), step, moment)
        return items

    def _value(self, data: bytes, step: int, moment: float) -> Iterator[Item]:
        tag, metadata = "", b""
        kind, content = 0, b""
        for number, value in _fields(data):
            if number == 1:
                tag = _bytes(value).decode("utf-8", "replace")
            elif number == 9:
                metadata = _bytes(value)
            elif number in (2, 4, 6, 8):
                kind, content = number, _bytes(value)
        plugin, plugin_content = _plugin(metadata)
        if plugin:
            self._plugins[tag] = plugin
        else:
            plugin = self._plugins.get(tag, "")  # only the first of a tag has to name it
        if plugin == "hparams":
            values = dict(_session_hparams(plugin_content))
            if values:
                yield HParams(values)
        elif kind == 2:
            yield Scalar(tag, step, moment, _shortest(content))
        elif kind in (4, 6):
            encoded = b"".join(_bytes(value) for number, value in _fields(content) if number == 4)
            if encoded:
                yield Media(tag, step, encoded, _ending(encoded))
        elif kind == 8:
            yield from _tensor_items(tag, step, moment, plugin, content)


def _tensor_items(tag: str, step: int, moment: float, plugin: str, content: bytes) -> Iterator[Item]:
    tensor = _Tensor(content)
    if plugin in ("scalars", ""):
        value = tensor.number()
        if value is not None:
            yield Scalar(tag, step, moment, value)
    elif plugin == "text":
        text = b"\n\n".join(tensor.strings)
        if text:
            yield Media(tag.removesuffix("/text_summary"), step, text, ".md")
    elif plugin == "images":
        for place, data in enumerate(tensor.strings[2:]):  # after width and height
            yield Media(tag if len(tensor.strings) == 3 else f"{tag}/{place}", step, data, _ending(data))
    elif plugin == "audio":
        sounds = tensor.strings[:: 2 if tensor.is_matrix else 1]  # each with its label
        for place, data in enumerate(sounds):
            yield Media(tag if len(sounds) == 1 else f"{tag}/{place}", step, data, _ending(data))


class _Tensor:
    """A TensorProto, as far as it is a number or strings."""

    def __init__(self, data: bytes) -> None:
        self._type = 0
        self._content = b""
        self._values: list[tuple[int, int | bytes]] = []
        self.strings: list[bytes] = []
        dimensions = []
        for number, value in _fields(data):
            if number == 1:
                self._type = int(value)
            elif number == 2:
                dimensions += [_size(_bytes(inner)) for at, inner in _fields(_bytes(value)) if at == 2]
            elif number == 4:
                self._content = _bytes(value)
            elif number == _STRING_VAL:
                self.strings.append(_bytes(value))
            else:
                self._values.append((number, value))
        self.is_matrix = len(dimensions) == 2
        self._is_one = all(size == 1 for size in dimensions)

    def number(self) -> float | int | None:
        """The one number that it holds; None where it holds another count or kind of things."""
        if not self._is_one:
            return None
        if self._content:
            return self._from_content(self._content)
        for number, value in self._values:
            if number == _HALF_VAL:
                return self._from_content(_varint(value).to_bytes(2, "little"))
            if number == _FLOAT_VAL:
                return _shortest(_bytes(value)[:4])
            if number == _DOUBLE_VAL:
                return float(_double(_bytes(value)[:8])[0])
            if number in _INTEGER_VALS:
                found = _varint(value)
                return found if self._type in (22, 23) else _signed(found)
        if self._type in _FLOATS:
            return 0.0  # zeros may be left out
        return 0 if self._type in _NUMBER_FORMATS else None

    def _from_content(self, content: bytes) -> float | int | None:
        if self._type == _FLOAT:
            return _shortest(content)
        if self._type == _BFLOAT16:
            return float(_float(b"\0\0" + content)[0])
        form = _NUMBER_FORMATS.get(self._type)
        return None if form is None else struct.unpack(form, content)[0]


def _shortest(single: bytes) -> float:
    """The number with the fewest digits that is this one among those of 32 bits: 0.1, not 0.10000000149011612."""
    value: float = _float(single)[0]
    for digits in ("%.6g", "%.7g", "%.8g"):
        shorter = float(digits % value)
        try:
            if _pack_float(shorter) == single:
                return shorter
        except OverflowError:  # rounded up beyond the largest
            continue
    return value


def _plugin(metadata: bytes) -> tuple[str, bytes]:
    """The name and the content of a SummaryMetadata's plugin data."""
    name, content = "", b""
    for number, value in _fields(metadata):
        if number == 1:
            for inner, part in _fields(_bytes(value)):
                if inner == 1:
                    name = _bytes(part).decode("utf-8", "replace")
                elif inner == 2:
                    content = _bytes(part)
    return name, content


def _session_hparams(content: bytes) -> Iterator[tuple[str, Value]]:
    """The hparams of a HParamsPluginData's session_start_info."""
    for number, info in _fields(content):
        if number != 3:
            continue
        for inner, entry in _fields(_bytes(info)):
            if inner == 1:
                pair = dict(_fields(_bytes(entry)))
                name = _bytes(pair.get(1, b"")).decode("utf-8", "replace")
                yield name, _json_value(_bytes(pair.get(2, b"")))


def _json_value(data: bytes) -> Value:
    """A google.protobuf.Value that is no list and no struct. It knows no integers: whole numbers are taken for some."""
    for number, value in _fields(data):
        if number == 2:
            found = float(_double(_bytes(value))[0])
            return int(found) if found.is_integer() and abs(found) < 2**53 else found
        if number == 3:
            return _bytes(value).decode("utf-8", "replace")
        if number == 4:
            return bool(value)
    return None


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: number, and an int for a varint, else bytes. Raises ValueError, IndexError."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint_at(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint_at(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint_at(data, at)
        elif kind == 1:
            size = 8
        elif kind == 5:
            size = 4
        else:
            raise ValueError("a kind of field that no event has")
        at += size
        if at > end:
            raise ValueError("a field that is longer than its message")
        yield key >> 3, data[at - size : at]


def _varint_at(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < 128:
        return byte, at + 1
    value, shift = byte & 127, 7
    while True:
        at += 1
        byte = data[at]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at + 1
        shift += 7
        if shift > 63:
            raise ValueError("a varint of more than ten bytes")


def _varint(value: int | bytes) -> int:
    """A number on its own, or the first of packed ones."""
    return value if isinstance(value, int) else _varint_at(value, 0)[0]


def _size(dimension: bytes) -> int:
    return next((_signed(value) for number, value in _fields(dimension) if number == 1), 0)


def _signed(value: int | bytes) -> int:
    number = _varint(value) & (1 << 64) - 1
    return number - (1 << 64) if number >> 63 else number


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where there should be bytes")
    return value


def _ending(data: bytes) -> str:
    return next((ending for start, ending in _ENDINGS if data.startswith(start)), ".bin")


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_CRC = _crc_table()


def masked_crc(data: bytes) -> int:
    """The CRC-32C of `data`, turned and moved as TFRecords have it."""
    crc = 0xFFFFFFFF
    table = _CRC
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
