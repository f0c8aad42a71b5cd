"""`seglib status` and `seglib prune`: what is in the store, what is stale, and away with it."""

import argparse
import dataclasses
from collections import Counter
from typing import Any

from seglib.arguments import json_option, new_command, store_option
from seglib.cli.output import plain, print_json


def add_status(commands: Any) -> None:
    command = new_command(
        commands, "status", "what is in the store, what failed, what is stale", "python -m seglib status", _status
    )
    store_option(command)
    command.add_argument(
        "--verify",
        action="store_true",
        help="read every byte; name each damaged record, part, mask and thumbnail, and exit with 1 if there is one",
    )
    json_option(command)


def _verify(arguments: argparse.Namespace) -> int:
    from seglib.maintenance import verify
    from seglib.store.store import Store

    found = list(verify.damage(Store(arguments.store)))
    if arguments.json:
        print_json({"damaged": [dataclasses.asdict(one) for one in found]})
    else:
        for one in found:
            print(one.sentence)
        kinds = Counter(one.kind for one in found)
        told = ", ".join(f"{n} {kind}s" if n > 1 else f"1 {kind}" for kind, n in kinds.items())
        print(f"damaged: {told}" if found else "nothing is damaged")
    return 1 if found else 0


def _status(arguments: argparse.Namespace) -> int:
    from seglib.maintenance import status
    from seglib.store.store import Store

    if arguments.verify:
        return _verify(arguments)
    store = Store(arguments.store)
    found, failures = status.status(store), store.failures()
    if arguments.json:
        rows = failures.astype("object").where(failures.notna(), None).to_dict("records")
        print_json(dataclasses.asdict(found) | {"stale": found.stale, "failures": rows})
        return 0
    for why in (*store.damaged_datasets().values(), *store.damaged_runs().values()):
        print(f"damaged: {why}")
    for dataset in found.datasets:
        print(
            f"data set {plain(dataset.dataset)}: {dataset.files} files, {dataset.failed} failed, "
            f"{dataset.vanished} vanished"
        )
    for run in found.runs:
        print(
            f"run {run.run}: {run.rows} photos, {run.pending} not computed, "
            f"{run.stale_rows} stale rows, {run.seconds:.1f} s spent"
        )
    for name, photos in found.tags.photos.items():
        print(f"tag {plain(name)}: {photos} photos")
    for row in failures.head(20).itertuples():
        print(f"  failed: {plain(str(row.path))} ({row.reason}): {plain(str(row.detail))}")
    if len(failures) > 20:
        print(f"  ... and {len(failures) - 20} more: --json lists all")
    if found.stale:
        print(f"{found.stale} stale rows and pictures: python -m seglib prune --store {arguments.store} removes them")
    return 0


def add_prune(commands: Any) -> None:
    command = new_command(
        commands, "prune", "remove what belongs to no file any more", "python -m seglib prune --store output", _prune
    )
    store_option(command)
    command.add_argument(
        "--run", action="append", default=[], metavar="RUN", help="first remove this run; may be given several times"
    )
    json_option(command)


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
        print_json({"removed": before.stale} | ({"runs": arguments.run} if arguments.run else {}))
    else:
        print(f"{before.stale} stale rows and pictures removed")
    return 0
