"""The command line: `python -m seglib COMMAND ...`, a thin shell over the library.

In: arguments. Out: text for people on standard output, or with --json one object per line and nothing else; progress
and messages on standard error; an exit code (0 ok, 1 failed, 2 usage, 130 Ctrl-C, 143 SIGTERM). An error is one
sentence. Knows nothing that the library does not say.
"""

import argparse
import dataclasses
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from seglib import __version__
from seglib.arguments import (
    json_option,
    model_options,
    natural,
    new_command,
    palette_option,
    positive,
    share,
    store_option,
)
from seglib.classes import palette
from seglib.engine import Settings, known_precision
from seglib.errors import SegError, Terminated, TooManyFailures, UsageError
from seglib.models import DEFAULT_MODEL, MODELS, find
from seglib.overlay import ALPHA


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    # Read when torch is loaded: its threads soon sleep while they wait, instead of taking the cores from decoding and
    # from whatever else runs. A run alone is as fast by it as before, two at once a sixth faster.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    _stop_on_sigterm()
    try:
        arguments = parser().parse_args(argv)
        command: Callable[[argparse.Namespace], int] = arguments.command
        return command(arguments)
    except SegError as error:
        print(f"seglib: {error}", file=sys.stderr)
        return error.exit_code
    except Terminated:
        return _stopped("Terminated", 143)
    except KeyboardInterrupt:
        return _stopped("Stopped", 130)
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        name = Path(error.filename).name if isinstance(error.filename, str) else "The operating system"
        print(f"seglib: {name}: {error.strerror or error}; what was committed before is kept.", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m seglib",
        description="What did a segmentation network see in a folder of photos?",
        epilog="example: python -m seglib run dataset/sample && python -m seglib export stats --out stats.csv",
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(required=True, metavar="COMMAND", title="commands")
    _add_models(commands)
    _add_run(commands)
    _add_status(commands)
    _add_prune(commands)
    _add_export(commands)
    _add_predict(commands)
    return top


# --- models ------------------------------------------------------------------------------------------------------


def _add_models(commands: Any) -> None:
    command = new_command(
        commands, "models", "list the models: are their weights here?", "python -m seglib models", _models
    )
    json_option(command)


def _models(arguments: argparse.Namespace) -> int:
    rows: list[dict[str, Any]] = [
        {
            "name": spec.name,
            "classes": len(spec.classes),
            "resize": spec.resize.text,
            "parameters": spec.parameters,
            "bytes": spec.path.stat().st_size if spec.path.exists() else None,
            "here": spec.path.exists(),
            "weights": spec.weights,
        }
        for spec in MODELS.values()
    ]
    if arguments.json:
        _print_json(*rows)
        return 0
    print(f"{'name':<30}{'classes':>8}{'resize':>12}{'parameters':>12}{'size':>10}  weights")
    for row in rows:
        size = f"{row['bytes'] / 1e6:.1f} MB" if row["bytes"] else "-"
        place = (
            "embedded"
            if MODELS[str(row["name"])].source == "embedded"
            else "here"
            if row["here"]
            else "downloaded at first use"
        )
        print(f"{row['name']:<30}{row['classes']:>8}{row['resize']:>12}{row['parameters']:>12,}{size:>10}  {place}")
    return 0


# --- run ---------------------------------------------------------------------------------------------------------


def _add_run(commands: Any) -> None:
    command = new_command(
        commands,
        "run",
        "run a model over a folder of photos and keep what it saw",
        "python -m seglib run dataset/sample --model fcn_mobilenet_v2 --resize 224",
        _run,
    )
    command.add_argument("dataset", type=Path, metavar="DATASET", help="folder with photos, flat or nested")
    command.add_argument(
        "--model", action="append", metavar="NAME", help=f"may be given several times; default {DEFAULT_MODEL}"
    )
    store_option(command)
    model_options(command)
    command.add_argument(
        "--batch-size", type=positive, metavar="N", help="photos per forward pass (default 8, on a GPU 32)"
    )
    command.add_argument(
        "--workers",
        type=natural,
        metavar="N",
        help="decoding processes; 0 decodes in this one (default: a core each, at most 8)",
    )
    command.add_argument("--limit", type=positive, metavar="N", help="only the first N photos by path")
    command.add_argument(
        "--list", type=Path, metavar="FILE", help="only the photos that FILE names, one relative path or stem a line"
    )
    command.add_argument("--name", metavar="TITLE", help="what to call the data set (default: the folder's name)")
    command.add_argument("--follow-links", action="store_true", help="follow symbolic links that leave the folder")
    command.add_argument(
        "--max-failure-rate",
        type=share,
        default=1.0,
        metavar="SHARE",
        help="exit with 1 if a larger share of the photos cannot be read, 0..1 (default 1)",
    )
    command.add_argument(
        "--verify", action="store_true", help="read every file again and check every mask, whatever size and time say"
    )
    json_option(command)


def _run(arguments: argparse.Namespace) -> int:
    from seglib import pipeline
    from seglib.store import Store

    models = arguments.model or ([None] if arguments.weights else [DEFAULT_MODEL])
    if arguments.weights and len(models) > 1:
        raise UsageError("One --weights file fits one model: name a single --model with it.")
    specs = [find(name, arguments.weights, source=arguments.source) for name in dict.fromkeys(models)]
    options = pipeline.Options(
        device=arguments.device,
        batch_size=arguments.batch_size,
        workers=arguments.workers,
        limit=arguments.limit,
        names=_lines(arguments.list),
        title=arguments.name,
        follow_links=arguments.follow_links,
        verify=arguments.verify,
    )
    if not arguments.dataset.is_dir():
        raise UsageError(f"{str(arguments.dataset)!r} is not a folder: name the folder that holds the photos.")
    store = Store.create(arguments.store)
    for spec in specs:
        with _ProgressBar() as bar:
            report = pipeline.run(
                arguments.dataset,
                store,
                spec,
                resize=arguments.resize,
                precision=arguments.precision,
                options=options,
                on_progress=bar.show,
                on_note=_tell,
            )
        if arguments.json:
            fields = (
                "run",
                "model",
                "images",
                "computed",
                "reused",
                "failed",
                "seconds",
                "images_per_second",
                "device",
                "precision",
                "vanished",
            )
            _print_json({name: getattr(report, name) for name in fields})
        else:
            _print_report(report, arguments.store)
        if report.failed > report.images * arguments.max_failure_rate or report.failed == report.images:
            raise TooManyFailures(
                f"{report.failed} of {report.images} photos cannot be read, more than --max-failure-rate "
                f"{arguments.max_failure_rate:g} allows: python -m seglib status lists them."
            )
    return 0


def _tell(sentence: str) -> None:
    """On standard error, so that standard output stays what was asked for."""
    print(f"seglib: {sentence}", file=sys.stderr, flush=True)


def _print_report(report: Any, store: Path) -> None:
    print(f"{report.run}")
    print(f"  {report.images} photos: {report.computed} computed, {report.reused} reused, {report.failed} failed")
    if report.vanished:
        print(f"  {report.vanished} files of the last scan are gone")
    if report.computed:
        where = f"on {report.device}, {report.precision}"
        print(f"  {report.seconds:.1f} s, {report.images_per_second:.1f} photos/s {where}")
    if report.failed:
        print(f"  why they failed: python -m seglib status --store {store}")
    print(f"  table: python -m seglib export stats --store {store} --out stats.csv")


# --- status and prune --------------------------------------------------------------------------------------------


def _add_status(commands: Any) -> None:
    command = new_command(
        commands, "status", "what is in the store, what failed, what is stale", "python -m seglib status", _status
    )
    store_option(command)
    json_option(command)


def _status(arguments: argparse.Namespace) -> int:
    from seglib import upkeep
    from seglib.store import Store

    store = Store(arguments.store)
    found, failures = upkeep.status(store), store.failures()
    if arguments.json:
        rows = failures.astype("object").where(failures.notna(), None).to_dict("records")
        _print_json(dataclasses.asdict(found) | {"stale": found.stale, "failures": rows})
        return 0
    for dataset in found.datasets:
        print(
            f"data set {dataset.dataset}: {dataset.files} files, {dataset.failed} failed, {dataset.vanished} vanished"
        )
    for run in found.runs:
        print(
            f"run {run.run}: {run.rows} photos, {run.pending} not computed, "
            f"{run.stale_rows} stale rows, {run.seconds:.1f} s spent"
        )
    for name, photos in found.tags.photos.items():
        print(f"tag {name}: {photos} photos")
    for row in failures.head(20).itertuples():
        print(f"  failed: {row.path} ({row.reason}): {row.detail}")
    if len(failures) > 20:
        print(f"  ... and {len(failures) - 20} more: --json lists all")
    if found.stale:
        print(f"{found.stale} stale rows and pictures: python -m seglib prune --store {arguments.store} removes them")
    return 0


def _add_prune(commands: Any) -> None:
    command = new_command(
        commands, "prune", "remove what belongs to no file any more", "python -m seglib prune --store output", _prune
    )
    store_option(command)
    command.add_argument(
        "--run", action="append", default=[], metavar="RUN", help="first remove this run; may be given several times"
    )
    json_option(command)


def _prune(arguments: argparse.Namespace) -> int:
    from seglib import upkeep
    from seglib.store import Store

    store = Store(arguments.store)
    for name in arguments.run:
        upkeep.remove_run(store, name)
    before = upkeep.prune(store)
    if arguments.json:
        _print_json({"removed": before.stale} | ({"runs": arguments.run} if arguments.run else {}))
    else:
        for name in arguments.run:
            print(f"{name} removed")
        print(f"{before.stale} stale rows and pictures removed")
    return 0


# --- export ------------------------------------------------------------------------------------------------------

_FORMATS = {"stats": ("csv", "parquet"), "masks": ("png", "zip"), "overlays": ("png", "zip")}


def _add_export(commands: Any) -> None:
    command = new_command(
        commands,
        "export",
        "write statistics, masks or overlays",
        "python -m seglib export stats --where 'label=cats&share.cat=0.1..1' --out cats.csv",
        _export,
    )
    command.add_argument("what", choices=list(_FORMATS))
    store_option(command)
    command.add_argument("--run", action="append", metavar="RUN", help="may be given several times; default all runs")
    command.add_argument(
        "--format",
        metavar="F",
        help="; ".join(f"{w}: {' or '.join(f)}" for w, f in _FORMATS.items()) + " (default: the first)",
    )
    command.add_argument(
        "--where",
        default="",
        metavar="EXPR",
        help="the filter part of the dashboard's URL, e.g. 'label=cats&confidence=0.9..'",
    )
    command.add_argument(
        "--dictionary", action="store_true", help="with stats: also write what each column means, to OUT.dictionary.csv"
    )
    command.add_argument(
        "--alpha", type=share, default=ALPHA, metavar="A", help=f"with overlays: opacity 0..1 (default {ALPHA})"
    )
    palette_option(command)
    command.add_argument("--out", type=Path, required=True, metavar="PATH", help="file, or for png a folder")
    json_option(command)


def _export(arguments: argparse.Namespace) -> int:
    from seglib import export
    from seglib.query import Filters
    from seglib.store import Store

    kind = arguments.format or _FORMATS[arguments.what][0]
    if kind not in _FORMATS[arguments.what]:
        raise UsageError(f"{arguments.what} leave as {' or '.join(_FORMATS[arguments.what])}, not as {kind!r}.")
    if arguments.dictionary and arguments.what != "stats":
        raise UsageError("--dictionary explains the columns of stats: leave it out here.")
    store, filters = Store(arguments.store), Filters.decode(arguments.where)
    if arguments.what == "stats":
        frame = export.stats_frame(store, arguments.run, filters)
        export.write_file(arguments.out, export.csv_bytes(frame) if kind == "csv" else export.parquet_bytes(frame))
        if arguments.dictionary:
            beside = arguments.out.with_name(arguments.out.stem + ".dictionary.csv")
            export.write_file(beside, export.csv_bytes(export.dictionary_frame(frame)))
        count = len(frame)
    else:
        files = (
            export.mask_files(store, arguments.run, filters)
            if arguments.what == "masks"
            else export.overlay_files(store, arguments.run, filters, alpha=arguments.alpha, colours=arguments.palette)
        )
        count = (export.write_zip if kind == "zip" else export.write_folder)(arguments.out, files)
    if arguments.json:
        _print_json({"what": arguments.what, "format": kind, "count": count, "out": str(arguments.out)})
    else:
        print(f"{count} {'rows' if arguments.what == 'stats' else 'pictures'} written to {arguments.out}")
    return 0


# --- predict -----------------------------------------------------------------------------------------------------


def _add_predict(commands: Any) -> None:
    command = new_command(
        commands,
        "predict",
        "draw what a model sees in a few photos: grids, overlays, masks",
        "python -m seglib predict dataset/sample --samples 4 --seed 7 --out pictures",
        _predict,
    )
    command.add_argument("inputs", type=Path, nargs="+", metavar="IMAGE|FOLDER")
    command.add_argument(
        "--samples", type=natural, default=4, metavar="K", help="photos drawn from each folder, 0 for all (default 4)"
    )
    command.add_argument("--seed", type=natural, default=0, metavar="N", help="of the draw (default 0)")
    command.add_argument("--model", metavar="NAME", help=f"default {DEFAULT_MODEL}")
    model_options(command)
    command.add_argument(
        "--alpha", type=share, default=ALPHA, metavar="A", help=f"opacity of the mask, 0..1 (default {ALPHA})"
    )
    palette_option(command)
    command.add_argument("--out", type=Path, required=True, metavar="DIR")
    json_option(command)


def _predict(arguments: argparse.Namespace) -> int:
    from seglib import predict

    spec = find(arguments.model, arguments.weights, source=arguments.source)
    palette(arguments.palette, spec.classes)  # complain before the work, not after it
    settings = Settings(
        resize=arguments.resize or spec.resize,
        precision=known_precision(arguments.precision, (), arguments.device),
        device=arguments.device,
    )
    photos = predict.chosen_photos(arguments.inputs, samples=arguments.samples, seed=arguments.seed)
    found = []
    for one in predict.predictions(photos, spec, settings):
        if isinstance(one, predict.Failure):
            print(f"seglib: {one.name} cannot be read ({one.error.reason}): {one.error.detail}", file=sys.stderr)
            continue
        found.append(one)
        if arguments.json:
            _print_json(
                {"name": one.name, "width": one.photo.width, "height": one.photo.height}
                | dataclasses.asdict(one.measures)
            )
        else:
            print(f"{one.name}: {predict.caption(one, spec)} (confidence {one.measures.confidence:.2f})")
    if not found:
        raise TooManyFailures("None of the photos can be read.")
    names = predict.write_pictures(found, spec, arguments.out, alpha=arguments.alpha, colours=arguments.palette)
    if not arguments.json:
        print(f"{len(names)} pictures written to {arguments.out}; start with {predict.GRID_OF_OVERLAYS}")
    return 0


# --- shared ------------------------------------------------------------------------------------------------------


class _ProgressBar:
    """Run, precision, photos/s and the time left on standard error; a bar on a terminal, silent elsewhere."""

    def __init__(self) -> None:
        self._bar: Any = None

    def show(self, progress: Any) -> None:
        if self._bar is None:  # what is reused counts as done, but not for the speed
            from tqdm import tqdm

            self._bar = tqdm(
                desc=f"{progress.run} {progress.precision}",
                total=progress.total,
                initial=progress.done,
                unit=" photos",
                disable=None,
                dynamic_ncols=True,
            )
        self._bar.update(progress.done - self._bar.n)
        if progress.failed:
            self._bar.set_postfix(failed=progress.failed, refresh=False)

    def __enter__(self) -> "_ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def _lines(file: Path | None) -> tuple[str, ...] | None:
    if file is None:
        return None
    try:
        return tuple(file.read_text("utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        raise UsageError(
            f"The list {str(file)!r} cannot be read: expected a text file with one relative path a line."
        ) from None


def _print_json(*objects: object) -> None:
    for one in objects:
        print(json.dumps(one, ensure_ascii=False), flush=True)


def _stop_on_sigterm() -> None:
    def stop(*_: object) -> NoReturn:
        raise Terminated

    try:
        signal.signal(signal.SIGTERM, stop)
    except ValueError:
        return  # not the main thread, as in tests: whoever owns the signals keeps them


def _stopped(word: str, code: int) -> int:
    print(f"seglib: {word}. What was computed is kept; the same command continues.", file=sys.stderr)
    return code
