"""`python -m seglib`: hands over to the command line. Light, because every worker process imports it again."""

import sys

if __name__ == "__main__":
    from seglib.cli.main import main

    sys.exit(main())
