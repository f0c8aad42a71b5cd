"""`seglib models`: list the models and whether their weights are available locally."""

import argparse
from typing import Any

from seglib.adapters import lookup
from seglib.cli.common import add_json_option, escape_for_terminal, new_command, print_json
from seglib.models.registry import MODELS, TRAINABLE


def add(commands: Any) -> None:
    command = new_command(
        commands, "models", "list the models, and whether their weights are here", "python -m seglib models", _models
    )
    add_json_option(command)


def _models(arguments: argparse.Namespace) -> int:
    rows: list[dict[str, Any]] = [
        {
            "name": spec.name,
            "classes": len(spec.classes),
            "resize": spec.resize.text,
            "net_side": spec.net_side or None,
            "parameters": spec.parameters,
            "bytes": spec.path.stat().st_size if spec.path.exists() else None,
            "here": spec.path.exists(),
            "weights": spec.weights,
        }
        for spec in MODELS.values()
    ]
    plugins = [
        dict.fromkeys(rows[0]) | {"name": name, "here": True, "weights": value}
        for name, value in lookup.plugins().items()
        if name not in MODELS
    ]
    if arguments.json:
        print_json(*rows, *plugins)
        return 0
    print(f"{'name':<30}{'classes':>8}{'resize':>12}{'sees':>12}{'parameters':>12}{'size':>10}  weights")
    for row in rows:
        size = f"{row['bytes'] / 1e6:.1f} MB" if row["bytes"] else "-"
        place = (
            "embedded"
            if MODELS[str(row["name"])].source == "embedded"
            else "here"
            if row["here"]
            else "downloaded at first use"
        )
        sees = f"short:{row['net_side']}" if row["net_side"] else row["resize"]
        print(
            f"{row['name']:<30}{row['classes']:>8}{row['resize']:>12}{sees:>12}{row['parameters']:>12,}{size:>10}  "
            f"{place}"
        )
    if plugins:
        print("\ninstalled plug-ins, whose code runs when they are named:")
        for row in plugins:
            print(f"  {escape_for_terminal(row['name']):<28}{escape_for_terminal(row['weights'])}")
    print(
        f"\nto train with python -m seglib train, also: {', '.join(name for name in TRAINABLE if name not in MODELS)}"
    )
    return 0
