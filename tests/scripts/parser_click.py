"""A group of commands that share a configuration, as the command lines of larger projects."""

import enum
import json
import logging
import pathlib

import click

log = logging.getLogger(__name__)


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


@click.group(context_settings={"auto_envvar_prefix": "APP", "show_default": True})
@click.option("-v", "--verbose/--quiet", default=False)
@click.option("--data-dir", type=click.Path(path_type=pathlib.Path), default="data", envvar="DATA_DIR")
@click.version_option("1.2.3")
@click.pass_context
def cli(ctx, verbose, data_dir):
    ctx.obj = {"data_dir": data_dir}
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(message)s")


@cli.command()
@click.argument("dataset", nargs=-1)
@click.option("--lr", type=click.FloatRange(0, 1), default=1e-3)
@click.option("--layers", "-l", type=int, multiple=True, default=[64, 64])
@click.option("--level", type=click.Choice(["low", "high"]), default="low")
@click.option("--config", type=click.File(), default=None, expose_value=True)
@click.option("--split", type=(str, float), default=("train", 0.8))
@click.option("--password", default="hunter2")
@click.pass_obj
def train(obj, dataset, lr, layers, level, config, split, password):
    """Train a model."""
    log.info("training on %s with lr=%g", ", ".join(dataset), lr)
    if config:
        log.info("config: %s", json.load(config))
    with click.progressbar(range(3), label="Epochs") as epochs:
        for epoch in epochs:
            pass
    for epoch in range(1, 4):
        click.echo(f"epoch: {epoch}, loss: {1 / epoch:.3f}, accuracy: {100 - 30 / epoch:.1f}%")
    click.echo(click.style("Done", bold=True) + f" after {epoch} epochs, version 1.2.3")


@cli.command()
def clean():
    """Remove everything."""


if __name__ == "__main__":
    cli()
