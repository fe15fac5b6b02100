"""Writes docs/cli.md from the commands themselves: `python docs/generate_cli.py`. A test checks it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from gitexp import errors
from gitexp.cli import BROKEN_PIPE, COMMANDS, INTERRUPTED, OWN_BUG, command_line
from gitexp.domain.direction import direction

TARGET = Path(__file__).with_name("cli.md")

HEAD = """\
# Commands

<!-- Written by docs/generate_cli.py from the commands themselves. -->

Results go to stdout, talk and errors to stderr. Tables fit the terminal; where stdout is no terminal they are 120 columns
wide, and `COLUMNS` says otherwise. Colours are for terminals; `NO_COLOR` turns them off, `FORCE_COLOR` on. Text that others chose (names,
params, notes, output) is shown with its control characters escaped. `GITEXP_DEBUG=1` adds the traceback to an error.

## Naming a run

| | |
| --- | --- |
| `baseline` | by its name |
| `k7m29x4qh3vd`, `k7m2` | by its id, or the beginning of it |
| `8b40de780136` | by its commit, or the beginning of it |
| `@`, `@~1` | the newest, and the one before it; of nested runs the one that they are in |
| `best:metrics.rmse`, `best:-metrics.auc` | the one with the lowest rmse, with the highest auc |

`RUN:PATH` names an artifact, or those in a folder, or those that match a pattern: `baseline:model.pkl`, `@:plots/`, `best:metrics.rmse:**/*.png`.

## Which way a metric is better

A star in `ls` and the words better and worse in `diff` follow the metric's name: no other knowledge is needed, and
none is stored. {direction}

## JSON

`--json` prints one document. A run has the keys of `run.yaml` ([format.md](format.md), 1.4), null where not known, and `ref`,
`commit` (null while it is recorded), `params`, `metrics`, `tags`. Times are UTC. NaN and infinities are the strings "NaN",
"Infinity" and "-Infinity".

| command | document |
| --- | --- |
| `ls` | `total`, and `runs`: a list of runs, each also with `nested`, how many are nested in it |
| `show` | a run, and `history` (for each metric `points`, `first_step`, `last_step`, `min`, `max`), `artifacts` (`path`, `size` in bytes, `sha256`, `is_here`), `environment` (`python`, `requirements`), `code_changes` since the commit (`path`, `kind`, `added`, `removed`) |
| `diff` | `before`, `after` (runs), `same`, `record`, `params`, `metrics`, `environment`, `packages`, `artifacts` (lists of `key`, `kind`, `before`, `after`; for metrics also `delta`, `ratio`, `better`), `code` (`path`, `kind`, `added`, `removed`), `outputs_in_code` (paths of outputs of earlier runs), `git` (the plain command), with `--code` also `code_diff` |
| `compare` | `runs` (runs), `baseline` (an id), `steps` and `code` (`group`, `files`) by id, and `rows`: `section`, `key`, `differs`, `values` by id (absent where a run has none), `best` (ids) |
| `best` | `objectives` (`name`, `better`), `total`, `dominated`, `without` (a count by objective), and `runs`: each also with `values` by objective |
| `plot` | `panels`: `title`, `x`, `lines` (`name`, `x`, `y`); `notes` |
| `watch` | one document a line, each with its `event`: `run` and `end` (`run`), `points` (`metric`, `points` of step, time and value), `output` (`text`) |
| `log` | `id`, `name`, `events` (`event`, `commit`, `author`, `time`, `changes`), `lineage` (`kind`, `commit`, `text`) |
| `reproduce` | `verdict` (`identical`, `same`, `different`), `judgement` (the same in words), `tolerance`, `environment` (`venv`, `conda`, `current`), `before` and `after` (a run and a list of runs), `metrics` (`key`, `judgement`, `before`, `after`, `points_before`, `points_after`, `first_step`, `first_before`, `first_after`, `largest_absolute`, `largest_relative`, `noise`), `not_judged` (names), `artifacts` (`path`, `judgement`, `before`, `after`, `detail`), `output` (`judgement`, `ignored`, `line`, `before`, `after`), `causes` (`kind`, `text`), `inputs` (`name`, `place`, `detail`), `troubles`; with `--emit-dockerfile` `folder`, `files`, `notes` |
| `verify` | `run` (an id), `complete`, `parts`: `section`, `name`, `is_there`, `detail` |
| `push`, `pull` | `remote` (`name`, `url`), `created`, `updated`, `merged`, `behind`, `ahead` (lists of refs), `same` (a count), `refused` (the reason by ref), `artifacts` (`place`, `count`, `bytes`, `missing`: `run`, `name`, `path` and `sha256` of each) |
| `remote` | a list of `name`, `url`, `push_url`, `refs`, `engine`, `runs`, `not_shared`, `new_there`, `artifacts` (the place), `unsent`, `unsent_bytes`, `error`; null where not known |
| `fsck` | a list of `severity`, `where`, `what`, `advice` |
| `gc` | `dry_run`, `runs` (`id`, `name`), `content`, `content_bytes`, `objects`, `temporary`, `environments` (`kept`, `unused`, `removed`, each also with `_bytes`) |

`kind` is one of `same`, `added`, `removed`, `changed`.

## Exit codes

| code | |
| --- | --- |
| 0 | done |
"""  # noqa: E501 (rows of tables)


def document() -> str:
    """The text of docs/cli.md."""
    rule = " ".join((inspect.getdoc(direction) or "").partition("\n\n")[2].split())
    parts = [HEAD.format(direction=rule) + "\n".join(_exit_codes())]
    for title, names in COMMANDS.items():
        parts.append(f"## {title}")
        context = click.Context(command_line)
        parts += ["\n\n".join(_command(name, command_line.get_command(context, name))) for name in names]
    return "\n\n".join(parts) + "\n"


def _exit_codes() -> Iterator[str]:
    meanings: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        found = re.search(r"(\w+)\s+(?:exit code )?(\d+)(?:\s+(.*))?$", line)
        if found:
            meanings[int(found[2])] = found[3] or "another error"
    meanings |= {
        OWN_BUG: "a bug of gitexp's own, with a traceback",
        INTERRUPTED: "interrupted",
        BROKEN_PIPE: "whoever read the output went away",
    }
    yield from (f"| {code} | {meaning} |" for code, meaning in sorted(meanings.items()))
    yield ""
    yield (
        "`gitexp run` leaves with the code of what it ran, `gitexp diff --exit-code` with 1 where the runs differ, "
        "`gitexp reproduce` with 1 where the results are different, `gitexp verify` with 1 where something is missing."
    )


def _command(name: str, command: click.Command | None) -> Iterator[str]:
    assert command is not None
    context = click.Context(command, info_name=f"gitexp {name}")
    yield f"### gitexp {name}"
    yield f"```\n{' '.join([f'gitexp {name}', *command.collect_usage_pieces(context)])}\n```"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b"):
            yield f"```sh\n{paragraph.removeprefix(chr(8)).strip()}\n```"
        else:
            yield " ".join(paragraph.split())
    rows = [_option(option) for option in command.params if isinstance(option, click.Option)]
    if rows:
        yield "\n".join(["| option | |", "| --- | --- |", *rows])
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            yield from _command(f"{name} {inner}", command.get_command(context, inner))


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    if not option.is_flag:
        value = option.metavar or option.type.name.upper()
        names += f" `{value}`"
    help_text = " ".join((option.help or "").split())
    if option.show_default:
        help_text += f" [default: {option.default}]"
    return f"| {names} | {help_text} |"


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")
