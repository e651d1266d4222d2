"""What a table looks like in a terminal: nothing may be cut off, and no line is wider than the screen."""

import io
from collections.abc import Callable
from typing import Any

from rich.console import Console


def screen(print_it: Callable[..., Any], *args: Any, width: int = 80) -> str:
    """What `print_it(*args, console)` prints on a screen of so many columns."""
    out = io.StringIO()
    print_it(*args, Console(file=out, width=width, force_terminal=False))
    return whole(out.getvalue(), width)


def whole(text: str, width: int = 80) -> str:
    """The text, of which nothing was cut."""
    assert "…" not in text, text
    assert max(len(x.rstrip()) for x in text.splitlines()) <= width, text
    return text


def tells(text: str, *parts: str) -> None:
    """Every part stands in it as it is."""
    missing = [x for x in parts if x not in text]
    assert not missing, f"{missing} not in\n{text}"
