"""Registered models on the web: what the pages show, what they change, whom they refuse."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from gitexp.domain.registry import Stage
from gitexp.registry import Registry
from gitexp.repo import Repository
from gitexp.upkeep import gc
from gitexp.web.app import build
from sealed_runs import seal
from web_client import Answer, WebClient

pytestmark = pytest.mark.slow

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
MLMODEL = b"""\
flavors:
  python_function: {loader_module: mlflow.sklearn}
  sklearn: {pickled_model: model.pkl}
signature:
  inputs: '[{"type": "double", "name": "distance", "required": true}, {"type": "long", "name": "n", "required": false}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 3]}}]'
  params: '[{"name": "threshold", "type": "double", "default": 0.5, "shape": null}]'
"""


@pytest.fixture
def runs(repo_dir: Path) -> list[str]:
    """Two runs with a saved model each: `good` and `better`, whose loss is half of that."""
    said: list[tuple[str, float]] = [("good", 0.5), ("better", 0.25)]
    return [
        seal(
            repo_dir,
            name,
            params={"lr": loss, "same": 1},
            metrics={"loss": loss, "epoch": 3.0, "system/cpu": 1.0},
            artifacts={"model/MLmodel": MLMODEL, "model/model.pkl": name.encode(), "notes.txt": b"hi"},
            packages=(f"numpy=={loss}",),
        )
        for name, loss in said
    ]


@pytest.fixture
def registry(repo_dir: Path, runs: list[str]) -> Registry:
    """The model `taxi` with both: 1 in production and `champion`."""
    registry = Registry(Repository.open(repo_dir))
    for run in runs:
        registry.register(f"{run}:model", "taxi")
    registry.set_stage("taxi/1", Stage.PRODUCTION, reason="agreed on Monday")
    registry.set_alias("taxi/1", "champion", reason="as production")
    return registry


@pytest.fixture
def client(repo_dir: Path) -> WebClient:
    """Pages without a key."""
    return WebClient(build(Repository.open(repo_dir)))


def change(client: WebClient, **data: Any) -> Answer:
    """What our own pages send when somebody changes something."""
    token = re.search(r'name="gitexp-token" content="(\w+)"', client.get("/models").text)
    assert token
    headers = {"x-gitexp-token": token.group(1)}
    return client.post("/api/models/change", content=json.dumps(data), headers=headers)


def plain(page: str) -> str:
    """The words of a page, without elements."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.partition("<main")[2]))


def test_models_are_listed_with_what_is_where(client: WebClient, registry: Registry) -> None:
    """The number of versions, production, aliases and the newest; removed ones only where asked for."""
    registry.describe("taxi", "Fares of *trips*\n\nmore")
    registry.register("good:model", "old")
    registry.remove("old")
    page = client.get("/models").text
    assert "Fares of trips" in plain(page)
    assert re.search(r'href="/models/taxi/1" class="stage production"', page)
    assert "champion → 1" in page
    assert ">old<" not in page and "Show 1 removed" in page
    assert ">old<" in client.get("/models?removed=yes").text


def test_models_are_searched_by_what_is_said_of_them(client: WebClient, registry: Registry) -> None:
    """Each word is looked for in name, description, tags and aliases; finding nothing is said."""
    registry.register("good:notes.txt", "churn", description="x")
    registry.tag("churn", {"team": "growth"})
    for wanted, found in (("champ", "taxi"), ("team=growth chu", "churn")):
        text = client.get("/models", params={"q": wanted}).text
        assert re.findall(r'<th scope="row"><a href="/models/(\w+)"', text) == [found]
    assert "No model has that" in client.get("/models?q=nothing").text


def test_without_models_it_is_said_how_to_begin(client: WebClient) -> None:
    """An empty registry shows the command that fills it; a name that is none is 404."""
    assert "gitexp models register" in client.get("/models").text
    assert client.get("/models/taxi").status_code == 404


def test_a_model_shows_versions_and_who_put_what_where(client: WebClient, registry: Registry, runs: list[str]) -> None:
    """Newest first, with the run, its telling metrics, and the reasons for what is in use now."""
    text = client.get("/models/taxi").text
    assert re.findall(r'<th scope="row"><a href="/models/taxi/(\d)"', text) == ["2", "1"]
    assert f'<a href="/runs/{runs[1]}">better</a>' in text
    words = plain(text)
    assert "agreed on Monday" in words and "as production" in words
    assert "loss" in words and "system/cpu" not in words
    assert registry.commit_of("taxi")[:10] in words


def test_a_version_tells_where_it_came_from_and_how_to_use_it(client: WebClient, registry: Registry) -> None:
    """Run, commit, digest, signature, files, its metrics beside those in production, and what to type."""
    version = registry.find("taxi/2").version
    text = client.get("/models/taxi/2").text
    words = plain(text)
    assert version.digest in words
    assert f'href="/runs/{version.commit}"' in text
    assert f'href="/runs/{version.commit}/artifacts?path=model%2FMLmodel"' in text
    assert "distance double" in words and "optional" in words and "any × 3" in words and "default 0.5" in words
    assert "better: -0.25 (-50.0%)" in words
    assert "load_model(&#39;models:/taxi/2&#39;)" in text
    assert "gitexp models predict taxi/2 -i data.csv" in text
    assert client.get("/models/taxi@champion").text.count("taxi/1") > client.get("/models/taxi/2").text.count("taxi/1")
    for missing in ("/models/taxi/9", "/models/taxi@nobody", "/models/taxi/staging", "/models/taxi/" + "9" * 5000):
        assert client.get(missing).status_code in (400, 404)


def test_a_version_is_compared_with_production(client: WebClient, registry: Registry, runs: list[str]) -> None:
    """What is better and worse, params, packages and files that differ, and the way to the code of both runs."""
    text = client.get("/models/taxi/2/compare").text
    words = plain(text)
    assert "version 2 beside 1, which is in production" in words
    assert "1 better" in words and "worse" not in words
    assert "lr 0.5 0.25" in words and "numpy 0.5 0.25" in words and "model.pkl" in words
    assert " same 1" not in words
    assert f'href="/compare/code?runs={runs[0]},{runs[1]}"' in text
    assert client.get("/models/taxi/1/compare").status_code == 404
    assert client.get("/models/taxi/1/compare?with=2").status_code == 200
    registry.set_stage("taxi/1", Stage.NONE)
    assert "Compare with production" not in client.get("/models/taxi/2").text


def test_an_address_with_a_commit_shows_the_model_as_it_was(
    client: WebClient, registry: Registry, repo_dir: Path, git: Any
) -> None:
    """The links of the audit log work, also in a clone that has the ref, and offer no changes."""
    then = registry.events("taxi")[-3].commit
    registry.tag("taxi/1", {"checked": "yes"}, reason="by hand")
    log = client.get("/models/taxi/log").text
    assert "version 1 tags.checked" in plain(log) and "by hand" in log
    assert f'href="/models/taxi?at={then}"' in log
    clone = repo_dir.parent / "clone"
    git("clone", "-q", str(repo_dir), str(clone), cwd=repo_dir.parent)
    git("fetch", "-q", "origin", "refs/gitexp/models/*:refs/gitexp/models/*", cwd=clone)
    elsewhere = WebClient(build(Repository.open(clone)))
    for pages in (client, elsewhere):
        old = pages.get(f"/models/taxi?at={then}").text
        assert "as it was at commit" in old
        assert 'class="stage production"' not in old and 'data-do="' not in old
        assert pages.get(f"/models/taxi/1?at={then}").status_code == 200
        assert "checked" not in plain(pages.get(f"/models/taxi/1?at={then}").text)
    assert ">good</a>" in elsewhere.get("/models/taxi/1").text
    assert elsewhere.get(f"/runs/{registry.find('taxi/1').version.commit}").status_code == 200
    for commit in ("0" * 40, "abc", registry.find("taxi/1").version.commit):
        assert client.get(f"/models/taxi?at={commit}").status_code == 404


def test_everything_is_changed_with_its_reason(client: WebClient, registry: Registry) -> None:
    """Aliases, stages, descriptions, tags, removing and restoring, and what was said why."""
    steps: list[dict[str, Any]] = [
        {"action": "alias", "address": "taxi/2", "alias": "next"},
        {"action": "stage", "address": "taxi/2", "stage": "production", "archive_others": True},
        {"action": "describe", "address": "taxi/2", "text": "the *second*"},
        {"action": "describe", "address": "taxi", "text": "fares"},
        {"action": "tag", "address": "taxi/2", "set": {"data": "new"}, "remove": ["old"]},
        {"action": "unalias", "address": "taxi", "alias": "champion"},
        {"action": "remove", "address": "taxi/1"},
        {"action": "restore", "address": "taxi/1"},
        {"action": "remove", "address": "taxi/1"},
    ]
    for step, data in enumerate(steps):
        answer = change(client, **data, reason=f"step {step}")
        assert answer.status_code == 200, answer.text
    model = registry.model("taxi")
    assert [version.stage for version in model.versions] == [Stage.ARCHIVED, Stage.PRODUCTION]
    assert model.aliases == {"next": 2} and model.description == "fares"
    assert model.version(2).tags == {"data": "new"} and model.version(1).deleted is not None
    assert [event.reason for event in registry.events("taxi")][:9] == [f"step {step}" for step in reversed(range(9))]
    assert "<em>second</em>" in client.get("/models/taxi/2").text
    assert "was removed" in client.get("/models/taxi/1").text


def test_an_artifact_is_registered_from_its_run(client: WebClient, runs: list[str], repo_dir: Path) -> None:
    """The artifacts' page leads to a form that proposes the saved model's folder; it makes a version."""
    shown = client.get(f"/runs/{runs[0]}/artifacts?path=model/MLmodel").text
    link = re.search(r'href="(/register\?[^"]*)"', shown)
    assert link
    form = client.get(link.group(1).replace("&amp;", "&")).text
    assert re.search(r'value="model" checked', form) and re.search(r'value="model/MLmodel" >', form)
    made = change(
        client, action="register", run=runs[0], path="model", name="a b", tags={"k": ""}, description="d", reason="why"
    )
    assert made.json() == {"address": "/models/a%20b/1"}
    assert client.get("/models/a%20b/1").status_code == 200
    registry = Registry(Repository.open(repo_dir))
    assert registry.events("a b")[0].reason == "why" and registry.find("a b").version.path == "model"
    assert client.get(f"/register?run={runs[0]}&path=nothing").status_code == 404
    assert change(client, action="register", run=runs[0], path="nothing", name="x").status_code == 404
    assert change(client, action="register", run=runs[0], path="model", name="a/b").status_code == 400


def test_gates_are_shown_before_and_when_they_refuse(client: WebClient, registry: Registry, repo_dir: Path) -> None:
    """Each condition with whether it holds; a refusal names all that do not, and changes nothing."""
    (repo_dir / ".gitexp").mkdir(exist_ok=True)
    settings = 'registry: {gates: {production: ["metrics.loss < 0.1", "better metrics.loss", reproduced], x: ["a ="]}}'
    (repo_dir / ".gitexp" / "config.yaml").write_text(settings)
    client = WebClient(build(Repository.open(repo_dir)))
    words = plain(client.get("/models/taxi/2").text)
    assert "not met: metrics.loss &lt; 0.1" in words and "loss is 0.25" in words
    assert " met: better metrics.loss" in words and "not met: reproduced" in words
    assert "makes no sense" in words
    refused = change(client, action="stage", address="taxi/2", stage="production")
    assert refused.status_code == 400
    assert all(part in refused.json()["error"] for part in ("metrics.loss < 0.1", "reproduced:"))
    assert registry.model("taxi").version(2).stage is Stage.NONE


@pytest.mark.parametrize(
    "data",
    [
        {"action": "stage", "address": "taxi/2", "stage": "nonsense"},
        {"action": "stage", "address": "taxi/2", "stage": "none", "archive_others": True},
        {"action": "alias", "address": "taxi/2", "alias": "7"},
        {"action": "unalias", "address": "taxi", "alias": "nobody"},
        {"action": "remove", "address": "taxi"},
        {"action": "remove", "address": "nobody"},
        {"action": "tag", "address": "taxi"},
        {"action": "tag", "address": "taxi", "set": []},
        {"action": "describe", "address": "taxi", "text": 7},
        {"action": "burn", "address": "taxi"},
        {"action": "register", "run": "../../etc", "path": "passwd", "name": "x"},
        {},
    ],
)
def test_what_makes_no_sense_is_refused(client: WebClient, registry: Registry, data: dict[str, Any]) -> None:
    """An error that says why, and no commit."""
    before = registry.commit_of("taxi")
    answer = change(client, **data)
    assert answer.status_code in (400, 404) and answer.json()["error"]
    assert registry.commit_of("taxi") == before


def test_nothing_is_changed_without_the_token_or_read_only(registry: Registry, repo_dir: Path) -> None:
    """Another page cannot promote; with `--read-only` nobody can, and the pages offer nothing."""
    data = json.dumps({"action": "stage", "address": "taxi/2", "stage": "production"})
    for read_only in (False, True):
        client = WebClient(build(Repository.open(repo_dir), read_only=read_only))
        for headers in ({}, {"x-gitexp-token": "0" * 40}, {"origin": "http://127.0.0.1:9999"}):
            assert client.post("/api/models/change", content=data, headers=headers).status_code == 403
    for path in ("/models", "/models/taxi", "/models/taxi/2", "/models/taxi/2/compare"):
        page = client.get(path).text
        assert 'data-do="' not in page and "data-menu" not in page and "gitexp-token" not in page
    assert registry.model("taxi").version(2).stage is Stage.NONE


def test_hostile_words_are_text(client: WebClient, repo_dir: Path, registry: Registry) -> None:
    """Names, descriptions, tags, reasons and signatures with markup reach no page as elements."""
    name = HOSTILE.replace("/", "")
    bad = MLMODEL.replace(b"distance", HOSTILE.replace("'", "").encode())
    run = seal(repo_dir, name, artifacts={"m/MLmodel": bad}, metrics={"</script><b>": 1.0})
    text = f"{HOSTILE}\n\n[x](javascript:alert(3)) ![y](http://example.org/beacon.png)"
    registry.register(f"runs:/{run}/m", name, description=text, tags={HOSTILE: HOSTILE}, reason=HOSTILE)
    registry.describe(name, text, reason=HOSTILE)
    registry.set_stage(f"{name}/1", Stage.PRODUCTION, reason=HOSTILE)
    registry.register(f"runs:/{run}/m", name)
    base = f"/models/{quote(name)}"
    for path in ("/models", base, f"{base}/1", f"{base}/log", f"{base}/2/compare", f"/register?run={run}&path=m"):
        page = client.get(path)
        assert page.status_code == 200, path
        assert "<script>alert" not in page.text and "<img src=x" not in page.text, path
        assert "javascript:alert" not in re.sub(r"<(td|small|ins|p|div|script)[^>]*>[^<]*", "", page.text), path
        assert 'src="http' not in page.text, path


def test_a_version_whose_run_is_gone_still_answers(registry: Registry, repo_dir: Path, runs: list[str]) -> None:
    """After `gc` of a removed run, its versions have their metrics and files, and a link to the run as it was."""
    repository = Repository.open(repo_dir)
    repository.remove(repository.resolve(runs[1]))
    gc(repository, keep_s=0)
    client = WebClient(build(Repository.open(repo_dir)))
    commit = registry.find("taxi/2").version.commit
    text = client.get("/models/taxi/2").text
    assert f'href="/runs/{commit}">better</a>' in text and "model.pkl" in text
    assert client.get(f"/runs/{commit}").status_code == 200
    assert client.get("/models/taxi/2/compare").status_code == 200


def test_many_versions_come_in_pages(client: WebClient, registry: Registry, runs: list[str]) -> None:
    """A page holds a hundred, with a way to the older ones."""
    for _ in range(100):
        registry.register(f"{runs[0]}:notes.txt", "taxi")
    text = client.get("/models/taxi").text
    assert "2 older versions" in text and ">taxi/102<" in text and ">taxi/2<" not in text
    assert ">taxi/1<" in client.get("/models/taxi?skip=100").text
    assert client.get("/models/taxi?skip=-x").status_code == 200
