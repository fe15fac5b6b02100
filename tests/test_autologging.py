"""Standing between a script and a framework: unnoticed, and harmless. The frameworks here are made up."""

from __future__ import annotations

import importlib
import inspect
import os
import pickle
import subprocess
import sys
import textwrap
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import gitexp
from gitexp.errors import UsageError
from gitexp.integrations import FRAMEWORKS, imports, patching
from gitexp.integrations.parts import MOST, Part
from gitexp.repo import Repository

pytestmark = pytest.mark.slow

FRAMEWORK = '''
import warnings

class Model:
    def fit(self, rows, *, fails=False):
        """Learn."""
        warnings.warn("rows are few", stacklevel=2)
        if fails:
            raise ValueError("no rows")
        return self

    @classmethod
    def load(cls):
        return cls()

    @staticmethod
    def size():
        return 3

def train(rows):
    return Model().fit(rows)
'''


@pytest.fixture
def framework() -> Iterator[types.ModuleType]:
    module = types.ModuleType("some_framework")
    exec(compile(FRAMEWORK, "some_framework.py", "exec"), module.__dict__)
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


@pytest.fixture
def project(repo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(repo_dir)
    return repo_dir


def passes(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with patching.outermost("sklearn"):
        return original(*args, **kwargs)


def launch(project: Path, text: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`gitexp run` of a script."""
    (project / "script.py").write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, "-m", "gitexp", "run", "script.py"],
        check=False,
        cwd=project,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


# Unnoticed.


def test_a_wrapped_function_looks_like_the_original(framework: types.ModuleType) -> None:
    """Name, documentation and signature are the original's."""
    before = inspect.signature(framework.Model.fit)
    patching.wrap(framework.Model, "fit", passes)
    assert inspect.signature(framework.Model.fit) == before
    assert (framework.Model.fit.__name__, framework.Model.fit.__doc__) == ("fit", "Learn.")


def test_class_and_static_methods_stay_what_they_are(framework: types.ModuleType) -> None:
    """A wrapped classmethod gets the class, a wrapped staticmethod nothing."""
    patching.wrap(framework.Model, "load", passes)
    patching.wrap(framework.Model, "size", passes)
    assert type(framework.Model.load()) is framework.Model
    assert framework.Model().size() == 3


def test_wrapping_twice_wraps_once(framework: types.ModuleType) -> None:
    """The second time changes nothing."""
    patching.wrap(framework, "train", passes)
    once = framework.train
    patching.wrap(framework, "train", passes)
    assert framework.train is once


def test_a_wrapped_function_pickles_by_reference(framework: types.ModuleType) -> None:
    """It is replaced where it is defined too, so that pickle finds it there."""
    facade = types.ModuleType("facade")
    facade.train = framework.train  # type: ignore[attr-defined]
    patching.wrap(facade, "train", passes)
    assert framework.train is facade.train
    assert pickle.loads(pickle.dumps(facade.train)) is facade.train
    assert b"gitexp" not in pickle.dumps(facade.train)


def test_a_traceback_shows_no_frame_of_gitexp(framework: types.ModuleType) -> None:
    """What a framework raises comes with the frames of the script and of the framework, and no others."""
    patching.wrap(framework.Model, "fit", passes)
    with warnings.catch_warnings(), pytest.raises(ValueError) as caught:
        warnings.simplefilter("ignore")
        framework.Model().fit([], fails=True)
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames == ["test_a_traceback_shows_no_frame_of_gitexp", "fit"]


def test_a_warning_points_at_the_line_of_the_script(framework: types.ModuleType) -> None:
    """A framework's `stacklevel=2` is the script, as without gitexp."""
    patching.wrap(framework.Model, "fit", passes)
    with pytest.warns(UserWarning) as caught:
        framework.Model().fit([])
    assert [warning.filename for warning in caught] == [__file__]


def test_a_function_that_is_gone_cannot_be_wrapped(framework: types.ModuleType) -> None:
    """The error names it."""
    with pytest.raises(AttributeError, match="learn"):
        patching.wrap(framework, "learn", passes)
    with pytest.raises(TypeError, match="Model"):
        patching.wrap(framework, "Model", passes)


def test_methods_of_classes_to_come_are_wrapped() -> None:
    """A subclass made later has its own method wrapped, one of the script's has not."""

    class Base:
        pass

    class Known(Base):
        def fit(self) -> int:
            return 1

    seen = []

    def notes(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        seen.append(type(args[0]).__name__)
        return original(*args, **kwargs)

    patching.wrap_subclasses(Base, ("fit",), notes, of=lambda cls: not cls.__name__.startswith("Users"))

    class Later(Base):
        def fit(self) -> int:
            return 2

    class Users(Later):
        def fit(self) -> int:
            return super().fit() + 1

    assert (Known().fit(), Later().fit(), Users().fit()) == (1, 2, 3)
    assert seen == ["Known", "Later", "Users"]
    assert Users.fit.__qualname__.endswith("Users.fit") and not hasattr(Users.fit, "__wrapped__")


# Trainings within trainings.


def test_only_the_outermost_training_counts() -> None:
    """What happens within it, in another framework or in a worker thread, is a part of it."""
    from concurrent.futures import ThreadPoolExecutor

    with patching.outermost("sklearn") as outer, patching.outermost("xgboost") as inner:
        with ThreadPoolExecutor() as pool:
            elsewhere = pool.submit(patching.is_inside).result()
        assert (outer, inner, elsewhere) == (True, False, True)
    assert not patching.is_inside()


def test_a_training_apart_counts_again() -> None:
    """The trial of a search is a training of its own."""
    with patching.outermost("optuna"), patching.apart(), patching.outermost("sklearn") as is_outermost:
        assert is_outermost


def test_a_forked_worker_logs_nothing(framework: types.ModuleType) -> None:
    """In a child of the script's process the original is called."""
    called = []

    def notes(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        called.append(os.getpid())
        return original(*args, **kwargs)

    patching.wrap(framework.Model, "size", notes)
    child = os.fork()
    if not child:
        framework.Model.size()
        os._exit(len(called))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    framework.Model.size()
    assert called == [os.getpid()]


# Where it goes.


@pytest.mark.usefixtures("project")
def test_a_training_without_a_run_becomes_one() -> None:
    """It ends with the training, as failed if that raised."""
    for fails in (False, True):
        try:
            with patching.training("sklearn") as run:
                assert run is not None
                run.log_metric("loss", 0.5)
                if fails:
                    raise RuntimeError
        except RuntimeError:
            pass
    assert gitexp.active_run() is None
    assert [found.record.status.value for found in gitexp.search_runs()] == ["failed", "finished"]


@pytest.mark.usefixtures("project")
def test_a_training_in_a_run_logs_to_it() -> None:
    """What the script says of a param counts more, whoever says it first."""
    with gitexp.start_run() as mine:
        mine.log_param("lr", 0.1)
        with patching.training("sklearn") as run:
            assert run is not None and run.id == mine.id
            run.log_params({"lr": 7, "depth": 3})
    assert gitexp.get_run("@").params == {"lr": 0.1, "depth": 3}


@pytest.mark.usefixtures("project")
def test_a_child_is_nested() -> None:
    """A candidate of a search becomes a run whose parent is the run of the search."""
    with gitexp.start_run() as outer, patching.child(outer, params={"depth": 3}) as inner:
        assert gitexp.active_run() is inner
    found = gitexp.get_run(inner.id)
    assert (found.record.parent, dict(found.params)) == (outer.id, {"depth": 3})


def test_outside_a_repository_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One warning says that nothing is recorded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(patching, "_told", set())
    with pytest.warns(gitexp.GitexpWarning, match="records nothing") as caught:
        for _ in range(2):
            with patching.training("sklearn") as run:
                assert run is None
    assert len(caught) == 1


@pytest.mark.usefixtures("project")
def test_errors_of_ours_are_warnings_of_the_run() -> None:
    """The same one twice is one warning; the script goes on."""
    with pytest.warns(gitexp.GitexpWarning, match="surprise"), gitexp.start_run():
        for _ in range(2):
            with patching.guarded("sklearn"):
                raise KeyError("surprise")
    assert gitexp.get_run("@").record.warnings == ("Autologging of sklearn missed something. KeyError: 'surprise'",)


def test_interrupts_are_not_ours() -> None:
    """Ctrl-C within our code ends the script as it would."""
    with pytest.raises(KeyboardInterrupt), patching.guarded("sklearn"):
        raise KeyboardInterrupt


@pytest.mark.usefixtures("project")
def test_a_second_model_has_keys_of_its_own() -> None:
    """The first has the plain keys; one with the same name and params goes on with the same keys."""
    with gitexp.start_run() as run:
        for name, depth in (("Tree", 1), ("Tree", 2), ("Ridge", 1), ("Tree", 1)):
            part = Part.begin("sklearn", run, name, lambda depth=depth: {"depth": depth})  # type: ignore[misc]
            part.log_metric("score", depth)
    found = gitexp.get_run("@")
    assert found.params == {"depth": 1, "Tree_2.depth": 2, "Ridge.depth": 1}
    assert [point.step for point in found.history("score")] == [0, 1]


@pytest.mark.usefixtures("project")
def test_sets_in_params_are_lists_in_order() -> None:
    """As in LightGBM's `metric={"l2", "l1"}`: every time the same list."""
    assert patching.plain_params({"metric": {"l2", "l1", "auc"}, "ids": frozenset((3, 1))}) == {
        "metric": ["auc", "l1", "l2"],
        "ids": [1, 3],
    }


def test_too_many_models_are_left_out() -> None:
    """A loop over thousands of models does not fill the run; a warning says so."""
    with pytest.warns(gitexp.GitexpWarning, match="different models"), gitexp.start_run() as run:
        for depth in range(MOST + 5):
            Part.begin("sklearn", run, "Tree", lambda depth=depth: {"depth": depth})  # type: ignore[misc]
    assert len(gitexp.get_run("@").params) == MOST


# Which frameworks.


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_each_framework_has_its_file(name: str) -> None:
    """It says which versions it supports, and imports nothing of the framework."""
    modules, file = FRAMEWORKS[name]
    integration = importlib.import_module(f"gitexp.integrations.{file}")
    assert [imports._release(version) > (0,) for version in integration.SUPPORTED] == [True, True]
    assert callable(integration.install) and modules


def test_an_unknown_framework_cannot_be_excluded() -> None:
    """The error lists those that there are."""
    with pytest.raises(UsageError, match="skleran") as caught:
        gitexp.autolog(exclude=["skleran"])
    assert "sklearn" in caught.value.hint


@pytest.mark.parametrize(
    ("version", "numbers"), [("1.3.0", (1, 3, 0)), ("1.3rc1", (1, 3)), ("2.0.0.dev3", (2, 0, 0)), ("", ())]
)
def test_versions_are_compared_by_their_numbers(version: str, numbers: tuple[int, ...]) -> None:
    """What follows the numbers does not count."""
    assert imports._release(version) == numbers


# In a plain script.


def test_a_framework_may_be_imported_before(project: Path) -> None:
    """It is watched all the same; a later call of `gitexp.autolog()` counts instead of an earlier one."""
    fake_lightgbm(project)
    text = """
    import lightgbm, gitexp
    gitexp.autolog()
    lightgbm.train({"lr": 1}, None)
    gitexp.autolog(exclude=["lightgbm"])
    lightgbm.train({"lr": 2}, None)
    gitexp.autolog()
    lightgbm.train({"lr": 3}, None)
    """
    (project / "script.py").write_text(textwrap.dedent(text))
    subprocess.run([sys.executable, "script.py"], cwd=project, check=True, timeout=60)
    assert [run.params["lr"] for run in Repository.open(project).search("", sort="run.start")] == [1, 3]


# Under `gitexp run`.


LIGHTGBM = """
__version__ = "{version}"
class Booster:
    best_iteration = 0
    def current_iteration(self):
        return {iterations}
    def feature_name(self):
        return ["a"]
def train(params, train_set, num_boost_round=100, callbacks=None):
    return Booster()
"""


def fake_lightgbm(project: Path, *, version: str = "4.5.0", iterations: str = "7", cv: bool = True) -> None:
    text = LIGHTGBM.format(version=version, iterations=iterations)
    (project / "lightgbm.py").write_text(text + ("def cv(params): pass\n" if cv else ""))


TRAIN = "import lightgbm\nprint(lightgbm.train({'lr': 0.5}, None, 7))\n"


def recorded(project: Path) -> Any:
    return Repository.open(project).get_run("@")


def test_a_frameworks_surprise_is_a_warning_of_the_run(project: Path) -> None:
    """What could be learnt is recorded; the script's output and exit code are as without."""
    fake_lightgbm(project, iterations="1 // 0")
    done = launch(project, TRAIN)
    assert (done.returncode, done.stderr) == (0, "") and "Booster" in done.stdout
    run = recorded(project)
    assert run.params["lr"] == 0.5
    assert [text for text in run.record.warnings if "ZeroDivisionError" in text]


def test_a_function_that_a_version_lacks_is_a_warning_of_the_run(project: Path) -> None:
    """What stands before it in the file works still."""
    fake_lightgbm(project, cv=False)
    done = launch(project, TRAIN, PYTHONWARNINGS="error")
    assert (done.returncode, done.stderr) == (0, "")
    run = recorded(project)
    assert run.params["num_boost_round"] == 7 and run.metrics["stopped_iteration"] == 7
    assert [text for text in run.record.warnings if "AttributeError: cv" in text]


def test_an_old_version_is_left_alone(project: Path) -> None:
    """A warning of the run says from which version on it is autologged."""
    fake_lightgbm(project, version="3.3.5")
    done = launch(project, TRAIN)
    assert (done.returncode, done.stderr) == (0, "")
    run = recorded(project)
    assert "num_boost_round" not in run.params
    assert run.record.warnings == ("lightgbm 3.3.5 is not autologged: that begins with 4.0.",)


@pytest.mark.parametrize("setting", ["enabled: false", "exclude: [lightgbm]"])
def test_settings_switch_it_off(project: Path, setting: str) -> None:
    """All frameworks, or some."""
    fake_lightgbm(project)
    (project / ".gitexp").mkdir()
    (project / ".gitexp" / "config.yaml").write_text(f"autolog:\n  {setting}\n")
    assert launch(project, TRAIN).returncode == 0
    assert "num_boost_round" not in recorded(project).params


def test_an_excluded_framework_that_does_not_exist_is_told(project: Path) -> None:
    """A warning of the run names it."""
    (project / ".gitexp").mkdir()
    (project / ".gitexp" / "config.yaml").write_text("autolog:\n  exclude: [skleran]\n")
    launch(project, "pass")
    assert [text for text in recorded(project).record.warnings if "'skleran'" in text]


def test_the_script_may_still_start_the_launched_run(project: Path) -> None:
    """A training before `start_run` does not take the launched run away from it."""
    fake_lightgbm(project)
    done = launch(project, TRAIN + "import gitexp\nwith gitexp.start_run('mine'): pass\n")
    assert done.returncode == 0, done.stderr
    runs = Repository.open(project).search()
    assert [run.record.name for run in runs] == ["mine"] and runs[0].params["lr"] == 0.5


def test_a_script_without_frameworks_does_not_import_gitexp(project: Path) -> None:
    """Waiting costs no import, and leaves no variable to what the script starts."""
    done = launch(
        project,
        """
        import json, os, sys
        print([name for name in sys.modules if name.partition('.')[0] == 'gitexp'])
        print([name for name in os.environ if name.startswith('GITEXP_AUTOLOG')])
        """,
    )
    assert done.stdout == "[]\n[]\n"


def test_a_process_that_the_script_starts_is_not_watched(project: Path) -> None:
    """Only what `gitexp run` launched is."""
    fake_lightgbm(project)
    (project / "other.py").write_text(TRAIN)
    done = launch(project, "import subprocess, sys\nsubprocess.run([sys.executable, 'other.py'], check=True)\n")
    assert done.returncode == 0, done.stderr
    assert "num_boost_round" not in recorded(project).params


def test_a_broken_framework_fails_as_without(project: Path) -> None:
    """The traceback of an import that raises is the bare script's."""
    (project / "lightgbm.py").write_text("1 / 0\n")
    (project / "script.py").write_text("import lightgbm\n")
    bare = subprocess.run([sys.executable, "script.py"], cwd=project, capture_output=True, text=True, check=False)
    watched = launch(project, "import lightgbm\n")
    assert (watched.returncode, watched.stderr) == (bare.returncode, bare.stderr)


@pytest.mark.slow
def test_a_python_without_gitexp_records_too(project: Path, tmp_path: Path) -> None:
    """The launched process gets gitexp from where it was launched, and needs nothing but the standard library."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    python = tmp_path / "bare" / "bin" / "python"
    fake_lightgbm(project)
    (project / ".gitexp").mkdir()
    (project / ".gitexp" / "config.yaml").write_text("snapshot:\n  secrets: [  # of ours\n    'a', \"b\",\n  ]\n")
    (project / "script.py").write_text(TRAIN + "import gitexp; gitexp.log_metric('own', 1.0)\n")
    done = subprocess.run(
        [sys.executable, "-m", "gitexp", "run", "--", python, "script.py"],
        check=False,
        cwd=project,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    run = recorded(project)
    assert run.params["lr"] == 0.5 and run.metrics["own"] == 1.0
