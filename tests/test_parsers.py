"""The params that libraries for command lines parse, and that their users' scripts behave as without us."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from gitexp.running.capture import Captured, read_reports, watched
from launching import PATIENCE_S

pytestmark = pytest.mark.slow  # each starts scripts with libraries that take long to import


class Script:
    """A script that is run twice, bare and watched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        self._folder = folder
        self._launches = 0

    def write(self, text: str, name: str = "script.py") -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(textwrap.dedent(text))

    def run(self, text: str, *arguments: str, code: int = 0, stdin: str = "") -> Captured:
        """What is reported of `text` run with these arguments; fails unless it ends with `code`, as it does bare."""
        self.write(text)
        self._launches += 1
        reports = self._folder / f"reports{self._launches}"
        reports.mkdir()
        plain = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "SECRET": "s3cr3t"}
        bare, seen = (
            subprocess.run(
                [sys.executable, "script.py", *arguments],
                check=False,
                cwd=self.folder,
                env=environ,
                input=stdin.encode(),
                capture_output=True,
                timeout=PATIENCE_S,
            )
            for environ in (plain, watched(plain, str(reports)))
        )
        assert (seen.returncode, seen.stdout, seen.stderr) == (bare.returncode, bare.stdout, bare.stderr)
        assert seen.returncode == code, seen.stderr.decode()
        assert not any(b"s3cr3t" in file.read_bytes() for file in reports.iterdir())
        return read_reports(str(reports))

    def params(self, text: str, *arguments: str, **more: Any) -> dict[str, Any]:
        return dict(self.run(text, *arguments, **more).arguments)


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path)


def needs(package: str) -> None:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed")


CLICK = """
    import enum, pathlib
    import click

    class Mode(enum.Enum):
        FAST = "fast"

    @click.group()
    @click.option("--seed", default=1, show_default=True)
    @click.option("--verbose/--quiet", default=False)
    @click.version_option("1.0")
    @click.pass_context
    def cli(context, seed, verbose):
        context.obj = seed

    @cli.command()
    @click.option("--lr", type=float, default=0.5)
    @click.option("-l", "--layers", type=int, multiple=True, default=[8, 8])
    @click.option("--name", prompt=True)
    @click.option("--password", prompt=True, hide_input=True)
    @click.option("--pin", hide_input=True)
    @click.option("--mode", type=click.Choice(["fast", "slow"]), callback=lambda c, p, v: Mode(v), default="fast")
    @click.option("--out", type=click.File("w"), default="result.txt")
    @click.option("--path", type=click.Path(path_type=pathlib.Path), default="data")
    @click.option("--seed", default=1)
    @click.argument("files", nargs=-1)
    def train(**params):
        print(sorted(params), params["lr"], params["mode"])
        import os; print(os.path.exists("result.txt"))

    @cli.command()
    @click.argument("split")
    @click.pass_context
    def evaluate(context, split):
        import traceback
        traceback.print_stack()
        context.invoke(train, lr=9.0)
        raise RuntimeError(split)

    if __name__ == "__main__":
        cli()
"""


def test_click_s_options_are_recorded_as_the_function_gets_them(script: Script) -> None:
    """Of groups and commands: defaults, prompts, callbacks, flags, files that stay closed; names of both told apart."""
    needs("click")
    line = ["--verbose", "train", "--lr", "1e-3", "-l", "1", "-l", "2", "--pin", "s3cr3t", "--seed", "3", "a", "b"]
    found = script.run(CLICK, *line, stdin="first\ns3cr3t\n")
    assert found.parsers == ("click",)
    assert found.arguments == {
        "seed": 1,
        "verbose": True,
        "lr": 0.001,
        "layers": [1, 2],
        "name": "first",
        "password": "***",
        "pin": "***",
        "mode": "fast",
        "out": "result.txt",
        "path": "data",
        "train.seed": 3,
        "files": ["a", "b"],
    }


def test_click_s_commands_fail_and_exit_as_ever(script: Script) -> None:
    """Exceptions show the stack of the bare script, and commands that the script itself invokes are not parsed."""
    needs("click")
    assert script.params(CLICK, "evaluate", "test", code=1) == {"seed": 1, "verbose": False, "split": "test"}
    assert script.params(CLICK, "train", "--lr", "x", code=2) == {"seed": 1, "verbose": False}
    for line in (["--help"], ["--version"]):
        assert script.params(CLICK, *line) == {}


def test_click_commands_in_a_chain_are_told_apart(script: Script) -> None:
    """The second command's value of an option of both stands under its name."""
    needs("click")
    text = """
        import click
        @click.group(chain=True)
        def cli(): pass
        @cli.command()
        @click.option("--size", type=int, default=1)
        def prepare(size): print("prepare", size)
        @cli.command()
        @click.option("--size", type=int, default=1)
        def train(size): print("train", size)
        cli(standalone_mode=False)
    """
    assert script.params(text, "prepare", "--size", "3", "train", "--size", "5") == {"size": 3, "train.size": 5}


def test_click_apps_that_a_library_calls_are_not_the_script_s(script: Script) -> None:
    """Nor are the runs of click's test runner, unless the script itself makes them and parses nothing else."""
    needs("click")
    script.write(
        """
        import click
        @click.command()
        @click.option("--inner", default=1)
        def tool(inner): pass
        def work(): tool(["--inner", "2"], standalone_mode=False)
        """,
        "site-packages/library.py",
    )
    text = "import sys; sys.path.append('site-packages'); import library; library.work()"
    assert script.run(text, "x").parsers == ()


TYPER = """
    import enum
    from pathlib import Path
    from typing import List, Optional
    import typer

    class Mode(str, enum.Enum):
        fast = "fast"
        slow = "slow"

    def main(
        source: Path,
        lr: float = 0.1,
        layers: List[int] = typer.Option([8, 8]),
        mode: Mode = Mode.fast,
        note: Optional[str] = None,
        name: str = typer.Option(..., prompt=True),
        quick: bool = False,
        token: str = "",
    ):
        print(source, lr, list(layers), mode, note, name, quick)
        if lr > 1: raise ValueError(lr)

    if __name__ == "__main__":
        typer.run(main)
"""


def test_typer_s_options_are_recorded(script: Script) -> None:
    """Of the click that newer versions carry inside as of the one that older versions ask for."""
    needs("typer")
    line = ["data", "--lr", "0.5", "--layers", "1", "--mode", "slow", "--quick", "--token", "s3cr3t"]
    assert script.params(TYPER, *line, stdin="first\n") == {
        "source": "data",
        "lr": 0.5,
        "layers": [1],
        "mode": "slow",
        "note": None,
        "name": "first",
        "quick": True,
        "token": "***",
    }
    assert script.params(TYPER, "data", "--lr", "2", "--name", "x", code=1)["lr"] == 2.0
    assert script.params(TYPER, "data", "--mode", "odd", code=2) == {}


FIRE = """
    import fire

    def train(data, lr=0.1, *rest, layers=(8, 8), note=None, **more):
        print(data, lr, rest, layers, note, more)
        if note == "fail": raise ValueError(data)

    class Trainer:
        def __init__(self, depth=2, seed=1):
            self.depth = depth
        def fit(self, epochs=3, seed=1):
            return epochs * self.depth

    class Callable:
        def __call__(self, size=1):
            return size

    if __name__ == "__main__":
        fire.Fire({"train": train, "trainer": Trainer, "call": Callable()})
"""


def test_fire_s_calls_are_recorded_with_their_defaults(script: Script) -> None:
    """Of functions, classes with a method, and objects; in the types that fire gave the arguments."""
    needs("fire")
    line = ["train", "a.csv", "--layers=[1,2]", "--extra", "yes", "--lr", "1e-3"]
    found = script.run(FIRE, *line)
    assert found.parsers == ("fire",)
    assert found.arguments == {"data": "a.csv", "lr": 0.001, "layers": [1, 2], "note": None, "extra": "yes"}
    line = ["trainer", "--depth=3", "fit", "--epochs", "5", "--seed=4"]
    assert script.params(FIRE, *line) == {"depth": 3, "seed": 4, "epochs": 5, "fit.seed": 1}
    assert script.params(FIRE, "call", "--size=3") == {"size": 3}


def test_fire_fails_and_helps_as_ever(script: Script) -> None:
    """Errors of the function and of the command line, help, and calls without a component."""
    needs("fire")
    assert script.params(FIRE, "train", "a", "--note", "fail", code=1)["note"] == "fail"
    assert script.params(FIRE, "train", code=2) == {}
    assert script.params(FIRE, "train", "--", "--help") == {}
    assert script.params("import fire\nlr = 0.1\ndef f(a=1): return a\nfire.Fire()", "f", "--a", "2") == {"a": 2}


def test_absl_s_flags_are_the_script_s_own_and_those_given(script: Script) -> None:
    """Not absl's: flags of the script and its modules, others only where they are said."""
    needs("absl-py")
    script.write("from absl import flags\nflags.DEFINE_integer('depth', 3, 'help')\n", "model.py")
    library = "from absl import flags\nflags.DEFINE_integer('quiet', 3, 'x')\nflags.DEFINE_integer('loud', 3, 'x')\n"
    script.write(library, "site-packages/library.py")
    text = """
        import sys
        sys.path.append("site-packages")
        import enum, library, model
        from absl import app, flags
        class Mode(enum.Enum): FAST = 1
        flags.DEFINE_float("lr", 0.1, "rate", lower_bound=0)
        flags.DEFINE_list("layers", ["8"], "sizes")
        flags.DEFINE_enum_class("mode", Mode.FAST, Mode, "mode")
        flags.DEFINE_bool("quick", False, "fast")
        flags.DEFINE_string("api_key", None, "secret")
        def main(argv):
            print(argv, flags.FLAGS.lr)
            if flags.FLAGS.lr > 1: raise ValueError("large")
        if __name__ == "__main__":
            app.run(main)
    """
    line = ["--lr=0.5", "--layers=1,2", "--quick", "--loud", "4", "--api_key=s3cr3t", "--verbosity=1", "rest"]
    found = script.run(text, *line)
    assert found.parsers == ("absl",)
    assert found.arguments == {
        "lr": 0.5,
        "layers": ["1", "2"],
        "mode": "FAST",
        "quick": True,
        "api_key": "***",
        "depth": 3,
        "loud": 4,
    }
    assert script.params(text, "--lr=2", code=1)["lr"] == 2.0
    assert script.params(text, "--lr=-2", code=1) == {}
    assert script.params(text, "--help", code=1) == {}


HYDRA = """
    import hydra
    from omegaconf import DictConfig, OmegaConf

    calls = []
    OmegaConf.register_new_resolver("draw", lambda: calls.append(1) or len(calls))

    @hydra.main(version_base=None, config_path="conf", config_name="config")
    def main(cfg: DictConfig) -> None:
        print(OmegaConf.to_yaml(cfg, resolve=True))
        if cfg.optim.lr > 1: raise ValueError("large")

    if __name__ == "__main__":
        main()
"""

HYDRA_CONFIG = """
    defaults:
      - optim: sgd
      - _self_
      - override hydra/job_logging: disabled
      - override hydra/hydra_logging: disabled
    epochs: 3
    half: ${optim.lr}
    name: run-${optim.name}
    job: ${hydra:job.name}
    drawn: ${draw:}
    text: \\${optim.lr} stays
    after: x-${drawn}
    db: {password: s3cr3t, url: "${oc.env:SECRET}"}
    missing: ???
    layers: [1, {size: 2}]
"""


@pytest.fixture
def hydra_script(script: Script) -> Script:
    needs("hydra-core")
    script.write(HYDRA_CONFIG, "conf/config.yaml")
    script.write("name: sgd\nlr: 0.1\n", "conf/optim/sgd.yaml")
    script.write("name: adam\nlr: 0.01\nbeta: 0.9\n", "conf/optim/adam.yaml")
    return script


def test_hydra_s_composed_configuration_is_recorded(hydra_script: Script) -> None:
    """Files, groups and overrides; interpolations resolved where that runs nothing, and reads no secret."""
    found = hydra_script.run(HYDRA, "optim=adam", "epochs=5", "+new.key=yes", "missing=1", "layers=[3]")
    assert found.parsers == ("hydra",)
    assert found.arguments == {
        "optim.name": "adam",
        "optim.lr": 0.01,
        "optim.beta": 0.9,
        "epochs": 5,
        "half": 0.01,
        "name": "run-adam",
        "job": "script",
        "drawn": "${draw:}",
        "text": "${optim.lr} stays",
        "after": "x-${draw:}",
        "db.password": "***",
        "db.url": "${oc.env:SECRET}",
        "missing": 1,
        "layers": [3],
        "new.key": "yes",
    }


def test_hydra_s_multirun_is_one_record(hydra_script: Script) -> None:
    """What the jobs differ in is a list with a value for each."""
    line = ["--multirun", "epochs=1,2", "optim=sgd,adam", "missing=0", "hydra.sweep.dir=out"]
    found = hydra_script.params(HYDRA, *line)
    assert (found["epochs"], found["optim.name"]) == ([1, 1, 2, 2], ["sgd", "adam", "sgd", "adam"])
    assert found["optim.beta"] == [None, 0.9, None, 0.9]
    assert (found["layers"], found["missing"]) == ([1, {"size": 2}], 0)


def test_hydra_fails_and_helps_as_ever(hydra_script: Script) -> None:
    """An exception of the script, an override that does not exist, and what only prints the configuration."""
    assert hydra_script.params(HYDRA, "optim.lr=2", "missing=1", code=1)["optim.lr"] == 2
    assert hydra_script.params(HYDRA, "unknown=1", code=1) == {}
    assert hydra_script.params(HYDRA, "--cfg", "job") == {}


@pytest.mark.parametrize(
    "merging",
    [
        "cfg = OmegaConf.merge(base, OmegaConf.from_cli())",
        "cfg = OmegaConf.merge(base, OmegaConf.merge({'depth': 4}, OmegaConf.from_cli(sys.argv[1:])))",
        "cfg = base; cfg.merge_with(OmegaConf.from_cli())",
        "cfg = base; cfg.merge_with_cli()",
    ],
)
def test_omegaconf_s_merge_with_the_command_line_is_recorded(merging: str, script: Script) -> None:
    """The last configuration that the arguments went into; merges of others are not the run's params."""
    needs("omegaconf")
    text = f"""
        import sys
        from omegaconf import OmegaConf
        base = OmegaConf.create({{"optim": {{"lr": 0.1}}, "depth": 4, "double": "${{depth}}"}})
        other = OmegaConf.merge({{"a": 1}}, {{"b": 2}})
        {merging}
        print(cfg)
    """
    found = script.run(text, "optim.lr=0.5", "new=[1,2]")
    assert found.parsers == ("omegaconf",)
    assert found.arguments == {"optim": {"lr": 0.5}, "depth": 4, "double": 4, "new": [1, 2]}


JSONARGPARSE = """
    import dataclasses, enum, pathlib
    from typing import List, Optional
    from jsonargparse import CLI

    class Mode(enum.Enum):
        fast = 1

    @dataclasses.dataclass
    class Optim:
        lr: float = 0.1
        betas: List[float] = dataclasses.field(default_factory=lambda: [0.9, 0.99])

    class Model:
        def __init__(self, depth: int = 2):
            self.depth = depth

    def train(model: Model, optim: Optim = Optim(), mode: Mode = Mode.fast, token: Optional[str] = None, n: int = 1):
        print(type(model).__name__, model.depth, optim, mode, n)
        if n > 9: raise ValueError(n)

    if __name__ == "__main__":
        CLI(train)
"""


def test_jsonargparse_s_result_is_recorded(script: Script) -> None:
    """Configuration files, nested dataclasses, classes with their arguments; what failed is not."""
    needs("jsonargparse")
    script.write("optim:\n  lr: 0.2\nn: 4\nmodel:\n  class_path: Model\n  init_args:\n    depth: 5\n", "config.yaml")
    found = script.run(JSONARGPARSE, "--config", "config.yaml", "--n", "6", "--token", "s3cr3t")
    assert found.parsers == ("jsonargparse",)
    assert found.arguments == {
        "config": ["config.yaml"],
        "model": {"class_path": "__main__.Model", "init_args": {"depth": 5}},
        "optim": {"lr": 0.2, "betas": [0.9, 0.99]},
        "mode": "fast",
        "token": "***",
        "n": 6,
    }
    assert script.params(JSONARGPARSE, "Model", "--n", "10", code=1)["n"] == 10
    assert script.params(JSONARGPARSE, "Model", "--n", "x", code=2) == {}


def test_jsonargparse_s_warnings_point_to_the_script(script: Script) -> None:
    """They are shown only if they seem to come from it; an abbreviation of an option that prints help gives one."""
    needs("jsonargparse")
    assert script.params(JSONARGPARSE, "--model", "Model") == {}


DATACLASSES = """
    import dataclasses, enum
    from typing import Tuple

    class Mode(enum.Enum):
        FAST = "fast"
        SLOW = "slow"

    @dataclasses.dataclass
    class Optim:
        lr: float = 0.1
        api_key: str = ""

    @dataclasses.dataclass
    class Config:
        optim: Optim = dataclasses.field(default_factory=Optim)
        mode: Mode = Mode.FAST
        layers: Tuple[int, ...] = (8, 8)
        total: int = 0
        def __post_init__(self):
            self.total = sum(self.layers)
"""


def test_tyro_s_dataclasses_and_calls_are_recorded(script: Script) -> None:
    """A configuration as it was made, or the arguments of the function that is called, types kept."""
    needs("tyro")
    text = DATACLASSES + "    import tyro\n    print(tyro.cli(Config))\n"
    line = ["--optim.lr", "0.5", "--mode", "SLOW", "--layers", "1", "2", "--optim.api-key", "s3cr3t"]
    found = script.run(text, *line)
    assert found.parsers == ("tyro",)
    assert found.arguments == {"optim": {"lr": 0.5, "api_key": "***"}, "mode": "slow", "layers": [1, 2], "total": 0}
    call = """
        import tyro
        def train(data: str, optim: Optim, epochs: int = 3):
            print(data, optim, epochs)
            if epochs > 9: raise ValueError(epochs)
        tyro.cli(train)
    """
    text = textwrap.dedent(DATACLASSES) + textwrap.dedent(call)
    expected = {"data": "x", "optim": {"lr": 0.2, "api_key": ""}, "epochs": 3}
    assert script.params(text, "--data", "x", "--optim.lr", "0.2") == expected
    assert script.params(text, "--data", "x", "--epochs", "10", code=1)["epochs"] == 10
    assert script.params(text, "--epochs", "x", code=2) == {}


def test_simple_parsing_s_dataclasses_are_recorded(script: Script) -> None:
    """The fields as they are named on the command line, with what the dataclass made of them."""
    needs("simple-parsing")
    text = DATACLASSES + "    import simple_parsing\n    print(simple_parsing.parse(Config))\n"
    found = script.run(text, "--lr", "0.5", "--mode", "SLOW", "--layers", "1", "2")
    assert found.parsers == ("simple_parsing",)
    assert found.arguments == {"optim": {"lr": 0.5, "api_key": ""}, "mode": "slow", "layers": [1, 2], "total": 3}


def test_pydantic_settings_from_the_command_line_are_recorded(script: Script) -> None:
    """The settings as validated; those that read no command line are not a script's params."""
    needs("pydantic-settings")
    text = """
        from pydantic import BaseModel, SecretStr
        from pydantic_settings import BaseSettings, CliApp
        class Optim(BaseModel):
            lr: float = 0.1
        class Settings(BaseSettings):
            optim: Optim = Optim()
            epochs: int = 3
            pin: SecretStr = SecretStr("s3cr3t")
        class Other(BaseSettings):
            inner: int = 1
        Other()
        print(CliApp.run(Settings))
    """
    found = script.run(text, "--optim.lr", "0.5")
    assert found.parsers == ("pydantic_settings",)
    assert found.arguments == {"optim": {"lr": 0.5}, "epochs": 3, "pin": "**********"}
    assert script.params(text, "--epochs", "x", code=1) == {}
