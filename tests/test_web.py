"""The web pages over HTTP: what they show, what they change, and whom they refuse."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest

from gitexp.domain.metrics import History
from gitexp.domain.run import CodeState, Status
from gitexp.repo import Repository
from gitexp.sharing.exchange import Sharing
from gitexp.sharing.selection import Selection
from gitexp.viewing import SavedView, save_view, views
from gitexp.web.app import build
from gitexp.web.security import kept_key, write_token
from sealed_runs import seal
from web_client import WebClient

pytestmark = pytest.mark.slow

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture
def client(repo_dir: Path) -> WebClient:
    """Pages without a key, as somebody who has shown it sees them."""
    return WebClient(build(Repository.open(repo_dir)))


def change(client: WebClient, address: str, **data: Any) -> Any:
    """What our own pages send when somebody changes something."""
    return client.post(address, content=json.dumps(data), headers={"x-gitexp-token": token_of(client)})


def token_of(client: WebClient) -> str:
    found = re.search(r'name="gitexp-token" content="(\w+)"', client.get("/runs").text)
    assert found
    return found.group(1)


def names(client: WebClient, query: str = "") -> list[str]:
    return [row["name"] for row in client.get(f"/api/runs?{query}").json()["rows"]]


# Whom they refuse


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.com",
        "127.0.0.1.evil.example.com:7878",
        "evil.example.com:7878",
        "127.0.0.1:7878@evil",
        "",
        "[::2]",
        "a b",
    ],
)
def test_a_foreign_name_is_not_answered(client: WebClient, host: str) -> None:
    """A name that is not of this machine gets 421, so a page that rebinds its name to us reads nothing."""
    assert client.get("/runs", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:7878", "127.0.0.1", "[::1]:7878"])
def test_the_names_of_this_machine_are_answered(client: WebClient, host: str) -> None:
    """Each way to say this machine works."""
    assert client.get("/runs", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "null"},
    ],
)
def test_pages_of_others_read_nothing(client: WebClient, headers: dict[str, str]) -> None:
    """Another origin, be it a port of this machine, is refused unless somebody follows a link."""
    assert client.get("/api/runs", headers=headers).status_code == 403


def test_a_link_from_elsewhere_works(client: WebClient) -> None:
    """A click on a link in a chat opens the page."""
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert client.get("/runs", headers=headers).status_code == 200


def test_the_key_opens_once_and_a_cookie_keeps_it(repo_dir: Path) -> None:
    """Without the key there is nothing; with it a cookie that scripts cannot read, and an address without the key."""
    client = WebClient(build(Repository.open(repo_dir), key="k" * 24, port=7878))
    assert client.get("/runs").status_code == 401
    assert client.get("/api/runs").status_code == 401
    assert client.get("/runs?key=wrong").status_code == 401
    answer = client.get(f"/runs?where=&key={'k' * 24}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs?where=")
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "SameSite=lax" in answer.headers["set-cookie"]
    assert client.get("/runs").status_code == 200


def test_a_key_leads_nowhere_else(repo_dir: Path) -> None:
    """The answer to a key never leads to another machine."""
    client = WebClient(build(Repository.open(repo_dir), key="k" * 24))
    answer = client.get(f"//evil.example.com/?key={'k' * 24}")
    assert not answer.headers.get("location", "/").startswith("//")


def test_the_key_is_kept_for_its_owner_only(tmp_path: Path) -> None:
    """The second start finds the key of the first, in a file that nobody else can read; a readable one is replaced."""
    key = kept_key(str(tmp_path))
    assert kept_key(str(tmp_path)) == key
    assert (tmp_path / "ui-key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "ui-key").chmod(0o644)
    assert kept_key(str(tmp_path)) != key
    assert (tmp_path / "ui-key").stat().st_mode & 0o777 == 0o600


def test_a_change_needs_the_token_of_a_page(client: WebClient, repo_dir: Path) -> None:
    """A request without the token, or with a wrong one, changes nothing."""
    run = seal(repo_dir, "base")
    data = json.dumps({"action": "remove", "ids": [run]})
    assert client.post("/api/change", content=data).status_code == 403
    assert client.post("/api/change", content=data, headers={"x-gitexp-token": write_token("other")}).status_code == 403
    assert names(client) == ["base"]


def test_read_only_pages_change_nothing(repo_dir: Path) -> None:
    """With --read-only there is no token, no button, and every change is refused."""
    run = seal(repo_dir, "base")
    client = WebClient(build(Repository.open(repo_dir), read_only=True))
    assert "gitexp-token" not in client.get("/runs").text
    assert "do-remove" not in client.get(f"/runs/{run}").text
    data = json.dumps({"action": "remove", "ids": [run]})
    answer = client.post("/api/change", content=data, headers={"x-gitexp-token": write_token(None)})
    assert answer.status_code == 403
    assert names(client) == ["base"]


def test_every_answer_has_a_strict_policy(client: WebClient, repo_dir: Path) -> None:
    """Pages, data and mistakes alike say what a browser may do with them."""
    run = seal(repo_dir, "base", metrics={"loss": 1.0})
    for address in ("/runs", f"/runs/{run}", "/api/runs", "/nothing", "/api/runs/xyz/series", f"/runs/{run}/charts"):
        headers = client.get(address).headers
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


# What is logged is text


def test_no_logged_text_becomes_markup(client: WebClient, repo_dir: Path) -> None:
    """Hostile names, keys, values, tags, notes and output stand on every side of a run as text."""
    run = seal(
        repo_dir,
        HOSTILE,
        params={HOSTILE: HOSTILE},
        metrics={HOSTILE: 1.0},
        tags={HOSTILE: HOSTILE},
        artifacts={"a<script>.txt": HOSTILE.encode()},
        output=HOSTILE.encode(),
        packages=(f"{HOSTILE}==1",),
        note=f"{HOSTILE}\n\n[x](javascript:alert(3)) ![y](https://example.org/beacon.png) <b onclick=alert(4)>z</b>",
        command=("python", HOSTILE),
        experiment=HOSTILE,
        author=f"{HOSTILE} <x@example.org>",
    )
    sides = ["", "/charts", "/artifacts", "/output", "/code", "/environment", "/history"]
    for address in ["/runs", f"/runs?where={HOSTILE}", "/runs?by=params.x", *(f"/runs/{run}{side}" for side in sides)]:
        text = client.get(address).text
        assert not re.search(r"<script>alert|<img src=x|<b onclick|href=.javascript:|src=.https:", text), address


def test_data_inside_a_page_cannot_end_its_element(client: WebClient, repo_dir: Path) -> None:
    """What a page embeds as JSON reads back, whatever names say."""
    seal(repo_dir, "</script><script>alert(1)</script>")
    text = client.get("/runs").text
    found = re.search(r'<script type="application/json" id="state">(.*?)</script>', text, re.DOTALL)
    assert found
    assert json.loads(found.group(1))["rows"][0]["name"] == "</script><script>alert(1)</script>"


@pytest.mark.parametrize(
    ("path", "kind", "policy"),
    [
        ("page.html", "text/html", "sandbox allow-scripts; default-src 'none'"),
        ("picture.svg", "image/svg+xml", "sandbox; default-src 'none'"),
        ("picture.png", "image/png", "sandbox; default-src 'none'"),
        ("program.exe", "application/octet-stream", "sandbox; default-src 'none'"),
        ("table.csv", "text/plain", "sandbox; default-src 'none'"),
    ],
)
def test_artifacts_are_answered_in_a_sandbox(
    client: WebClient, repo_dir: Path, path: str, kind: str, policy: str
) -> None:
    """Each artifact comes as its bytes, with a policy that leaves it nothing of ours."""
    run = seal(repo_dir, "base", artifacts={path: b"<svg onload=alert(1)></svg>"})
    answer = client.get(f"/raw/{run}/{path}")
    assert answer.content == b"<svg onload=alert(1)></svg>"
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["content-security-policy"].startswith(policy)
    assert ("attachment" in answer.headers["content-disposition"]) == (kind == "application/octet-stream")


def test_html_in_a_window_of_its_own_is_a_download(client: WebClient, repo_dir: Path) -> None:
    """An HTML artifact that is opened outside our frame is saved, not shown."""
    run = seal(repo_dir, "base", artifacts={"page.html": b"<p>x"})
    answer = client.get(f"/raw/{run}/page.html", headers={"sec-fetch-dest": "document", "sec-fetch-mode": "navigate"})
    assert answer.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "path",
    [
        "../run.yaml",
        "..%2f..%2frun.yaml",
        "%2e%2e/run.yaml",
        "a/../../run.yaml",
        "/etc/passwd",
        "..\\run.yaml",
        "a%00b",
        "run.yaml",
    ],
)
def test_artifact_paths_cannot_leave_the_run(client: WebClient, repo_dir: Path, path: str) -> None:
    """Only what the run lists is found, however a path is written."""
    run = seal(repo_dir, "base", artifacts={"a": b"1"})
    assert client.get(f"/raw/{run}/{path}").status_code == 404


def test_a_part_of_an_artifact_can_be_asked_for(client: WebClient, repo_dir: Path) -> None:
    """Sound and film are read from any place on, as browsers do."""
    run = seal(repo_dir, "base", artifacts={"a.wav": bytes(range(100))})
    answer = client.get(f"/raw/{run}/a.wav", headers={"range": "bytes=10-19"})
    assert (answer.status_code, answer.content) == (206, bytes(range(10, 20)))
    assert answer.headers["content-range"] == "bytes 10-19/100"


# The list of runs


def test_the_first_rows_stand_in_the_page(client: WebClient, repo_dir: Path) -> None:
    """Without JavaScript the list can be read, sorted by its headings and paged."""
    for number in range(45):
        seal(repo_dir, f"run-{number:02}", metrics={"loss": number / 10}, age_s=100 - number)
    text = client.get("/runs").text
    assert "45 runs" in text
    assert text.count("<tr aria-rowindex") == 41
    assert 'href="/runs?offset=40"' in text
    assert ">run-04<" in client.get("/runs?offset=40").text
    assert client.get("/runs?sort=metrics.loss").text.index("run-00") < client.get(
        "/runs?sort=metrics.loss"
    ).text.index("run-01")


def test_the_address_says_which_runs(client: WebClient, repo_dir: Path) -> None:
    """Search, order, experiment and place in the list are what the address asks for."""
    for number in range(4):
        seal(
            repo_dir, f"run-{number}", metrics={"loss": float(number)}, experiment="ab"[number % 2], age_s=100 - number
        )
    assert names(client) == ["run-3", "run-2", "run-1", "run-0"]
    assert names(client, "where=metrics.loss<2&sort=metrics.loss") == ["run-0", "run-1"]
    assert names(client, "e=a&sort=-metrics.loss") == ["run-2", "run-0"]
    assert names(client, "offset=1&limit=2") == ["run-2", "run-1"]


def test_a_mistake_in_a_search_says_where(client: WebClient, repo_dir: Path) -> None:
    """The list tells what is wrong and at which character; the page shows it and all runs."""
    seal(repo_dir, "base")
    trouble = client.get("/api/runs?where=metrics.loss+<").json()["trouble"]
    assert trouble["position"] == 14
    assert "Expected a value" in trouble["error"]
    page = client.get("/runs?where=metrics.loss+<").text
    assert "Expected a value" in page
    assert ">base<" in page


def test_params_that_are_the_same_are_folded(client: WebClient, repo_dir: Path) -> None:
    """Without a wish the columns are the params that differ; the others are known to be the same."""
    for lr in (0.1, 0.2):
        seal(repo_dir, f"lr-{lr}", params={"lr": lr, "model": "mlp"})
    shown = [column["name"] for column in client.get("/api/runs").json()["columns"]]
    assert "params.lr" in shown
    assert "params.model" not in shown
    differs = {column["name"]: column["differs"] for column in client.get("/api/columns").json()["columns"]}
    assert (differs["params.lr"], differs["params.model"]) == (True, False)


def test_chosen_columns_come_in_their_order(client: WebClient, repo_dir: Path) -> None:
    """Columns are as the address names them, a curve and tags among them; what is no column is left out."""
    history = History.of([(step, step, float(step % 3)) for step in range(500)])
    seal(repo_dir, "base", metrics={"loss": 1.0}, histories={"loss": history}, tags={"best": "", "of": "all"})
    asked = json.dumps(["tags", "spark.loss", "run.name", "nonsense", "metrics.loss"])
    found = client.get("/api/runs", params={"cols": asked}).json()
    assert [column["name"] for column in found["columns"]] == ["tags", "spark.loss", "run.name", "metrics.loss"]
    [row] = found["rows"]
    assert row["cells"][0] == [["best", ""], ["of", "all"]]
    assert 2 < len(row["cells"][1]) <= 40
    assert all(0 <= value <= 1 for value in row["cells"][1])


def test_the_best_value_of_all_is_marked(client: WebClient, repo_dir: Path) -> None:
    """The run with the best value is marked, also where it is not on the first page."""
    for number in range(3):
        seal(repo_dir, f"run-{number}", metrics={"val/loss": 1.0 + number})
    found = client.get("/api/runs").json()
    place = [column["name"] for column in found["columns"]].index("metrics.val/loss")
    assert [row["name"] for row in found["rows"] if place in row["best"]] == ["run-0"]


def test_groups_have_the_spread_of_their_metrics(client: WebClient, repo_dir: Path) -> None:
    """Runs with one value of a param are one group, with mean, lowest and highest; its runs can be asked for."""
    for model, loss in (("mlp", 1.0), ("mlp", 3.0), ("cnn", 5.0), (None, 7.0)):
        seal(repo_dir, f"{model}-{loss}", params={"model": model} if model else {}, metrics={"loss": loss})
    groups = client.get("/api/groups?by=params.model").json()["groups"]
    assert {group["label"]: (group["count"], group["cells"]["metrics.loss"]) for group in groups} == {
        "mlp": (2, ["2", "1", "3"]),
        "cnn": (1, ["5", "5", "5"]),
        "none": (1, ["7", "7", "7"]),
    }
    for group in groups:
        found = client.get("/api/runs", params={"by": "params.model", "group": group["key"]}).json()
        assert found["total"] == group["count"]
        assert all(row["name"].startswith(group["label"].replace("none", "None")) for row in found["rows"])


def test_a_search_is_completed(client: WebClient, repo_dir: Path) -> None:
    """Fields, operators, values and words that join conditions are offered where each may stand."""
    seal(repo_dir, "base", params={"model": "mlp", "odd key": 1}, metrics={"loss": 1.0})

    def offered(text: str) -> list[str]:
        found = client.get("/api/complete", params={"text": text, "cursor": len(text)}).json()
        return [text[: found["start"]] + option["text"] for option in found["options"]]

    assert offered("metr")[0] == "metrics.loss"
    assert "params.`odd key`" in offered("params.")
    assert offered("params.model ")[0] == "params.model ="
    assert offered("params.model = ") == ["params.model = 'mlp'"]
    assert offered("params.model in ('mlp', ") == ["params.model in ('mlp', 'mlp'"]
    assert offered("metrics.loss < 1 ") == ["metrics.loss < 1 and", "metrics.loss < 1 or"]
    assert offered("metrics.loss < 1 and run.na") == ["metrics.loss < 1 and run.name"]


# Changing


def test_runs_are_tagged_noted_renamed_deleted_and_restored(client: WebClient, repo_dir: Path) -> None:
    """Each change is a commit of the run, and the list shows it."""
    ids = [seal(repo_dir, f"run-{number}", age_s=100 - number) for number in range(2)]
    told = change(client, "/api/change", action="tag", ids=ids, set={"stage": "prod"}, remove=[]).json()
    assert told == {"done": "Tagged 2 runs", "problems": []}
    assert names(client, "where=tags.stage='prod'") == ["run-1", "run-0"]
    change(client, "/api/change", action="note", ids=ids[:1], text="**good**")
    assert "<strong>good</strong>" in client.get(f"/runs/{ids[0]}").text
    change(client, "/api/change", action="rename", ids=ids[:1], name="better")
    change(client, "/api/change", action="remove", ids=ids[1:])
    assert names(client) == ["better"]
    assert names(client, "deleted=only") == ["run-1"]
    change(client, "/api/change", action="restore", ids=ids[1:])
    assert names(client) == ["run-1", "better"]
    kinds = re.findall(r"<b>(\w+)</b> <span", client.get(f"/runs/{ids[0]}/history").text)
    assert kinds == ["rename", "note", "tag", "seal"]


@pytest.mark.parametrize(
    "data",
    [
        b"no json",
        b"[]",
        b'{"action": "tag", "ids": []}',
        b'{"action": "burn", "ids": ["a"]}',
        b'{"action": 1, "ids": ["a"]}',
        b"1" * 1_100_000,
    ],
)
def test_a_senseless_change_is_refused(client: WebClient, data: bytes) -> None:
    """What is no change is told so, and is no failure of ours."""
    assert client.post("/api/change", content=data, headers={"x-gitexp-token": token_of(client)}).status_code == 400


def test_views_are_saved_in_git(client: WebClient, repo_dir: Path, git: Any) -> None:
    """A view is a commit below refs/gitexp/views; saving it again goes on from there, forgetting marks it."""
    change(client, "/api/views", name="Best ones", query="where=metrics.loss<1")
    change(client, "/api/views", name="Best ones", query="sort=metrics.loss")
    assert client.get("/api/views").json() == {"views": [{"name": "Best ones", "query": "sort=metrics.loss"}]}
    [ref] = git("for-each-ref", "--format=%(refname)", "refs/gitexp/views", cwd=repo_dir).split()
    assert git("rev-list", "--count", ref, cwd=repo_dir).strip() == "2"
    git("fsck", "--strict", cwd=repo_dir)
    change(client, "/api/views", name="Best ones", remove=True)
    assert client.get("/api/views").json() == {"views": []}
    assert change(client, "/api/views", name="Best ones", remove=True).status_code == 404


def test_views_travel_and_merge(repo_dir: Path, tmp_path: Path, git: Any) -> None:
    """A view goes to a remote and comes back; where two people changed it, both end with the later one."""
    clones = [tmp_path / name for name in ("ann", "bo")]
    git("init", "-q", "--bare", str(tmp_path / "shared.git"), cwd=tmp_path)
    git("push", "-q", str(tmp_path / "shared.git"), "main", cwd=repo_dir)
    for clone in clones:
        git("clone", "-q", str(tmp_path / "shared.git"), str(clone), cwd=tmp_path)
    ann, bo = (Repository.open(clone) for clone in clones)
    save_view(ann, SavedView(name="best", query="sort=metrics.loss"))
    seal(clones[0], "base")
    exchange = [Sharing(repository) for repository in (ann, bo)]
    exchange[0].push(Selection())
    exchange[1].pull(Selection())
    assert views(bo) == [SavedView(name="best", query="sort=metrics.loss")]
    save_view(ann, SavedView(name="best", query="sort=metrics.a"))
    save_view(bo, SavedView(name="best", query="sort=metrics.b"))
    exchange[0].push(Selection())
    exchange[1].push(Selection())
    exchange[0].pull(Selection())
    assert views(ann) == views(bo)
    assert len(views(ann)) == 1


@pytest.mark.parametrize(("form", "begin"), [("csv", "id,name,"), ("json", "[\n{"), ("md", "| Name |")])
def test_lists_are_exported(client: WebClient, repo_dir: Path, form: str, begin: str) -> None:
    """All that is listed, or what is chosen, comes as a file."""
    ids = [seal(repo_dir, f"run-{number}|x", metrics={"loss": float("nan")}) for number in range(3)]
    found = client.get(f"/export/runs.{form}?where=run.name+like+'run-%25'")
    assert found.text.startswith(begin)
    assert all(f"run-{number}" in found.text for number in range(3))
    one = client.get(f"/export/runs.{form}?id={ids[1]}").text
    assert "run-1" in one
    assert "run-0" not in one


# One run


def test_a_run_is_found_by_its_commit_as_it_was(client: WebClient, repo_dir: Path) -> None:
    """A link with a commit shows that state for ever; the one with the id shows the newest."""
    run = seal(repo_dir, "before")
    first = client.get(f"/api/runs?where=run.id='{run}'").json()
    assert first["total"] == 1
    commit = re.search(r'href="/runs/([0-9a-f]{40})"', client.get(f"/runs/{run}").text)
    assert commit
    change(client, "/api/change", action="rename", ids=[run], name="after")
    then = client.get(f"/runs/{commit.group(1)}").text
    assert "<title>before" in then
    assert "as it was at commit" in then
    assert "<title>after" in client.get(f"/runs/{run}").text


@pytest.mark.parametrize("name", ["nothing", "a" * 40, "0" * 40, "x" * 12, "%2e%2e"])
def test_what_is_no_run_is_not_found(client: WebClient, name: str) -> None:
    """An address without a run says so."""
    answer = client.get(f"/runs/{name}")
    assert answer.status_code == 404
    assert "<h1>" in answer.text


def test_uncommitted_changes_are_a_diff(client: WebClient, repo_dir: Path, git: Any) -> None:
    """What the run's code had over its commit is shown line by line, in both layouts, what changed in a line marked."""
    (repo_dir / "train.py").write_text("print('training, <b>longer</b>')\n")
    git("add", "-A", cwd=repo_dir)
    tree = git("write-tree", cwd=repo_dir).strip()
    git("reset", "-q", "--hard", cwd=repo_dir)
    head = git("rev-parse", "HEAD", cwd=repo_dir).strip()
    run = seal(repo_dir, "base", code_tree=tree, code=CodeState(commit=head, branch="main", dirty=True))
    for layout in ("split", "inline"):
        text = client.get(f"/runs/{run}/code?layout={layout}").text
        assert "train.py" in text
        assert re.search(r'class="del">.*training', text)
        assert re.search(r'class="add">.*<mark><span class="s1">, &lt;b&gt;longer&lt;/b&gt;</span></mark>', text)
    file = client.get(f"/runs/{run}/code?path=params.yaml").text
    assert re.search(r'<pre class="code".*lr.*0\.1', file, re.DOTALL)


def test_output_keeps_its_colours(client: WebClient, repo_dir: Path) -> None:
    """Escape sequences become classes, a line that was written over shows its end, and nothing else passes."""
    run = seal(repo_dir, "base", output=b"\x1b[1;31mred\x1b[0m <b>\n 10%\r 20%\rdone\n\x1b]0;title\x07x\n")
    text = client.get(f"/runs/{run}/output").text
    assert '<span class="a-bold f1">red</span> &lt;b&gt;\ndone\nx' in text
    assert "\x1b" not in text
    assert client.get(f"/runs/{run}/output.log").content.startswith(b"\x1b[1;31mred")


@pytest.mark.parametrize(
    ("path", "data", "expected"),
    [
        ("a.csv", b"x,y\n1,<i>\n", "<td>&lt;i&gt;</td>"),
        ("a.json", b'{"a":[1,2]}', "&#34;a&#34;"),
        ("a.md", b"# Title\n\n<script>x</script>", "<h1>Title</h1>"),
        ("a.bin", b"\0\1\2", "There is no preview"),
        ("a.csv", b"\xff\xfe\0", "cannot be read"),
        ("a.png", b"x", "<img src="),
        ("a.wav", b"x", "<audio"),
        ("a.pdf", b"x", "<iframe"),
        ("a.html", b"x", 'sandbox="allow-scripts"'),
        (
            "a.ipynb",
            json.dumps(
                {
                    "cells": [
                        {"cell_type": "markdown", "source": "**hi**"},
                        {
                            "cell_type": "code",
                            "source": "1",
                            "outputs": [{"data": {"text/html": "<b onclick=x>b</b>"}}],
                        },
                    ]
                }
            ).encode(),
            "<strong>hi</strong>",
        ),
        ("a.ipynb", b"{}", "cannot be read"),
    ],
)
def test_artifacts_have_previews(client: WebClient, repo_dir: Path, path: str, data: bytes, expected: str) -> None:
    """Each kind of file is shown as what it is; what cannot be read as its name says, as text or bytes."""
    run = seal(repo_dir, "base", artifacts={path: data})
    text = client.get(f"/runs/{run}/artifacts").text
    assert expected in text
    assert "onclick" not in text
    assert "<script>x" not in text


def test_a_curve_keeps_its_spikes(client: WebClient, repo_dir: Path) -> None:
    """In any number of pieces the highest and lowest value are those of all points, NaN left out; a zoom is finer."""
    values = [float(step % 10) for step in range(20_000)]
    values[12_345], values[7], values[9] = 1e6, float("nan"), float("inf")
    run = seal(
        repo_dir,
        "base",
        metrics={"loss": 9.0},
        histories={"loss": History.of([(at, at, y) for at, y in enumerate(values)])},
    )

    def ask(**query: Any) -> list[tuple[float, ...]]:
        data = client.get(f"/api/runs/{run}/series", params={"key": "loss", **query}).content
        numbers = struct.unpack(f"<{len(data) // 8}d", data)
        size = int(numbers[0])
        return [numbers[:4], *(numbers[4 + at * size : 4 + (at + 1) * size] for at in range(4))]

    head, xs, lows, means, highs = ask(px=100)
    assert head[1:] == (19_998, 0, 19_999)
    assert len(xs) == 100
    assert (min(lows), max(highs)) == (0, 1e6)
    assert all(low <= mean <= high for low, mean, high in zip(lows, means, highs, strict=True))
    head, xs, *_ = ask(**{"px": 100, "from": 12_340, "to": 12_350})
    assert xs == tuple(range(12_339, 12_352))
    assert client.get(f"/api/runs/{run}/series?key=nothing").status_code == 404
    assert client.get(f"/api/runs/{run}/series?key=loss&x=sideways").status_code == 400


def test_pages_need_no_inline_style_or_script(client: WebClient, repo_dir: Path) -> None:
    """No page has what the content policy forbids: event handlers, style attributes, scripts with content."""
    run = seal(
        repo_dir,
        "base",
        params={"a": 1},
        metrics={"loss": 1.0},
        artifacts={"a.csv": b"x\n1\n"},
        output=b"x\n",
        note="n",
    )
    sides = ["", "/charts", "/artifacts", "/output", "/code", "/environment", "/history"]
    for address in ["/runs", "/nothing", *(f"/runs/{run}{side}" for side in sides)]:
        text = client.get(address).text
        assert not re.search(r"<[^>]* style=|<[^>]* on\w+=", text), address
        assert not re.search(r"<script(?![^>]*(src=|application/json))", text), address


def test_assets_are_kept_for_ever_under_their_content(client: WebClient) -> None:
    """What a page is made of has an address that changes with its content, and no other is answered."""
    found = re.findall(r'(?:src|href)="(/static/[^"]+)"', client.get("/runs").text)
    assert found
    for address in found:
        answer = client.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert client.get("/static/000000000000/app.css").status_code == 404
    assert client.get(found[0].rpartition("/")[0] + "/..%2f..%2fapp.py").status_code == 404


def test_no_module_parses_text_as_markup() -> None:
    """Our modules build elements; none has a way to turn a text into HTML or code."""
    folder = Path(__file__).parent.parent / "src/gitexp/web/static"
    for path in folder.glob("*.js"):
        found = re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|DOMParser", path.read_text()
        )
        assert found is None, f"{path.name}: {found}"


def test_states_have_their_words(client: WebClient, repo_dir: Path) -> None:
    """A run's state is told in words, not by a colour alone."""
    run = seal(repo_dir, "base", status=Status.FAILED, exit_code=3)
    text = client.get(f"/runs/{run}").text
    assert '<span id="status">failed</span>' in text
    assert "exit code 3" in text
