"""The options `--where` and `--view`: the photos that a command is about."""

import argparse
from typing import TYPE_CHECKING

from seglib.cli.common import print_message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seglib.query.filters import Filters
    from seglib.store.store import Store

EXAMPLE = "'label = cats and share.cat > 10%%'"
"""An expression, for the help."""


def add_where_options(command: argparse.ArgumentParser, purpose: str) -> None:
    """`purpose`: what the photos are chosen for, such as `only photos for which it holds`."""
    command.add_argument(
        "--where",
        metavar="EXPR",
        help=f"{purpose}: an expression such as {EXAMPLE}, or the filter part of the dashboard's URL",
    )
    command.add_argument("--view", metavar="NAME", help="photos of a saved view, of which --where chooses a part")


def read_selection(arguments: argparse.Namespace, store: "Store") -> "tuple[Filters, list[str] | None]":
    """The filters of `--where` and `--view`, and the runs of `--run` or else the view's. Raises `UsageError`."""
    from seglib.query.expressions.where import choose_filters

    filters, run = choose_filters(store, arguments.where, arguments.view)
    runs = getattr(arguments, "run", None)
    return filters, runs or ([run] if run else None)


def explain_nothing_found(filters: "Filters", where: str | None, store: "Store", runs: "Sequence[str] | None") -> None:
    """If no photo passes, say why that may be: names that no photo has, and how a plus sign is read."""
    from seglib.query.expressions.evaluation import describe_unknown_names
    from seglib.query.expressions.parsing import parse
    from seglib.query.fields import read_table

    if "where" in filters:
        expression = parse(str(filters["where"]))
        table = read_table(store, runs, filters)
        for sentence in describe_unknown_names(expression, table):
            print_message(sentence)
    elif where is not None and "+" in where:
        print_message("No photo passes the filter, in which + means a space: write %2B for a plus sign.")
