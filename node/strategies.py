"""Which strategy a config names: a built-in one, or a person's own class."""

import importlib
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from ext.strategies.probe import Probe
from ext.strategies.quoter import Quoter
from ext.strategy import Strategy
from node.errors import UserError

# What a mistake in a person's file raises when it is imported; its place and words are told, as one line.
RAISED = (
    ArithmeticError, AssertionError, AttributeError, BufferError, ImportError, LookupError, NameError,
    OSError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
BUILT_IN: dict[str, type[Strategy]] = {"quoter": Quoter, "probe": Probe}


def strategy_class(name: str, folder: Path | None = None) -> type[Strategy] | None:
    """The class that `name` means: "quoter", "probe", "none" (None), or "module:Class" for a subclass of
    `ext.strategy.Strategy`. A module is looked for in `folder` (where the config is that names it), then in
    the current directory, then on the Python path. Raises UserError that says what is wrong with it."""
    if name == "none":
        return None
    if name in BUILT_IN:
        return BUILT_IN[name]
    module_name, colon, class_name = name.partition(":")
    if not (colon and module_name and class_name):
        raise UserError(f"strategy {name!r}: must be quoter, probe, none or module:Class")
    module = _import(name, module_name, folder)
    made = getattr(module, class_name, None)
    if not (isinstance(made, type) and issubclass(made, Strategy)):
        where = f" ({module.__file__})" if module.__file__ else ""
        why = f"{module_name}{where} has no class {class_name} that is a subclass of ext.strategy.Strategy"
        raise UserError(f"strategy {name!r}: {why}")
    return made


def make_strategy(name: str, folder: Path | None = None) -> Strategy | None:
    """One of the class that `strategy_class` finds; None for "none". Raises UserError."""
    kind = strategy_class(name, folder)
    try:
        return None if kind is None else kind()
    except TypeError as error:
        raise UserError(f"strategy {name!r}: cannot be made without arguments: {error}") from None


def _import(name: str, module_name: str, folder: Path | None) -> ModuleType:
    places = [str(x.resolve()) for x in (folder, Path.cwd()) if x is not None]
    try:
        with _first_on_path(places):
            return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise UserError(f"strategy {name!r}: {_place(error)}{error}") from None
        looked = ", in ".join(dict.fromkeys(places))
        file = error.name.partition(".")[0] + ".py"
        raise UserError(
            f"strategy {name!r}: No module named {error.name!r}: there is no {file} in {looked}, or on "
            "PYTHONPATH"
        ) from None
    except SyntaxError as error:
        raise UserError(f"strategy {name!r}: {error.filename}:{error.lineno}: {error.msg}") from None
    except RAISED as error:
        raise UserError(f"strategy {name!r}: {_place(error)}{type(error).__name__}: {error}") from None


@contextmanager
def _first_on_path(places: list[str]) -> Iterator[None]:
    """In front while a strategy is imported, so that what lies beside a config is what is meant; behind
    everything else afterwards, so that no file there takes the place of a library's."""
    before = list(sys.path)
    sys.path[:0] = places
    try:
        yield
    finally:
        sys.path[:] = before + [x for x in dict.fromkeys(places) if x not in before]


def _place(error: BaseException) -> str:
    """The line of a person's file that raised, "" where none did."""
    frames = [x for x in traceback.extract_tb(error.__traceback__) if not x.filename.startswith("<frozen")]
    return f"{frames[-1].filename}:{frames[-1].lineno}: " if len(frames) > 2 else ""
