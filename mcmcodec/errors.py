"""The errors that users meet: on bad input the package raises these and no others.

An error is one line, ``cause; remedy``: what is wrong, then what to do about it.
"""


class McmError(Exception):
    """Something that the caller can mend.

    Args:
        cause: What is wrong, in lower case and without a full stop.
        remedy: What to do about it, or nothing when there is no remedy.
    """

    def __init__(self, cause: str, remedy: str = "") -> None:
        """Keep both halves of the message."""
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        """Return ``cause; remedy``, or the cause alone."""
        return f"{self.cause}; {self.remedy}" if self.remedy else self.cause


class FormatError(McmError):
    """The bytes are not an .mcm file, or a damaged one, or one that this version cannot read."""


class InputError(McmError, ValueError):
    """The picture cannot be read, or is outside the limits."""


class ModelError(McmError):
    """The weights are missing, damaged, or not the ones that a file was made with."""


class UsageError(McmError, ValueError):
    """Options or arguments contradict each other or are out of range."""


def damaged(cause: str) -> FormatError:
    """The error of a file that no encoder has written.

    Args:
        cause: What is wrong with it.
    """
    return FormatError(cause, "get a whole copy of the file")
