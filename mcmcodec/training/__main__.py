"""``python -m mcmcodec.training``."""

from .commands import main

if __name__ == "__main__":
    main(prog_name="python -m mcmcodec.training")
