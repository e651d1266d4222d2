"""What a person did that cannot work, as one line."""


class UserError(Exception):
    """A message for a person: what is wrong, where, and what to do. The CLI prints it as one line and exits
    2."""


class Failed(Exception):
    """What was started did not do its work, and why. The CLI prints one line and exits 1."""


class HeldBack(Failed):
    """A safety rule holds, and a person should know. The CLI prints one line and exits 3."""


class Unreachable(OSError):
    """A venue or service cannot be reached. The CLI prints one line and exits 4."""
