"""`seglib models` and `seglib cost`: list the models, and measure what the runs of a store cost."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seglib.adapters import lookup
from seglib.cli.common import (
    add_json_option,
    add_store_option,
    escape_for_terminal,
    frame_to_records,
    new_command,
    parse_positive,
    print_json,
    print_message,
)
from seglib.inference.config import DEVICES
from seglib.models.registry import MODELS, TRAINABLE, find_model_spec


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "models",
        "list the models, and whether their weights are here; or say what model files hold",
        "python -m seglib models mine.safetensors",
        _models,
    )
    command.add_argument(
        "files", nargs="*", metavar="FILE", help="checkpoints of seglib train (default: the models known by name)"
    )
    add_json_option(command)


def _models(arguments: argparse.Namespace) -> int:
    if arguments.files:
        return _describe_files(arguments.files, as_json=arguments.json)
    rows: list[dict[str, Any]] = [
        {
            "name": spec.name,
            "classes": len(spec.classes),
            "untrained_classes": list(spec.untrained_classes),
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
        if row["untrained_classes"]:
            print(f"  never trained on {', '.join(row['untrained_classes'])}")
    if plugins:
        print("\ninstalled plug-ins, whose code runs when they are named:")
        for row in plugins:
            print(f"  {escape_for_terminal(row['name']):<28}{escape_for_terminal(row['weights'])}")
    print(
        f"\nto train with python -m seglib train, also: {', '.join(name for name in TRAINABLE if name not in MODELS)}"
    )
    return 0


def _describe_files(files: Sequence[str], *, as_json: bool) -> int:
    """Print which classes the models in files can find, as far as the files say."""
    specs = [find_model_spec(None, Path(file)) for file in files]
    if as_json:
        print_json(
            *(
                {
                    "file": str(spec.path),
                    "name": spec.name,
                    "classes": list(spec.classes),
                    "trained_classes": None if spec.trained_classes is None else list(spec.trained_classes),
                    "untrained_classes": list(spec.untrained_classes),
                    "resize": spec.resize.text,
                    "net_side": spec.net_side or None,
                    "parameters": spec.parameters,
                }
                for spec in specs
            )
        )
        return 0
    for file, spec in zip(files, specs, strict=True):
        sees = f"short:{spec.net_side}" if spec.net_side else spec.resize.text
        print(f"{escape_for_terminal(file)}: {spec.name}, {spec.parameters:,} parameters, sees {sees}")
        print(f"  {len(spec.classes)} classes: {escape_for_terminal(', '.join(spec.classes))}")
        if spec.untrained_classes:
            names = escape_for_terminal(", ".join(spec.untrained_classes))
            print(f"  never trained on {names}: it has names for them, but no mask will show them")
        elif spec.trained_classes is None:
            print("  the file does not say which of them it was trained on")
    return 0


def add_cost(commands: Any) -> None:
    command = new_command(
        commands,
        "cost",
        "measure how long a run's model takes for one photo, alone on this machine, and print what runs cost",
        "python -m seglib cost fcn_mobilenet_v2-224-a1b2c3d4",
        _cost,
    )
    command.add_argument("runs", nargs="*", metavar="RUN", help="runs to measure (default: print what is known of all)")
    command.add_argument(
        "--repeats", type=parse_positive, default=15, metavar="N", help="the median of N calls counts (default 15)"
    )
    command.add_argument("--device", choices=DEVICES, default="auto")
    add_store_option(command)
    add_json_option(command)


def _cost(arguments: argparse.Namespace) -> int:
    from seglib.evaluation import cost, latency
    from seglib.store.store import Store

    store = Store(arguments.store)
    runs = [store.run(name) for name in arguments.runs]
    for run in runs:
        latency.measure_cost(store, run, repeats=arguments.repeats, device=arguments.device, on_note=print_message)
    costs = frame_to_records(cost.costs(store, [run.run for run in runs or store.runs()]))
    if arguments.json:
        print_json(*costs)
    else:
        print_costs(costs)
    return 0


def print_costs(costs: Sequence[Mapping[str, Any]]) -> None:
    """Print the rows of `cost.costs`, with what each time is."""
    head = f"{'run':<44}{'ms in run':>10}{'ms alone':>10}{'parameters':>13}{'GFLOPs':>9}{'checkpoint':>12}"
    print(head)
    for row in costs:
        size = f"{row['checkpoint_bytes'] / 1e6:.1f} MB" if row["checkpoint_bytes"] else "-"
        names = ("ms_per_image", "latency_ms", "parameters", "gflops")
        time, alone, parameters, gflops = ("-" if row[name] is None else f"{row[name]:,}" for name in names)
        mark = {False: "*", None: "?"}.get(row["latency_alone"], "") if row["latency_ms"] is not None else ""
        print(f"{row['run']:<44}{time:>10}{mark + alone:>10}{parameters:>13}{gflops:>9}{size:>12}")
    print("ms in run: of the whole run per photo, with decoding, writing and what else the machine did.")
    if any(row["latency_ms"] is not None for row in costs):
        print("ms alone: one photo at a time, from the decoded photo to its mask; the median.")
    else:
        print("ms alone: not measured yet; python -m seglib cost RUN measures it.")
    if any(row["latency_alone"] is False for row in costs):
        print("*: not measured alone, other processes were at work; measure again when the machine is idle.")
    if any(row["latency_alone"] is None and row["latency_ms"] is not None for row in costs):
        print("?: whether other processes were at work cannot be told on this system.")
