"""The command line: `python -m seglib COMMAND`, one function per command."""
