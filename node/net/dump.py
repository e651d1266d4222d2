"""What is left of a process that dies in native code: where each thread was, in a file beside the tape.

Nothing else runs then: no handler, no flush, as with kill -9, and the next start is the same as ever. It puts
the dump aside under the time of the crash and says so.
"""

import faulthandler
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

NAME = "crash.txt"
KEPT = 8  # dumps of earlier crashes


class Dump:
    """`begin` where the tape's directory is there; `end` where the process ends by itself."""

    def __init__(self) -> None:
        self._file: TextIO | None = None

    def begin(self, directory: Path) -> list[str]:
        """From here on a crash leaves a dump in `directory`. What a person should know of the last one. A
        directory that cannot be written is told of and no reason not to run."""
        path = directory / NAME
        try:
            told = _put_aside(path)
            self._file = path.open("w")
        except OSError as error:
            return [f"{path}: {error.strerror}: a crash would leave no dump"]
        faulthandler.enable(self._file, all_threads=True)
        return told

    def end(self) -> None:
        if self._file is not None:
            faulthandler.disable()
            path = Path(self._file.name)
            self._file.close()
            self._file = None
            if path.stat().st_size == 0:
                path.unlink()


def _put_aside(path: Path) -> list[str]:
    """Keep the dump of a crash, and not more than KEPT of them."""
    if not path.exists() or path.stat().st_size == 0:  # a kill leaves an empty one
        return []
    at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    with path.open(errors="replace") as file:
        first = file.readline(200).strip()
    kept = path.with_name(f"crash-{at:%Y%m%dT%H%M%S%f}.txt")
    path.replace(kept)
    for old in sorted(path.parent.glob("crash-*.txt"))[:-KEPT]:
        old.unlink()
    return [f"the last run crashed in native code ({first}): see {kept}"]
