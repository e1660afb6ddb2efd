"""The one exception that a user sees."""


class InputError(Exception):
    """Something the user gave cannot be used: one line that names it, says what is wrong and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    """Text with what cannot be printed escaped: files may hold anything, and messages repeat some of it."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
