"""The constants at the top of a Python script, found without running it.

Which assignments count is a question of taste; docs/running.md, "Constants", says how it is answered here.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gitexp.domain.spans import Item, Node, Path, Style

LONGEST_TEXT = 200
MOST_ITEMS = 100
_LARGEST_POWER_BITS = 4096

_CHANGING = frozenset(
    "add append clear discard extend insert pop popitem remove reverse setdefault sort update".split()
)
_NEVER = frozenset({"TYPE_CHECKING"})
_WORK = (ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Match)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A name, its value, and the expression that says it."""

    name: str
    value: Any
    expression: ast.expr


class PythonText:
    """The `Format` of Python source, whose values are the constants at its top."""

    name = "Python"

    def load(self, text: str) -> dict[str, Any]:
        return {constant.name: constant.value for constant in find_constants(text)}

    def tree(self, text: str) -> Node:
        places = _Places(text)
        root = Node(start=0, end=len(text), style=Style.BLOCK, is_list=True)  # no constants are added to a script
        for constant in find_constants(text):
            node = places.node(constant.expression)
            root.items[constant.name] = Item(start=node.start, node=node)
        return root

    def adapt(self, value: Any, old: Any) -> Any:
        return tuple(value) if isinstance(value, list) and isinstance(old, tuple) else value

    def write(self, value: Any, *, old: str, is_flow: bool) -> str:  # noqa: ARG002
        if isinstance(value, str) and old[:1] == '"' and '"' not in value:
            quoted = repr(f"'{value}")  # the first quote makes `repr` choose the other kind around it
            return f'"{quoted[2:]}'
        return repr(value)

    def write_item(self, path: Path, value: Any, *, is_flow: bool) -> str:  # noqa: ARG002
        for key in reversed(path[1:]):
            value = {key: value}
        return f"{path[0]!r}: {value!r}"


def decode_source(source: bytes) -> tuple[str, str]:
    """A script's text and the name of its encoding. Raises ValueError where it is no text."""
    try:
        encoding, _lines = tokenize.detect_encoding(io.BytesIO(source).readline)
        return source.decode(encoding), encoding
    except SyntaxError as error:
        raise ValueError(str(error)) from error


def find_constants(text: str, above: Iterable[str] = ()) -> list[Constant]:
    """The constants of a script in the order in which they stand.

    Args:
        above: what else runs in the same namespace, before or after: names that it assigns are not constant.

    Raises:
        ValueError: the text is not Python.
    """
    module = _parse(text)
    changed = _Changes()
    for tree in (module, *map(_parse, above)):
        changed.see(tree)
    found = []
    for name, expression in _top(module.body):
        try:
            value = _literal(expression)
        except ValueError:
            continue
        if (
            _is_param(name, value)
            and changed.times.get(name) == 1
            and not (name in changed.inside and isinstance(value, (list, dict)))
        ):
            found.append(Constant(name=name, value=value, expression=expression))
    return found


def has_work(text: str) -> bool:
    """Whether the top of a script ends in it: a loop or `with` begins. Raises ValueError where it is not Python."""
    return any(map(_ends_the_top, _parse(text).body))


def _parse(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}") from error
    except (RecursionError, MemoryError) as error:
        raise ValueError("it is nested too deeply") from error


def _top(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """The assignments before the script begins to work: before the first loop, `with` or main guard."""
    for statement in body:
        if _ends_the_top(statement):
            return
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            yield from _pairs(statement.target, statement.value)
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                yield from _pairs(target, statement.value)


def _ends_the_top(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.If):
        return any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(statement.test))
    return isinstance(statement, _WORK)


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        for one, other in zip(target.elts, value.elts, strict=True):
            if isinstance(one, ast.Name):
                yield one.id, other


def _is_param(name: str, value: Any) -> bool:
    if name.startswith("_") or name in _NEVER:
        return False
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT and not re.search(r"[\r\n]", value)
    if isinstance(value, (list, tuple, dict)):
        return 0 < _count(value) <= MOST_ITEMS
    return True


def _count(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_count, value.values()))
    return sum(map(_count, value)) if isinstance(value, (list, tuple)) else 1


class _Changes:
    """How often each name of a module is bound, and which names have something inside them changed."""

    def __init__(self) -> None:
        self.times: dict[str, int] = {}
        self.inside: set[str] = set()

    def see(self, node: ast.AST, scope: set[str] | None = None) -> None:
        """Go through a statement.

        Args:
            scope: inside a function or class: the names that it has declared `global`.
        """
        match node:
            case ast.Global():
                (scope if scope is not None else set()).update(node.names)
            case ast.Name(ctx=ast.Store() | ast.Del()):
                self._bind(node.id, scope)
            case ast.Subscript(ctx=ast.Store() | ast.Del()):
                self._change(node.value)
            case ast.Call(func=ast.Attribute(attr=name, value=value)) if name in _CHANGING:
                self._change(value)
            case ast.AugAssign():
                self._change(node.target)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self._bind(node.name, scope)
                scope = set()
            case ast.Lambda():
                scope = set()
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                for inner in ast.walk(node):  # its own variables are not the module's, but what `:=` binds is
                    if isinstance(inner, ast.NamedExpr):
                        self._bind(inner.target.id, scope)
                scope = set()
            case ast.alias():
                self._bind((node.asname or node.name).partition(".")[0], scope)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                self._bind(name, scope)
            case ast.MatchMapping(rest=str(name)):
                self._bind(name, scope)
        for child in ast.iter_child_nodes(node):
            self.see(child, scope)

    def _bind(self, name: str, scope: set[str] | None) -> None:
        if scope is None or name in scope:
            self.times[name] = self.times.get(name, 0) + 1

    def _change(self, node: ast.expr) -> None:
        while isinstance(node, (ast.Subscript, ast.Attribute)):
            node = node.value
        if isinstance(node, ast.Name):
            self.inside.add(node.id)


def _literal(node: ast.expr) -> Any:
    """The value of a literal, or of arithmetic with literal numbers. Raises ValueError for all else."""
    if isinstance(node, ast.Constant):
        if node.value is None or isinstance(node.value, (bool, int, float, str)):
            return node.value
    elif isinstance(node, (ast.List, ast.Tuple)):
        items = [_literal(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    elif isinstance(node, ast.Dict):
        return _literal_dict(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        number = _number(node.operand)
        return -number if isinstance(node.op, ast.USub) else number
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        try:
            return _OPERATORS[type(node.op)](_number(node.left), _number(node.right))
        except (ArithmeticError, TypeError) as error:
            raise ValueError(str(error)) from error
    raise ValueError("not a literal")


def _literal_dict(node: ast.Dict) -> dict[str, Any]:
    values = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if not (isinstance(key, ast.Constant) and isinstance(key.value, str)):
            raise ValueError("a key is no text")
        values[key.value] = _literal(value)
    return values


def _number(node: ast.expr) -> Any:
    value = _literal(node)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("not a number")
    return value


def _power(base: Any, exponent: Any) -> Any:
    if abs(exponent) > _LARGEST_POWER_BITS or abs(exponent) * getattr(base, "bit_length", int)() > _LARGEST_POWER_BITS:
        raise ValueError("too large")
    result = base**exponent
    if isinstance(result, complex):
        raise ValueError("not a real number")
    return result


_OPERATORS: dict[type[ast.operator], Any] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
    ast.Pow: _power,
}


class _Places:
    """From lines and UTF-8 columns, as `ast` counts them, to places in a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]

    def node(self, expression: ast.expr) -> Node:
        node = Node(
            start=self._place(expression.lineno, expression.col_offset),
            end=self._place(expression.end_lineno, expression.end_col_offset),
        )
        if isinstance(expression, ast.Dict):
            node.style = Style.FLOW
            for key, value in zip(expression.keys, expression.values, strict=True):
                if isinstance(key, ast.Constant):
                    start = self._place(key.lineno, key.col_offset)
                    node.items[str(key.value)] = Item(start=start, node=self.node(value))
        elif isinstance(expression, (ast.List, ast.Tuple)):
            node.style, node.is_list = Style.FLOW, True
            for number, value in enumerate(expression.elts):
                item = self.node(value)
                node.items[str(number)] = Item(start=item.start, node=item)
        return node

    def _place(self, line: int | None, column: int | None) -> int:
        start = self._starts[(line or 1) - 1]
        return start + len(self._text[start : start + (column or 0)].encode()[: column or 0].decode())
