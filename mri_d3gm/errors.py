"""The one exception that a user sees."""


class InputError(Exception):
    """Something the user gave cannot be used: one line that names it, says what is wrong and what to do."""
