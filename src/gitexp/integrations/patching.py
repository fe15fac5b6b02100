"""Standing between a user and a framework: unnoticed, and harmless whatever happens on our side.

    def install(module):
        wrap(module.Trainer, "fit", _fit)

    def _fit(original, args, kwargs):
        with training("lightning") as run:
            if run is None:  # inside another training that is recorded already, or nowhere to record to
                return original(*args, **kwargs)
            with guarded("lightning"):
                run.log_params(...)
            result = original(*args, **kwargs)  # never inside `guarded`: what it raises is the user's
            with guarded("lightning"):
                run.log_metric(...)
            return result

The user's tracebacks and warnings look as without us: functions given to `wrap` leave no frame in the one, and do not
count in the `stacklevel` of the other.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import os
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gitexp.domain.masking import mask_params
from gitexp.domain.source import Source

if TYPE_CHECKING:
    from gitexp.activerun import ActiveRun

Wrapper = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""`wrapper(original, args, kwargs)`, called instead of the original; `args` begin with `self` for a method."""

UNSEEN = "<frozen importlib._bootstrap of gitexp>"
"""The file name of frames between the user and a framework: `warnings` does not count those of the import system."""

_ORIGINAL = "__gitexp_original__"


def wrap(owner: Any, name: str, wrapper: Wrapper) -> None:
    """Have `wrapper` called instead of the function or method `name` of a module or class.

    The new function shows the original's name, documentation and signature, and pickles by reference as that does. A
    function that another module defines is replaced there too. Doing it twice does it once.

    Raises:
        AttributeError: there is no such thing. TypeError: it is no function.
    """
    found = inspect.getattr_static(owner, name)
    if isinstance(getattr(found, "fn", None), types.FunctionType):  # scikit-learn's methods that depend on others
        found.fn = found.fn if hasattr(found.fn, _ORIGINAL) else _trampoline(found.fn, _unseen(wrapper))
        return
    kind = type(found) if isinstance(found, (classmethod, staticmethod)) else None
    original = found.__func__ if kind else found
    if hasattr(original, _ORIGINAL):
        return
    if not callable(original) or isinstance(original, type):
        raise TypeError(f"{getattr(owner, '__name__', owner)}.{name} is no function")
    instead = _trampoline(original, _unseen(wrapper))
    setattr(owner, name, kind(instead) if kind else instead)
    home = sys.modules.get(getattr(original, "__module__", None) or "")
    if isinstance(owner, types.ModuleType) and getattr(home, name, None) is original:
        setattr(home, name, instead)


def wrap_subclasses(base: type, names: Iterable[str], wrapper: Wrapper, *, of: Callable[[type], bool]) -> None:
    """Wrap methods wherever `base` or a subclass defines them itself: those that exist, and those still to come.

    Args:
        of: which classes. Not those of the user's script: their functions go to worker processes by value, with all
            that belongs to them, and there is no gitexp there.
    """
    is_first = base not in _wanted
    _wanted.setdefault(base, {}).update(dict.fromkeys(names, (wrapper, of)))
    todo: list[type] = [base]
    known: set[type] = {base}
    while todo:
        _dress(base, todo[-1])
        below: list[type] = todo.pop().__subclasses__()
        fresh = [cls for cls in below if cls not in known]
        known.update(fresh)
        todo += fresh
    if is_first:
        before = base.__dict__.get("__init_subclass__")

        def __init_subclass__(cls: Any, **kwargs: Any) -> None:  # noqa: N807
            if before is None:
                super(base, cls).__init_subclass__(**kwargs)  # type: ignore[arg-type]
            else:
                before.__func__(cls, **kwargs)
            try:
                _dress(base, cls)
            except Exception:  # a class is being made, and nothing may go wrong with that
                pass

        base.__init_subclass__ = classmethod(_unseen(__init_subclass__))  # type: ignore[assignment]


_wanted: dict[type, dict[str, tuple[Wrapper, Callable[[type], bool]]]] = {}
"""For each base, its methods that are wrapped, how, and in which classes."""


def _dress(base: type, cls: type) -> None:
    for name, (wrapper, of) in _wanted[base].items():
        found = cls.__dict__.get(name)
        if isinstance(getattr(found, "fn", found), types.FunctionType) and of(cls):
            wrap(cls, name, wrapper)


def user_frame() -> types.FrameType | None:
    """The frame that called a wrapped function, from within its wrapper; None where it is a library's."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and (frame.f_code.co_filename == UNSEEN or frame.f_code.co_filename.startswith(_HERE)):
        frame = frame.f_back
    if frame is None or any(folder in frame.f_code.co_filename for folder in _LIBRARIES):
        return None
    return frame


def name_in(frame: types.FrameType, value: Any) -> str:
    """The name of the variable that holds `value` in a frame, or nothing."""
    for name, other in list(frame.f_locals.items()):
        if other is value:
            return name
    return ""


_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_LIBRARIES = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))


def _trampoline(original: Callable[..., Any], wrapper: Wrapper) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if not _may_log():
            return original(*args, **kwargs)
        try:
            return wrapper(original, args, kwargs)
        except BaseException as error:
            trace = error.__traceback__
            while trace is not None and trace.tb_frame.f_code.co_filename == UNSEEN:
                trace = trace.tb_next
            error.__traceback__ = trace
            raise

    instead = functools.wraps(original)(_unseen(call))
    setattr(instead, _ORIGINAL, original)
    return instead


def _unseen(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, whose frames do not count."""
    if not isinstance(function, types.FunctionType):
        raise TypeError("a wrapper is a plain function")
    copy = types.FunctionType(
        function.__code__.replace(co_filename=UNSEEN),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


class guarded:  # noqa: N801  # reads as a context manager; a class, because it stands in training loops
    """A context manager for code of ours: what it raises becomes a warning of the run, once for each message."""

    __slots__ = ("_framework",)

    def __init__(self, framework: str) -> None:
        self._framework = framework

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        warn(f"Autologging of {self._framework} missed something. {type(error).__name__}: {error}")
        return True


_busy = 0
"""How many outermost trainings are under way in this process, in any thread."""

_inside: contextvars.ContextVar[bool | None] = contextvars.ContextVar("gitexp_inside", default=None)
"""Whether what happens here is part of a training; None in a thread that nobody has told, like a worker's."""


_left_alone: set[str] = set()


def leave_alone(frameworks: Iterable[str]) -> None:
    """Log nothing of these frameworks from now on, and all others again."""
    global _left_alone
    _left_alone = set(frameworks)


def is_inside() -> bool:
    """Whether a training that is recorded already is under way here, so that this is a part of it."""
    inside = _inside.get()
    return _busy > 0 if inside is None else inside


@contextmanager
def outermost(framework: str) -> Iterator[bool]:
    """Gives whether this is a training of its own; everything within is not.

    Where several threads train at once, without runs of their own, the first one is.
    """
    global _busy
    if framework in _left_alone or is_inside():
        yield False
        return
    token = _inside.set(True)
    _busy += 1
    try:
        yield True
    finally:
        _busy -= 1
        _inside.reset(token)


@contextmanager
def apart() -> Iterator[None]:
    """Within, trainings count as their own again: for a trial of a search that has a nested run of its own."""
    token = _inside.set(False)
    try:
        yield
    finally:
        _inside.reset(token)


@contextmanager
def session() -> Iterator[ActiveRun | None]:
    """Gives the run to log to: the active one, else the one that `gitexp run` launched, else a new one that ends here.

    None where nothing can be recorded; that has been told then.
    """
    run, own = _open()
    try:
        yield run
    except BaseException as error:
        if own is not None:
            own.__exit__(type(error), error, None)
        raise
    if own is not None:
        own.__exit__(None, None, None)


@contextmanager
def training(framework: str) -> Iterator[ActiveRun | None]:
    """`outermost` and `session` in one: the run to log to, or None where there is nothing to be logged."""
    with outermost(framework) as is_outermost:
        if not is_outermost:
            yield None
            return
        with session() as run:
            yield run


@contextmanager
def child(run: ActiveRun, name: str | None = None, *, params: Mapping[str, Any] | None = None) -> Iterator[ActiveRun]:
    """A nested run of `run`, the active one within, which ends as the block does. Costs some milliseconds.

    Trainings within are still part of the one around, unless `apart` says otherwise.
    """
    from gitexp import session as runs  # only where a framework is used

    token = runs.stack.set((*runs.stack.get(), run))  # or `start_run` would join a launched run instead of nesting
    try:
        nested = runs.start_child(name, params=params)
        with nested:
            yield nested
    finally:
        runs.stack.reset(token)


def warn(message: str) -> None:
    """Put a sentence into the record, once; tell the user only where there is no run to tell it to."""
    try:
        from gitexp import session as runs  # only where a framework is used

        run = runs.active_run() or runs.launched_run()
        if run is not None:
            run.beside(Source.AUTOLOG)._recorder.warn(message)
        elif message not in _told:
            _told.add(message)
            runs.warn(message)
    except Exception:  # nobody is left to tell
        pass


_told: set[str] = set()


def _open() -> tuple[ActiveRun | None, ActiveRun | None]:
    """The run to log to, and that run again where it was made for this."""
    try:
        from gitexp import session as runs  # only where a framework is used

        found = runs.active_run() or runs.launched_run()
        if found is not None:
            return found.beside(Source.AUTOLOG), None
        own = runs.start_run()
        return own.beside(Source.AUTOLOG), own
    except Exception as error:
        warn(f"Autologging records nothing here. {error}")
        return None, None


def is_open(run: ActiveRun | None) -> bool:
    """Whether what is learnt after a training can still be logged to its run."""
    return run is not None and not run._recorder.ended


_pid = os.getpid()


def _may_log() -> bool:
    """Whether this is the script's main process, and not a worker of it or a rank beside the first."""
    if os.getpid() != _pid:
        return False
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.current_process().name != "MainProcess":
        return False
    return os.environ.get("RANK", "0") in ("", "0")


def plain_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Params as a person would write them: objects by their class, functions by their own name, secrets masked."""
    return mask_params({key: _plain(value) for key, value in params.items()})


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(_plain, value), key=str)  # in one order, so that the same params compare as such
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, type) or inspect.isroutine(value):
        return getattr(value, "__qualname__", str(value))
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if callable(getattr(value, "item", None)) or hasattr(value, "_value_"):
        return value
    return type(value).__name__
