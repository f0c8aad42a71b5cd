"""Entry point of `python -m seglib`."""

import sys

if __name__ == "__main__":
    from seglib.cli.main import main

    sys.exit(main())
