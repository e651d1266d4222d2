"""What goes wrong in a way that a person can put right."""


class UserError(Exception):
    """A message for a person: what is wrong, where, and what to do.

    The CLI prints it as one line and exits 2.
    """
