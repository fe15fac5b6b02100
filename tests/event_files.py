"""Writes event files as TensorBoard's writers do, for tests that need none of them."""

from __future__ import annotations

import struct
import time
from pathlib import Path

from gitexp.running.tfevents import masked_crc


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return b"".join([length, struct.pack("<I", masked_crc(length)), data, struct.pack("<I", masked_crc(data))])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    made = bytearray()
    value &= (1 << 64) - 1
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes((*made, value))


def begin(moment: float | None = None) -> bytes:
    return record(b"\x09" + struct.pack("<d", time.time() if moment is None else moment) + field(3, b"brain.Event:2"))


def scalar(tag: str, step: int, value: float, moment: float = 1_700_000_000.5) -> bytes:
    summary = field(1, field(1, tag.encode()) + b"\x15" + struct.pack("<f", value))
    return record(b"\x09" + struct.pack("<d", moment) + b"\x10" + varint(step) + field(5, summary))


WRITER = f"""
import os, struct, sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r}), sys.path.insert(0, {str(Path(__file__).parent.parent / "src")!r})
import event_files

def write(folder, tags, steps=3):
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"events.out.tfevents.{{int(time.time())}}.host.{{os.getpid()}}.0")
    with open(path, "wb") as file:
        file.write(event_files.begin())
        for step in range(steps):
            for tag in tags:
                file.write(event_files.scalar(tag, step, 1 / (step + 1), time.time()))
    return path
"""
"""The beginning of a script that writes event files with `write(folder, tags, steps)`."""
