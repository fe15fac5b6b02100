"""Writes event files with the writers that people use, and says beside them what TensorBoard itself reads from them.

    python make.py FOLDER

The files here were made by it with tensorboard 2.21, torch 2.13, tensorboardX 2.6 and tensorflow 2.21; whichever of the
writers is not installed is left out. What it writes has to stay small: under 50 KB in all.
"""

from __future__ import annotations

import base64
import glob
import json
import os
import sys

import numpy as np


def with_torch(folder: str, module: str = "torch.utils.tensorboard") -> None:
    from importlib import import_module

    writer = import_module(module).SummaryWriter(folder)
    for step in range(3):
        writer.add_scalar("loss/train", 1 / (step + 1), step * 10, walltime=1_700_000_000.25 + step)
    writer.add_scalar("odd", float("nan"), 0)
    writer.add_scalar("odd", float("-inf"), 2**40)
    writer.add_scalars("both", {"train": 0.5, "val": 0.25}, 7)
    writer.add_text("notes", "two *words*", 1)
    writer.add_image("digit", np.zeros((1, 4, 4), dtype=np.uint8), 3)
    writer.add_histogram("weights", np.arange(4.0), 0)
    hparams = {"lr": 0.1, "layers": 3, "name": "adam", "bias": True}
    if module.startswith("torch"):
        writer.add_scalar("new/style", 0.125, 4, new_style=True)
        writer.add_scalar("new/double", 0.1, 4, new_style=True, double_precision=True)
        writer.add_hparams(hparams, {"hparam/score": 0.75}, run_name="tried")
        writer.add_tensor("whole", __import__("torch").arange(4), 2)
    else:
        writer.add_hparams(hparams, {"hparam/score": 0.75}, name="tried")
    writer.close()


def with_tensorboardx(folder: str) -> None:
    with_torch(folder, "tensorboardX")


def with_tensorflow(folder: str) -> None:
    import tensorflow as tf
    from tensorboard.plugins.hparams import api

    for part in ("train", "validation"):
        with tf.summary.create_file_writer(f"{folder}/{part}").as_default():
            for step in range(3):
                tf.summary.scalar("epoch_loss", 1 / (step + 1), step=step)
    with tf.summary.create_file_writer(folder).as_default():
        metadata = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"})
        for kind in ("float16", "bfloat16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64"):
            value = tf.cast(-2 if kind[0] != "u" else 200, getattr(tf, kind))
            tf.summary.write(f"as/{kind}", value, step=5, metadata=metadata)
        tf.summary.scalar("zero", 0.0, step=-1)
        tf.summary.text("notes", ["one", "two"], step=1)
        tf.summary.image("digits", np.zeros((2, 4, 4, 1), dtype=np.float32), step=3)
        tf.summary.audio("sound", np.zeros((1, 8, 1), dtype=np.float32), 8000, step=2)
        tf.summary.histogram("weights", np.arange(4.0), step=0, buckets=2)
        api.hparams({"lr": 0.1, "layers": 3, "name": "adam", "bias": True})


def with_tensorflow_1(folder: str) -> None:
    import tensorflow as tf

    with tf.Graph().as_default():
        writer = tf.compat.v1.summary.FileWriter(folder)
        value = tf.compat.v1.Summary.Value(tag="loss", simple_value=0.5)
        writer.add_summary(tf.compat.v1.Summary(value=[value]), 12)
        writer.close()


def read(path: str) -> dict[str, object]:
    """What TensorBoard reads from one file, and the texts and pictures as base64."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto import event_pb2
    from tensorboard.plugins.hparams import plugin_data_pb2

    try:
        from tensorflow import make_ndarray
    except ImportError:  # TensorBoard's own knows no bfloat16, which only TensorFlow writes
        from tensorboard.util.tensor_util import make_ndarray

    scalars, media, hparams, plugins = [], [], {}, {}
    for record in RawEventFileLoader(path).Load():
        event = event_pb2.Event.FromString(record)
        for value in event.summary.value:
            plugin = plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
            kind = value.WhichOneof("value")
            if plugin == "hparams":
                content = plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
                for name, item in content.session_start_info.hparams.items():
                    hparams[name] = getattr(item, item.WhichOneof("kind"))
            elif kind == "simple_value":
                scalars.append([value.tag, event.step, event.wall_time, repr(value.simple_value)])
            elif kind == "image":
                media.append([value.tag, event.step, base64.b64encode(value.image.encoded_image_string).decode()])
            elif kind == "tensor" and plugin in ("scalars", "") and value.tensor.dtype != 7:
                array = make_ndarray(value.tensor)
                if array.size == 1:
                    scalars.append([value.tag, event.step, event.wall_time, repr(array.item())])
            elif plugin == "text":
                text = b"\n\n".join(make_ndarray(value.tensor).reshape(-1))
                name = value.tag.removesuffix("/text_summary")
                media.append([name, event.step, base64.b64encode(text).decode()])
            elif plugin == "images":
                for place, data in enumerate(make_ndarray(value.tensor)[2:]):
                    name = value.tag if value.tensor.tensor_shape.dim[0].size == 3 else f"{value.tag}/{place}"
                    media.append([name, event.step, base64.b64encode(data).decode()])
            elif plugin == "audio":
                media.append([value.tag, event.step, base64.b64encode(make_ndarray(value.tensor)[0, 0]).decode()])
    return {"scalars": scalars, "media": media, "hparams": hparams}


def main(folder: str) -> None:
    for make in (with_torch, with_tensorboardx, with_tensorflow, with_tensorflow_1):
        try:
            make(os.path.join(folder, make.__name__.removeprefix("with_")))
        except ImportError as error:
            sys.stderr.write(f"left out: {error}\n")
    paths = sorted(glob.glob(f"{folder}/**/events.out.tfevents.*", recursive=True))
    expected = {os.path.relpath(path, folder): read(path) for path in paths}
    with open(os.path.join(folder, "expected.json"), "w", encoding="utf-8") as file:
        json.dump(expected, file, indent=1)


if __name__ == "__main__":
    main(sys.argv[1])
