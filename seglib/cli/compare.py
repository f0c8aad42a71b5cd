"""`seglib compare`: do runs see the same, and what do they cost?"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglib.arguments import json_option, natural, new_command, store_option
from seglib.cli.output import ProgressBar, interval, matrix, percent, plain, print_figures, print_json, records, tell

if TYPE_CHECKING:
    from seglib.compare import Comparison, Report


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "compare",
        "compare what two or more runs saw, without a ground truth",
        "python -m seglib compare --runs fcn_resnet50-short520-1a2b3c4d fcn_resnet101-short520-5e6f7a8b",
        _compare,
    )
    command.add_argument("--runs", nargs="+", required=True, metavar="RUN", help="two or more; the first is a, then b")
    store_option(command)
    command.add_argument(
        "--where", default="", metavar="EXPR", help="only photos that pass this filter in the first run (as in export)"
    )
    command.add_argument("--seed", type=natural, default=0, metavar="N", help="of the intervals (default 0)")
    command.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the table of pairs; this and the next as CSV, or Parquet by the suffix",
    )
    command.add_argument("--images", type=Path, metavar="FILE", help="every photo and pair, most disagreeing first")
    command.add_argument("--flips", type=Path, metavar="FILE", help="what the one calls A and the other B, in pixels")
    json_option(command)


def _compare(arguments: argparse.Namespace) -> int:
    from seglib import compare, cost
    from seglib.query import export
    from seglib.query.filters import Filters
    from seglib.store.store import Store

    store, filters = Store(arguments.store), Filters.decode(arguments.where)
    with ProgressBar() as bar:
        report = compare.update(store, arguments.runs, on_progress=bar.show)
    if report.failed:
        tell(f"{len(report.failed)} photos cannot be compared: a mask is missing or damaged; run again with --verify.")
    found = compare.comparison(store, arguments.runs, filters)
    if arguments.out is not None:
        export.write_frame(arguments.out, found.pairs(arguments.seed))
    if arguments.images is not None:
        export.write_frame(arguments.images, found.all_images())
    if arguments.flips is not None:
        export.write_frame(arguments.flips, found.all_flips())
    costs = records(cost.costs(store, [run.run for run in found.runs]))
    if arguments.json:
        print_json(_whole(found, report, costs, arguments.seed))
    else:
        counted = f"{report.computed} counted now in {report.seconds:.1f} s, {report.reused} before"
        print(f"{len(found.files)} photos; {counted}")
        _print(found, costs, arguments.seed)
    return 0


def _whole(found: "Comparison", report: "Report", costs: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    from seglib.metrics.bootstrap import flat

    figures = found.figures(seed)
    return {
        "runs": [run.run for run in found.runs],
        "images": len(found.files),
        "pairs": [{"a": a, "b": b, **flat(figures[a, b]), "flips": matrix(c)} for (a, b), c in found.counts.items()],
        **flat({"consensus": found.consensus_figure(seed)}),
        "costs": costs,
        "computed": report.computed,
        "reused": report.reused,
        "failed": len(report.failed),
        "seconds": report.seconds,
        "notes": list(found.notes),
    }


def _print(found: "Comparison", costs: list[dict[str, Any]], seed: int) -> None:
    for (a, b), figures in found.figures(seed).items():
        print(f"\na {a}\nb {b}")
        print_figures({name: one for name, one in figures.items() if not name.startswith("area_difference:")})
    agreed = found.consensus_figure(seed)
    print(f"\nall runs agree on {percent(agreed.value)} of the pixels {interval(agreed.interval)}")
    print(f"\n{'run':<44}{'ms/photo':>10}{'parameters':>13}{'GFLOPs':>9}{'checkpoint':>12}")
    for row in costs:
        size = f"{row['checkpoint_bytes'] / 1e6:.1f} MB" if row["checkpoint_bytes"] else "-"
        time, parameters, gflops = (
            "-" if row[name] is None else f"{row[name]:,}" for name in ("ms_per_image", "parameters", "gflops")
        )
        print(f"{row['run']:<44}{time:>10}{parameters:>13}{gflops:>9}{size:>12}")
    for note in found.notes:
        print(f"\n{plain(note)}")
