"""`seglib dashboard`: start the dashboard, a program of its own that `python -m dashboard` starts as well.

The library does not import it: it runs it, if it is installed.
"""

import importlib.util
import runpy
import sys
from collections.abc import Sequence
from typing import Any

from seglib.errors import SegError

NAME = "dashboard"


def add(commands: Any) -> None:
    """Name the command in the help of `seglib`; its options are those of `python -m dashboard`."""
    text = "show a store in the browser"
    example = "example: python -m seglib dashboard ~/photos"
    command = commands.add_parser(NAME, help=text, description=f"{text}.".capitalize(), epilog=example, add_help=False)
    command.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="as for `python -m dashboard`")
    command.set_defaults(command=lambda arguments: start(arguments.arguments))


def start(command_line: Sequence[str]) -> int:
    """Run the dashboard with these arguments, in this process, and return its exit code."""
    if importlib.util.find_spec(NAME) is None:
        raise SegError("The dashboard is not installed beside seglib: install the whole project.")
    sys.argv[1:] = command_line
    try:
        runpy.run_module(NAME, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
