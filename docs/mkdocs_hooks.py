"""Hooks of MkDocs: pages that lie outside of this folder, and the options of every command, from the parser.

The pages link each other as they lie in the repository, where people read them as well; here these links are mapped to
the places in the site.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the command `mkdocs` does not look for packages in this folder

from seglib.cli.main import build_parser  # noqa: E402

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "seglib/checkpoints/fcn_mobilenet_v2_voc.md": "cards/fcn_mobilenet_v2_voc.md",
    "seglib/checkpoints/unet_mobilenet_v2_voc.md": "cards/unet_mobilenet_v2_voc.md",
}
"""Page in the repository -> its place in the site; what is in docs/ is at its own name."""

OPTIONS = "<!-- the options of every command -->"
_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


def on_files(files: Files, config: Any) -> Files:
    for source, place in PAGES.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    return _map_links(markdown, page.file.src_uri).replace(OPTIONS, "\n".join(describe_commands()))


def _map_links(markdown: str, place: str) -> str:
    """Rewrite the links of a page from the repository's layout to that of the site."""
    source = next((path for path, target in PAGES.items() if target == place), f"docs/{place}")

    def rewrite(found: re.Match[str]) -> str:
        linked = (ROOT / source).parent.joinpath(found[1]).resolve().relative_to(ROOT).as_posix()
        target = PAGES.get(linked, linked.removeprefix("docs/"))
        return f"]({_relative(target, place)}"

    return _LINK.sub(rewrite, markdown)


def _relative(target: str, place: str) -> str:
    return "../" * (len(PurePosixPath(place).parts) - 1) + target


def describe_commands() -> Iterator[str]:
    """Markdown: a section for each command, with what it takes."""
    for name, parser in _walk(build_parser(), ()):
        yield f"## {' '.join(name)}\n"
        if parser.description:
            yield f"{parser.description}\n"
        yield f"    {' '.join(parser.format_usage().split()).removeprefix('usage: ')}\n"
        rows = [(_spell(one), one.help or "") for one in parser._actions if one.help != argparse.SUPPRESS]
        rows = [(spelt, text % {"default": ""} if "%(" in text else text.replace("%%", "%")) for spelt, text in rows]
        if rows:
            yield "| | |\n|---|---|"
            yield from (f"| `{spelt}` | {text.replace('|', chr(92) + '|')} |" for spelt, text in rows)
            yield ""


def _walk(parser: argparse.ArgumentParser, name: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    below = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    if not below and name:
        yield name, parser
    for action in below:
        for word, command in action.choices.items():
            yield from _walk(command, (*name, word))


def _spell(action: argparse.Action) -> str:
    value = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
    value = " ".join(value) if isinstance(value, tuple) else value
    return " ".join(filter(None, (", ".join(action.option_strings), value))).replace("|", "\\|")
