"""Asks before it begins."""

import getpass
import sys

import click


@click.command()
@click.option("--name", prompt="Name of the experiment")
@click.option("--lr", prompt=True, type=float, default=0.1)
@click.option("--token", prompt=True, hide_input=sys.stdin.isatty())
@click.confirmation_option(prompt="Begin?")
def train(name, lr, token):
    print(f"training {name} with a token of {len(token)} letters")
    answer = input("How many epochs? ")
    print("terminal" if sys.stdout.isatty() else "pipe", getpass.getuser() != "", int(answer))


train()
