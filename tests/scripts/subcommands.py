#!/usr/bin/env python
"""A command line with parents, groups, enumerations, files and subcommands, as a research code's `main.py`."""

import argparse
import enum
import json
import os
import pathlib


class Optimizer(enum.Enum):
    SGD = "sgd"
    ADAM = "adam"


def common_options():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-v", "--verbose", action="count", default=0)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", 0)))
    parser.add_argument("--output-dir", type=pathlib.Path, default=pathlib.Path("results"))
    return parser


def train(args):
    args.output_dir.mkdir(parents=True, exist_ok=True)
    loss = 2.0
    for epoch in range(1, args.epochs + 1):
        loss *= 1 - args.lr
        print(f"Epoch: {epoch:03d}/{args.epochs:03d} | Train Loss: {loss:.3f} | Val Acc: {1 - loss / 2:.2%}")
    (args.output_dir / "weights.json").write_text(json.dumps({"w": loss}))
    print(f"Saved to {args.output_dir}/weights.json")


def evaluate(args):
    print("Test accuracy:", json.load(args.weights)["w"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in (("train", train), ("eval", evaluate)):
        sub = commands.add_parser(name, parents=[common_options()])
        sub.set_defaults(run=function)
    train_parser = commands.choices["train"]
    group = train_parser.add_argument_group("optimization")
    group.add_argument("--lr", type=float, default=0.1)
    group.add_argument("--epochs", type=int, default=10)
    group.add_argument("--optimizer", type=Optimizer, default=Optimizer.SGD)
    group.add_argument("--betas", type=float, nargs=2, metavar=("B1", "B2"), default=(0.9, 0.999))
    exclusive = train_parser.add_mutually_exclusive_group()
    exclusive.add_argument("--amp", action=argparse.BooleanOptionalAction, default=True)
    train_parser.add_argument("--api-key", default=os.environ.get("API_KEY"))
    train_parser.add_argument("data", nargs="+")
    commands.choices["eval"].add_argument("weights", type=argparse.FileType())
    args = parser.parse_args()
    if args.verbose:
        print({k: v for k, v in vars(args).items() if k not in ("run", "api_key")})
    args.run(args)


if __name__ == "__main__":
    main()
