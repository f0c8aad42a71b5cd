"""`seglib mistakes`: with `--truth`, likely mistakes in the ground truth; without, suspects among a run's masks."""

import argparse
from dataclasses import dataclass
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
    frame_to_records,
    new_command,
    parse_mask_options,
    parse_positive,
    print_failures,
    print_json,
    print_message,
    read_lines,
)
from seglib.cli.selection.where import add_where_options, explain_nothing_found, read_selection
from seglib.errors import UsageError
from seglib.progress import ProgressBar

if TYPE_CHECKING:
    import pandas as pd

    from seglib.evaluation.truth_counting import EvaluationReport
    from seglib.store.records import Run
    from seglib.store.store import Store

_NO_EMBEDDINGS = "There are no embeddings, so near-duplicates with other masks were not looked for."

_ORDERS = ("both", "quality", "place")


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "mistakes",
        "list the photos whose masks are most likely wrong, with a reason for each",
        "python -m seglib mistakes --truth VOC2012/SegmentationClass --out mistakes.csv",
        _find_mistakes,
    )
    command.add_argument(
        "--truth",
        type=Path,
        metavar="DIR|FILE",
        help="find mistakes in this ground truth by a run's probabilities, for which its model runs again; "
        "without it, find suspects among the run's own masks",
    )
    command.add_argument(
        "--run",
        action="append",
        metavar="RUN",
        help="with --truth: the run whose model judges; else: the run that is judged, then others to compare it with "
        "(default: the run used last)",
    )
    add_store_option(command)
    command.add_argument("--dataset", metavar="NAME", help="only photos of this dataset in the store")
    command.add_argument(
        "--list", type=Path, metavar="FILE", help="only the photos that FILE names, one relative path or stem per line"
    )
    add_where_options(command, "only photos for which it holds in the run")
    command.add_argument("--class", dest="class_name", metavar="C", help="with --truth: rank by this class alone")
    command.add_argument(
        "--order",
        choices=_ORDERS,
        help="with --truth: by label quality, by place (masks that would fit better elsewhere), or by whichever of the "
        "two is more suspicious (default both)",
    )
    command.add_argument(
        "--agreement",
        action="store_true",
        help="with --truth: rank by the IoU of the two masks instead, for imported masks, which have no probabilities",
    )
    command.add_argument("--top", type=parse_positive, default=20, metavar="N", help="photos to print (default 20)")
    command.add_argument("--out", type=Path, metavar="FILE", help="work list of all of them; .csv or .parquet")
    add_mask_options(command)
    add_failure_rate_option(command, "masks")
    add_json_option(command)


def _find_mistakes(arguments: argparse.Namespace) -> int:
    from seglib.store.store import Store

    store = Store(arguments.store)
    if not store.runs():
        raise UsageError("This store holds no run: run a model on the photos first.")
    arguments.filters, arguments.run = read_selection(arguments, store)
    if arguments.truth is None:
        for option in ("list", "dataset", "class_name", "order", "agreement"):
            if getattr(arguments, option):
                name = option.removesuffix("_name")
                raise UsageError(
                    f"--{name} goes with --truth, which is missing: name the ground truth, or use --where."
                )
        return _list_suspects(arguments, store)
    return _list_wrong_truths(arguments, store)


# --- with ground truth -------------------------------------------------------------------------------------------


def _list_wrong_truths(arguments: argparse.Namespace, store: "Store") -> int:
    from seglib.annotations.reader import open_masks
    from seglib.evaluation import truth_counting

    if len(arguments.run or ()) > 1:
        raise UsageError(f"One run judges a ground truth, and {len(arguments.run)} are named: name one.")
    if arguments.agreement and arguments.order:
        raise UsageError("--order goes with label quality, not with --agreement: leave one of them out.")
    masks = open_masks(arguments.truth, parse_mask_options(arguments))
    names = arguments.run or truth_counting.find_runs(store, masks, arguments.dataset)
    able = [name for name in names if arguments.agreement or store.run(name).weights_sha256 is not None]
    run = store.run((able or names)[-1])
    if run.weights_sha256 is None and not arguments.agreement:
        raise UsageError(
            f"The masks of {run.run} came without a model, so there are no probabilities to judge labels by: "
            "name another run, or rank by --agreement."
        )
    with ProgressBar("masks") as bar:
        report = truth_counting.update_counts(
            store,
            masks,
            [run.run],
            names=read_lines(arguments.list),
            dataset=arguments.dataset,
            label_quality=not arguments.agreement,
            on_progress=bar,
        )
    print_failures(report.left_out.values())
    if report.failed:
        print_message(
            f"{len(report.failed)} photos cannot be judged: the photo or a mask is missing, damaged or changed; "
            "run again with --verify."
        )
    frame, notes = _rank(arguments, store, run, report)
    score = "agreement" if arguments.agreement else "class_score" if arguments.class_name else "score"
    head = f"{len(frame)} photos of {escape_for_terminal(report.truth.name)}, judged by {describe_run(run)}"
    facts = {"run": run.run, "truth": report.truth.name, "computed": report.computed, "failed": len(report.failed)}
    facts["seconds"] = report.seconds
    _show(arguments, store, _Listing(head, frame, score, facts, [*report.notes, *notes]))
    check_failure_rate(len(report.left_out), len(report.left_out) + len(report.files), arguments.max_failure_rate)
    return 0


def _rank(
    arguments: argparse.Namespace, store: "Store", run: "Run", report: "EvaluationReport"
) -> tuple["pd.DataFrame", tuple[str, ...]]:
    from seglib.evaluation import evaluation
    from seglib.evaluation.mistakes.agreement import rank_by_agreement
    from seglib.evaluation.mistakes.ranking import load_label_quality
    from seglib.query.fields import read_table
    from seglib.query.filters import select

    files = report.files
    if arguments.filters:
        passing = select(read_table(store, [run.run], arguments.filters), arguments.filters)[["dataset", "path"]]
        files = files.merge(passing, on=["dataset", "path"])
        if files.empty:
            explain_nothing_found(arguments.filters, arguments.where, store, [run.run])
    if arguments.agreement:
        found = evaluation.load_evaluation(store, report.truth, run.run, files=files)
        return rank_by_agreement(found, arguments.class_name or ""), found.notes
    quality = load_label_quality(store, report.truth, run.run, files=files)
    return quality.photos(arguments.order or _ORDERS[0], arguments.class_name or ""), quality.notes


# --- without -----------------------------------------------------------------------------------------------------


def _list_suspects(arguments: argparse.Namespace, store: "Store") -> int:
    from seglib.evaluation import comparison
    from seglib.evaluation.mistakes import copies, suspects
    from seglib.query.fields import read_table
    from seglib.query.filters import select

    first, *others = [store.run(name) for name in dict.fromkeys(arguments.run or [store.runs()[-1].run])]
    with ProgressBar() as bar:
        failed = suspects.update_oddities(store, first, on_progress=bar)
    if others:
        with ProgressBar() as bar:
            comparison.update_counts(store, [first.run, *(run.run for run in others)], on_progress=bar)
    if failed:
        print_message(f"{len(failed)} masks cannot be read; run again with --verify.")
    table = select(read_table(store, [first.run], arguments.filters), arguments.filters)
    groups = copies.find_copies(store, table)
    found = suspects.find_suspects(store, first, [run.run for run in others], table=table, copies=groups)
    notes = [*found.notes, *([_NO_EMBEDDINGS] if groups is None else [])]
    if not found.images:
        explain_nothing_found(arguments.filters, arguments.where, store, [first.run])
    head = f"{len(found.photos)} suspects among {found.images} photos of {describe_run(first)}"
    facts = {"run": first.run, "others": [run.run for run in others], "images": found.images, "failed": len(failed)}
    _show(arguments, store, _Listing(head, found.photos, "score", facts, notes))
    return 0


# --- what is said ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Listing:
    head: str
    frame: "pd.DataFrame"
    score: str
    """The column to print."""
    facts: dict[str, Any]
    """For `--json`."""
    notes: list[str]


def _show(arguments: argparse.Namespace, store: "Store", listing: _Listing) -> None:
    from seglib.evaluation.mistakes.work_list import make_work_list
    from seglib.query import export

    listed = make_work_list(store, listing.frame)
    if arguments.out is not None:
        export.write_frame(arguments.out, listed)
    if arguments.json:
        photos = frame_to_records(listed.drop(columns="full path"))
        print_json(listing.facts | {"suspects": len(listed), "photos": photos[: arguments.top], "notes": listing.notes})
        return
    print(listing.head)
    shown = listed[["path", listing.score, "reason"]].head(arguments.top)
    for path, value, reason in shown.itertuples(index=False, name=None):
        print(f"  {value:.4f}  {escape_for_terminal(path)}  {escape_for_terminal(reason)}")
    for note in listing.notes:
        print(f"\n{escape_for_terminal(note)}")
