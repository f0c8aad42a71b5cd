"""`seglib tag`: put a tag on the photos that a filter chooses, take it off, or undo the last tagging."""

import argparse
from typing import Any

from seglib.arguments import json_option, new_command, store_option
from seglib.cli.output import plain, print_json
from seglib.errors import UsageError


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "tag",
        "tag the photos that a filter chooses",
        "python -m seglib tag doubtful --where agreement=contradicts",
        _tag,
    )
    command.add_argument("name", nargs="?", metavar="NAME", help="the tag; leave it out with --undo")
    store_option(command)
    command.add_argument("--where", metavar="EXPR", help="which photos, as with export; '' for all of them")
    command.add_argument(
        "--run", action="append", metavar="RUN", help="whose figures EXPR speaks of; default all, of which one suffices"
    )
    command.add_argument("--remove", action="store_true", help="take the tag off")
    command.add_argument("--undo", action="store_true", help="take back the last tagging, whoever did it")
    json_option(command)


def _tag(arguments: argparse.Namespace) -> int:
    from seglib.query.filters import Filters, select
    from seglib.store import tags
    from seglib.store.store import Store

    store = Store(arguments.store)
    if arguments.undo:
        if arguments.name or arguments.where is not None or arguments.remove:
            raise UsageError("--undo takes back the last tagging as a whole: give neither NAME nor --where with it.")
        done = tags.undo(store)
    else:
        if not arguments.name or arguments.where is None:
            raise UsageError("Say which tag and which photos, as in tag doubtful --where agreement=contradicts.")
        chosen = select(store.table(arguments.run), Filters.decode(arguments.where))
        done = (tags.untag if arguments.remove else tags.tag)(store, chosen["image_id"], arguments.name)
    count = done.images if done else 0
    if arguments.json:
        print_json({"tag": done.tag if done else arguments.name, "photos": count, "undone": arguments.undo})
    elif arguments.undo:
        print(
            f"undone: {'tag' if done.on else 'removal of'} {plain(done.tag)}, {count} photos"
            if done
            else "nothing to undo"
        )
    else:
        name = plain(tags.tag_name(arguments.name))
        print(f"{count} photos {'have lost' if arguments.remove else 'have got'} the tag {name}")
    return 0
