"""A socket that closes its own descriptor only, never one whose number has gone to somebody else.

uvloop's `create_connection(sock=...)` that is cancelled before the protocol has its transport closes the
descriptor, and leaves the socket object believing that it still holds it. When the object dies it closes
that number again: by then another line's, or the tape's.
"""

import contextlib
import os
import socket


class OwnSocket(socket.socket):
    """`socket.socket`, but it lets go of a descriptor that was closed behind its back."""

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None):
        super().__init__(family, type, proto, fileno)
        self._identity = _identity(self.fileno())

    def close(self) -> None:
        if self.fileno() >= 0 and _identity(self.fileno()) != self._identity:
            self.detach()
        super().close()

    def __del__(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # AttributeError: it was never opened
            self.close()


def _identity(fileno: int) -> tuple[int, int] | None:
    """What the kernel calls the socket at that number; None where there is none."""
    try:
        found = os.fstat(fileno)
    except OSError:
        return None
    return found.st_dev, found.st_ino
