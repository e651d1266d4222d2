"""What a person did that cannot work, as one line."""

import errno

FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # of a disk, and not of who named the place
WORDS = {
    errno.ENOSPC: "the disk is full: make room there, or name another place",
    errno.EDQUOT: "the disk quota is used up: raise it, or name another place",
    errno.EFBIG: "the file is larger than files may be: raise `ulimit -f`",
    errno.EIO: "the disk reports an I/O error: look at it",
    errno.EROFS: "the file system is read-only: mount it read-write (after an I/O error the kernel "
    "makes it so: look at the disk)",
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
    """That a file or directory cannot be used. A disk that is full or broken is no fault of what was asked:
    Failed."""
    return (Failed if error.errno in FAULTS else UserError)(f"{place}: {cause(error)}")
