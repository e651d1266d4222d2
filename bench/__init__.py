"""Benchmarks. Their names are known without the tools that they compare with."""

from node.errors import UserError

NAMES = ("book", "risk", "stop", "encode", "tape", "wire")


def check_names(names: list[str]) -> None:
    """Raises UserError where one of them is no benchmark."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise UserError(f"no benchmark {', '.join(unknown)}; there are: {', '.join(NAMES)}")
