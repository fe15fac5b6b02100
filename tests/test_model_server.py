"""A model that answers over HTTP: real requests to a real server, malformed ones too."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

from gitexp import __version__
from gitexp.domain.signature import ColumnType, Param, Signature
from gitexp.models.schema import infer_schema
from gitexp.models.server import MOST_BYTES
from gitexp.pyfunc import save_model

pytestmark = pytest.mark.slow

FRAME = pd.DataFrame({"a": [1.5, 2.0], "b": [3, 4]})
PATIENCE_S = 60
JSON = "application/json"


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server(NamedTuple):
    """A server that runs."""

    port: int
    process: subprocess.Popen[bytes]

    def ask(self, body: Any, kind: str = JSON, *, method: str = "POST", path: str = "/invocations") -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, data, {"Content-Type": kind} if kind else {})
        response = connection.getresponse()
        answer = Answer(response.status, response.read().decode())
        connection.close()
        return answer


class Times:
    """Multiplies a column; says which process does it."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002 (as it is called)
        if params["factor"] == 13:
            raise RuntimeError("unlucky")
        time.sleep(params["wait"])
        return {"answer": (model_input["a"] * params["factor"]).tolist(), "process": os.getpid()}


def save(folder: Path) -> str:
    number = [Param(name="factor", type=ColumnType(kind="long"), default=2)]
    number += [Param(name="wait", type=ColumnType(kind="double"), default=0.0)]
    signature = Signature(inputs=infer_schema(FRAME), outputs=None, params=tuple(number))
    save_model(str(folder / "model"), python_model=Times(), signature=signature, code_paths=[__file__])
    return str(folder / "model")


@contextmanager
def serving(model: str, *options: str) -> Iterator[Server]:
    """`gitexp models serve`, from when it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "gitexp",
        "models",
        "serve",
        model,
        "--env",
        "current",
        "--port",
        str(port),
        *options,
    ]
    environ = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environ, start_new_session=True) as process:
        try:
            wait_for(process, port)
            yield Server(port, process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        select.select([], [], [], 0.02)
    raise AssertionError("it does not listen")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(save(tmp_path_factory.mktemp("served"))) as found:
        yield found


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["b", "a"], "data": [[3, 1.5], [4, 2]]}},
        {"dataframe_records": FRAME.to_dict("records")},
        {"inputs": {"a": [1.5, 2], "b": [3, 4]}},
        {"instances": FRAME.to_dict("records"), "params": {"factor": 2}},
    ],
)
def test_all_forms_are_answered(server: Server, body: Any) -> None:
    """Each form of JSON is the same question."""
    assert server.ask(body).json["predictions"]["answer"] == [3.0, 4.0]


def test_csv_and_params_are_answered(server: Server) -> None:
    """CSV has no params, and JSON's reach the model."""
    assert server.ask(b"a,b\n1.5,3\n2,4\n", "text/csv; charset=utf-8").json["predictions"]["answer"] == [3.0, 4.0]
    asked = {"dataframe_records": FRAME.to_dict("records"), "params": {"factor": 10}}
    assert server.ask(asked).json["predictions"]["answer"] == [15.0, 20.0]


GOOD = {"dataframe_records": FRAME.to_dict("records")}


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b"{", JSON, 400, "no JSON"),
        (b"", JSON, 400, "no JSON"),
        (b"\xff", JSON, 400, "UTF-8"),
        (b"[" * 100_000, JSON, 400, "no JSON"),
        ([1], JSON, 400, "must be an object"),
        ({}, JSON, 400, "exactly one"),
        ({**GOOD, "inputs": [1]}, JSON, 400, "exactly one"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, JSON, 400, "dataframe_split"),
        ({"dataframe_records": [{"a": 1.0}]}, JSON, 400, "'b'"),
        ({"dataframe_records": [{"a": "x", "b": 1}]}, JSON, 400, "'a' must be double, found string"),
        ({"dataframe_records": [{"a": 1.0, "b": 1.5}]}, JSON, 400, "'b' must be long"),
        ({**GOOD, "params": {"speed": 1}}, JSON, 400, "'speed'"),
        ({**GOOD, "params": {"factor": "fast"}}, JSON, 400, "'factor' must be long"),
        ({**GOOD, "params": {"factor": 13}}, JSON, 400, "RuntimeError: unlucky"),
        (GOOD, "text/plain", 415, "text/plain"),
        (GOOD, "", 415, "content type"),
        (b'a,b\n1,"', "text/csv", 400, "CSV"),
        (b" " * (MOST_BYTES + 1), JSON, 413, "larger"),
    ],
)
def test_what_cannot_be_answered_says_why(server: Server, body: Any, kind: str, status: int, said: str) -> None:
    """Never a 500, never a traceback; and the next request is answered."""
    refused = server.ask(body, kind)
    assert refused.status == status, refused.body
    assert said in refused.json["message"]
    assert "Traceback" not in refused.body
    assert server.ask(GOOD).status == 200


def test_other_addresses_are_as_mlflows(server: Server) -> None:
    """`/ping` and `/health` say that it lives, `/version` what it is; others are not there, nor GET for questions."""
    for path in ("/ping", "/health"):
        assert server.ask(None, method="GET", path=path) == (200, "\n")
    assert server.ask(None, method="GET", path="/version") == (200, __version__)
    assert server.ask(None, method="GET").status == 405
    assert server.ask(None, method="GET", path="/nothing").status == 404


def test_several_workers_answer_until_ctrl_c(tmp_path: Path) -> None:
    """Requests that come at once are answered by two processes; Ctrl-C ends both, quietly."""
    with serving(save(tmp_path), "--workers", "2") as server:
        asked = {**GOOD, "params": {"wait": 0.1}}
        processes: set[int] = set()
        end = time.monotonic() + PATIENCE_S
        with ThreadPoolExecutor(8) as several:
            while len(processes) < 2 and time.monotonic() < end:
                answers = several.map(lambda _: server.ask(asked), range(16))
                processes |= {answer.json["predictions"]["process"] for answer in answers}
        assert len(processes) == 2
        os.killpg(server.process.pid, signal.SIGINT)  # as a terminal does
        _, errors = server.process.communicate(timeout=PATIENCE_S)
        assert b"Traceback" not in errors, errors.decode()
        assert server.process.returncode in (0, 130, -signal.SIGINT)
        for process in processes:
            with pytest.raises(ProcessLookupError):
                os.kill(process, 0)
