"""Rich values become files that other programs read, and two versions of one are compared by what is in them."""

from __future__ import annotations

import io
import json
import math
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import gitexp
from gitexp.comparing import compare, content_changes
from gitexp.contents.change import ContentChange
from gitexp.contents.images import compare_images
from gitexp.contents.tables import compare_tables
from gitexp.contents.texts import compare_json
from gitexp.errors import UsageError
from gitexp.media.documents import encode_histogram
from gitexp.media.pictures import encode_image, encode_video
from gitexp.media.sounds import encode_audio
from gitexp.media.steps import name_at_step
from gitexp.media.tables import encode_table
from gitexp.repo import Repository


class Tensor:
    """As torch has it: it must be detached and brought to the processor before numpy takes it."""

    def __init__(self, values: Any, *, learns: bool = True) -> None:
        self._values = np.asarray(values)
        self._learns = learns

    def detach(self) -> Tensor:
        return Tensor(self._values, learns=False)

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> Any:
        assert not self._learns
        return self._values

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        assert not self._learns
        return self._values.astype(dtype) if dtype else self._values


def test_a_series_has_a_file_for_each_step() -> None:
    """Names sort as the steps do; a step that is none is refused."""
    assert name_at_step("samples/cat.png", 3) == "samples/cat/00000003.png"
    assert name_at_step("cat.png", None) == "cat.png"
    for step in (-1, 1.5, True):
        with pytest.raises(UsageError):
            name_at_step("cat.png", step)  # type: ignore[arg-type]


def test_images_of_every_shape() -> None:
    """Grey, colour and transparent arrays, booleans and tensors are read back as the pixels they were."""
    grey = (np.arange(12).reshape(3, 4) * 20).astype(np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_image(grey, "a.png")))), grey)
    for depth in (3, 4):
        pixels = np.random.default_rng(0).integers(0, 255, (3, 4, depth), dtype=np.uint8)
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_image(pixels, "a.png")))), pixels)
    floats = Tensor([[0.0, 0.5], [1.0, float("nan")]])
    assert np.asarray(Image.open(io.BytesIO(encode_image(floats, "a.png")))).tolist() == [[0, 128], [255, 0]]
    with pytest.raises(UsageError, match="shape"):
        encode_image(np.zeros((2, 2, 2)), "a.png")


def test_frames_become_an_animation() -> None:
    """As many frames as were given, shown as long as was said."""
    frames = [np.full((4, 4, 3), 40 * number, dtype=np.uint8) for number in range(5)]
    for name in ("a.gif", "a.webp", "a.png"):
        with Image.open(io.BytesIO(encode_video(frames, name, 20))) as film:
            assert film.n_frames == 5
    with pytest.raises(UsageError, match="are written as"):
        encode_video(frames, "a.mp4", 20)
    with pytest.raises(UsageError, match="no frames"):
        encode_video([], "a.gif", 20)


def test_sound_is_wave() -> None:
    """Floats and 16-bit integers, one channel or two."""
    for samples, channels in ((np.sin(np.arange(100)), 1), (np.zeros((50, 2), np.int16), 2)):
        with wave.open(io.BytesIO(encode_audio(samples, "a.wav", 8000))) as file:
            assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (channels, 8000, len(samples))


@given(st.lists(st.floats(allow_nan=False, width=32), max_size=50), st.integers(1, 20))
def test_a_histogram_counts_every_finite_value(values: list[float], bins: int) -> None:
    """Each finite value is in one bin; what is not finite is told apart."""
    made = json.loads(encode_histogram(values, bins))
    finite = [value for value in values if math.isfinite(value)]
    assert len(made["counts"]) == bins == len(made["edges"]) - 1
    assert sum(made["counts"]) == len(finite) == made["count"]
    assert made.get("not_finite", 0) == len(values) - len(finite)


def test_histograms_agree_with_numpy() -> None:
    """Equal bins and given edges count as numpy does, and what numpy counted is kept."""
    values = np.random.default_rng(1).normal(size=(10, 100))
    counts, edges = np.histogram(values, bins=32)
    assert json.loads(encode_histogram(Tensor(values), 32))["counts"] == counts.tolist()
    assert json.loads(encode_histogram((counts, edges)))["counts"] == counts.tolist()
    own = [-1.0, 0.0, 0.5, 3.0]
    assert json.loads(encode_histogram(values, own))["counts"] == np.histogram(values, bins=own)[0].tolist()


def test_tables_from_everywhere() -> None:
    """pandas, columns, rows and what looks like Arrow give the same file."""

    class Arrow:
        def to_pydict(self) -> dict[str, list[Any]]:
            return {"a": [1, 2], "b": ["x", None]}

    columns = {"a": [1, 2], "b": ["x", None]}
    wanted = encode_table(columns, "t.csv")
    assert wanted == b"a,b\n1,x\n2,\n"
    rows = [{"a": 1, "b": "x"}, {"a": 2}]
    frame = pd.DataFrame({"a": [1, 2], "b": pd.Series(["x", None], dtype=object)})
    for data in (Arrow(), rows, frame):
        assert encode_table(data, "t.csv") == wanted
    assert encode_table(columns, "t.tsv") == b"a\tb\n1\tx\n2\t\n"
    for wrong in ("text", 5, [1, 2], {"a": [1], "b": [1, 2]}):
        with pytest.raises(UsageError):
            encode_table(wrong, "t.csv")
    with pytest.raises(UsageError, match=r"not '\.xlsx'"):
        encode_table(columns, "t.xlsx")


def test_figures_of_matplotlib_and_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has `savefig` is saved in the format of its name; axes stand for their figure."""
    from gitexp.media.pictures import encode_figure

    class Figure:
        def savefig(self, buffer: io.BytesIO, **options: str) -> None:
            buffer.write(options["format"].encode())

    class Axes:
        figure = Figure()

    monkeypatch.setattr(Figure, "figure", Figure, raising=False)
    assert encode_figure(Figure(), "a.svg") == b"svg"
    assert encode_figure(Axes(), "a") == b"png"
    with pytest.raises(UsageError):
        encode_figure(object(), "a.png")


def picture(value: int) -> bytes:
    pixels = np.zeros((10, 10, 3), np.uint8)
    pixels[0, :5] = value
    return encode_image(pixels, "a.png")


def test_images_are_compared_by_their_pixels() -> None:
    """Another compression is no difference; a line of other pixels is counted; another size is named."""
    again = io.BytesIO()
    Image.open(io.BytesIO(picture(0))).save(again, "png", compress_level=0)
    same = compare_images(picture(0), again.getvalue())
    assert same is not None
    assert same.summary == "10×10, the same pixels"
    changed = compare_images(picture(0), picture(255))
    assert changed is not None
    assert changed.facts["pixels_changed"] == pytest.approx(0.05)
    assert changed.facts["mean_difference"] == pytest.approx(0.05 * 3 / 4)
    assert "5 % of the pixels differ" in changed.summary
    other = compare_images(picture(0), encode_image(np.zeros((5, 20), np.uint8), "a.png"))
    assert other is not None
    assert other.summary == "10×10 became 20×5 pixels"


def test_tables_are_compared_by_columns_and_rows() -> None:
    """Columns that came, went or changed their kind; rows that came, went or changed."""
    before = b"id,x,y\n1,0.5,a\n2,0.6,b\n3,0.7,c\n"
    after = b"id,x,z\n1,0.5,9\n2,high,9\n4,0.9,9\n"
    found = compare_tables(before, after, ".csv")
    assert found is not None
    facts = found.facts
    assert (facts["columns_added"], facts["columns_removed"]) == (["z"], ["y"])
    assert facts["columns_retyped"] == {"x": ["number", "text"]}
    assert (facts["rows_changed"], facts["rows_added"], facts["rows_removed"]) == (1, 1, 1)
    assert found.summary == "columns +z; columns -y; columns ~x; 3 rows: +1 -1 ~1"
    lines = compare_tables(b'{"a": 1}\n{"a": 2}\n', b'{"a": 2}\n', ".jsonl")
    assert lines is not None
    assert lines.summary == "2 rows became 1: -1"


def test_json_is_compared_by_its_keys() -> None:
    """The keys that came, went or changed are named."""
    found = compare_json(b'{"a": 1, "b": {"c": [1, 2]}}', b'{"a": 2, "b": {"c": [1, 3]}, "d": null}')
    assert found.facts == {"added": ["d"], "removed": [], "changed": ["a", "b.c"]}
    assert found.summary == "~a, ~b.c, +d"


def test_a_diff_looks_into_artifacts(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What both runs have and what differs is described; a file that is not what its name says is left alone."""
    monkeypatch.chdir(repo_dir)
    for number in range(2):
        with gitexp.start_run(f"run-{number}"):
            gitexp.log_image(np.full((4, 4), 100 * number, np.uint8), "samples/cat.png", step=7)
            gitexp.log_table({"a": list(range(3 + number))}, "table.json")
            gitexp.log_audio(np.full(800, number / 2), "tone.wav", sample_rate=8000)
            gitexp.log_html(f"<p>{number}</p>", "page.html")
            gitexp.log_histogram(range(10 + number), "weights.json", step=2)
            gitexp.log_text(f"no image {number}", "broken.png")
            gitexp.log_text("the same", "same.txt")
    repository = Repository.open(repo_dir)
    one, other = repository.get_run("run-0"), repository.get_run("run-1")
    found: dict[str, ContentChange] = content_changes(one, other, compare(repository, one, other))
    assert {path: change.kind for path, change in found.items()} == {
        "samples/cat/00000007.png": "image",
        "table.json": "table",
        "tone.wav": "audio",
        "page.html": "text",
        "weights/00000002.json": "json",
    }
    assert found["table.json"].summary == "3 rows became 4: +1"
    assert "differ by up to 0.5 of full scale" in found["tone.wav"].summary


def test_bad_values_are_a_warning(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that cannot be kept never ends the training."""
    monkeypatch.chdir(repo_dir)
    with gitexp.start_run() as run:
        for act in (
            lambda: gitexp.log_image("no image", "a.png"),
            lambda: gitexp.log_table(5, "t.csv"),
            lambda: gitexp.log_audio([0.5], "a.mp3", sample_rate=1),
            lambda: gitexp.log_histogram(["x"], "h.json"),
            lambda: gitexp.log_text("x", "a.txt", step=-1),
        ):
            with pytest.warns(gitexp.GitexpWarning):
                act()
    assert not Repository.open(repo_dir).get_run(run.id).artifacts
