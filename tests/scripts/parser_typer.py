from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

app = typer.Typer(add_completion=False)
models = typer.Typer()
app.add_typer(models, name="models")


class Net(str, Enum):
    simple = "simple"
    lstm = "lstm"


@app.callback()
def main(debug: bool = False):
    """Manage models."""


@models.command()
def train(
    data: Annotated[Path, typer.Argument(help="where the data is")],
    lr: Annotated[float, typer.Option("--lr", min=0)] = 0.01,
    network: Net = Net.simple,
    force: Annotated[bool, typer.Option("--force/--no-force")] = False,
    tags: Optional[list[str]] = None,
    epochs: int = typer.Option(2, envvar="EPOCHS"),
):
    typer.echo(f"Training network of type: {network.value} from {data.name}")
    for epoch in range(epochs):
        typer.echo(f"Epoch {epoch + 1}/{epochs}  train_loss={1 / (epoch + 1):.4f}  valid_loss={1.5 / (epoch + 1):.4f}")
    if force:
        typer.secho("forced", fg=typer.colors.RED, err=True)
        raise typer.Exit(code=12)


if __name__ == "__main__":
    app()
