"""`seglib status`, `prune`, `pack`, `rename` and `tag`: inspect, clean up, rename and tag the contents of a store."""

import argparse
import dataclasses
import shlex
from collections import Counter
from typing import TYPE_CHECKING, Any

from seglib.cli.common import (
    add_json_option,
    add_store_option,
    escape_for_terminal,
    name_options,
    new_command,
    print_json,
    print_message,
)
from seglib.cli.selection.where import add_where_options, explain_nothing_found, read_selection
from seglib.errors import UsageError
from seglib.progress import ProgressBar

if TYPE_CHECKING:
    from seglib.maintenance.status import DatasetDrift, StoreStatus
    from seglib.store.store import Store

PACK_FROM = 1_000_000
"""From this many single masks on, `status` recommends to pack them."""


def add_status(commands: Any) -> None:
    command = new_command(
        commands,
        "status",
        "show what is in the store, what failed, and what is stale",
        "python -m seglib status",
        _status,
    )
    add_store_option(command)
    command.add_argument(
        "--verify",
        action="store_true",
        help="read every byte and list damaged records, parts, masks and thumbnails; exit with 1 if there are any",
    )
    add_json_option(command)


def _verify(arguments: argparse.Namespace) -> int:
    from seglib.maintenance import verify
    from seglib.store.store import Store

    damaged = list(verify.find_damaged_files(Store(arguments.store)))
    if arguments.json:
        print_json(
            {"damaged": [dataclasses.asdict(file) | {"sentence": name_options(file.sentence)} for file in damaged]}
        )
    else:
        for file in damaged:
            print(name_options(file.sentence))
        kinds = Counter(file.kind for file in damaged)
        summary = ", ".join(f"{n} {kind}s" if n > 1 else f"1 {kind}" for kind, n in kinds.items())
        print(f"damaged: {summary}" if damaged else "nothing is damaged")
    return 1 if damaged else 0


def _status(arguments: argparse.Namespace) -> int:
    from seglib.maintenance import status
    from seglib.store.store import Store

    if arguments.verify:
        return _verify(arguments)
    store = Store(arguments.store)
    report, failures, drifts = status.read_status(store), store.failures(), status.find_drifts(store)
    if arguments.json:
        rows = failures.astype("object").where(failures.notna(), None).to_dict("records")
        more = {"stale": report.stale, "drift": [dataclasses.asdict(drift) for drift in drifts], "failures": rows}
        for why in _damaged_sentences(store):
            print_message(f"damaged: {why}")
        print_json(dataclasses.asdict(report) | more)
        return 0
    for why in _damaged_sentences(store):
        print(f"damaged: {name_options(why)}")
    _print_datasets(store, report, drifts)
    _print_runs(report)
    for one in report.embedding_sets:
        print(f"embeddings {escape_for_terminal(one.name)}: {one.images} photos, {one.dimensions} dimensions")
    for name, photos in report.tags.photos.items():
        print(f"tag {escape_for_terminal(name)}: {photos} photos")
    for name, photos in report.columns.photos.items():
        print(f"column {escape_for_terminal(name)}: {photos} photos")
    for row in failures.head(20).itertuples():
        print(f"  failed: {escape_for_terminal(str(row.path))} ({row.reason}): {escape_for_terminal(str(row.detail))}")
    if len(failures) > 20:
        print(f"  ... and {len(failures) - 20} more: --json lists all")
    if report.single_masks >= PACK_FROM:
        files = f"{report.single_masks:,} masks are files of their own"
        print(f"{files}: python -m seglib pack --store {arguments.store} packs them")
    if report.stale:
        print(f"{report.stale} stale rows and pictures: python -m seglib prune --store {arguments.store} removes them")
    return 0


def _damaged_sentences(store: "Store") -> list[str]:
    """What is wrong with each damaged file that the rest of the status leaves out."""
    from seglib.similarity import embeddings
    from seglib.store import content, scans
    from seglib.store.embeddings import brought
    from seglib.store.photo_measures import rows as photo_measures

    damaged = (
        store.damaged_datasets(),
        scans.find_damaged(store),
        content.find_damaged(store),
        store.damaged_runs(),
        brought.find_damaged(store),
        photo_measures.find_damaged(store),
        embeddings.find_damaged(store),
    )
    return [sentence for sentences in damaged for sentence in sentences.values()]


def _print_datasets(store: "Store", report: "StoreStatus", drifts: "list[DatasetDrift]") -> None:
    for dataset, entry, drift in zip(store.datasets(), report.datasets, drifts, strict=True):
        print(
            f"dataset {escape_for_terminal(entry.dataset)}: {entry.files} files, {entry.failed} failed, "
            f"{entry.vanished} vanished"
        )
        for sentence in entry.left_out.describe() if entry.left_out else ():
            print(f"  {name_options(sentence)}")
        if drift.sentence:
            print(f"  {escape_for_terminal(drift.sentence)}")
        if not drift.exists:
            move = ["dataset", "move", str(dataset.root), "NEW", "--store", str(store.path)]
            print(f"  python -m seglib {escape_for_terminal(shlex.join(move))}")
    if report.shared_images:
        print(f"{report.shared_images} photos are in several datasets: figures count each of them once")


def _print_runs(report: "StoreStatus") -> None:
    from seglib.models.registry import trainable_names

    for run in report.runs:
        title = "" if run.title == run.model else f" ({escape_for_terminal(run.title)})"
        print(
            f"run {run.run}{title}: {run.rows} photos, {run.pending} not computed, "
            f"{run.stale_rows} stale rows, {run.seconds:.1f} s spent"
        )
        if run.embeddings < run.rows and run.precision is not None and run.model in trainable_names():
            print(f"  {run.rows - run.embeddings} of them have no embedding: run again with --verify to add them")
        if run.untrained_classes:
            print(f"  its model was never trained on {escape_for_terminal(', '.join(run.untrained_classes))}")
        if not run.repeatable:
            print("  its model cannot be identified by a digest: no later run continues this one")


def add_prune(commands: Any) -> None:
    command = new_command(
        commands,
        "prune",
        "remove rows and pictures that no longer belong to a file",
        "python -m seglib prune --store output",
        _prune,
    )
    add_store_option(command)
    command.add_argument("--run", action="append", default=[], metavar="RUN", help="first remove this run; repeatable")
    add_json_option(command)


def _prune(arguments: argparse.Namespace) -> int:
    from seglib.maintenance import prune
    from seglib.store.store import Store

    store = Store(arguments.store)
    for name in arguments.run:
        prune.remove_run(store, name)
        if not arguments.json:
            print(f"{name} removed", flush=True)
    before = prune.prune(store)
    if arguments.json:
        left = {"left_in_packs": before.left_in_packs} if before.left_in_packs else {}
        print_json({"removed": before.stale} | left | ({"runs": arguments.run} if arguments.run else {}))
    else:
        print(f"{before.stale} stale rows and pictures removed")
        if before.left_in_packs:
            print(
                f"{before.left_in_packs} pictures of photos that are gone stay, in packs of which half or more is used"
            )
    return 0


def add_pack(commands: Any) -> None:
    command = new_command(
        commands,
        "pack",
        "move masks and thumbnails into few large files, from about a million photos on",
        "python -m seglib pack --store output",
        _pack,
    )
    add_store_option(command)
    command.add_argument(
        "--run", action="append", metavar="RUN", help="only the masks of this run; repeatable (default: everything)"
    )
    add_json_option(command)


def _pack(arguments: argparse.Namespace) -> int:
    from seglib.maintenance import compact
    from seglib.store.store import Store

    store = Store(arguments.store)
    runs = None if arguments.run is None else [store.run(name) for name in arguments.run]
    with ProgressBar("pictures") as bar:
        packed = compact.pack_pictures(store, runs, on_progress=bar)
    if arguments.json:
        print_json({"packed": packed})
    else:
        for name, number in packed.items():
            print(f"{name}: {number} {'thumbnails' if name == compact.THUMBNAILS else 'masks'} packed")
    return 0


def add_rename(commands: Any) -> None:
    command = new_command(
        commands,
        "rename",
        "change what a run is called on pages and in reports; its name and its files stay",
        "python -m seglib rename fcn_mobilenet_v2-224-1a2b3c4d 'Trained in May'",
        _rename,
    )
    command.add_argument("run", metavar="RUN", help="the run's name, as in status")
    command.add_argument("title", metavar="TITLE", help="the title; '' for the model's name")
    add_store_option(command)
    add_json_option(command)


def _rename(arguments: argparse.Namespace) -> int:
    from seglib.store.store import Store

    store = Store(arguments.store)
    run = store.set_title(store.run(arguments.run), arguments.title)
    if arguments.json:
        print_json({"run": run.run, "title": run.display_title})
    else:
        print(f"{run.run} is called {escape_for_terminal(run.display_title)}")
    return 0


def add_tag(commands: Any) -> None:
    command = new_command(
        commands,
        "tag",
        "tag the photos that a filter chooses",
        "python -m seglib tag doubtful --where agreement=contradicts",
        _tag,
    )
    command.add_argument("name", nargs="?", metavar="NAME", help="the tag; leave it out with --undo")
    add_store_option(command)
    add_where_options(command, "which photos, '' for all of them")
    command.add_argument(
        "--run",
        action="append",
        metavar="RUN",
        help="run whose figures EXPR refers to; repeatable (default: all; one matching run is enough)",
    )
    command.add_argument("--remove", action="store_true", help="remove the tag")
    command.add_argument("--undo", action="store_true", help="undo the last tag change, by anyone")
    add_json_option(command)


def _tag(arguments: argparse.Namespace) -> int:
    from seglib.query.fields import read_table
    from seglib.query.filters import select
    from seglib.store import tags
    from seglib.store.store import Store

    store, chooses = Store(arguments.store), arguments.where is not None or arguments.view is not None
    if arguments.undo:
        if arguments.name or chooses or arguments.remove:
            raise UsageError("--undo reverts the last tag change as a whole: leave out NAME and --where.")
        done = tags.undo(store)
    else:
        if not arguments.name or not chooses:
            raise UsageError(
                "Give a tag and a filter for the photos, as in tag doubtful --where agreement=contradicts."
            )
        filters, runs = read_selection(arguments, store)
        chosen = select(read_table(store, runs, filters), filters)
        if chosen.empty:
            explain_nothing_found(filters, arguments.where, store, runs)
        done = (tags.untag if arguments.remove else tags.tag)(store, chosen["image_id"], arguments.name)
    count = done.images if done else 0
    if arguments.json:
        print_json({"tag": done.tag if done else arguments.name, "photos": count, "undone": arguments.undo})
    elif arguments.undo:
        print(
            f"undone: {'tag' if done.on else 'removal of'} {escape_for_terminal(done.tag)}, {count} photos"
            if done
            else "nothing to undo"
        )
    else:
        name = escape_for_terminal(tags.normalise_tag(arguments.name))
        print(f"{count} photos {'have lost' if arguments.remove else 'have got'} the tag {name}")
    return 0
