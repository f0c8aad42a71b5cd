"""`seglib columns`: add the columns of a file to the photos of a store, list them, remove them, and undo either;
measure photos.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglib.cli.columns import measure
from seglib.cli.common import (
    add_json_option,
    add_store_option,
    escape_for_terminal,
    name_options,
    new_command,
    print_json,
)

if TYPE_CHECKING:
    from seglib.store.own_columns.adding import ColumnsReport
    from seglib.store.own_columns.log import ColumnAction

_TYPES = ("integer", "number", "bool", "date", "category", "text")
_TAB_WORDS = ("tab", "\\t")


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "columns",
        "add columns of your own to the photos, from a CSV or Parquet file; list, remove and undo them",
        "python -m seglib columns add cameras.csv",
        _list,
    )
    actions = command.add_subparsers(required=True, metavar="ACTION", title="actions", help="what to do")
    adding = new_command(
        actions,
        "add",
        "add the columns of a file; for the photos that it names, it replaces those of the same names",
        "python -m seglib columns add cameras.csv --key path --type batch=category",
        _add,
    )
    adding.add_argument(
        "file", type=Path, metavar="FILE", help="CSV or Parquet, with a header and a row for each photo"
    )
    _add_reading_options(adding)
    measure.add_measure(actions)
    listing = new_command(actions, "list", "list the own columns", "python -m seglib columns list", _list)
    removing = new_command(
        actions, "remove", "remove own columns", "python -m seglib columns remove camera iso", _remove
    )
    removing.add_argument("names", nargs="+", metavar="NAME", help="the column's name")
    undoing = new_command(
        actions, "undo", "undo the last addition or removal, by anyone", "python -m seglib columns undo", _undo
    )
    for action in (adding, listing, removing, undoing):
        add_store_option(action)
        add_json_option(action)


def _add_reading_options(adding: argparse.ArgumentParser) -> None:
    adding.add_argument(
        "--key",
        choices=["auto", "path", "stem", "image_id"],
        default="auto",
        help="how the file names photos: path below the dataset's folder; stem: file name, with or without ending; "
        "image_id; auto: the only one that fits (default)",
    )
    adding.add_argument("--key-column", metavar="NAME", help="the column that names the photos (default: found)")
    adding.add_argument("--dataset", metavar="NAME", help="the dataset whose photos are meant (default: all)")
    adding.add_argument(
        "--column", action="append", default=[], metavar="NAME", help="add only this column; repeatable"
    )
    adding.add_argument(
        "--type",
        action="append",
        default=[],
        type=_parse_type,
        metavar="NAME=TYPE",
        help=f"{', '.join(_TYPES)}; repeatable (default: judged from all values)",
    )
    adding.add_argument(
        "--dates", metavar="D", help="how 03/04/2024 is read: day-first, month-first, or a format such as %%d.%%m.%%y"
    )
    adding.add_argument("--decimal", choices=["point", "comma"], help="the decimal sign of numbers (default: found)")
    adding.add_argument(
        "--missing",
        action="append",
        default=[],
        metavar="WORD",
        help="a word that stands for no value, besides the empty text; repeatable",
    )
    adding.add_argument(
        "--separator",
        type=lambda text: "\t" if text in _TAB_WORDS else text,
        metavar="SIGN",
        help="between two cells of a CSV file, such as ; or tab (default: found)",
    )
    adding.add_argument("--encoding", metavar="E", help="of a CSV file that is not UTF-8, such as cp1252")
    adding.add_argument("--dry-run", action="store_true", help="say what would be added, and add nothing")


def _parse_type(text: str) -> tuple[str, str]:
    name, equals, kind = text.rpartition("=")
    if not equals or kind not in _TYPES:
        raise argparse.ArgumentTypeError(f"expected NAME=TYPE, TYPE being one of {', '.join(_TYPES)}, got {text!r}")
    return name, kind


def _add(arguments: argparse.Namespace) -> int:
    from seglib.store.own_columns.adding import add_columns

    report = add_columns(
        arguments.store,
        arguments.file,
        key=arguments.key,
        key_column=arguments.key_column,
        dataset=arguments.dataset,
        columns=arguments.column,
        types=dict(arguments.type),
        dates=arguments.dates,
        decimal=arguments.decimal,
        missing=arguments.missing,
        separator=arguments.separator,
        encoding=arguments.encoding,
        dry_run=arguments.dry_run,
    )
    if arguments.json:
        print_json(dataclasses.asdict(report))
    else:
        _print_report(report)
    return 0


def _print_report(report: "ColumnsReport") -> None:
    from seglib.store.own_columns.options import TYPE_WORDS

    verb = "would get" if report.action is None else "have got"
    key = report.key if report.key == report.key_column else f"{report.key}, column {report.key_column!r}"
    print(
        f"{report.photos:,} photos {verb} columns from {report.rows:,} rows of {escape_for_terminal(report.source)} "
        f"({escape_for_terminal(key)})"
    )
    if report.unmatched:
        examples = ", ".join(map(repr, report.unmatched_examples))
        print(f"  {report.unmatched:,} rows fit no photo and are left out, e.g. {escape_for_terminal(examples)}")
    for column in report.columns:
        replaced = ", in place of earlier values" if column.was_known else ""
        examples = escape_for_terminal(", ".join(column.examples))
        print(
            f"  {escape_for_terminal(column.name)}: {TYPE_WORDS[column.type]}, {column.distinct:,} different, "
            f"{column.photos:,} photos{replaced} ({examples}{', …' if column.distinct > len(column.examples) else ''})"
        )
    for note in report.notes:
        print(f"  {escape_for_terminal(name_options(note))}")


def _list(arguments: argparse.Namespace) -> int:
    from seglib.store.own_columns import log
    from seglib.store.store import Store

    columns = log.list_columns(Store(arguments.store))
    if arguments.json:
        print_json(*map(dataclasses.asdict, columns))
        return 0
    for column in columns:
        sources = escape_for_terminal(", ".join(column.sources))
        print(
            f"{escape_for_terminal(column.name)}: {column.type}, {column.photos:,} photos, by {column.key}, {sources}"
        )
    if not columns:
        print("no own columns")
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    from seglib.store.own_columns import log
    from seglib.store.store import Store

    return _print_action(arguments, log.remove(Store(arguments.store), arguments.names), "removed")


def _undo(arguments: argparse.Namespace) -> int:
    from seglib.store.own_columns import log
    from seglib.store.store import Store

    done = log.undo(Store(arguments.store))
    if done is None:
        if arguments.json:
            print_json({"undone": None, "columns": []})
        else:
            print("nothing to undo")
        return 0
    return _print_action(arguments, done, f"undone: {'addition' if done.kind == log.ADD else 'removal'} of")


def _print_action(arguments: argparse.Namespace, action: "ColumnAction", words: str) -> int:
    if arguments.json:
        is_undo = words != "removed"
        print_json({"undone": action.kind if is_undo else None, "columns": list(action.names)})
    else:
        print(f"{words} {escape_for_terminal(', '.join(action.names))}")
    return 0
