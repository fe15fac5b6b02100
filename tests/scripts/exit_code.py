import sys

import click


@click.command()
@click.option("--threshold", default=0.9)
def check(threshold):
    """Exits with 3 if the model is not good enough."""
    accuracy = 0.85
    click.echo(f"accuracy: {accuracy}")
    click.secho("not good enough", fg="red", err=True)
    sys.exit(3 if accuracy < threshold else 0)


check()
