"""Parsers that return all options at once: argparse and what is built on it."""

# mypy: ignore-errors

import sys

from gitexp_capture.values import fields_of

PACKAGES = frozenset(
    "argparse configargparse jsonargparse lightning pytorch_lightning simple_parsing tap transformers trl".split()
)


def watch_argparse(argparse, params):
    def finished(result, call):
        parser, args = call[0][0], _argument(call, 1, "args")
        values = vars(result[0])
        defaults = {name: parser.get_default(name) for name in values}
        params.add("argparse", args, values, packages=PACKAGES, defaults=defaults)

    for name in ("parse_known_args", "parse_known_intermixed_args"):
        params.watch(argparse.ArgumentParser, name, finished)


def watch_simple_parsing(parsing, params):
    def finished(result, call):
        values = _hoisted(vars(result[0]))
        params.add("simple_parsing", _argument(call, 1, "args"), values, packages=PACKAGES)

    params.watch(parsing.ArgumentParser, "parse_known_args", finished)


def watch_transformers(hf_argparser, params):
    parser = hf_argparser.HfArgumentParser

    def add(results, args):
        values = {}
        for result in results:
            fields = fields_of(result)
            if fields is None and type(result).__name__ == "Namespace":
                fields = vars(result)
            values.update(_without_usual(result, fields or {}))
        params.add("HfArgumentParser", args, values, packages=PACKAGES)

    params.watch(parser, "parse_args_into_dataclasses", lambda results, call: add(results, _argument(call, 1, "args")))
    for name in ("parse_dict", "parse_json_file", "parse_yaml_file"):
        if name in vars(parser):
            params.watch(parser, name, lambda results, _call: add(results, None))


def watch_jsonargparse(jsonargparse, params):
    parser = jsonargparse.ArgumentParser
    owner = next(kind for kind in parser.__mro__ if "parse_args" in vars(kind))

    def finished(result, call):
        owner = call[0][0]
        values = _of_command(owner, _without_meta(result.as_dict()))
        if type(owner).__name__ == "LightningArgumentParser":
            values = _without_lightnings(owner, values)
        params.add("jsonargparse", _argument(call, 1, "args"), values, packages=PACKAGES)

    # It looks for its caller by the files of the frames.
    params.watch(owner, "parse_args", finished, file=owner.parse_args.__code__.co_filename)


def watch_pydantic(main, params):
    def finished(_result, call):
        settings, kwargs = call[0][0], call[1]
        args = kwargs.get("_cli_parse_args") or type(settings).model_config.get("cli_parse_args")
        sources = (kwargs.get("_build_sources") or ((),))[0]
        if args or any(type(source).__name__.startswith("Cli") for source in sources):
            line = args if isinstance(args, (list, tuple)) else None
            params.add("pydantic_settings", line, fields_of(settings), packages={"pydantic", "pydantic_settings"})

    params.watch(main.BaseSettings, "__init__", finished)


ALWAYS_OF_TRAINING = frozenset(
    "learning_rate per_device_train_batch_size gradient_accumulation_steps lr_scheduler_type optim weight_decay"
    " max_grad_norm num_train_epochs seed".split()
)
MADE_BY_TRAINING = frozenset(
    "accelerator_config dataloader_pin_memory disable_tqdm do_eval eval_steps logging_dir report_to".split()
)
"""Arguments that transformers' `TrainingArguments` puts in the place of their defaults itself."""


def _without_usual(result, fields):
    """The more than hundred arguments of transformers' trainer without those that were left as they are."""
    for kind in type(result).__mro__:
        if kind.__name__ == "TrainingArguments" and kind.__module__.startswith("transformers."):
            usual = kind.__dataclass_fields__
            return {
                name: value
                for name, value in fields.items()
                if name not in usual
                or name in ALWAYS_OF_TRAINING
                or (name not in MADE_BY_TRAINING and not _is_default(usual[name], value))
            }
    return fields


def _is_default(field, value):
    default = field.default_factory() if callable(field.default_factory) else field.default
    return not (value or default) or getattr(value, "value", value) == getattr(default, "value", default)


def _argument(call, position, name):
    args, kwargs = call
    return args[position] if len(args) > position else kwargs.get(name)


def _hoisted(values):
    """The fields of dataclasses in place of them, as on the command line, except where two have the same name."""
    hoisted = {}
    for name, value in values.items():
        fields = fields_of(value)
        if fields is None or any(field in hoisted or field in values for field in fields):
            hoisted[name] = value
        else:
            hoisted.update(fields)
    return hoisted


def _without_meta(value):
    """Without what jsonargparse notes for itself, as under `__path__`."""
    if isinstance(value, dict):
        return {name: _without_meta(item) for name, item in value.items() if not name.startswith("__")}
    return [_without_meta(item) for item in value] if isinstance(value, list) else value


def _of_command(parser, values):
    """The options of a subcommand beside those before it, as argparse has them."""
    dest = getattr(getattr(parser, "_subcommands_action", None), "dest", None)
    command = values.get(dest)
    inner = values.get(command) if isinstance(command, str) else None
    if not isinstance(inner, dict) or any(values.get(name) is not None for name in inner):
        return values
    return {**{name: value for name, value in values.items() if name != command}, **inner}


def _without_lightnings(parser, values):
    """Without the options that LightningCLI adds to every script, where they are as they always are."""
    from inspect import signature  # imported by jsonargparse long since

    always = signature(sys.modules[type(parser).__module__].Trainer).parameters
    kept = {name: value for name, value in values.items() if value is not None}
    if isinstance(kept.get("trainer"), dict):
        trainer = kept["trainer"].items()
        kept["trainer"] = {k: v for k, v in trainer if k not in always or v != always[k].default}
    return kept
