"""``python -m mcmcodec.training``."""

import sys

from ..errors import McmError
from .commands import main

if __name__ == "__main__":
    try:
        main(prog_name="python -m mcmcodec.training")
    except McmError as error:
        sys.exit(f"training: {error}")
