"""Replaces parts of argparse, as some frameworks do to share options and to log them."""

import argparse
import functools
import sys
import traceback

original_parse = argparse.ArgumentParser.parse_args
original_known = argparse.ArgumentParser.parse_known_args


@functools.wraps(original_parse)
def parse_args(self, args=None, namespace=None):
    self.add_argument("--debug", action="store_true")
    namespace = original_parse(self, args, namespace)
    print("parsed by", sys._getframe(1).f_code.co_name, "with", namespace)
    return namespace


def error(self, message):
    raise ValueError(message)


argparse.ArgumentParser.parse_args = parse_args
argparse.ArgumentParser.error = error


class Formatter(argparse.HelpFormatter):
    def _split_lines(self, text, width):
        return ["> " + line for line in super()._split_lines(text, width)]


def main():
    parser = argparse.ArgumentParser(prog="patched", formatter_class=Formatter)
    parser.add_argument("--size", type=int, default=3, help="how many there are of them")
    parser.add_argument("--kind", choices=["a", "b"], default="a")
    parser.parse_args()
    parser.print_help()
    again = argparse.ArgumentParser()
    again.add_argument("--other", type=int)
    try:
        again.parse_args(["--other", "x"])
    except ValueError:
        traceback.print_exc()
    print(original_known.__name__, original_known.__module__, argparse.ArgumentParser.parse_known_args is original_known)


main()
