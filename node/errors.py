"""What a person did that cannot work, as one line."""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT)
WORDS = dict.fromkeys(FULL, "the disk is full: make room there, or name another place") | {
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
}


class UserError(Exception):
    """A message for a person: what is wrong, where, and what to do. The CLI prints it as one line and exits
    2."""


class Failed(Exception):
    """What was started did not do its work, and why. The CLI prints one line and exits 1."""


class HeldBack(Failed):
    """A safety rule holds, and a person should know. The CLI prints one line and exits 3."""


class Unreachable(OSError):
    """A venue or service cannot be reached. The CLI prints one line and exits 4."""


def cause(error: OSError) -> str:
    """What the operating system said, in words, and with the fix where it is always the same."""
    return WORDS.get(error.errno or 0) or error.strerror or str(error)


def of_place(place: object, error: OSError) -> Failed | UserError:
    """That a file or directory cannot be used. A disk that is full is no fault of what was asked: Failed."""
    return (Failed if error.errno in FULL else UserError)(f"{place}: {cause(error)}")
