"""Event files are read as TensorBoard reads them, as they grow, and whatever is wrong with them."""

from __future__ import annotations

import base64
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import event_files
from gitexp.running.tfevents import LARGEST_RECORD, EventFile, HParams, Item, Media, Scalar, masked_crc

DATA = Path(__file__).parent / "data" / "tfevents"
EXPECTED = json.loads((DATA / "expected.json").read_text())
PYTHON = os.environ.get("GITEXP_FRAMEWORKS_PYTHON", "")
SINGLES = st.floats(width=32, allow_nan=False)


def read(path: Path, data: bytes | None = None) -> list[Item]:
    if data is not None:
        path.write_bytes(data)
    return list(EventFile(str(path)).read())


def single(number: float) -> float:
    found: float = struct.unpack("<f", struct.pack("<f", number))[0]
    return found


def check(path: Path, expected: dict[str, Any]) -> None:
    """Compare what a file holds with what TensorBoard read from it."""
    items = read(path)
    scalars = [item for item in items if isinstance(item, Scalar)]
    assert [[item.tag, item.step, item.time] for item in scalars] == [row[:3] for row in expected["scalars"]]
    for item, (_, _, _, text) in zip(scalars, expected["scalars"], strict=True):
        if "." in text and single(float(text)) == float(text):
            assert single(item.value) == float(text)
            assert len(repr(item.value)) <= len(text)
        else:
            assert repr(item.value) == text
    media = [item for item in items if isinstance(item, Media)]
    assert [[item.tag, item.step, base64.b64encode(item.data).decode()] for item in media] == expected["media"]
    hparams = {key: value for item in items if isinstance(item, HParams) for key, value in item.values.items()}
    assert hparams == expected["hparams"]


@pytest.mark.parametrize("name", EXPECTED)
def test_recorded_files_are_read_as_tensorboard_reads_them(name: str) -> None:
    """Scalars old and new, of every type, images, texts, sounds and hparams, as four writers made them."""
    check(DATA / name, EXPECTED[name])


def test_the_recorded_files_hold_what_they_should() -> None:
    """A recording that lost its content proves nothing."""
    items = [item for name in EXPECTED for item in read(DATA / name)]
    assert {item.ending for item in items if isinstance(item, Media)} == {".png", ".md", ".wav"}
    kinds = {item.tag: item.value for item in items if isinstance(item, Scalar) and item.tag.startswith("as/")}
    assert kinds == {
        f"as/{kind}": 200 if kind == "uint8" else -2
        for kind in ("float16", "bfloat16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64")
    }
    assert any(isinstance(item, HParams) and item.values["lr"] == 0.1 for item in items)
    assert not [item for item in items if isinstance(item, Scalar) and item.tag in ("weights", "whole")]


@pytest.mark.frameworks
@pytest.mark.slow
@pytest.mark.skipif(not PYTHON, reason="GITEXP_FRAMEWORKS_PYTHON names no interpreter")
def test_files_of_the_writers_at_hand_are_read_as_tensorboard_reads_them(tmp_path: Path) -> None:
    """Whatever versions of torch, tensorboardX and tensorflow are installed there."""
    subprocess.run([PYTHON, str(DATA / "make.py"), str(tmp_path)], check=True, capture_output=True)
    expected = json.loads((tmp_path / "expected.json").read_text())
    assert expected
    for name, content in expected.items():
        check(tmp_path / name, content)


def test_the_checksum_is_that_of_the_format() -> None:
    """The example of RFC 3720, B.4, turned and moved."""
    crc = 0x8A9136AA
    assert masked_crc(bytes(32)) == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_a_file_is_read_on_as_it_grows(tmp_path: Path) -> None:
    """Byte by byte: each scalar comes once, as soon as it is whole."""
    data = event_files.begin() + b"".join(event_files.scalar("loss", step, step) for step in range(4))
    path = tmp_path / "events"
    path.touch()
    file = EventFile(str(path))
    seen = []
    with open(path, "ab", buffering=0) as writer:
        for byte in data:
            writer.write(bytes((byte,)))
            seen += list(file.read())
    assert [(item.step, item.value) for item in seen if isinstance(item, Scalar)] == [(n, float(n)) for n in range(4)]
    assert file.trouble == ""


def test_junk_ends_the_reading_and_is_told(tmp_path: Path) -> None:
    """What comes before it is kept; what comes after cannot be found."""
    good = event_files.begin() + event_files.scalar("loss", 1, 0.5)
    path = tmp_path / "events"
    path.write_bytes(good + b"junk" * 10 + event_files.scalar("loss", 2, 0.5))
    file = EventFile(str(path))
    assert len(list(file.read())) == 1
    assert list(file.read()) == []
    assert f"{len(good):,} bytes" in file.trouble


def test_a_damaged_event_is_left_out_and_told(tmp_path: Path) -> None:
    """One turned bit of a value, seen by its checksum."""
    first, second, third = (event_files.scalar("loss", step, 0.5) for step in range(3))
    damaged = second[:-6] + bytes((second[-6] ^ 1,)) + second[-5:]
    path = tmp_path / "events"
    path.write_bytes(first + damaged + third)
    file = EventFile(str(path))
    assert [item.step for item in file.read() if isinstance(item, Scalar)] == [0, 2]
    assert file.trouble.startswith("1 of")


def test_a_huge_record_is_passed_over(tmp_path: Path) -> None:
    """It is not read into memory, and what follows is."""
    length = struct.pack("<Q", LARGEST_RECORD + 1)
    path = tmp_path / "events"
    with open(path, "wb") as file:
        file.write(length + struct.pack("<I", masked_crc(length)))
        file.seek(LARGEST_RECORD + 5, os.SEEK_CUR)
        file.write(event_files.scalar("loss", 1, 0.5))
    assert [item.step for item in read(path) if isinstance(item, Scalar)] == [1]


@given(st.integers(-(2**63), 2**63 - 1), SINGLES, st.text("aä/ ", min_size=1))
def test_any_scalar_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, step: int, value: float, tag: str
) -> None:
    """Any step, any number of 32 bits, any name."""
    path = tmp_path_factory.getbasetemp() / "scalar"
    (item,) = read(path, event_files.scalar(tag, step, value))
    assert isinstance(item, Scalar)
    assert (item.tag, item.step, single(item.value)) == (tag, step, value)


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_no_bytes_make_it_fail(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    """An event that is anything is left out."""
    path = tmp_path_factory.getbasetemp() / "junk"
    items = read(path, event_files.record(junk) + event_files.record(event_files.field(5, event_files.field(1, junk))))
    assert all(isinstance(item, (Scalar, Media, HParams)) for item in items)
    read(path, junk)
    EventFile(str(path)).first_time()


def test_numbers_of_32_bits_are_the_shortest_that_mean_them(tmp_path: Path) -> None:
    """0.1 is stored as 0.10000000149011612, and nobody wrote that."""
    data = b"".join(event_files.scalar("x", 0, value) for value in (0.1, 1e-5, 16777217, 3.4e38, 1 / 3))
    assert [item.value for item in read(tmp_path / "x", data) if isinstance(item, Scalar)] == [
        0.1, 1e-5, 16777216, 3.4e38, 0.33333334,
    ]  # fmt: skip


def test_reading_imports_nothing_of_tensorboards() -> None:
    """Nor numpy: it is read where neither is installed."""
    code = "import sys, gitexp.running.tfevents; print(sorted({'numpy', 'tensorboard', 'google'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
