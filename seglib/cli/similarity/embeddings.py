"""`seglib embeddings`: list the embeddings of a store, add those of another model, and remove them."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from seglib.cli.common import (
    add_json_option,
    add_store_option,
    escape_for_terminal,
    new_command,
    print_json,
    print_message,
)


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "embeddings",
        "list the embeddings of a store, add those of another model, or remove them",
        "python -m seglib embeddings add clip.npz --name clip",
        _list,
    )
    actions = command.add_subparsers(required=True, metavar="ACTION", title="actions", help="what to do")
    listing = new_command(
        actions,
        "list",
        "list the runs that have embeddings, and the sets that were added",
        "python -m seglib embeddings list",
        _list,
    )
    adding = new_command(
        actions,
        "add",
        "add a file of vectors that another model has made, such as CLIP or DINO",
        "python -m seglib embeddings add clip.npz --name clip --key path",
        _add,
    )
    adding.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help=".npz with an array of text (N,) and one of numbers (N, D); .npy with a CSV that names its rows; or "
        ".parquet with a column of text and one of lists",
    )
    adding.add_argument("--name", required=True, metavar="X", help="what the embeddings are called, such as clip")
    adding.add_argument(
        "--key",
        choices=["image_id", "path", "stem"],
        help="what names the photos in FILE (default: the first of these under which a row fits a photo)",
    )
    adding.add_argument(
        "--keys",
        type=Path,
        metavar="CSV",
        help="the CSV that names the rows of a .npy file (default: of the same name)",
    )
    removing = new_command(
        actions,
        "remove",
        "remove a set that was added; those of runs stay",
        "python -m seglib embeddings remove clip",
        _remove,
    )
    removing.add_argument("name", metavar="NAME", help="the set's name")
    for action in (listing, adding, removing):
        add_store_option(action)
        add_json_option(action)


def _list(arguments: argparse.Namespace) -> int:
    from seglib.similarity.embeddings import find_damaged, list_sources
    from seglib.store.store import Store

    store = Store(arguments.store)
    sources, damaged = list_sources(store), find_damaged(store)
    for why in damaged.values():
        print_message(f"damaged: {why}")
    if arguments.json:
        print_json(*map(dataclasses.asdict, sources))
        return 0
    for source in sources:
        origin = "run" if source.is_run else "added"
        print(
            f"{source.name} ({origin}): {source.images} photos, {source.dimensions} dimensions, "
            f"{' and '.join(source.kinds)}"
        )
    if not sources and not damaged:
        print("no embeddings: run a built-in model, or add a file")
    return 0


def _add(arguments: argparse.Namespace) -> int:
    from seglib.similarity.brought_along import add_embeddings
    from seglib.store.store import Store

    store = Store(arguments.store)
    report = add_embeddings(store, arguments.file, arguments.name, key=arguments.key, keys_file=arguments.keys)
    if report.unmatched:
        some = ", ".join(repr(key) for key in report.unmatched[:3])
        print_message(f"{len(report.unmatched):,} of {report.rows:,} keys fit no photo of this store: {some}, ...")
    if report.without:
        print_message(f"{report.without:,} photos of this store have no vector in {arguments.file.name!r}.")
    if arguments.json:
        print_json(dataclasses.asdict(report) | {"unmatched": len(report.unmatched)})
    else:
        name = escape_for_terminal(report.name)
        print(f"{name}: vectors of {report.images} photos, {report.dimensions} dimensions, matched by {report.key}")
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    from seglib.store.embeddings import brought
    from seglib.store.store import Store

    removed = brought.remove_set(Store(arguments.store), arguments.name)
    if arguments.json:
        print_json(dataclasses.asdict(removed))
    else:
        print(f"{escape_for_terminal(removed.name)}: vectors of {removed.images} photos removed")
    return 0
