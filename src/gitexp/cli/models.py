"""`gitexp models`: the model registry."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click
from click.shell_completion import CompletionItem

from gitexp.cli.opening import completing, open_repository
from gitexp.cli.sidebyside import as_text
from gitexp.cli.table import Cell, Column, choose, cut, render
from gitexp.cli.tag import parse_tags
from gitexp.cli.terminal import Terminal, look, printable, say, show_json, tell
from gitexp.cli.values import SHORT_COMMIT, ago, moment, person, size
from gitexp.comparing import compare, content_changes
from gitexp.domain.registry import ModelVersion, RegisteredModel, Stage, parse_stage, version_to_dict
from gitexp.domain.run import format_time
from gitexp.errors import NotFound, UsageError
from gitexp.registry import RegisteredVersion, Registry
from gitexp.store.modelstore import ModelEvent

_STAGE_STYLE = {Stage.PRODUCTION: "bold green", Stage.STAGING: "yellow", Stage.ARCHIVED: "dim", Stage.NONE: ""}


class Address(click.ParamType):  # type: ignore[type-arg]
    """A model, or one version of it; the shell completes names, aliases and numbers."""

    name = "model"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 (click's signature)
        found = []
        for model in completing(lambda repository: Registry(repository).models()):
            found += [model.name, *(f"{model.name}@{alias}" for alias in model.aliases)]
            found += [f"{model.name}/{version.number}" for version in reversed(model.present)]
        return [CompletionItem(text) for text in found if text.startswith(incomplete)]


MODEL = Address()
_ENV = "own: with what the model was saved with, built once and kept; current: the Python that runs gitexp."
_TRUST = "Let somebody else's model run code that it brings along, as a pickle does."
_reason = click.option("-m", "--message", "reason", default="", metavar="TEXT", help="Why: it goes into the audit log.")
_json = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.group(short_help="The model registry: versions, aliases, stages, audit log.")
def command() -> None:
    """Register models from runs, and say which version is where. Every change is a commit.

    A version is NAME/7, NAME@ALIAS or NAME/STAGE; NAME alone means its newest.

    \b
    gitexp models register baseline:model nyc-taxi
    gitexp models alias nyc-taxi/7 champion -m "better on the new data"
    gitexp models log nyc-taxi
    """


@command.command(short_help="Make a run's artifact a version of a model.")
@click.argument("source", metavar="RUN:PATH")
@click.argument("name")
@click.option("--description", metavar="TEXT", help="What is special about this version.")
@click.option("-t", "--tag", "tags", metavar="KEY[=VALUE]", multiple=True, help="Attach a tag. Repeatable.")
@_reason
@_json
def register(
    source: str, name: str, description: str | None, tags: tuple[str, ...], reason: str, as_json: bool
) -> None:
    """Make the artifact PATH of RUN (a folder or a file; also runs:/RUN/PATH) the next version of the model NAME."""
    made = _registry().register(source, name, description=description, tags=parse_tags(tags), reason=reason)
    if as_json:
        show_json(version_to_json(made.model, made.version))
    else:
        tell(f"Registered {printable(str(made))}: {size(made.version.size_bytes)} from {printable(source)}.")


@command.command(name="ls", short_help="List the models.")
@click.option("--deleted", is_flag=True, help="Removed ones, too.")
@_json
def ls_command(deleted: bool, as_json: bool) -> None:
    """List the models: how many versions each has, and which are where."""
    models = _registry().models(deleted=deleted)
    if as_json:
        show_json([_model_to_json(model) for model in models])
        return
    if not models:
        tell("No model is registered. Type: gitexp models register RUN:PATH NAME")
        return
    terminal, now = look(), time.time()
    newest = [model.present[-1] if model.present else None for model in models]
    columns = [
        Column(title="model", cells=[Cell(printable(m.name), "dim" if m.deleted else "bold") for m in models]),
        Column(title="versions", cells=[Cell(str(len(m.present))) for m in models], right=True),
        Column(title="production", cells=[_in_stage(m, Stage.PRODUCTION) for m in models]),
        Column(title="staging", cells=[_in_stage(m, Stage.STAGING) for m in models], rank=1),
        Column(title="aliases", cells=[Cell(_aliases(m)) for m in models], widest=60),
        Column(title="newest", cells=[Cell(ago(v.created, now) if v else "") for v in newest], rank=2),
        Column(title="by", cells=[Cell(person(v.author) if v else "") for v in newest], rank=3),
        Column(title="", cells=[Cell(printable(m.description or ""), "dim") for m in models], rank=4, widest=60),
    ]
    for line in render(choose(columns, terminal.width), terminal):
        say(line)


@command.command(short_help="Show a model and its versions, or one version.")
@click.argument("address", metavar="NAME[/VERSION]", type=MODEL)
@_json
def show(address: str, as_json: bool) -> None:
    """Show a model with its versions; with a version, where it came from and what its run measured."""
    registry = _registry()
    name, mark = address.removeprefix("models:/"), any(sign in address.removeprefix("models:/") for sign in "/@")
    if not mark:
        model = registry.model(name)
        if as_json:
            show_json(_model_to_json(model))
        else:
            for line in _model_lines(model, look()):
                say(line)
        return
    found = registry.find(address)
    if as_json:
        show_json(version_to_json(found.model, found.version))
    else:
        for line in _version_lines(registry, found, look()):
            say(line)


@command.command(short_help="Compare two versions.")
@click.argument("before", metavar="A", type=MODEL)
@click.argument("after", metavar="B", type=MODEL)
@click.option("--all", "everything", is_flag=True, help="What is the same, too.")
@click.option("--latency", is_flag=True, help="How long each takes for its example, in the current environment.")
@click.option("--trust", is_flag=True, help=_TRUST)
@_json
def diff(before: str, after: str, everything: bool, latency: bool, trust: bool, as_json: bool) -> None:
    """Show what differs from version A to version B: params, metrics, code, environment, files, size and latency.

    \b
    gitexp models diff nyc-taxi@production nyc-taxi/7
    """
    repository = open_repository()
    registry = Registry(repository)
    one, other = registry.find(before), registry.find(after)
    runs = registry.run_of(one.version), registry.run_of(other.version)
    found = compare(repository, *runs)
    latencies = []
    if latency:
        from gitexp.models.latency import measure_latencies  # it loads both models

        latencies = measure_latencies([f"models:/{one}", f"models:/{other}"], repository=repository, trust=trust)
    if as_json:
        show_json(
            {
                "before": version_to_json(one.model, one.version),
                "after": version_to_json(other.model, other.version),
                "params": [asdict(change) for change in found.params],
                "metrics": [asdict(change) for change in found.metrics],
                "packages": [asdict(change) for change in found.packages],
                "artifacts": [asdict(change) for change in found.artifacts],
                **({"latency": [asdict(measured) for measured in latencies]} if latency else {}),
            }
        )
        return
    terminal = look()
    for line in _two_versions(one, other, terminal):
        say(line)
    for sign, measured in zip("-+", latencies, strict=False):
        rows = "" if measured.rows is None else f" for {measured.rows} row{'s' if measured.rows != 1 else ''}"
        slowest = f"99 % below {measured.p99_ms:.3g} ms, asked {measured.questions:,} times"
        say(f"{sign} {measured.median_ms:.3g} ms{rows}, {slowest}")
    say()
    for line in as_text(*runs, found, content_changes(*runs, found), terminal, everything=everything):
        say(line)


@command.command(short_help="Give a version an alias, or take one away.")
@click.argument("address", metavar="NAME[/VERSION]", type=MODEL)
@click.argument("alias")
@click.option("--remove", is_flag=True, help="Let ALIAS mean no version.")
@_reason
def alias(address: str, alias: str, remove: bool, reason: str) -> None:
    """Let ALIAS mean a version of a model, whatever it meant before.

    \b
    gitexp models alias nyc-taxi/7 champion
    gitexp models alias nyc-taxi champion --remove
    """
    registry = _registry()
    if remove:
        model = registry.remove_alias(address, alias, reason=reason)
        tell(f"'{printable(alias)}' means no version of {printable(model.name)} now.")
    else:
        found = registry.set_alias(address, alias, reason=reason)
        tell(f"{printable(found.model.name)}@{alias} is version {found.version.number}.")


@command.command(short_help="Move a version to a stage.")
@click.argument("address", metavar="NAME/VERSION", type=MODEL)
@click.argument("stage", type=click.Choice([*Stage], case_sensitive=False))
@click.option("--archive-others", is_flag=True, help="Archive what is in that stage now.")
@_reason
def stage(address: str, stage: str, archive_others: bool, reason: str) -> None:
    """Move a version to STAGE. The gates in .gitexp/config.yaml may refuse it, and say why."""
    found = _registry().set_stage(address, parse_stage(stage), archive_others=archive_others, reason=reason)
    tell(f"{printable(str(found))} is {found.version.stage}.")


@command.command(short_help="Show who changed what of a model, when and why.")
@click.argument("name", type=MODEL)
@_json
def log(name: str, as_json: bool) -> None:
    """Show every change of a model, newest first: its git history."""
    registry = _registry()
    events = registry.events(name)
    if as_json:
        show_json([_event_to_json(event) for event in events])
        return
    terminal, now = look(), time.time()
    columns = [
        Column(title="", cells=[Cell(event.commit[:SHORT_COMMIT], "yellow") for event in events]),
        Column(title="", cells=[Cell(moment(event.time)) for event in events], rank=2),
        Column(title="", cells=[Cell(ago(event.time, now)) for event in events], right=True, rank=1),
        Column(title="", cells=[Cell(person(event.author)) for event in events], narrowest=8),
        Column(title="", cells=[Cell(printable(event.subject), "bold") for event in events], widest=200, narrowest=12),
    ]
    say(terminal.paint(printable(name), "bold"))
    for line, event in zip(render(choose(columns, terminal.width - 2), terminal, indent=2), events, strict=True):
        say(line)
        for reason in event.reason.splitlines():
            say("      " + cut(printable(reason), terminal.width - 6, terminal.ellipsis))
    say()
    say(terminal.paint(f"In plain git: git log {events[0].commit[:SHORT_COMMIT]}", "dim"))


@command.command(short_help="Say what a model or a version is.")
@click.argument("address", metavar="NAME[/VERSION]", type=MODEL)
@click.argument("text")
@_reason
def describe(address: str, text: str, reason: str) -> None:
    """Say what a model, or one version of it, is; an empty TEXT takes that away."""
    model = _registry().describe(address, text, reason=reason)
    tell(f"Described {printable(address)}." if text.strip() else f"{printable(model.name)} has no description now.")


@command.command(short_help="Set or remove tags of a model or a version.")
@click.argument("address", metavar="NAME[/VERSION]", type=MODEL)
@click.argument("tags", metavar="KEY[=VALUE]...", nargs=-1)
@click.option("--remove", metavar="KEY", multiple=True, help="Take this tag away. Repeatable.")
@_reason
def tag(address: str, tags: tuple[str, ...], remove: tuple[str, ...], reason: str) -> None:
    """Set tags of a model, or of one version of it: KEY=VALUE, or a bare word."""
    if not tags and not remove:
        raise UsageError("There is nothing to tag with.", hint="gitexp models tag NAME key=value")
    _registry().tag(address, parse_tags(tags), remove=remove, reason=reason)
    tell(f"Tagged {printable(address)}.")


@command.command(short_help="Remove a model or a version.")
@click.argument("address", metavar="NAME[/VERSION]", type=MODEL)
@_reason
def rm(address: str, reason: str) -> None:
    """Mark a model, or one version of it, as removed. 'restore' brings it back; its number is not given again."""
    _registry().remove(address, reason=reason)
    tell(f"Removed {printable(address)}. To bring it back: gitexp models restore {printable(address)}")


@command.command(short_help="Bring a removed model or version back.")
@click.argument("address", metavar="NAME[/VERSION]", type=MODEL)
@_reason
def restore(address: str, reason: str) -> None:
    """Bring a removed model, or one version of it, back."""
    _registry().restore(address, reason=reason)
    tell(f"Restored {printable(address)}.")


@command.command(short_help="Let a model answer over HTTP.")
@click.argument("uri", metavar="MODEL", type=MODEL)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("-p", "--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
@click.option("-w", "--workers", type=click.IntRange(1), default=1, show_default=True, help="How many answer at once.")
@click.option("--env", type=click.Choice(["current", "own"]), default="own", show_default=True, help=_ENV)
@click.option("--trust", is_flag=True, help=_TRUST)
def serve(uri: str, host: str, port: int, workers: int, env: str, trust: bool) -> None:
    """Let MODEL (NAME/VERSION, NAME@ALIAS, runs:/RUN/PATH or a folder) answer at /invocations, until Ctrl-C.

    It speaks MLflow's scoring protocol: JSON with dataframe_split, dataframe_records, instances or inputs, or CSV.

    \b
    gitexp models serve nyc-taxi@champion
    curl -H 'Content-Type: application/json' -d '{"inputs": {"x": [1, 2]}}' http://127.0.0.1:5000/invocations
    """
    from gitexp.models.serving import prepare_service  # here and below: few commands touch models

    service = prepare_service(model_uri(uri), host=host, port=port, workers=workers, env=env, trust=trust, say=tell)
    tell(f"{printable(uri)} answers at http://{host}:{port}/invocations. Ctrl-C ends it.")
    os.execve(service.command[0], service.command, dict(service.environ))


@command.command(short_help="Ask a model about a file.")
@click.argument("uri", metavar="MODEL", type=MODEL)
@click.option("-i", "--input", "source", type=click.File("rb"), default="-", help="CSV or JSON; stdin by default.")
@click.option("-o", "--output", "target", type=click.File("wb"), default="-", help="Where the answer goes.")
@click.option("-t", "--content-type", type=click.Choice(["json", "csv"]), help="Default: as the file is named.")
@click.option("--trust", is_flag=True, help=_TRUST)
def predict(uri: str, source: Any, target: Any, content_type: str | None, trust: bool) -> None:
    """Ask MODEL about CSV, or JSON as its server takes it; the answer is JSON. The current environment is used.

    \b
    gitexp models predict nyc-taxi@champion -i new.csv
    """
    from gitexp.models.loading import load_pyfunc
    from gitexp.models.scoring import CSV, JSON, read_request, write_answer

    is_csv = content_type == "csv" or (content_type is None and str(source.name).endswith(".csv"))
    model = load_pyfunc(model_uri(uri), trust=trust)
    inputs = model.signature.inputs if model.signature else None
    question = read_request(CSV if is_csv else JSON, source.read(), inputs)
    target.write(write_answer(model.predict(question.data, question.params)) + b"\n")


@command.command(name="build-docker", short_help="Write a Dockerfile that serves a model.")
@click.argument("uri", metavar="MODEL", type=MODEL)
@click.option("-o", "--output", "folder", default="image", show_default=True, help="The new folder for it.")
def build_docker(uri: str, folder: str) -> None:
    """Write a folder with a Dockerfile and all that it copies: MODEL, and the gitexp that serves it."""
    from gitexp.models.serving import write_image

    write_image(model_uri(uri), folder)
    tell(f"Wrote {printable(folder)}. Type: docker build -t model {printable(folder)}")


@command.command(short_help="Write a model's files into a folder.")
@click.argument("uri", metavar="MODEL", type=MODEL)
@click.option("-o", "--output", "folder", required=True, help="The new folder for them.")
def export(uri: str, folder: str) -> None:
    """Write MODEL's files into a new folder, which MLflow and whoever takes its models can load."""
    from gitexp.models.loading import export_model

    export_model(model_uri(uri), folder)
    tell(f"Wrote {printable(uri)} into {printable(folder)}.")


def model_uri(text: str) -> str:
    """The address of a model: `nyc-taxi@champion` stands for `models:/nyc-taxi@champion`."""
    is_folder = os.path.isdir(text)
    return text if is_folder or ":" in text else f"models:/{text}"


def version_to_json(model: RegisteredModel, version: ModelVersion) -> dict[str, Any]:
    made = {key: value for key, value in version_to_dict(version).items() if value is not None}
    return {"model": model.name, **made, "stage": version.stage.value, "aliases": model.aliases_of(version.number)}


def _registry() -> Registry:
    return Registry(open_repository())


def _model_to_json(model: RegisteredModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "created": format_time(model.created),
        "description": model.description,
        "tags": dict(model.tags),
        "aliases": dict(model.aliases),
        "deleted": None if model.deleted is None else format_time(model.deleted),
        "versions": [version_to_json(model, version) for version in model.versions],
    }


def _event_to_json(event: ModelEvent) -> dict[str, Any]:
    return {
        "event": event.kind,
        "commit": event.commit,
        "author": event.author,
        "time": format_time(event.time),
        "subject": event.subject,
        "message": event.reason or None,
    }


def _aliases(model: RegisteredModel) -> str:
    return ", ".join(f"{printable(alias)}={number}" for alias, number in sorted(model.aliases.items()))


def _in_stage(model: RegisteredModel, stage: Stage) -> Cell:
    numbers = [str(version.number) for version in model.present if version.stage is stage]
    return Cell(", ".join(numbers), _STAGE_STYLE[stage])


def _model_lines(model: RegisteredModel, terminal: Terminal) -> Iterator[str]:
    removed = terminal.paint("  removed", "red") if model.deleted else ""
    yield terminal.paint(printable(model.name), "bold") + removed
    if model.description:
        yield f"  {printable(model.description)}"
    for key, value in sorted(model.tags.items()):
        yield f"  {printable(key)} = {printable(value)}" if value else f"  {printable(key)}"
    if not model.versions:
        return
    yield ""
    now, versions = time.time(), list(reversed(model.versions))
    columns = [
        Column(title="version", cells=[Cell(str(v.number), "dim" if v.deleted else "bold") for v in versions]),
        Column(title="stage", cells=[_stage_cell(v) for v in versions]),
        Column(title="aliases", cells=[Cell(", ".join(model.aliases_of(v.number))) for v in versions], widest=60),
        Column(title="run", cells=[Cell(v.run, "dim") for v in versions]),
        Column(title="path", cells=[Cell(printable(v.path)) for v in versions], rank=2),
        Column(title="size", cells=[Cell(size(v.size_bytes)) for v in versions], right=True, rank=1),
        Column(title="registered", cells=[Cell(ago(v.created, now)) for v in versions]),
        Column(title="by", cells=[Cell(person(v.author)) for v in versions], rank=3),
        Column(title="", cells=[Cell(printable(v.description or ""), "dim") for v in versions], rank=4, widest=60),
    ]
    yield from render(choose(columns, terminal.width), terminal)


def _stage_cell(version: ModelVersion) -> Cell:
    if version.deleted:
        return Cell("removed", "red")
    return Cell("" if version.stage is Stage.NONE else version.stage.value, _STAGE_STYLE[version.stage])


def _version_lines(registry: Registry, found: RegisteredVersion, terminal: Terminal) -> Iterator[str]:
    version = found.version
    yield "  ".join(
        [
            terminal.paint(printable(str(found)), "bold"),
            *(terminal.paint(f"@{printable(alias)}", "cyan") for alias in found.model.aliases_of(version.number)),
            *([terminal.paint(version.stage, _STAGE_STYLE[version.stage])] if version.stage is not Stage.NONE else []),
        ]
    )
    if version.description:
        yield f"  {printable(version.description)}"
    facts = {
        "registered": f"{moment(version.created)} by {person(version.author)}",
        "from": f"run {version.run}, {printable(version.path)}",
        "commit": version.commit[:SHORT_COMMIT],
        "digest": version.digest,
        "size": size(version.size_bytes),
        **{f"tags.{printable(key)}": printable(value) for key, value in sorted(version.tags.items())},
    }
    try:
        run = registry.run_of(version)
        facts |= {f"metrics.{printable(key)}": f"{value:g}" for key, value in sorted(run.metrics.items())}
        facts["from"] = f"{printable(run.name)} ({run.id}), {printable(version.path)}"
    except NotFound:
        facts["from"] += " (not here)"
    widest = max(map(len, facts))
    yield ""
    for key, value in facts.items():
        yield f"  {terminal.paint(key.ljust(widest), 'dim')}  {value}"


def _two_versions(one: RegisteredVersion, other: RegisteredVersion, terminal: Terminal) -> list[str]:
    both = (one, other)
    columns = [
        Column(title="", cells=[Cell("-", "red"), Cell("+", "green")]),
        Column(title="", cells=[Cell(printable(str(each)), "bold") for each in both]),
        Column(title="", cells=[_stage_cell(each.version) for each in both]),
        Column(
            title="",
            cells=[
                Cell(" ".join(f"@{a}" for a in each.model.aliases_of(each.version.number)), "cyan") for each in both
            ],
        ),
        Column(title="", cells=[Cell(size(each.version.size_bytes)) for each in both], right=True),
        Column(title="", cells=[Cell(each.version.digest[:19]) for each in both], rank=1),
    ]
    same = one.version.digest == other.version.digest
    lines = render(choose(columns, terminal.width), terminal, titles=False)
    return [*lines, terminal.paint("The model's files are the same.", "dim")] if same else lines
