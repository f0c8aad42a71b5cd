"""Entry point of `python -m seglib`. Imports little, because every spawned worker process imports it again."""

import sys

if __name__ == "__main__":
    from seglib.cli.main import main

    sys.exit(main())
