"""The web pages: when a list can be used in a real Chromium, what sorting and a million points cost the server."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import Bench, Cost, Figure
from benchmarks.population import populate
from benchmarks.table import Row

POINTS = 1_000_000
SORTS = 6
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update"]
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")

LONG = f"""
import gitexp
with gitexp.start_run(name="long") as run:
    gitexp.log_metrics({{"loss": 0.0}}, step=0)
    for step in range({POINTS}):
        gitexp.log_metric("loss", 1e6 if step == 123_456 else step % 1000 / 1000, step=step)
    print(run.id)
"""


@dataclass(frozen=True, slots=True)
class Served:
    """A running `gitexp ui`: the address that holds the key, the same without it, its process, and its cookie."""

    address: str
    process: int

    @property
    def base(self) -> str:
        return self.address.partition("/?")[0]

    def cpu_s(self) -> float:
        with open(f"/proc/{self.process}/stat") as file:
            fields = file.read().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) * _TICK_S

    def pss_mb(self) -> float:
        with open(f"/proc/{self.process}/smaps_rollup") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1000


@contextmanager
def served(bench: Bench, folder: Path) -> Iterator[Served]:
    command = [bench.gitexp, "ui", "--no-browser", "--port", "0"]
    server = subprocess.Popen(command, cwd=folder, env=bench.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert server.stdout is not None
    try:
        yield Served(server.stdout.readline().decode().strip(), server.pid)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(20)
        server.stdout.close()


def ask(server: Served, path: str) -> bytes:
    """What our page would get."""
    key = server.address.rpartition("=")[2]
    port = server.base.rpartition(":")[2]
    request = urllib.request.Request(server.base + path, headers={"cookie": f"gitexp-{port}={key}"})
    with urllib.request.urlopen(request) as answer:
        return bytes(answer.read())


@contextmanager
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright  # only these rows need it

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_ARGUMENTS)
        yield browser
        browser.close()


def visible(bench: Bench, runs: int) -> Figure:
    """From nothing in the browser to a list that can be used: its rows painted, its module at work."""
    with served(bench, populate(bench, runs)) as server, chromium() as browser:
        ask(server, "/runs")
        walls, seen = [], ""
        for _ in range(bench.times):
            context = browser.new_context(viewport={"width": 1600, "height": 1000})
            port = server.base.rpartition(":")[2]
            key = server.address.rpartition("=")[2]
            context.add_cookies([{"name": f"gitexp-{port}", "value": key, "url": server.base}])
            page = context.new_page()
            sizes: list[int] = []
            page.on("response", lambda answer, sizes=sizes: sizes.append(int(answer.headers.get("content-length", 0))))
            begin = time.perf_counter()
            page.goto(f"{server.base}/runs", wait_until="commit")
            page.wait_for_selector("html[data-ready] #grid tbody td.name a", state="attached")
            walls.append(time.perf_counter() - begin)
            page.wait_for_timeout(300)
            nodes = page.evaluate("document.querySelectorAll('*').length")
            seen = f"{len(sizes)} requests, {sum(sizes) / 1000:.0f} kB, {nodes} elements"
            context.close()
    return Figure(value=statistics.median(walls), note=seen)


def sort(bench: Bench, runs: int) -> Figure:
    """CPU of the server for one more order of the whole list and its first page."""
    with served(bench, populate(bench, runs)) as server:
        ask(server, "/runs")
        keys = itertools.cycle(f"{minus}metrics.metric_{number}" for minus in ("", "-") for number in range(3))
        return _server_cost(server, lambda: f"/api/runs?sort={next(keys)}&limit=100", SORTS)


def zoom(bench: Bench) -> Figure:
    """CPU of the server for one look at part of a million points."""
    with _long_run(bench) as (server, run):
        ask(server, f"/api/runs/{run}/series?key=loss&px=1000")
        ends = itertools.count(100_000, 50_000)
        address = f"/api/runs/{run}/series?key=loss&px=1000&from=0&to="
        return _server_cost(server, lambda: f"{address}{POINTS - next(ends) // 100}", SORTS)


def zoom_seen(bench: Bench) -> Figure:
    """From letting go of the button to the finer curve on the screen."""
    with _long_run(bench) as (server, run), chromium() as browser:
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.goto(server.address)
        page.goto(f"{server.base}/runs/{run}/charts")
        page.wait_for_selector("figure[data-drawn]")
        walls = []
        for _ in range(bench.times):
            walls.append(page.evaluate(_ZOOM) / 1000)
            page.evaluate(_RESET)
    return Figure(value=statistics.median(walls))


def compare(bench: Bench) -> Figure:
    """From nothing in the browser to parallel coordinates of 1,000 runs."""
    with served(bench, populate(bench, 1_000)) as server, chromium() as browser:
        ask(server, "/compare/plots")
        walls = []
        for _ in range(bench.times):
            page = browser.new_page(viewport={"width": 1600, "height": 1000})
            page.goto(f"{server.base}/static/0/none")
            page.goto(f"{server.address}")
            begin = time.perf_counter()
            page.goto(f"{server.base}/compare/plots", wait_until="commit")
            page.wait_for_selector("figure.parallel[data-drawn]")
            walls.append(time.perf_counter() - begin)
            page.close()
    return Figure(value=statistics.median(walls))


def report_size(bench: Bench) -> Figure:
    folder = populate(bench, 10_000)
    bench.run(bench.gitexp, "ls", cwd=folder)
    path = bench.folder() / "report.html"
    cost = bench.run(bench.gitexp, "report", "-o", path, cwd=folder)
    with chromium() as browser:
        walls = []
        for _ in range(bench.times):
            page = browser.new_page(viewport={"width": 1600, "height": 1000})
            begin = time.perf_counter()
            page.goto(path.as_uri(), wait_until="commit")
            page.wait_for_selector("html[data-ready]", state="attached")
            walls.append(time.perf_counter() - begin)
            page.close()
    note = f"opens in {statistics.median(walls):.2f} s, is made in {cost.cpu_s:.1f} CPU s"
    return Figure(value=path.stat().st_size / 1e6, note=note)


def first_answer(bench: Bench) -> Figure:
    """CPU from the command to the first page."""
    folder = populate(bench, 1_000)
    bench.run(bench.gitexp, "ls", cwd=folder)
    costs = []
    for _ in range(bench.times):
        with served(bench, folder) as server:
            ask(server, "/runs")
            costs.append(server.cpu_s())
    return Figure(value=statistics.median(costs))


def memory(bench: Bench) -> Figure:
    folder = populate(bench, 10_000)
    bench.run(bench.gitexp, "ls", cwd=folder)
    with served(bench, folder) as server:
        ask(server, "/runs")
        time.sleep(1)
        return Figure(value=server.pss_mb())


def _server_cost(server: Served, address: Callable[[], str], times: int) -> Figure:
    """The mean over several requests: the clock of processes ticks in hundredths of a second."""
    before, begin = server.cpu_s(), time.perf_counter()
    for _ in range(times):
        ask(server, address())
    wall_s = (time.perf_counter() - begin) / times
    return Figure(value=(server.cpu_s() - before) / times, wall_s=wall_s)


@contextmanager
def _long_run(bench: Bench) -> Iterator[tuple[Served, str]]:
    folder = bench.repository()
    made: Cost = bench.run(bench.python, "-c", LONG, cwd=folder)
    run = made.output.decode().split()[-1]
    with served(bench, folder) as server:
        yield server, run
    bench.gone(folder)


_DRAG = """
const canvas = document.querySelector('canvas'), figure = canvas.closest('figure');
const box = canvas.getBoundingClientRect();
canvas.setPointerCapture = () => {};
const send = (kind, share) => canvas.dispatchEvent(new PointerEvent(kind, { pointerId: 1, bubbles: true,
  clientX: box.left + box.width * share, clientY: box.top + 80 }));
const drawn = (act) => new Promise((done) => {
  const before = figure.dataset.drawn, begin = performance.now();
  new MutationObserver((_, seen) => {
    if (figure.dataset.drawn === before) return;
    seen.disconnect();
    requestAnimationFrame(() => done(performance.now() - begin));
  }).observe(figure, { attributes: true });
  act();
});
"""
_ZOOM = "async () => {" + _DRAG + "send('pointerdown', 0.3); return drawn(() => send('pointerup', 0.6)); }"
_RESET = "async () => {" + _DRAG + "return drawn(() => canvas.dispatchEvent(new MouseEvent('dblclick'))); }"

ROWS = [
    Row(
        key="ui-list-10000",
        work="the list of 10,000 runs usable in Chromium",
        unit="s",
        bar=0.4,
        measure=partial(visible, runs=10_000),
    ),
    Row(
        key="ui-list-100000",
        work="the list of 100,000 runs usable in Chromium",
        unit="s",
        bar=0.5,
        measure=partial(visible, runs=100_000),
    ),
    Row(
        key="ui-sort-10000",
        work="sort 10,000 runs on the web",
        unit="CPU s",
        bar=0.03,
        measure=partial(sort, runs=10_000),
    ),
    Row(
        key="ui-sort-100000",
        work="sort 100,000 runs on the web",
        unit="CPU s",
        bar=0.15,
        measure=partial(sort, runs=100_000),
    ),
    Row(key="ui-zoom", work="a chart of 1,000,000 points, zoomed", unit="CPU s", bar=0.08, measure=zoom),
    Row(key="ui-zoom-seen", work="the same, until it is seen", unit="s", bar=0.15, measure=zoom_seen),
    Row(key="ui-compare", work="parallel coordinates of 1,000 runs drawn", unit="s", bar=0.4, measure=compare),
    Row(key="ui-start", work="`gitexp ui` to its first page", unit="CPU s", bar=0.6, measure=first_answer),
    Row(key="ui-report", work="`gitexp report` of 10,000 runs", unit="MB", bar=2, measure=report_size),
    Row(key="ui-memory", work="memory of `gitexp ui` after its first page", unit="MB", bar=50, measure=memory),
]
