"""The web pages in a real Chromium: every page, what one does there, with keys alone, live, hostile, narrow, dark."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from benchmarks.measure import Bench
from benchmarks.population import populate

from gitexp.domain.metrics import History
from gitexp.domain.registry import Stage
from gitexp.registry import Registry
from gitexp.repo import Repository
from sealed_runs import seal

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("default")]

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update"]
HOSTILE = "<img src=x onerror=window.hacked=1><script>window.hacked=2</script>"
SCREENSHOTS = os.environ.get("GITEXP_SCREENSHOTS")

TRAIN = """
import sys
import gitexp
print("\\033[31mready\\033[0m", flush=True)
for line in sys.stdin:
    if line == "end\\n":
        break
    for step in range(*map(int, line.split())):
        gitexp.log_metrics({"loss": 1 / (step + 1)}, step=step)
        print(f"epoch {step} done", flush=True)
"""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests."""
    from playwright.sync_api import sync_playwright  # only these tests need it

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Where `gitexp ui` serves a repository, key included."""
    command = [sys.executable, "-m", "gitexp", "ui", "--no-browser", "--port", "0"]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert server.stdout is not None
    yield server.stdout.readline().strip()
    server.send_signal(signal.SIGINT)
    _, said = server.communicate(timeout=20)
    assert "Traceback" not in said


@pytest.fixture
def address(repo_dir: Path) -> Iterator[str]:
    """Where the pages of the test's repository are."""
    with served(repo_dir) as found:
        yield found


Open = Callable[..., "Page"]


@pytest.fixture
def open_page(chromium: Browser, address: str) -> Iterator[Open]:
    """Opens a page of the server; at the end nothing may have gone wrong in any, nor come from elsewhere."""
    contexts, troubles = [], []
    host = address.partition("/?")[0]

    def opened(path: str = "/runs", *, width: int = 1280, height: int = 800, **options: Any) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: (troubles.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda asked: troubles.append(asked.url) if _is_foreign(asked.url, host) else None)
        page.goto(address)
        page.goto(f"{host}{path}")
        if options.get("java_script_enabled", True):
            page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []


def _is_foreign(url: str, host: str) -> bool:
    return not url.startswith((host, "data:", "blob:", "about:"))


def fill(folder: Path, count: int = 30) -> list[str]:
    """Runs with what every page shows."""
    ids = []
    command = ["git", "rev-parse", "HEAD^{tree}"]
    tree = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    for number in range(count):
        history = History.of([(step, 1e9 + step, 1 / (step + 1) + number / 100) for step in range(300)])
        ids.append(
            seal(
                folder,
                f"run-{number:02}",
                params={"lr": number / 10, "model": ["mlp", "cnn"][number % 2], "same": 1},
                metrics={"val/loss": history.last, "system/cpu": 3.0},
                histories={"val/loss": history},
                tags={"even": ""} if number % 2 == 0 else {},
                artifacts={
                    "a.csv": b"x,y\n1,2\n",
                    "page.html": b"<script>document.title='ran'</script>",
                    "b.md": b"# Hi",
                },
                output=b"\x1b[32mfine\x1b[0m\n" * 50,
                code_tree=tree,
                experiment=["default", "other"][number % 3 == 0],
                note="*note*",
                age_s=1000 - number,
            )
        )
    return ids


def shown(page: Page) -> list[str]:
    return page.locator("#grid tbody td.name a").all_inner_texts()


def expect(found: Any) -> Any:
    from playwright.sync_api import expect as expecting

    expecting.set_options(timeout=20_000)  # a busy machine is no failure
    return expecting(found)


def test_the_list_is_sorted_and_searched(open_page: Open, repo_dir: Path) -> None:
    """Headings sort, with Shift by several; the box completes, searches while one types, and shows mistakes."""
    fill(repo_dir)
    page = open_page()
    expect(page.locator("#count")).to_have_text("30 runs")
    page.get_by_role("columnheader", name="val/loss").get_by_role("link").click()
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("val/loss")
    assert shown(page)[:3] == ["run-00", "run-01", "run-02"]
    page.get_by_role("columnheader", name="model").get_by_role("link").click(modifiers=["Shift"])
    expect(page.locator("th[aria-sort]")).to_have_count(2)
    assert "sort=metrics.val%2Floss%2Cparams.model" in page.url
    page.keyboard.press("/")
    page.keyboard.type("params.mod")
    page.get_by_role("option", name="params.model").click()
    page.keyboard.type("= ")
    expect(page.get_by_role("option")).to_have_count(2)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#count")).to_have_text("15 runs")
    page.keyboard.type("and metrics.")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Expected")
    expect(page.get_by_role("combobox")).to_have_attribute("aria-invalid", "true")
    page.go_back()
    page.reload()
    expect(page.locator("html[data-ready]")).to_be_attached()


def test_everything_can_be_done_with_keys(open_page: Open, repo_dir: Path) -> None:
    """Moving, selecting, tagging, opening and coming back need no mouse; help lists the keys."""
    ids = fill(repo_dir, 5)
    page = open_page()
    for key in ("j", "j", "x", "J"):
        page.keyboard.press(key)
    expect(page.locator("#selected strong")).to_have_text("2 selected")
    page.keyboard.press("e")
    page.get_by_label("Tags to set").fill("stage=prod\nbest")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".tag", has_text="stage=prod")).to_have_count(2)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Help")).to_contain_text("next run")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/runs/[a-z0-9]{12}$"))
    page.keyboard.press("]")
    page.wait_for_url(re.compile("/charts$"))
    page.keyboard.press("u")
    page.wait_for_url(re.compile("/runs$"))
    assert len(ids) == 5


def test_columns_are_chosen_ordered_pinned_and_sized(open_page: Open, repo_dir: Path) -> None:
    """Columns come and go, move, stay at the left while the rest scrolls, and keep the width somebody gave them."""
    fill(repo_dir, 5)
    page = open_page()
    page.get_by_role("button", name="Columns").click()
    page.get_by_label("Find a column").fill("val/loss")
    page.get_by_label("val/loss curve").check()
    expect(page.locator("svg.spark")).to_have_count(5)
    page.get_by_role("button", name="Pin val/loss", exact=True).click()
    expect(page.locator("#grid thead th").nth(2)).to_have_text("val/loss")
    page.keyboard.press("Escape")
    heading = page.get_by_role("columnheader", name="Experiment")
    before = heading.bounding_box()
    assert before
    page.mouse.move(before["x"] + before["width"] - 1, before["y"] + 10)
    page.mouse.down()
    page.mouse.move(before["x"] + before["width"] + 79, before["y"] + 10)
    page.mouse.up()
    after = page.get_by_role("columnheader", name="Experiment").bounding_box()
    assert after
    assert abs(after["width"] - before["width"] - 80) < 3
    page.get_by_role("columnheader", name="lr").drag_to(page.get_by_role("columnheader", name="Experiment"))
    texts = page.locator("#grid thead th").all_inner_texts()
    assert texts.index("lr") == texts.index("Experiment") - 1
    page.reload()
    assert page.locator("#grid thead th").all_inner_texts() == texts


def test_runs_are_grouped_and_views_saved(open_page: Open, repo_dir: Path) -> None:
    """Groups show the mean of their metrics and open to their runs; what one sees is kept under a name."""
    fill(repo_dir, 10)
    page = open_page()
    page.get_by_role("button", name="Group").click()
    page.get_by_role("button", name="model").click()
    expect(page.locator("#count")).to_have_text("10 runs in 2 groups")
    page.locator("tr.group button", has_text="mlp").click()
    expect(page.locator("#grid tbody td.name a")).to_have_count(5)
    page.get_by_role("button", name="Views").click()
    page.get_by_role("button", name="Save what is shown").click()
    page.get_by_label("Name").fill("By model")
    page.keyboard.press("Enter")
    expect(page.locator("#views a")).to_have_text("By model")
    page.goto(page.url.partition("?")[0])
    page.get_by_role("link", name="By model").click()
    expect(page.locator("#count")).to_have_text("10 runs in 2 groups")


def test_runs_are_deleted_and_restored(open_page: Open, repo_dir: Path) -> None:
    """Deleting asks first; deleted runs are found and come back."""
    fill(repo_dir, 3)
    page = open_page()
    page.get_by_label("Select run-01").check()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("#count")).to_have_text("2 runs")
    page.get_by_role("button", name="More").click()
    page.get_by_role("button", name="Show deleted runs").click()
    expect(page.locator("#count")).to_have_text("1 run")
    page.get_by_label("Select run-01").check()
    page.get_by_role("button", name="Restore").click()
    expect(page.locator("#count")).to_have_text("0 runs")


def test_a_long_list_stays_small(chromium: Browser, tmp_path: Path) -> None:
    """Wherever one scrolls to in a long list the rows are there, and the document stays small."""
    folder = populate(Bench(tmp_path, times=1), 3_000)
    with served(folder) as address:
        page = chromium.new_context(viewport={"width": 1600, "height": 1200}).new_page()
        page.goto(address)
        expect(page.locator("#count")).to_have_text("3,000 runs")
        for share in (0.5, 1.0, 0.25):
            page.evaluate(
                "share => { const box = document.querySelector('#grid'); box.scrollTop = box.scrollHeight * share }",
                share,
            )
            expect(page.locator("#grid tr.blank")).to_have_count(0)
            assert page.evaluate("document.querySelectorAll('*').length") < 1_500
        page.locator("#grid table").focus()
        page.keyboard.press("End")
        expect(page.locator("tr.at")).to_have_attribute("aria-rowindex", "3001")


def test_charts_zoom_smooth_and_change_scale(open_page: Open, repo_dir: Path) -> None:
    """A chart draws, zooms by dragging and keys, follows axis and scale, and tells its values in words."""
    [run] = fill(repo_dir, 1)
    page = open_page(f"/runs/{run}/charts")
    figure = page.locator("figure.chart").first
    expect(figure).to_have_attribute("data-drawn", "1")
    canvas = figure.locator("canvas")
    expect(canvas).to_have_attribute(
        "aria-label", re.compile(r"val/loss\. 300 points, from 0\.0033333 to 1, last 0\.0033333")
    )
    box = canvas.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 60, steps=4)
    page.mouse.up()
    expect(canvas).not_to_have_attribute("aria-label", re.compile("300 points"))
    expect(page.locator(".tip")).to_contain_text("step")
    canvas.focus()
    page.keyboard.press("0")
    expect(canvas).to_have_attribute("aria-label", re.compile("300 points"))
    before = _picture(page)
    page.get_by_label("Log scale").check()
    assert _picture(page) != before
    page.get_by_label("Smoothing").fill("0.9")
    expect(page.locator("output")).to_have_text("0.90")
    page.get_by_label("Horizontal axis").select_option("relative")
    expect(figure).to_have_attribute("data-drawn", re.compile("[3-9]"))


def _picture(page: Page) -> str:
    return str(page.evaluate("document.querySelector('canvas').toDataURL()"))


def test_a_live_run_moves_by_itself(open_page: Open, repo_dir: Path) -> None:
    """The list and the run's pages follow a run that goes on, in several tabs, until it ends."""
    (repo_dir / "live.py").write_text(TRAIN)
    command = [sys.executable, "-m", "gitexp", "run", "-n", "lively", "live.py"]
    listing = open_page()
    training = subprocess.Popen(command, cwd=repo_dir, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert training.stdin is not None
    try:
        listing.reload()
        page_is_there = listing.locator("#grid td.name a", has_text="lively")
        for _ in range(40):
            if page_is_there.count():
                break
            listing.wait_for_timeout(250)
            listing.reload()
        href = page_is_there.get_attribute("href")
        output, charts = open_page(f"{href}/output"), open_page(f"{href}")
        expect(output.locator("#output span.f1")).to_have_text("ready")
        training.stdin.write("0 5\n")
        training.stdin.flush()
        expect(output.locator("#output")).to_contain_text("epoch 4 done")
        expect(charts.locator("[data-metric=loss]")).to_contain_text("0.2")
        expect(listing.locator("#grid td", has_text=re.compile(r"^0\.2$"))).to_have_count(1)
        training.stdin.write("end\n")
        training.stdin.flush()
        assert training.wait(30) == 0
        expect(listing.locator("#grid i.state.finished")).to_have_count(1)
        expect(charts.locator("#status")).to_have_text("finished")
    finally:
        training.kill()
        training.wait()


def test_what_is_logged_cannot_run(open_page: Open, repo_dir: Path) -> None:
    """Hostile names, values, notes, output and artifacts do nothing on any page, whatever one clicks."""
    svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='parent.hacked=3'><script>parent.hacked=4</script></svg>"
    html = b"<script>parent.hacked=5</script>"
    ids = [
        seal(
            repo_dir,
            f"{HOSTILE}{number}",
            params={HOSTILE: HOSTILE + str(number)},
            metrics={HOSTILE: float(number)},
            histories={HOSTILE: History.of([(0, 0, 0.0), (1, 1, float(number))])},
            tags={HOSTILE: HOSTILE},
            artifacts={
                "a.svg": svg + b" " * number,
                "b.html": html,
                "c.md": HOSTILE.encode(),
                "d.csv": HOSTILE.encode() + b"\n1",
            },
            output=HOSTILE.encode(),
            note=f"{HOSTILE} [x](javascript:window.hacked=6)",
            experiment=HOSTILE,
            command=(HOSTILE,),
        )
        for number in range(2)
    ]
    page = open_page()
    host = page.url.rpartition("/")[0]
    sides = [
        "",
        "/charts",
        "/output",
        "/code",
        "/history",
        *(f"/artifacts?path={name}" for name in ("a.svg", "c.md", "d.csv")),
    ]
    compared = [f"/compare{side}?runs={','.join(ids)}" for side in ("", "/charts", "/plots", "/code", "/artifacts")]
    for path in ("/runs", "/runs?by=params.x", *(f"/runs/{ids[0]}{side}" for side in sides), *compared):
        page.goto(host + path)
        page.wait_for_selector("html[data-ready]", state="attached")
        for button in ("#columns", "#group-by"):
            if page.locator(button).count():
                page.locator(button).click()
                page.keyboard.press("Escape")
        assert page.evaluate("window.hacked") is None, path


def test_html_artifacts_run_cut_off(chromium: Browser, address: str, repo_dir: Path) -> None:
    """An HTML artifact may run its scripts, but sees no cookie, no page of ours and no network."""
    html = b"""<p id=said></p><script>
    const tries = {
      parent: () => parent.document.title, cookie: () => document.cookie, storage: () => localStorage.length,
      top: () => { top.location.href = '/evil' },
    };
    let said = 'ran';
    for (const name in tries) { try { tries[name](); said += ' ' + name } catch (error) { } }
    const say = () => { document.querySelector('#said').textContent = said };
    fetch('/api/runs').then(() => { said += ' fetch' }, () => {}).finally(say);
    </script>"""
    run = seal(repo_dir, "base", artifacts={"page.html": html})
    page = chromium.new_context().new_page()
    page.goto(address)
    page.goto(f"{address.partition('/?')[0]}/runs/{run}/artifacts")
    expect(page.frame_locator("iframe").locator("#said")).to_have_text("ran")
    assert "/artifacts" in page.url


def test_many_runs_are_compared_by_plots(open_page: Open, repo_dir: Path) -> None:
    """Parallel coordinates keep what one brushes, the other plots follow; a contour and boxes are drawn."""
    fill(repo_dir, 30)
    page = open_page("/compare/plots", height=1400)
    figure = page.locator("figure.parallel")
    expect(figure).to_have_attribute("data-drawn", re.compile("[1-9]"))
    box = figure.locator("canvas").bounding_box()
    assert box
    page.mouse.move(box["x"] + 56, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 56, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    expect(page.get_by_role("status").first).to_contain_text("of 30 runs inside the brushes")
    figure.locator("canvas").dblclick(position={"x": 300, "y": 200})
    expect(page.get_by_role("status").first).to_have_text("30 runs")
    expect(page.get_by_role("region", name="Which params matter")).to_contain_text("lr")
    page.get_by_label("Contour of the metric").check()
    expect(page.get_by_role("img", name=re.compile("val.loss over lr and"))).to_be_visible()
    page.get_by_label("Param", exact=True).select_option("model (param)")
    expect(page.get_by_role("img", name=re.compile("val.loss by model: cnn: median"))).to_be_visible()


def test_curves_of_several_runs_are_laid_over_each_other(open_page: Open, repo_dir: Path) -> None:
    """Each chart has a line for each run, and the legend takes lines away."""
    ids = fill(repo_dir, 4)
    page = open_page(f"/compare/charts?runs={','.join(ids)}")
    canvas = page.get_by_role("img", name=re.compile("val.loss"))
    expect(canvas).to_have_attribute("aria-label", re.compile("run-03: 300 points"))
    page.locator(f"#legend input[value={ids[3]}]").uncheck()
    expect(canvas).not_to_have_attribute("aria-label", re.compile("run-03"))


def test_a_report_opens_from_a_disk(chromium: Browser, repo_dir: Path, tmp_path: Path) -> None:
    """A report needs no server: it draws, sorts and finds, and asks for nothing."""
    ids = fill(repo_dir, 12)
    command = [sys.executable, "-m", "gitexp", "report", *ids, "-o", str(tmp_path / "report.html")]
    subprocess.run(command, cwd=repo_dir, check=True, capture_output=True)
    page = chromium.new_context(offline=True).new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda said: asked.append(said.text))
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")
    expect(page.get_by_role("img", name=re.compile("val.loss. run-00: 300 points")).first).to_be_attached()
    expect(page.locator("figure.parallel")).to_have_attribute("data-drawn", re.compile("[1-9]"))
    page.locator("#grid").get_by_role("columnheader", name="lr").get_by_role("link").click()
    page.locator("#grid").get_by_role("columnheader", name="lr").get_by_role("link").click()
    expect(page.locator("#grid td.name").first).to_contain_text("run-11")
    page.get_by_label("Find").last.fill("cnn")
    expect(page.locator("#found")).to_have_text("6 runs")
    assert [url for url in asked if not url.startswith(("data:", "file:"))] == []


MODEL_SIDES = ("", "/taxi", "/taxi/log", "/taxi/1", "/taxi/2", "/taxi/2/compare")


def register(folder: Path, ids: list[str]) -> Registry:
    """The model `taxi`: two versions, the first in production."""
    registry = Registry(Repository.open(folder))
    for run in ids[:2]:
        registry.register(f"{run}:b.md", "taxi", description="# It\n*fares*", tags={"team": "a"}, reason="good")
    registry.set_stage("taxi/1", Stage.PRODUCTION, reason="agreed")
    registry.set_alias("taxi/1", "champion")
    return registry


def test_a_version_is_promoted_with_a_reason(open_page: Open, repo_dir: Path) -> None:
    """The version moves, what was there is archived, and the log says why; aliases and tags follow by mouse or key."""
    register(repo_dir, fill(repo_dir, 2))
    page = open_page("/models/taxi")
    page.get_by_role("button", name="What to do with version 2").click()
    page.get_by_role("button", name="Move to stage").click()
    expect(page.get_by_label("Archive what is there now: version 1")).to_be_checked()
    page.get_by_label("Why, for the audit log").fill("better on new data")
    page.get_by_role("button", name="Move", exact=True).click()
    expect(page.get_by_role("region", name="production")).to_contain_text("better on new data")
    expect(page.locator(".stage.archived")).to_have_count(1)
    page.get_by_role("link", name="taxi/2").click()
    page.keyboard.press("a")
    page.get_by_label("Alias", exact=True).fill("next")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="@next")).to_be_visible()
    page.get_by_role("button", name="More to do").click()
    page.get_by_role("button", name="Tag", exact=True).click()
    page.get_by_label("key=value or a word, one a line").fill("data=new")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".tag")).to_have_text(["data=new"])
    page.keyboard.press("u")
    page.wait_for_url(re.compile("/models/taxi$"))
    page.get_by_role("link", name=re.compile("History")).click()
    expect(page.locator(".timeline li").nth(2)).to_contain_text("version 2 is production; archived 1")


def test_a_gate_refuses_in_the_dialog(chromium: Browser, repo_dir: Path) -> None:
    """What does not hold is listed where one tried, and the dialog stays."""
    registry = register(repo_dir, fill(repo_dir, 2))
    (repo_dir / ".gitexp").mkdir(exist_ok=True)
    gates = 'registry: {gates: {production: ["metrics.nothing > 1", reproduced]}}\n'
    (repo_dir / ".gitexp" / "config.yaml").write_text(gates)
    with served(repo_dir) as gated:
        page = chromium.new_context().new_page()
        page.goto(gated)
        page.goto(f"{gated.partition('/?')[0]}/models/taxi/2")
        page.get_by_role("button", name="Move to stage").click()
        page.get_by_role("button", name="Move", exact=True).click()
        refused = page.get_by_role("alert").filter(has_text="may not become")
        expect(refused.get_by_role("listitem")).to_have_count(2)
        expect(refused).to_contain_text("reproduced: no reproduction")
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
    assert registry.model("taxi").version(2).stage is Stage.NONE


def test_an_artifact_is_registered(open_page: Open, repo_dir: Path) -> None:
    """From the run's artifacts: choose, name, register; a refused name is said in place."""
    ids = fill(repo_dir, 1)
    page = open_page(f"/runs/{ids[0]}/artifacts?path=b.md")
    page.get_by_role("link", name="Register").click()
    page.get_by_label(re.compile("Name of the model")).fill("churn")
    page.get_by_label("Why, for the audit log").fill("first")
    page.get_by_role("button", name="Register").click()
    page.wait_for_url(re.compile("/models/churn/1$"))
    expect(page.locator(".timeline")).to_contain_text("first")
    page.keyboard.press("u")
    page.wait_for_url(re.compile("/models/churn$"))
    page.get_by_role("link", name="Models").first.click()
    page.get_by_label("Search models").fill("nothing")
    expect(page.locator(".list-table tbody tr:visible")).to_have_count(0)


def paths(ids: list[str]) -> dict[str, str]:
    sides = ("", "/charts", "/system", "/artifacts", "/output", "/code", "/environment", "/history")
    compared = ("", "/charts", "/plots", "/code", "/artifacts")
    return {
        "runs": "/runs",
        "groups": "/runs?by=params.model",
        "missing": "/runs/nothing",
        "lineage": "/lineage",
        **{f"models{side.replace('/', '-')}": f"/models{side}" for side in MODEL_SIDES},
        "register": f"/register?run={ids[0]}&path=b.md",
        **{f"run{side.replace('/', '-')}": f"/runs/{ids[0]}{side}" for side in sides},
        **{f"compare{side.replace('/', '-')}": f"/compare{side}?runs={ids[0]},{ids[1]}" for side in compared},
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible_and_fit(chromium: Browser, address: str, repo_dir: Path, scheme: Any) -> None:
    """axe-core finds nothing serious on any page, light or dark; nothing is wider than a phone."""
    from axe_playwright_python.sync_playwright import Axe  # only this test needs it

    ids = fill(repo_dir, 12)
    register(repo_dir, ids)
    page = chromium.new_context(viewport={"width": 1440, "height": 900}, color_scheme=scheme).new_page()
    page.goto(address)
    host, troubles = address.partition("/?")[0], []
    for name, path in paths(ids).items():
        page.goto(host + path)
        page.wait_for_load_state("networkidle" if "charts" in name else "load")
        found = Axe().run(page).response["violations"]
        troubles += [
            (name, one["id"], one["nodes"][0]["html"][:200])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        _keep(page, f"{name}-{scheme}-1440")
        for width in (400, 1600):
            page.set_viewport_size({"width": width, "height": 900})
            if page.evaluate("document.documentElement.scrollWidth > innerWidth + 1"):
                troubles.append((name, "wider than the window", str(width)))
            _keep(page, f"{name}-{scheme}-{width}")
        page.set_viewport_size({"width": 1440, "height": 900})
    assert troubles == [], json.dumps(troubles, indent=1)


def _keep(page: Page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=f"{SCREENSHOTS}/{name}.png")


def test_pages_are_read_without_javascript(chromium: Browser, address: str, repo_dir: Path) -> None:
    """With scripts off the lists, values, output, code and differences are there, and nothing that would not work."""
    ids = fill(repo_dir, 50)
    page = chromium.new_context(java_script_enabled=False).new_page()
    page.goto(address)
    page.get_by_role("link", name="Next 40").click()
    expect(page.locator("td.name a")).to_have_count(10)
    page.locator("#where").fill("params.model = 'mlp'")
    page.keyboard.press("Enter")
    expect(page.locator("#count")).to_have_text("25 runs")
    assert page.locator("button:visible").all_inner_texts() == ["Search"]
    page.locator("td.name a").first.click()
    expect(page.locator("[data-metric='val/loss']")).to_be_visible()
    page.get_by_role("link", name="Output").click()
    expect(page.locator("#output .f2").first).to_have_text("fine")
    page.goto(f"{address.partition('/?')[0]}/compare?runs={ids[0]},{ids[1]}")
    expect(page.get_by_role("rowheader", name="lr")).to_be_visible()
    register(repo_dir, ids)
    page.get_by_role("link", name="Models").click()
    page.get_by_role("link", name="taxi").click()
    page.get_by_role("link", name="taxi/2").click()
    page.get_by_role("link", name="Compare with production").click()
    expect(page.get_by_role("rowheader", name="val/loss")).to_be_visible()
    assert page.locator("button:visible").count() == 0


def test_the_theme_is_chosen_and_kept(open_page: Open, repo_dir: Path) -> None:
    """The button goes from the system's colours to light to dark, and the next page has the same."""
    fill(repo_dir, 2)
    page = open_page(color_scheme="dark")
    page.keyboard.press("t")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(246, 247, 249)"
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.keyboard.press("t")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 21)"
