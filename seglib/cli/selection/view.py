"""`seglib view`: list, save, rename and delete the views of a store."""

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from seglib.cli.common import add_json_option, add_store_option, escape_for_terminal, new_command, print_json
from seglib.errors import UsageError

if TYPE_CHECKING:
    from seglib.store.saved_views.saved_view import SavedView
    from seglib.store.store import Store


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "view",
        "list, save, rename or delete the views of a store: filters with a name",
        "python -m seglib view save doubtful --where 'confidence < 60%' --run fcn_mobilenet_v2-224-1a2b3c4d",
        _list,
    )
    actions = command.add_subparsers(required=True, metavar="ACTION", title="actions", help="what to do")
    listing = new_command(actions, "list", "list the saved views", "python -m seglib view list", _list)
    saving = new_command(
        actions,
        "save",
        "save which photos a filter chooses; Explore on the pages saves all that it shows",
        "python -m seglib view save doubtful --where 'confidence < 60%'",
        _save,
    )
    saving.add_argument("name", metavar="NAME")
    saving.add_argument(
        "--where", required=True, metavar="EXPR", help="an expression, or the filter part of the dashboard's URL"
    )
    saving.add_argument("--run", metavar="RUN", help="the run that it is about (default: the one used last)")
    saving.add_argument("--description", default="", metavar="TEXT", help="what it is for")
    saving.add_argument("--replace", action="store_true", help="replace the view that has this name")
    renaming = new_command(
        actions, "rename", "give a view another name", "python -m seglib view rename doubtful unsure", _rename
    )
    renaming.add_argument("name", metavar="NAME")
    renaming.add_argument("new", metavar="NEW", help="its new name")
    renaming.add_argument("--description", metavar="TEXT", help="its new description (default: as it was)")
    deleting = new_command(actions, "delete", "delete a view", "python -m seglib view delete doubtful", _delete)
    deleting.add_argument("name", metavar="NAME")
    for action in (listing, saving, renaming, deleting):
        add_store_option(action)
        add_json_option(action)


def _list(arguments: argparse.Namespace) -> int:
    from seglib.store.saved_views import saved_view

    store = _open(arguments)
    views, damaged = saved_view.list_views(store), saved_view.find_damaged(store)
    if arguments.json:
        print_json(*map(_to_json, views))
        return 0
    if not views and not damaged:
        print("no saved views")
    for view in views:
        print(_describe(view))
    for sentence in damaged.values():
        print(f"damaged: {escape_for_terminal(sentence)}")
    return 0


def _save(arguments: argparse.Namespace) -> int:
    from urllib.parse import urlencode

    from seglib.query.expressions.where import read_where
    from seglib.query.fields import read_table
    from seglib.query.filters import select
    from seglib.store.saved_views import saved_view

    store, filters = _open(arguments), read_where(arguments.where)
    if not filters:
        raise UsageError("Say with --where which photos the view is of, such as 'confidence < 60%'.")
    if arguments.run is None and not store.runs():
        raise UsageError("This store holds no run yet, so there is nothing to filter.")
    run = store.run(arguments.run) if arguments.run is not None else store.runs()[-1]
    count = len(select(read_table(store, [run.run], filters), filters))
    view = saved_view.SavedView(
        name=arguments.name,
        description=arguments.description,
        page="Explore",
        query=urlencode([*filters.pairs(), ("run", run.run)]),
    )
    view = saved_view.save_view(store, view, replace_existing=arguments.replace)
    if arguments.json:
        print_json(_to_json(view) | {"photos": count})
    else:
        print(f"{escape_for_terminal(view.name)} saved: {count} photos of {run.run}")
    return 0


def _rename(arguments: argparse.Namespace) -> int:
    from seglib.store.saved_views import saved_view

    view = saved_view.rename_view(_open(arguments), arguments.name, arguments.new, arguments.description)
    if arguments.json:
        print_json(_to_json(view))
    else:
        print(_describe(view))
    return 0


def _delete(arguments: argparse.Namespace) -> int:
    from seglib.store.saved_views import saved_view

    view = saved_view.delete_view(_open(arguments), arguments.name)
    if arguments.json:
        print_json(_to_json(view))
    else:
        print(f"deleted: {_describe(view)}")
    return 0


def _open(arguments: argparse.Namespace) -> "Store":
    from seglib.store.store import Store

    return Store(arguments.store)


def _to_json(view: "SavedView") -> dict[str, Any]:
    from seglib.query.expressions.where import read_view_filters

    filters, run = read_view_filters(view.query)
    return dataclasses.asdict(view) | {"where": filters.encode(), "run": run}


def _describe(view: "SavedView") -> str:
    from seglib.query.expressions.where import describe_filters, read_view_filters

    filters, run = read_view_filters(view.query)
    what = f"{describe_filters(filters)}{f', of {run}' if run else ''}"
    note = f" ({view.description})" if view.description else ""
    return escape_for_terminal(f"{view.name}{note}: {what}")
