"""Parsers that call functions of the script: click, typer, fire, tyro, absl.

What is watched returns before the function is called, so its tracebacks and stack are those of the bare script.
"""

# mypy: ignore-errors

import sys
import weakref

from gitexp_capture.params import is_installed
from gitexp_capture.values import MASK

CLICK = frozenset("click cloup rich_click typer".split())


def watch_click(core, params):
    """Of click, and of the copy of it in newer versions of typer."""
    owner = next(kind for kind in core.Command.__mro__ if "make_context" in vars(kind))

    lines = weakref.WeakKeyDictionary()

    def finished(context, call):
        if context.resilient_parsing:  # completion
            return
        args, kwargs = call
        parent = context.parent
        if parent is None:
            lines[context] = list(args[2] if len(args) > 2 else kwargs["args"])
        elif parent in lines:
            lines[context] = lines[parent]
        else:  # made by the script, not by parsing
            return
        hidden = {option.name for option in context.command.params if getattr(option, "hide_input", False)}
        values = {name: MASK if name in hidden and value else value for name, value in context.params.items()}
        scope = context.info_name if parent is not None else ""
        params.add("click", lines[context], values, packages=CLICK, scope=scope or "")

    params.watch(owner, "make_context", finished)


def watch_fire(core, params):
    make = core._MakeParseFn

    def make_parse(fn, metadata):
        parse = make(fn, metadata)

        def finished(result, call):
            varargs, kwargs = result[0]
            scope = getattr(fn, "__name__", "")
            params.add("fire", call[0][0], _bound(fn, varargs, kwargs), packages={"fire"}, scope=scope)

        return params.watched(parse, finished)

    core._MakeParseFn = make_parse


def watch_tyro(cli, params):
    calling = sys.modules["tyro._calling"]
    if not hasattr(calling, "callable_with_args"):  # before 0.9
        return
    made = []

    def called(result, _call):
        made[:] = [result[0]]  # that of the outermost comes last

    def finished(_result, call):
        partial = made.pop()
        values = _bound(partial.func, partial.args, partial.keywords) if hasattr(partial, "keywords") else {}
        params.add("tyro", call[1].get("args"), values, packages={"tyro"})

    params.watch(calling, "callable_with_args", called, inner=True)
    params.watch(cli, "_cli_impl", finished)


def watch_absl(flagvalues, params):
    def finished(_result, call):
        flags, argv = call[0][0], call[0][1] if len(call[0]) > 1 else call[1]["argv"]
        params.add("absl", list(argv)[1:], _flags(flags), packages={"absl"})

    params.watch(flagvalues.FlagValues, "__call__", finished)


def _flags(flags):
    """The flags of the script's own modules, and all others that were given; none of absl's own."""
    main = sys.argv[0]
    values = {flag.name: flag.value for flag in flags.key_flags_by_module_dict().get(main, ())}
    for module, defined in flags.flags_by_module_dict().items():
        if module.partition(".")[0] == "absl":
            for flag in defined:
                values.pop(flag.name, None)
            continue
        file = getattr(sys.modules.get(module), "__file__", None) or ""
        is_own = module == main or not is_installed(file)
        values.update((flag.name, flag.value) for flag in defined if is_own or flag.present)
    # "config.lr" is both a flag, where ml_collections made it one, and in the value of the flag "config".
    return {name: value for name, value in values.items() if name.partition(".")[0] not in values or "." not in name}


def _bound(function, args, kwargs):
    """The arguments of a call by name, with the defaults of those that are not given."""
    import inspect  # which whoever calls functions by their signatures has imported

    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except (TypeError, ValueError):  # a signature that says something else than the function takes
        return dict(kwargs)
    bound.apply_defaults()
    values = {}
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            values.update(value)
        elif kind is not inspect.Parameter.VAR_POSITIONAL or value:
            values[name] = value
    return values
