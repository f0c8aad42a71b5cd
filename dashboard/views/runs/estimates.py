"""Say how long the chosen models take for a folder, as far as earlier runs tell, and what is downloaded first.

The run that these settings would continue is looked up in the store, so that photos it has computed are not counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import byte_size, count, duration, photo_count, pluralize
from dashboard.offers.photo_folders import Folder
from dashboard.queries.runs import pending
from dashboard.queries.runs.pending import FolderCounts
from dashboard.queries.source import ModelChoice
from dashboard.settings import ServerSettings
from seglib.data.image import DECODER
from seglib.data.scan import STORE_MARKER
from seglib.inference.config import CODE_SCHEMA
from seglib.models.registry import MODELS, ModelSpec
from seglib.store.records import Run
from seglib.store.store import Store

_POLL_SECONDS = 1.0
_MIN_PHOTOS = 8
"""Minimum number of photos for a speed measurement to be meaningful."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one model has to do."""

    pending: int
    """Photos to compute."""
    exact: bool
    """False if some of them may turn out to be computed already."""
    photos_per_second: float | None

    @property
    def seconds(self) -> float | None:
        if not self.pending:
            return 0.0
        return self.pending / self.photos_per_second if self.photos_per_second else None


@dataclass(frozen=True, kw_only=True)
class ChosenModels:
    """What is chosen in the form."""

    folder: Folder
    place: str = ""
    """Where the folder lies, for this machine only; empty to say nothing of it."""
    models: Sequence[ModelChoice]
    resize: str
    """Empty for each model's own."""
    precision: str
    limit: int | None


def render(settings: ServerSettings, chosen: ChosenModels, runs: Sequence[Run]) -> None:
    """Draw the number of photos, the expected time and the downloads; while photos are being counted, only that."""
    counts = _counts(settings, chosen, runs)
    if counts is None:
        st.fragment(lambda: _wait(settings, chosen, runs), run_every=_POLL_SECONDS)()
        return
    rows = {}
    for model in chosen.models:
        run = continued_run(runs, model, chosen.resize, chosen.precision)
        same = [other for other in runs if model.offer.made(other)]
        speed = last_speed(same, model.name, chosen.resize or model.resize, chosen.precision)
        rows[model.title] = model, estimate(model, run, counts, speed)
    where = f" ({chosen.place})" if chosen.place else ""
    layout.remarks(describe_all(f"{chosen.folder.title}{where}", counts, rows))


def _counts(settings: ServerSettings, chosen: ChosenModels, runs: Sequence[Run]) -> FolderCounts | None:
    has_store = (settings.store / STORE_MARKER).is_file()
    version = Store(settings.store).version(with_tags=False) if has_store else ""
    continued = [continued_run(runs, model, chosen.resize, chosen.precision) for model in chosen.models]
    names = [run.run for run in continued if run is not None]
    return pending.count_folder(pending.StoreKey(settings.store, version), chosen.folder.path, names, chosen.limit)


def _wait(settings: ServerSettings, chosen: ChosenModels, runs: Sequence[Run]) -> None:
    if _counts(settings, chosen, runs) is not None:
        st.rerun()
    layout.remark(f"Counting the photos in {chosen.folder.title} …")


def continued_run(runs: Sequence[Run], model: ModelChoice, resize: str, precision: str) -> Run | None:
    """Return the run that this model would add to, as far as the records tell; None if it would be a new one.

    `runs` are sorted as `Store.runs` returns them; `resize` is empty for the model's own. An `auto` precision is that
    of the last run of this model and size.
    """
    size = resize or model.resize
    fitting = [run for run in runs if (run.model, run.resize) == (model.name, size) and _same_model(model, run)]
    if precision == "auto":
        return fitting[-1] if fitting else None
    return next((run for run in reversed(fitting) if run.precision == precision), None)


def _same_model(model: ModelChoice, run: Run) -> bool:
    """Return whether the run was made by this model as this version of the program runs it."""
    if not (model.offer.made(run) and run.precision and run.repeatable):
        return False
    if (run.recipe.get("decoder"), run.recipe.get("code_schema")) != (DECODER, CODE_SCHEMA):
        return False
    return not model.offer.built_in or (run.weights_sha256 or "").startswith(MODELS[model.id].sha256)


def last_speed(runs: Sequence[Run], model: str, resize: str, precision: str) -> float | None:
    """Return the photos per second of this model's last run here at this resize; None if unknown."""
    for run in reversed(runs):
        if (run.model, run.resize) == (model, resize) and precision in ("auto", run.precision):
            for invocation in reversed(run.invocations):
                if invocation["computed"] >= _MIN_PHOTOS and invocation["seconds"] > 0:
                    return float(invocation["computed"] / invocation["seconds"])
    return None


def download_bytes(spec: ModelSpec) -> int:
    """Return the approximate download size, four bytes per parameter; 0 if the weights are already here."""
    return 0 if spec.path.exists() else 4 * spec.parameters


def estimate(model: ModelChoice, run: Run | None, counts: FolderCounts, speed: float | None) -> Estimate:
    """Return what the model has to do for a folder; `run`: the run that it continues."""
    pending = counts.chosen if run is None else counts.pending.get(run.run, counts.chosen)
    known_elsewhere = run is not None and pending == counts.chosen
    exact = model.offer.built_in and not known_elsewhere
    return Estimate(pending=pending, exact=exact, photos_per_second=speed)


def describe(title: str, model: ModelChoice, counts: FolderCounts, one: Estimate) -> list[str]:
    """Return sentences about one model: what there is to do, the time it takes, and downloads."""
    lines = []
    if not model.offer.built_in:
        lines.append(f"{model.title}: {count(len(model.classes))} classes, masks of {model.resize}")
    if not one.pending and counts.chosen:
        known = "the photo is known" if counts.chosen == 1 else f"all {count(counts.chosen)} are known"
        return [*lines, f"{title}: nothing to do, {known}"]
    new = (
        "" if one.pending == counts.chosen else f" for the {count(one.pending)} new one{'s' if one.pending > 1 else ''}"
    )
    if one.seconds is not None:
        most = "" if one.exact else "at most "
        pace = f"at {one.photos_per_second:.1f} photos/s as last time"
        lines.append(f"{title}: {most}about {duration(one.seconds)}{new}, {pace}")
    elif new:
        lines.append(f"{title}: {count(one.pending)} of {photo_count(counts.chosen)} are new")
    if model.offer.built_in and (fetched := download_bytes(MODELS[model.id])):
        lines.append(f"{title}: its weights are not here; about {byte_size(fetched)} are downloaded first")
    return lines


def describe_all(folder: str, counts: FolderCounts, estimates: Mapping[str, tuple[ModelChoice, Estimate]]) -> list[str]:
    """Return what is said below the form; `estimates`: title of each chosen model -> what it has to do."""
    of_them = f", the first {count(counts.chosen)} of them" if counts.chosen < counts.total else ""
    lines = [f"{photo_count(counts.total)} in {folder}{of_them}"]
    if counts.links_outside:
        lines.append(f"{pluralize(counts.links_outside, 'link')} out of the folder left out")
    for title, (model, one) in estimates.items():
        lines += describe(title, model, counts, one)
    busy = [one for _, one in estimates.values() if one.pending]
    seconds = [one.seconds for one in busy if one.seconds is not None]
    if len(busy) > 1 and seconds:
        bound = "" if all(one.exact for one in busy) else "at most "
        rest = len(busy) - len(seconds)
        unknown = f", and {rest} model{'s' if rest > 1 else ''} of unknown speed" if rest else ""
        lines.append(f"Together, one after the other: {bound}about {duration(sum(seconds))}{unknown}")
    return lines
