"""`gitexp verify`: whether everything is there to do a run again, without running it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from gitexp.data.restoring import Place, check, kept_inputs
from gitexp.domain.masking import mask_url
from gitexp.domain.pointer import Pointer
from gitexp.errors import EnvironmentFailed, GitexpError, NotFound, UsageError
from gitexp.reading import RunView
from gitexp.repo import Repository
from gitexp.reproducing.recipe import recipe_of
from gitexp.sharing.anywhere import usual_first
from gitexp.sharing.exchange import Sharing
from gitexp.store.git.config import parse_config
from gitexp.store.git.objects import MODE_GITLINK
from gitexp.store.git.submodules import MODULES, find_submodule
from gitexp.wording import plural

SECRET = "secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One thing that doing a run again needs.

    Attributes:
        section: "command", "code", "inputs", "environment" or "artifacts".
        name: a path, a package, ...
        is_there: whether it can be had.
        detail: where it is, where it was last seen, or what is wrong; empty where there is nothing to say.
    """

    section: str
    name: str
    is_there: bool
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Every part, in the order in which it is needed."""

    parts: tuple[Part, ...]

    @property
    def missing(self) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if not part.is_there)


def verify(
    repository: Repository,
    view: RunView,
    *,
    packages: bool = False,
    engine: str = "auto",
    environ: Mapping[str, str] = os.environ,
    say: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Look for all that doing a run again needs. Remotes are asked only for content that is not on this machine.

    Args:
        packages: build the environment too, which needs an index of packages; it stays in the cache.
        say: told what takes long.

    Raises:
        UsageError: the run is still being recorded.
    """
    if view.commit is None:
        raise UsageError(f"The run '{view.name}' is still being recorded.", hint="Wait for its end.")
    elsewhere = _Elsewhere(repository, view, engine)
    return Verification(
        parts=(
            *_command(view),
            *_code(repository, view, elsewhere),
            *_inputs(repository, view),
            *_environment(repository, view, environ, say, packages=packages),
            *_artifacts(repository, view, elsewhere),
        )
    )


@dataclass(slots=True)
class _Elsewhere:
    """What remotes have; each is asked once for all that is missing here."""

    repository: Repository
    view: RunView
    engine: str
    _found: dict[Pointer, str] | None = field(default=None)
    _troubles: list[str] = field(default_factory=list)

    def part(self, section: str, path: str, pointer: Pointer) -> Part:
        if self.repository.content.contains(pointer):
            return Part(section=section, name=path, is_there=True)
        place = self._places().get(pointer)
        if place:
            return Part(section=section, name=path, is_there=True, detail=f"not on this machine, but on {place}")
        return Part(section=section, name=path, is_there=False, detail=f"{last_seen(self.view)}{self._asked()}")

    def _asked(self) -> str:
        names = [mask_url(name) for name in usual_first(self.repository)]
        if self._troubles:
            return f"; {'; '.join(self._troubles)}"
        return f"; not on {', '.join(names)}" if names else "; there is no remote"

    def _places(self) -> dict[Pointer, str]:
        if self._found is None:
            self._found = {}
            commit = self.view.commit or ""
            content = self.repository.content
            missing = {pointer for _, pointer in self.repository.runs.pointers(commit) if not content.contains(pointer)}
            for name in usual_first(self.repository):
                if not missing:
                    break
                try:
                    store = Sharing(self.repository, name, engine=self.engine).artifact_store(missing)
                    there = missing - store.lacking(missing)
                except GitexpError as error:  # another may have it
                    self._troubles.append(f"'{mask_url(name)}' cannot be asked: {str(error).rstrip('.')}")
                    continue
                self._found.update(dict.fromkeys(there, store.name))
                missing -= there
        return self._found


def last_seen(view: RunView) -> str:
    """Where what is nowhere now was when the run was recorded."""
    host = f"on '{view.record.host}'" if view.record.host else "where it was recorded"
    who = f" of {view.record.author.partition(' <')[0]}" if view.record.author else ""
    return f"last seen {host}{who}"


def _command(view: RunView) -> Iterator[Part]:
    try:
        recipe = recipe_of(view)
    except (UsageError, NotFound) as error:
        yield Part(section="command", name=" ".join(view.record.command) or "none", is_there=False, detail=str(error))
    else:
        yield Part(section="command", name=recipe.shown, is_there=True)


def _code(repository: Repository, view: RunView, elsewhere: _Elsewhere) -> Iterator[Part]:
    if view.code.tree is None:
        yield Part(section="code", name="code", is_there=False, detail="none was captured")
        return
    try:
        files = view.code.files()
    except GitexpError as error:
        yield Part(section="code", name="code", is_there=False, detail=str(error))
        return
    objects = repository.objects
    gone = [
        path for path, (mode, oid) in files.items() if mode != MODE_GITLINK and not objects.contains(bytes.fromhex(oid))
    ]
    if not gone:
        yield Part(section="code", name=plural(len(files), "file"), is_there=True)
    for path in gone:
        yield Part(section="code", name=path, is_there=False, detail=last_seen(view))
    yield from _submodules(repository, view, {path: oid for path, (mode, oid) in files.items() if mode == MODE_GITLINK})
    code = view.record.code
    for file in code.skipped if code else ():
        detail = f"left out of the code: {file.reason}; {last_seen(view)}"
        yield Part(section="code", name=file.path, is_there=file.reason == SECRET, detail=detail)
    if code and code.commit and not objects.contains(bytes.fromhex(code.commit)):
        yield Part(
            section="code",
            name=f"commit {code.commit[:12]}",
            is_there=True,
            detail="not in this clone; the run's own copy of the code is",
        )
    for path, pointer in repository.runs.pointers(view.commit or ""):
        if path.startswith("code/"):
            yield elsewhere.part("code", path.removeprefix("code/"), pointer)


def _submodules(repository: Repository, view: RunView, found: Mapping[str, str]) -> Iterator[Part]:
    if not found:
        return
    listed = parse_config(view.code.read(os.fsdecode(MODULES)).decode("utf-8", "surrogateescape"), "the code")
    for path, oid in found.items():
        is_there = find_submodule(repository.git, os.fsencode(path), bytes.fromhex(oid), listed) is not None
        detail = f"a submodule, at commit {oid[:12]}" + ("" if is_there else ", which is not on this machine")
        yield Part(section="code", name=path, is_there=is_there, detail=detail)


def _inputs(repository: Repository, view: RunView) -> Iterator[Part]:
    root = repository.git.work_tree or repository.git.common_dir
    for state in check(repository, view.record.inputs, root, kept=kept_inputs(repository, view.commit or "")):
        is_there = state.place not in (Place.MISSING, Place.CHANGED)
        detail = "" if state.place is Place.PRESENT else state.detail or state.place.value
        if not is_there:
            detail = f"{detail}; {last_seen(view)}"
        yield Part(section="inputs", name=state.input.name, is_there=is_there, detail=detail)


def _environment(
    repository: Repository,
    view: RunView,
    environ: Mapping[str, str],
    say: Callable[[str], None],
    *,
    packages: bool,
) -> Iterator[Part]:
    recorded = view.environment
    version = recorded.python.get("version") if recorded else None
    if recorded is None or not (version or recorded.requirements):
        detail = "no Python environment was recorded; it can only run in the present one"
        yield Part(section="environment", name="environment", is_there=True, detail=detail)
        return
    from gitexp.environments.specification import specification_of  # only here

    specification = specification_of(recorded, root=repository.git.work_tree)
    if specification.conda is None:
        yield _interpreter(specification.python, environ)
    count = plural(len(specification.requirements), "package")
    if not packages:
        yield Part(section="environment", name=count, is_there=True, detail="recorded; --packages tries to have them")
        return
    from gitexp.environments.building import build  # only where it is asked for

    try:
        built = build(specification, root=repository.git.work_tree, say=say, environ=environ)
    except EnvironmentFailed as error:
        if not error.packages:
            yield Part(section="environment", name=count, is_there=False, detail=str(error))
        for name, was, available in error.packages:
            there = f"available: {', '.join(available)}" if available else "none is available"
            yield Part(section="environment", name=f"{name} {was}", is_there=False, detail=there)
    else:
        how = "in the cache" if built.was_cached else f"built with {built.built_with}"
        yield Part(section="environment", name=count, is_there=True, detail=how)


def _interpreter(wanted: str | None, environ: Mapping[str, str]) -> Part:
    from gitexp.environments.pythons import find_python  # only here

    name = f"Python {wanted or ''}".rstrip()
    try:
        found, note = find_python(wanted, environ=environ, say=lambda _: None)
    except EnvironmentFailed as error:
        return Part(section="environment", name=name, is_there=False, detail=str(error))
    return Part(section="environment", name=name, is_there=True, detail=note or found.path)


def _artifacts(repository: Repository, view: RunView, elsewhere: _Elsewhere) -> Iterator[Part]:
    kept = len(view.artifacts)
    pointers = [
        (path.removeprefix("artifacts/"), pointer)
        for path, pointer in repository.runs.pointers(view.commit or "")
        if path.startswith("artifacts/")
    ]
    if kept > len(pointers):
        yield Part(section="artifacts", name=f"{kept - len(pointers):,} in the run itself", is_there=True)
    for path, pointer in pointers:
        yield elsewhere.part("artifacts", path, pointer)
