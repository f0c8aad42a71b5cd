"""`seglib evaluate` and `seglib compare`: compare runs with ground truth, and with each other."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglib.cli.common import (
    add_failure_rate_option,
    add_json_option,
    add_mask_options,
    add_store_option,
    check_failure_rate,
    describe_run,
    escape_for_terminal,
    format_interval,
    format_percent,
    frame_to_records,
    matrix_to_json,
    new_command,
    parse_mask_options,
    parse_natural,
    parse_positive,
    print_failures,
    print_figures,
    print_json,
    print_message,
    read_lines,
)
from seglib.cli.models import print_costs
from seglib.cli.selection.where import add_where_options, read_selection
from seglib.errors import TooManyFailures, UsageError
from seglib.progress import ProgressBar

if TYPE_CHECKING:
    from seglib.evaluation.comparison import Comparison
    from seglib.evaluation.counting import ComparisonReport
    from seglib.evaluation.evaluation import Evaluation, PairedDifference
    from seglib.evaluation.slices.figures import SliceTable
    from seglib.evaluation.truth_counting import EvaluationReport
    from seglib.store.store import Store


_SHOWN = ("pixel_accuracy", "miou", "miou_truth", "mdice", "boundary_f", "ece", "image_ece")


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "evaluate",
        "compare runs with ground-truth masks",
        "python -m seglib evaluate --truth VOC2012/SegmentationClass --samples 4 --grid evaluated.png",
        _evaluate,
    )
    command.add_argument(
        "--truth",
        type=Path,
        required=True,
        metavar="DIR|FILE",
        help="folder of masks named like their photos (PNG, TIFF, GIF, BMP; YOLO's .txt), or a COCO .json",
    )
    command.add_argument("--run", action="append", metavar="RUN", help="repeatable; default: all runs with such photos")
    add_store_option(command)
    command.add_argument("--dataset", metavar="NAME", help="only photos of this dataset in the store")
    command.add_argument(
        "--list", type=Path, metavar="FILE", help="only the photos that FILE names, one relative path or stem per line"
    )
    add_mask_options(command)
    add_failure_rate_option(command, "masks")
    _add_slice_options(command)
    command.add_argument(
        "--calibration", action="store_true", help="run the models again to get each pixel's confidence (for ece)"
    )
    command.add_argument(
        "--samples", type=parse_positive, default=8, metavar="K", help="photos on the grid (default 8)"
    )
    command.add_argument(
        "--seed",
        type=parse_natural,
        default=0,
        metavar="N",
        help="random seed of the grid and the intervals (default 0)",
    )
    command.add_argument(
        "--grid",
        type=Path,
        metavar="PNG",
        help="draw each photo with the outlines of its ground truth and of every run's mask",
    )
    command.add_argument(
        "--out", type=Path, metavar="FILE", help="table per run and label; .csv or .parquet, as for the next two"
    )
    command.add_argument("--images", type=Path, metavar="FILE", help="table of every photo and run, worst first")
    command.add_argument(
        "--confusion", type=Path, metavar="FILE", help="every run's confusion matrix: run, truth, prediction"
    )
    add_json_option(command)


def _evaluate(arguments: argparse.Namespace) -> int:
    from seglib.annotations.reader import open_masks
    from seglib.evaluation import evaluation, truth_counting
    from seglib.store.store import Store

    store = Store(arguments.store)
    masks = open_masks(arguments.truth, parse_mask_options(arguments))
    runs = arguments.run or truth_counting.find_runs(store, masks, arguments.dataset)
    _check_slice_options(arguments, store, runs)
    with ProgressBar("masks") as bar:
        report = truth_counting.update_counts(
            store,
            masks,
            runs,
            names=read_lines(arguments.list),
            dataset=arguments.dataset,
            calibration=arguments.calibration,
            on_progress=bar,
        )
    print_failures(report.left_out.values())
    if report.failed:
        print_message(
            f"{len(report.failed)} photos cannot be evaluated: a mask is missing or damaged; run again with --verify."
        )
    evaluations = evaluation.load_evaluations(store, report, arguments.by)
    if not any(one.counts.matrix().any() for one in evaluations):
        raise TooManyFailures(
            "No pixel of the ground truth can be compared: all are void, or of classes that no run has."
        )
    _write(arguments, store, evaluations)
    gains = evaluation.differences(evaluations, seed=arguments.seed)
    notes = list(dict.fromkeys((*report.notes, *(note for one in evaluations for note in one.notes))))
    slices = {one.run.run: one.slices(seed=arguments.seed) for one in evaluations} if arguments.by else {}
    if arguments.json:
        found = _evaluation_json(evaluations, report, gains, notes, arguments.seed)
        print_json(found | _slices_json([{"run": run} for run in slices], list(slices.values())))
    else:
        name = f"{escape_for_terminal(report.truth.name)} ({report.truth.format})"
        print(f"{len(report.files)} photos against {name}; {report.seconds:.1f} s")
        _print_evaluations(evaluations, gains, notes, arguments.seed)
        for run, table in slices.items():
            _print_slices(run, table)
    check_failure_rate(len(report.left_out), len(report.left_out) + len(report.files), arguments.max_failure_rate)
    return 0


def _write(arguments: argparse.Namespace, store: "Store", evaluations: "list[Evaluation]") -> None:
    from seglib.evaluation import evaluation_tables, sample_sheet
    from seglib.masks import png
    from seglib.query import export

    if arguments.out is not None:
        export.write_frame(arguments.out, evaluation_tables.summarize(evaluations, arguments.seed))
    if arguments.images is not None:
        export.write_frame(arguments.images, evaluation_tables.all_images(evaluations))
    if arguments.confusion is not None:
        export.write_frame(arguments.confusion, evaluation_tables.all_confusions(evaluations))
    if arguments.slices is not None:
        export.write_frame(arguments.slices, evaluation_tables.all_slices(evaluations, arguments.seed))
    if arguments.grid is not None:
        sheet = sample_sheet.draw_sheet(store, evaluations, count=arguments.samples, seed=arguments.seed)
        export.write_file(arguments.grid, png.encode_png(sheet))


def _evaluation_json(
    evaluations: "list[Evaluation]",
    report: "EvaluationReport",
    gains: "list[PairedDifference]",
    notes: list[str],
    seed: int,
) -> dict[str, Any]:
    from seglib.metrics.bootstrap import flatten_estimates

    return {
        "runs": list(report.runs),
        "images": len(report.files),
        "truth": report.truth.name,
        "format": report.truth.format,
        "pairs": [
            {
                "a": "truth",
                "b": result.run.run,
                **flatten_estimates(result.figures(seed)),
                "confusion": matrix_to_json(result.counts),
                "reliability": {unit: frame_to_records(result.reliability(unit)) for unit in ("pixels", "images")},
                "labels": {
                    label: {"images": len(part.files), **flatten_estimates(part.figures(seed))}
                    for label, part in result.by_label()
                },
            }
            for result in evaluations
        ],
        "consensus": None,
        "differences": [
            {name: getattr(gain, name) for name in ("a", "b", "measure", "value", "interval")} for gain in gains
        ],
        "computed": report.computed,
        "failed": len(report.failed),
        "failures": report.left_out,
        "seconds": report.seconds,
        "notes": notes,
    }


def _print_evaluations(
    evaluations: "list[Evaluation]", gains: "list[PairedDifference]", notes: list[str], seed: int
) -> None:
    for result in evaluations:
        figures = result.figures(seed)
        print(f"\n{describe_run(result.run)}")
        print_figures({name: figures[name] for name in (*_SHOWN, *(n for n in figures if n.startswith("iou:")))})
        worst = result.images().dropna(subset="miou").head(3)[["path", "miou"]].itertuples(index=False, name=None)
        print("  worst: " + ", ".join(f"{escape_for_terminal(path)} ({format_percent(miou)})" for path, miou in worst))
    for gain in gains:
        print(
            f"\n{gain.b} minus {gain.a}: {gain.measure} {format_percent(gain.value)} {format_interval(gain.interval)}"
        )
    for note in notes:
        print(f"\n{escape_for_terminal(note)}")


def add_compare(commands: Any) -> None:
    command = new_command(
        commands,
        "compare",
        "compare what two or more runs saw, without a ground truth",
        "python -m seglib compare --runs fcn_resnet50-short520-1a2b3c4d fcn_resnet101-short520-5e6f7a8b",
        _compare,
    )
    command.add_argument(
        "--runs", nargs="+", required=True, metavar="RUN", help="two or more runs; the first is a, the second b"
    )
    add_store_option(command)
    add_where_options(command, "only photos for which it holds in the first run")
    _add_slice_options(command)
    command.add_argument(
        "--seed", type=parse_natural, default=0, metavar="N", help="random seed of the intervals (default 0)"
    )
    command.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="table of all pairs; .csv or .parquet, as for the next two",
    )
    command.add_argument(
        "--images", type=Path, metavar="FILE", help="table of every photo and pair, most disagreeing first"
    )
    command.add_argument("--flips", type=Path, metavar="FILE", help="pixels that one run calls A and the other B")
    add_json_option(command)


def _compare(arguments: argparse.Namespace) -> int:
    from seglib.evaluation import comparison, cost
    from seglib.query import export
    from seglib.store.store import Store

    store = Store(arguments.store)
    filters, _ = read_selection(arguments, store)
    _check_slice_options(arguments, store, arguments.runs[:1])
    with ProgressBar() as bar:
        report = comparison.update_counts(store, arguments.runs, on_progress=bar)
    if report.failed:
        print_message(
            f"{len(report.failed)} photos cannot be compared: a mask is missing or damaged; run again with --verify."
        )
    result = comparison.load_comparison(store, arguments.runs, filters, by=arguments.by)
    if arguments.out is not None:
        export.write_frame(arguments.out, result.pairs(arguments.seed))
    if arguments.images is not None:
        export.write_frame(arguments.images, result.all_images())
    if arguments.flips is not None:
        export.write_frame(arguments.flips, result.all_flips())
    if arguments.slices is not None:
        export.write_frame(arguments.slices, result.all_slices(arguments.seed))
    slices = result.slices(arguments.seed) if arguments.by else {}
    costs = frame_to_records(cost.costs(store, [run.run for run in result.runs]))
    if arguments.json:
        found = _comparison_json(result, report, costs, arguments.seed)
        print_json(found | _slices_json([{"a": a, "b": b} for a, b in slices], list(slices.values())))
    else:
        counted = f"{report.computed} counted now in {report.seconds:.1f} s, {report.reused} before"
        print(f"{len(result.files)} photos; {counted}")
        _print_comparison(result, costs, arguments.seed)
        for (a, b), table in slices.items():
            _print_slices(f"{a} and {b}", table)
    return 0


def _comparison_json(
    result: "Comparison", report: "ComparisonReport", costs: list[dict[str, Any]], seed: int
) -> dict[str, Any]:
    from seglib.metrics.bootstrap import flatten_estimates

    figures = result.figures(seed)
    return {
        "runs": [run.run for run in result.runs],
        "images": len(result.files),
        "pairs": [
            {"a": a, "b": b, **flatten_estimates(figures[a, b]), "flips": matrix_to_json(c)}
            for (a, b), c in result.counts.items()
        ],
        **flatten_estimates({"consensus": result.consensus_figure(seed)}),
        "costs": costs,
        "computed": report.computed,
        "reused": report.reused,
        "failed": len(report.failed),
        "seconds": report.seconds,
        "notes": list(result.notes),
    }


def _print_comparison(result: "Comparison", costs: list[dict[str, Any]], seed: int) -> None:
    names = {run.run: describe_run(run) for run in result.runs}
    for (a, b), figures in result.figures(seed).items():
        print(f"\na {names[a]}\nb {names[b]}")
        print_figures({name: one for name, one in figures.items() if not name.startswith("area_difference:")})
    agreed = result.consensus_figure(seed)
    print(f"\nall runs agree on {format_percent(agreed.value)} of the pixels {format_interval(agreed.interval)}")
    print()
    print_costs(costs)
    for note in result.notes:
        print(f"\n{escape_for_terminal(note)}")


# --- slices ------------------------------------------------------------------------------------------------------


def _add_slice_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--by",
        metavar="FIELD",
        help="also measure slices of the photos: label, split, tag, dominant, confidence, share.cat, column.camera",
    )
    command.add_argument(
        "--slices", type=Path, metavar="FILE", help="table of every slice, worst first, with --by; .csv or .parquet"
    )


def _check_slice_options(arguments: argparse.Namespace, store: "Store", runs: Sequence[str]) -> None:
    """Raise `UsageError` before anything is counted, if the options do not go together or name no field."""
    from seglib.evaluation.slices.figures import check_field

    if arguments.slices is not None and arguments.by is None:
        raise UsageError("--slices writes a table of slices: name the field that makes them with --by, such as label.")
    check_field(store, runs, arguments.by)


def _slices_json(keys: Sequence[Mapping[str, str]], tables: "Sequence[SliceTable]") -> dict[str, Any]:
    """The JSON field `slices`, one object per slice; nothing without tables."""
    if not tables:
        return {}
    pairs = zip(keys, tables, strict=True)
    return {"slices": [dict(key) | record for key, table in pairs for record in table.records()]}


def _print_slices(runs: str, table: "SliceTable") -> None:
    """Print one line per slice, the worst first."""
    measure = table.measures[0]
    print(f"\n{runs} by {escape_for_terminal(table.field.name)}, the lowest {measure} first")
    print(
        f"  {'':<24}{'photos':>7}{measure + ', all pixels':>28}  {'95 %':<17}{'mean of images':>15}  {'95 %':<17}"
        "as many photos at random"
    )
    for row in table.rows:
        one = row.estimates[measure]
        chance = "too few photos" if row.is_small else format_interval(one.random_range)
        beyond = "  below" if one.is_below else "  above" if one.is_above else ""
        print(
            f"  {escape_for_terminal(row.slice.name):<24}{row.images:>7}"
            f"{format_percent(one.figure.value):>28}  {format_interval(one.figure.interval):<17}"
            f"{format_percent(one.figure.mean):>15}  {format_interval(one.figure.mean_interval):<17}{chance}{beyond}"
        )
    if len(table.rows) > 1:
        print("  at random: 95 % ranges, wide enough for all slices together; below, above: beyond chance")
    if table.overlaps:
        print("  A photo with several tags is in several slices.")
    if table.left_out:
        print(f"  {table.left_out:,} rarer tags are left out.")
