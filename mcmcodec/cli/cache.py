"""Where commands keep what they can make again."""

import contextlib
import os
from typing import Final

VARIABLE: Final = "MCMCODEC_CACHE"
"""Names the folder, if it is set."""


def cache_folder() -> str | None:
    """The user's folder for what this package keeps, which need not exist yet; None where the system knows none."""
    named = os.environ.get(VARIABLE)
    if named:
        return os.path.abspath(named)
    from platformdirs import user_cache_dir

    # A user without a home is an error of some versions; others give a path in the current folder, perhaps the archive.
    found = ""
    with contextlib.suppress(RuntimeError):
        found = user_cache_dir("mcmcodec", appauthor=False)
    return found if os.path.isabs(found) else None
