"""Print names of any language on consoles of any encoding."""

import io
import os
import sys


def prepare_console() -> None:
    """Let no name end a command: the console's encoding may lack its characters, which are then printed as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def restart_in_utf8() -> None:
    """Start this command line again in Python's UTF-8 mode if the locale has another encoding, such as Latin-1.

    File names are UTF-8 on nearly every disk; in another encoding their files could not be opened. What is printed
    stays in the console's encoding.
    """
    if os.name != "posix" or sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1":
        return
    encoding = os.environ.get("PYTHONIOENCODING") or (sys.stdout and sys.stdout.encoding) or "utf-8"
    environment = os.environ | {"PYTHONUTF8": "1", "PYTHONIOENCODING": encoding}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606 - this same command
