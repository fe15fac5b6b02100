"""What a project says of itself: `.gitexp/project.yaml`, MLflow's `MLproject`, and the commands that come of them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.errors import CorruptData, GitexpError, NotFound, UsageError
from gitexp.projects.command import command_of, plain_words, settings_of
from gitexp.projects.parameters import Parameter, PathRoots, Type
from gitexp.projects.projectfile import parse_project
from gitexp.projects.reading import is_project, read_project
from gitexp.projects.specification import EntryPoint, Project
from gitexp.projects.surroundings import choose_surroundings
from gitexp.running.command import Kind

PATH = "/usr/bin:/bin"


def shown(project: Project, entry: str | None = None, folder: Path = Path("/"), **given: str) -> str:
    point = project.entry_point(entry)
    roots = PathRoots(folder=str(folder), caller=str(folder), tree=str(folder))
    settings, more = settings_of(point, given, roots, in_python=project.file == "MLproject")
    return command_of(point, settings, more, folder=str(folder), path=PATH).shown


def mlproject(folder: Path, text: str) -> Project:
    (folder / "MLproject").write_text(text)
    return read_project(str(folder))


def entry(**said: object) -> EntryPoint:
    return parse_project({"entry_points": {"main": {"script": "t.py", **said}}}).entry_points["main"]


def parameter(said: object) -> Parameter:
    return entry(parameters={"p": said}).parameters[0]


# MLflow's published examples, as they are there.

WINE = """
name: tutorial

python_env: python_env.yaml

entry_points:
  main:
    parameters:
      alpha: {type: float, default: 0.5}
      l1_ratio: {type: float, default: 0.1}
    command: "python train.py {alpha} {l1_ratio}"
"""

MULTISTEP = """
name: multistep_example

conda_env: conda.yaml

entry_points:
  load_raw_data:
    command: "python load_raw_data.py"

  etl_data:
    parameters:
      ratings_csv: path
      max_row_limit: {type: int, default: 100000}
    command: "python etl_data.py --ratings-csv {ratings_csv} --max-row-limit {max_row_limit}"

  als:
    parameters:
      ratings_data: path
      max_iter: {type: int, default: 10}
      reg_param: {type: float, default: 0.1}
      rank: {type: int, default: 12}
    command: "python als.py --ratings-data {ratings_data} --max-iter {max_iter} --reg-param {reg_param} --rank {rank}"

  main:
    parameters:
      als_max_iter: {type: int, default: 10}
      keras_hidden_units: {type: int, default: 20}
      max_row_limit: {type: int, default: 100000}
    command: "python main.py --als-max-iter {als_max_iter} --keras-hidden-units {keras_hidden_units}
              --max-row-limit {max_row_limit}"
"""

HYPERPARAMS = """
name: HyperparameterSearch

python_env: python_env.yaml

entry_points:
  # train Keras DL model
  train:
    parameters:
      training_data: {type: string, default: "https://host/winequality-white.csv"}
      epochs: {type: int, default: 32}
      batch_size: {type: int, default: 16}
      learning_rate: {type: float, default: 1e-1}
      momentum: {type: float, default: .0}
      seed: {type: int, default: 97531}
    command: "python train.py {training_data}
                                    --batch-size {batch_size}
                                    --epochs {epochs}
                                    --learning-rate {learning_rate}
                                    --momentum {momentum}"
"""

LIGHTNING = """
name: mnist-autolog-example

python_env: python_env.yaml

entry_points:
  main:
    parameters:
      max_epochs: {type: int, default: 5}
      devices: {type: str, default: "auto"}
      strategy: {type: str, default: "auto"}
    command: |
          python mnist_autolog_example.py \\
            --trainer.max_epochs {max_epochs} \\
            --trainer.devices {devices} \\
            --trainer.strategy {strategy}
"""

DOCKER = """
name: docker-example

docker_env:
  image:  mlflow-docker-example

entry_points:
  main:
    parameters:
      alpha: float
      l1_ratio: {type: float, default: 0.1}
    command: "python train.py --alpha {alpha} --l1-ratio {l1_ratio}"
"""


@pytest.fixture
def mlflow_folder(tmp_path: Path) -> Path:
    (tmp_path / "python_env.yaml").write_text(
        'python: "3.11"\nbuild_dependencies:\n  - pip\ndependencies:\n  - mlflow>=1.0\n  - -r requirements.txt\n'
    )
    (tmp_path / "requirements.txt").write_text("# what it needs\nscikit-learn>=1.2\n")
    (tmp_path / "conda.yaml").write_text(
        "name: multistep\nchannels:\n  - conda-forge\ndependencies:\n  - python=3.11\n  - pip\n  - pip:\n    - mlflow\n"
    )
    return tmp_path


def test_wine_example(mlflow_folder: Path) -> None:
    """MLflow's tutorial: two numbers with defaults, and what MLflow appends for a parameter that it does not know."""
    project = mlproject(mlflow_folder, WINE)
    assert project.name == "tutorial"
    assert shown(project) == "python train.py 0.5 0.1"
    assert shown(project, alpha="0.42") == "python train.py 0.42 0.1"
    assert shown(project, more="a b") == "python train.py 0.5 0.1 --more 'a b'"
    (mlflow_folder / "train.py").touch()
    settings, more = settings_of(
        project.entry_point(None), {"alpha": "1"}, PathRoots(folder="/", caller="/", tree="/"), in_python=True
    )
    made = command_of(project.entry_point(None), settings, more, folder=str(mlflow_folder), path=PATH)
    assert (made.kind, made.words) == (Kind.FILE, ("train.py", "1", "0.1"))
    assert settings["alpha"].value == 1.0 and isinstance(settings["alpha"].value, float)


def test_multistep_example(mlflow_folder: Path) -> None:
    """MLflow's pipeline: a path must be there and is required; a command may be folded over lines."""
    project = mlproject(mlflow_folder, MULTISTEP)
    assert shown(project, "load_raw_data") == "python load_raw_data.py"
    assert shown(project) == "python main.py --als-max-iter 10 --keras-hidden-units 20 --max-row-limit 100000"
    with pytest.raises(UsageError, match="needs values for 'ratings_csv'"):
        shown(project, "etl_data")
    with pytest.raises(UsageError, match="no such file"):
        shown(project, "etl_data", mlflow_folder, ratings_csv="r.csv")
    (mlflow_folder / "r.csv").touch()
    assert shown(project, "etl_data", mlflow_folder, ratings_csv="r.csv") == (
        "python etl_data.py --ratings-csv r.csv --max-row-limit 100000"
    )


def test_hyperparameter_example(mlflow_folder: Path) -> None:
    """MLflow's search: numbers written in several ways, and an address that is only a text."""
    project = mlproject(mlflow_folder, HYPERPARAMS)
    assert (
        shown(project, "train").split()
        == (
            "python train.py https://host/winequality-white.csv --batch-size 16 --epochs 32 --learning-rate 0.1 "
            "--momentum 0.0"
        ).split()
    )
    with pytest.raises(NotFound, match="no entry point 'main'"):
        project.entry_point("main")
    assert project.entry_point(None).name == "train"


def test_lightning_example(mlflow_folder: Path) -> None:
    """MLflow's PyTorch example: a type MLflow has no rule for, and a command that needs a shell for its line ends."""
    project = mlproject(mlflow_folder, LIGHTNING)
    point = project.entry_point(None)
    settings, more = settings_of(point, {}, PathRoots(folder="/", caller="/", tree="/"), in_python=True)
    made = command_of(point, settings, more, folder="/", path=PATH)
    assert made.words[:2] == ("bash", "-c")
    assert "--trainer.devices auto" in made.words[2]


def test_docker_example(mlflow_folder: Path) -> None:
    """A project that wants a container is refused, with what to do instead."""
    with pytest.raises(UsageError, match="'docker_env' is not supported") as caught:
        mlproject(mlflow_folder, DOCKER)
    assert "python_env" in caught.value.hint


def test_name_of_the_file(tmp_path: Path) -> None:
    """As for MLflow, the case of the file's name does not matter; gitexp's own file comes before it."""
    (tmp_path / "mlproject").write_text("entry_points: {main: {command: echo 1}}")
    assert is_project(str(tmp_path))
    assert read_project(str(tmp_path)).file == "mlproject"
    (tmp_path / ".gitexp").mkdir()
    (tmp_path / ".gitexp" / "project.yaml").write_text("entry_points: {main: {command: echo 2}}")
    assert read_project(str(tmp_path)).file == ".gitexp/project.yaml"


def test_without_a_file(tmp_path: Path) -> None:
    """Without a file any script of the folder is an entry point, with all parameters appended."""
    project = read_project(str(tmp_path))
    assert shown(project, "train.py", alpha="1") == "python train.py --alpha 1"
    assert shown(project, "sub/go.sh", alpha="a b") == "bash sub/go.sh --alpha 'a b'"
    for name in (None, "main", "train.txt"):
        with pytest.raises(NotFound):
            project.entry_point(name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "MLproject"),
        ("[1]", "expected a mapping"),
        ("entry_points: [1]", "'entry_points': expected a mapping"),
        ("entry_points: {main: python}", "'entry_points.main': expected a mapping with 'command'"),
        ("entry_points: {main: {}}", "'command': expected a text"),
        ("entry_points: {main: {command: 'x {y}'}}", "'{y}' is not among its parameters"),
        ("entry_points: {main: {command: 'x {y.z}', parameters: {y: float}}}", "no placeholder|among"),
        ("entry_points: {main: {command: 'x {'}}", "command"),
        ("entry_points: {main: {command: x, parameters: [a]}}", "'parameters': expected a mapping"),
        ("entry_points: {main: {command: x, parameters: {a: [1]}}}", "'parameters.a'"),
        ("{python_env: a.yaml, conda_env: b.yaml}", "only one environment"),
        ("python_env: nothing.yaml", "there is no file 'nothing.yaml'"),
        ("databricks_spark_job: {python_file: x.py}", "not supported"),
    ],
)
def test_bad_mlprojects(tmp_path: Path, text: str, said: str) -> None:
    """What cannot be used is refused with the key that is wrong."""
    with pytest.raises((UsageError, CorruptData), match=said):
        mlproject(tmp_path, text)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "expected keys like 'entry_points:'"),
        ({}, "'entry_points': expected a mapping with an entry point like .*, found 'None'"),
        ({"entrypoints": {}}, "no key 'entrypoints'"),
        ({"entry_points": {"-x": {"script": "a.py"}}}, "cannot be the name of an entry point"),
        ({"entry_points": {"a": {"scrip": "a.py"}}}, "no key 'entry_points.a.scrip'"),
        ({"entry_points": {"a": {}}}, "'entry_points.a': expected one of 'command', 'script' and 'module', found none"),
        ({"entry_points": {"a": {"script": "x.py", "module": "x"}}}, "found 'script' and 'module'"),
        ({"entry_points": {"a": {"script": "../x.py"}}}, "'entry_points.a.script': expected the path of a file in"),
        ({"entry_points": {"a": {"script": 3}}}, "'entry_points.a.script': expected a text, found '3'"),
        ({"entry_points": {"a": {"script": "x", "inputs": [1]}}}, "'entry_points.a.inputs': expected a list of texts"),
        ({"entry_points": {"a": {"script": "x", "after": ["b"]}}}, "'entry_points.a.after': there is no entry .* 'b'"),
        ({"entry_points": {"a": {"script": "x", "after": "a"}}}, "goes in a circle: a after a"),
        (
            {"entry_points": {"a": {"script": "x", "after": "b"}, "b": {"script": "x", "after": ["a"]}}},
            "goes in a circle: a after b after a",
        ),
        (
            {"entry_points": {"a": {"command": "x {y}"}}},
            "'entry_points.a.command': '{y}' is no parameter; there are no",
        ),
        ({"entry_points": {"a": {"command": "x {"}}}, "'entry_points.a.command': .* a brace that is meant"),
        ({"environment": 3, "entry_points": {"a": {"script": "x"}}}, "'environment': expected keys like"),
        (
            {"environment": {"python": 3.1}, "entry_points": {"a": {"script": "x"}}},
            "'environment.python': .* in quotes",
        ),
        (
            {"environment": {"conda": "c.yaml", "python": "3.11"}, "entry_points": {"a": {"script": "x"}}},
            "'conda' names a file that says everything",
        ),
    ],
)
def test_bad_project_files(data: object, said: str) -> None:
    """An error names the file, the key, the value and what is allowed."""
    with pytest.raises(UsageError, match=said) as caught:
        parse_project(data)
    assert ".gitexp/project.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            "number",
            "'entry_points.main.parameters.p.type': expected string, int, float, bool, path, uri, choice, found",
        ),
        ({"type": "choice"}, "expected 'choices'"),
        ({"choices": "a"}, "expected a list of values"),
        ({"type": "int", "choices": ["a"]}, "'a' is not a value of the type int"),
        ({"type": "float", "min": "a"}, "'entry_points.main.parameters.p.min': expected a number, found 'a'"),
        ({"type": "float", "min": 2, "max": 1}, "'min' 2 is above 'max' 1"),
        ({"min": 1}, "a string has no range"),
        ({"type": "float", "default": "x"}, "parameters.p.default': expected a number, found 'x'"),
        ({"type": "int", "default": 1.5}, "parameters.p.default': expected a whole number, found '1.5'"),
        ({"type": "float", "default": 5, "max": 1}, "parameters.p.default': expected a number of at most 1, found '5'"),
        ({"choices": ["a"], "default": "b"}, "parameters.p.default': expected one of a, found 'b'"),
        ({"required": "yes"}, "expected true or false"),
        ({"required": True, "default": 1}, "required and has a default"),
        ({"default": [1]}, "expected a single value"),
        ({"typ": "int"}, "no key 'entry_points.main.parameters.p.typ'"),
        ([1], "expected a type like 'float'"),
    ],
)
def test_bad_parameters(said: object, why: str) -> None:
    """So does one about a parameter."""
    with pytest.raises(UsageError, match=why):
        parameter(said)


GOOD = [
    ("string", "x y", "x y"),
    ("int", "-3", -3),
    ("float", "1e-3", 0.001),
    ("bool", "YES", True),
    ("bool", "off", False),
    ("uri", "s3://b/k", "s3://b/k"),
    ({"choices": ["a", 2]}, "2", "2"),
    ({"type": "int", "choices": [1, 2]}, "2", 2),
    ({"type": "float", "min": 0, "max": 1}, "1", 1.0),
]
BAD = [
    ("int", "1.0", "a whole number, not '1.0'"),
    ("float", "a", "a number, not 'a'"),
    ("bool", "maybe", "true or false"),
    ("uri", "data.csv", "a URI"),
    ({"choices": ["a", "b"]}, "c", "one of a, b, not 'c'"),
    ({"type": "float", "min": 0, "max": 1}, "1.1", "a number from 0 to 1, not 1.1"),
    ({"type": "float", "max": 1}, "nan", "of at most 1"),
    ({"type": "int", "min": 1}, "0", "a whole number of at least 1"),
]


@pytest.mark.parametrize(("said", "text", "value"), GOOD)
def test_values(said: object, text: str, value: object) -> None:
    """A text becomes a value of the parameter's type, and reaches the command as it was typed."""
    setting = parameter(said).read(text)
    assert setting.value == value and type(setting.value) is type(value)
    assert setting.text == text


@pytest.mark.parametrize(("said", "text", "why"), BAD)
def test_values_that_are_not_allowed(said: object, text: str, why: str) -> None:
    """The error of a value that is not allowed says what is."""
    with pytest.raises(UsageError, match=why):
        parameter(said).read(text)


def test_options_of_a_script() -> None:
    """A script gets its parameters as options: a switch where it is true, nothing where there is no value."""
    point = entry(
        parameters={
            "lr": {"type": "float", "default": 0.1},
            "fast": {"type": "bool", "default": False},
            "loud": {"type": "bool", "default": True},
            "tag": {"required": False},
        }
    )
    project = Project(entry_points={"main": point})
    assert shown(project) == "python t.py --lr 0.1 --loud"
    assert shown(project, fast="true", loud="no", tag="a b") == "python t.py --lr 0.1 --fast --tag 'a b'"
    with pytest.raises(UsageError, match="has no parameter 'rate'"):
        shown(project, rate="1")


def test_what_need_not_be_given_cannot_stand_in_a_command() -> None:
    """A placeholder always has a value."""
    with pytest.raises(UsageError, match="need not be given and has no default"):
        parse_project({"entry_points": {"main": {"command": "x {p}", "parameters": {"p": {"required": False}}}}})


def test_paths(tmp_path: Path) -> None:
    """A path in the work tree is given as seen from the project, any other as a whole; defaults are the project's."""
    top, elsewhere = tmp_path / "top", tmp_path / "elsewhere"
    (top / "project").mkdir(parents=True)
    elsewhere.mkdir()
    roots = PathRoots(folder=str(top / "project"), caller=str(elsewhere), tree=str(top))
    path = Parameter(name="data", type=Type.PATH)

    def found(text: str, *, is_default: bool = False) -> str:
        return roots.find(path, path.read(text), is_default=is_default).text

    assert found("x.csv") == str(elsewhere / "x.csv")
    assert found("x.csv", is_default=True) == "x.csv"
    assert found(str(top / "data")) == "../data"
    assert found((top / "data").as_uri()) == "../data"
    with pytest.raises(UsageError, match="not on this machine"):
        found("s3://bucket/x")


def test_an_environment_that_nothing_says(tmp_path: Path) -> None:
    """Without a declaration the current environment is meant, and another one cannot be asked for."""
    assert choose_surroundings("auto", None, str(tmp_path), is_foreign=True).spec is None
    with pytest.raises(UsageError, match="does not say what it needs"):
        choose_surroundings("venv", None, str(tmp_path), is_foreign=False)
    (tmp_path / "requirements.txt").write_text("numpy\n")
    assert choose_surroundings("auto", None, str(tmp_path), is_foreign=False).spec is None
    assert choose_surroundings("auto", None, str(tmp_path), is_foreign=True).kind == "venv"
    assert choose_surroundings("current", None, str(tmp_path), is_foreign=True).spec is None


def test_declared_environments(mlflow_folder: Path) -> None:
    """What MLflow's files name is what the environment has to hold; so is a list in gitexp's own file."""
    project = mlproject(mlflow_folder, WINE)
    found = choose_surroundings("auto", project.environment, str(mlflow_folder), is_foreign=False).spec
    assert found is not None and found.python == "3.11"
    assert {"mlflow>=1.0", "scikit-learn>=1.2"} <= set(found.requirements)
    own = parse_project(
        {
            "environment": {"python": "3.12", "requirements": ["numpy==2.3.1", "gitexp"]},
            "entry_points": {"main": {"script": "x.py"}},
        }
    )
    spec = choose_surroundings("auto", own.environment, str(mlflow_folder), is_foreign=False).spec
    assert spec is not None
    assert (spec.python, spec.requirements, spec.gitexp is not None) == ("3.12", ("numpy==2.3.1",), True)
    assert choose_surroundings("current", own.environment, str(mlflow_folder), is_foreign=False).kind == "current"


SHELL = [
    "a | b",
    "a && b",
    "a; b",
    "a > b",
    "$HOME/x",
    "a `b`",
    'a "$b"',
    "X=1 a",
    "a *.py",
    "a ~/b",
    "a # b",
    "a \\\n b",
]


@pytest.mark.parametrize("text", SHELL)
def test_commands_for_a_shell(text: str) -> None:
    """A command that only a shell understands is left to one."""
    assert plain_words(text) is None


@given(words=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8), min_size=1))
def test_quoted_words_need_no_shell(words: list[str]) -> None:
    """Whatever values are, quoted they are the words that a shell would have made of them, and nothing is executed."""
    text = " ".join(["run", *map(shlex.quote, words)])
    found = plain_words(text)
    assert found == ["run", *words]


@given(
    values=st.dictionaries(
        st.from_regex(r"[a-z]{1,4}\Z"), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)
    )
)
def test_nothing_given_becomes_a_command(values: Mapping[str, str]) -> None:
    """No value of a parameter, declared or not, breaks out of its word."""
    point = EntryPoint(name="main", command="run {a}", parameters=(Parameter(name="a", default=";x"),), takes_more=True)
    roots = PathRoots(folder="/", caller="/", tree="/")
    settings, more = settings_of(point, values, roots, in_python=True)
    text = command_of(point, settings, more, folder="/", path=PATH).shown
    expected = ["run", values.get("a", ";x")]
    for name, value in values.items():
        expected += [] if name == "a" else [f"--{name}", value]
    assert shlex.split(text) == expected


@given(
    data=st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "entry_points",
                        "main",
                        "script",
                        "command",
                        "parameters",
                        "default",
                        "type",
                        "after",
                        "environment",
                        "requirements",
                        "min",
                        "choices",
                        "name",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_project_file_is_a_bug(data: object) -> None:
    """Whatever a file holds, it is read or refused."""
    try:
        parse_project(data)
    except GitexpError:
        pass
