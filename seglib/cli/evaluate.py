"""`seglib evaluate`: how right are runs, against masks that people drew?"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglib.arguments import json_option, natural, new_command, positive, store_option
from seglib.cli.output import (
    ProgressBar,
    interval,
    lines,
    matrix,
    percent,
    plain,
    print_figures,
    print_json,
    records,
    tell,
)
from seglib.errors import UsageError

if TYPE_CHECKING:
    from seglib.evaluate import Difference, Evaluation, Report
    from seglib.store.store import Store

_SHOWN = ("pixel_accuracy", "miou", "miou_truth", "mdice", "boundary_f", "ece", "image_ece")


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "evaluate",
        "compare runs with masks that people drew",
        "python -m seglib evaluate --truth VOC2012/SegmentationClass --samples 4 --grid evaluated.png",
        _evaluate,
    )
    command.add_argument(
        "--truth", type=Path, required=True, metavar="DIR", help="folder of PNG masks, called as their photos"
    )
    command.add_argument(
        "--run", action="append", metavar="RUN", help="may be given several times; default all runs with such photos"
    )
    store_option(command)
    command.add_argument("--dataset", metavar="NAME", help="only photos of this data set of the store")
    command.add_argument(
        "--list", type=Path, metavar="FILE", help="only the photos that FILE names, one relative path or stem a line"
    )
    command.add_argument(
        "--format",
        choices=["voc", "trimap"],
        help="voc: class indices, 255 is void; trimap: 1 pet, 2 background, 3 ignored (default: what the masks hold)",
    )
    command.add_argument(
        "--classes", type=Path, metavar="FILE", help="with voc: names of the indices, one a line (default VOC's 21)"
    )
    command.add_argument(
        "--calibration", action="store_true", help="run the networks again for the confidence of each pixel (ece)"
    )
    command.add_argument("--samples", type=positive, default=8, metavar="K", help="photos on the grid (default 8)")
    command.add_argument("--seed", type=natural, default=0, metavar="N", help="of the grid and intervals (default 0)")
    command.add_argument("--grid", type=Path, metavar="PNG", help="draw photo, truth and each run's mask with outlines")
    command.add_argument(
        "--out", type=Path, metavar="FILE", help="per run and label; this and the next as CSV, or Parquet by the suffix"
    )
    command.add_argument("--images", type=Path, metavar="FILE", help="every photo and run, worst first")
    command.add_argument("--confusion", type=Path, metavar="FILE", help="every run's matrix: run, truth, prediction")
    json_option(command)


def _evaluate(arguments: argparse.Namespace) -> int:
    from seglib import evaluate
    from seglib.masks.annotations import class_names
    from seglib.store.store import Store

    if arguments.format == "trimap" and arguments.classes:
        raise UsageError("A trimap knows the pet and its background only: leave out --classes.")
    if not arguments.truth.is_dir():
        raise UsageError(f"{str(arguments.truth)!r} is not a folder: name the folder that holds the masks.")
    store = Store(arguments.store)
    runs = arguments.run or evaluate.runs_with(store, arguments.truth, arguments.dataset)
    if not runs:
        raise UsageError("No run of this store has a photo with such a mask: run a network over the photos first.")
    with ProgressBar("masks") as bar:
        report = evaluate.update(
            store,
            arguments.truth,
            runs,
            kind=arguments.format,
            classes=class_names(arguments.classes) if arguments.classes else None,
            names=lines(arguments.list),
            dataset=arguments.dataset,
            calibration=arguments.calibration,
            on_progress=bar.show,
        )
    if report.failed:
        tell(f"{len(report.failed)} photos cannot be evaluated: a mask is missing or damaged; run again with --verify.")
    found = [evaluate.evaluation(store, report.truth, run, files=report.files) for run in report.runs]
    _write(arguments, store, found)
    gains = evaluate.differences(found, seed=arguments.seed)
    notes = list(dict.fromkeys((*report.notes, *(note for one in found for note in one.notes))))
    if arguments.json:
        print_json(_whole(found, report, gains, notes, arguments.seed))
    else:
        name = f"{plain(report.truth.name)} ({report.truth.format})"
        print(f"{len(report.files)} photos against {name}; {report.seconds:.1f} s")
        _print(found, gains, notes, arguments.seed)
    return 0


def _write(arguments: argparse.Namespace, store: "Store", found: "list[Evaluation]") -> None:
    from seglib import evaluate, samples
    from seglib.masks import png
    from seglib.query import export

    if arguments.out is not None:
        export.write_frame(arguments.out, evaluate.table(found, arguments.seed))
    if arguments.images is not None:
        export.write_frame(arguments.images, evaluate.all_images(found))
    if arguments.confusion is not None:
        export.write_frame(arguments.confusion, evaluate.all_confusions(found))
    if arguments.grid is not None:
        sheet = samples.sheet(store, found, count=arguments.samples, seed=arguments.seed)
        export.write_file(arguments.grid, png.png(sheet))


def _whole(
    found: "list[Evaluation]", report: "Report", gains: "list[Difference]", notes: list[str], seed: int
) -> dict[str, Any]:
    from seglib.metrics.bootstrap import flat

    return {
        "runs": list(report.runs),
        "images": len(report.files),
        "truth": report.truth.name,
        "format": report.truth.format,
        "pairs": [
            {
                "a": "truth",
                "b": one.run.run,
                **flat(one.figures(seed)),
                "confusion": matrix(one.counts),
                "reliability": {unit: records(one.reliability(unit)) for unit in ("pixels", "images")},
                "labels": {
                    label: {"images": len(part.files), **flat(part.figures(seed))} for label, part in one.by_label()
                },
            }
            for one in found
        ],
        "consensus": None,
        "differences": [vars(gain) for gain in gains],
        "computed": report.computed,
        "failed": len(report.failed),
        "seconds": report.seconds,
        "notes": notes,
    }


def _print(found: "list[Evaluation]", gains: "list[Difference]", notes: list[str], seed: int) -> None:
    for one in found:
        figures = one.figures(seed)
        print(f"\n{one.run.run}")
        print_figures({name: figures[name] for name in (*_SHOWN, *(n for n in figures if n.startswith("iou:")))})
        worst = one.images().dropna(subset="miou").head(3)[["path", "miou"]].itertuples(index=False, name=None)
        print("  worst: " + ", ".join(f"{plain(path)} ({percent(miou)})" for path, miou in worst))
    for gain in gains:
        print(f"\n{gain.b} minus {gain.a}: {gain.measure} {percent(gain.value)} {interval(gain.interval)}")
    for note in notes:
        print(f"\n{plain(note)}")
