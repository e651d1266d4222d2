"""Which strategy a config names: a built-in one, or a person's own class."""

import importlib
import sys
from pathlib import Path

from ext.strategies.probe import Probe
from ext.strategies.quoter import Quoter
from ext.strategy import Strategy
from node.errors import UserError

BUILT_IN = {"quoter": Quoter, "probe": Probe}


def make_strategy(name: str) -> Strategy | None:
    """The strategy that `name` means: "quoter", "probe", "none", or "module:Class" for a subclass of
    `ext.strategy.Strategy` that is found from the current directory or on the Python path. Raises UserError
    that says what is wrong with it."""
    if name == "none":
        return None
    if name in BUILT_IN:
        return BUILT_IN[name]()
    module_name, colon, class_name = name.partition(":")
    if not (colon and module_name and class_name):
        raise UserError(f"strategy {name!r}: must be quoter, probe, none or module:Class")
    made = getattr(_import(name, module_name), class_name, None)
    if not (isinstance(made, type) and issubclass(made, Strategy)):
        why = f"{module_name} has no class {class_name} that is a subclass of ext.strategy.Strategy"
        raise UserError(f"strategy {name!r}: {why}")
    try:
        return made()
    except TypeError as error:
        raise UserError(f"strategy {name!r}: cannot be made without arguments: {error}") from None


def _import(name: str, module_name: str):
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(f"strategy {name!r}: {error}") from None
    except SyntaxError as error:
        raise UserError(f"strategy {name!r}: {error.filename}:{error.lineno}: {error.msg}") from None
