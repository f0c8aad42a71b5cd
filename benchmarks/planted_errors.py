"""Measures how many planted errors in masks come first in each ranking of `seglib mistakes`, and in cleanlab's.

    python benchmarks/planted_errors.py VOC [--photos 400] [--damaged 40] [--seeds 0] [--model fcn_mobilenet_v2]

VOC is a folder with JPEGImages and SegmentationClass. A quarter of the damaged masks each: class swapped for another
animal, part cut off (two fifths of the object), shifted by 10 px, replaced by the mask of another photo. The photos are
those that the bundled models' card lists as held out, filled up with others, on which the bundled models were trained.
cleanlab gets the probabilities and labels of the same pixels, photo by photo. Prints hits among the first and the first
two times as many as are damaged, per kind; and seconds and peak memory of the command. Needs cleanlab.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

import seglib
from seglib.classes import VOC_CLASSES, VOID, Mask
from seglib.data.image import decode, read_bytes
from seglib.evaluation import evaluation
from seglib.evaluation.mistakes import ranking
from seglib.evaluation.mistakes.agreement import rank_by_agreement
from seglib.inference import predictor
from seglib.masks import png
from seglib.models import registry
from seglib.pipeline import reproduce
from seglib.store import ground_truth
from seglib.store.records import Run
from seglib.store.store import Store

ANIMALS = [VOC_CLASSES.index(name) for name in ("bird", "cat", "cow", "dog", "horse", "sheep")]
CARD = "fcn_mobilenet_v2"  # lists the photos on which neither of the bundled models was trained
SMALLEST = 0.02  # share of the photo that an object must have to be damaged
SHIFT = 10


def swap_class(mask: Mask, rng: np.random.Generator, _: Mask) -> Mask:
    others = [value for value in ANIMALS if not (mask == value).any()]
    return np.where(mask == largest(mask)[0], np.uint8(rng.choice(others)), mask)


def cut_part(mask: Mask, rng: np.random.Generator, _: Mask) -> Mask:
    rows, columns = np.nonzero(mask == largest(mask)[0])
    along, far = (rows, columns)[rng.integers(2)], bool(rng.integers(2))
    gone = along > np.quantile(along, 0.6) if far else along < np.quantile(along, 0.4)
    cut = mask.copy()
    cut[rows[gone], columns[gone]] = 0
    return cut


def shift(mask: Mask, rng: np.random.Generator, _: Mask) -> Mask:
    down, right = [(SHIFT, 0), (-SHIFT, 0), (0, SHIFT), (0, -SHIFT)][rng.integers(4)]
    (height, width), moved = mask.shape, np.zeros_like(mask)
    moved[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)] = mask[
        max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)
    ]
    return moved


def take_other(mask: Mask, _: np.random.Generator, other: Mask) -> Mask:
    return png.resize_mask(other, mask.shape[::-1])


DAMAGES: dict[str, Callable[[Mask, np.random.Generator, Mask], Mask]] = {
    "class swapped": swap_class,
    "part cut off": cut_part,
    f"shifted {SHIFT} px": shift,
    "other photo's": take_other,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("voc", type=Path)
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--damaged", type=int, default=40)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--model", default="fcn_mobilenet_v2")
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as folder:
            measure(arguments, seed, Path(folder))


def measure(arguments: argparse.Namespace, seed: int, place: Path) -> None:
    kinds, held_out = plant(arguments, seed, place)
    seglib.run(place / "photos", place / "store", arguments.model)
    command = [sys.executable, "-m", "seglib", "mistakes", "--truth", str(place / "truth"), "--format", "voc"]
    started_at, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, "--store", str(place / "store")], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started_at
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    memory = after.ru_maxrss / 1024
    store = Store(place / "store")
    (run,), (truth,) = store.runs(), ground_truth.list_truths(store)
    quality = ranking.load_label_quality(store, truth, run.run)
    rankings = {f"seglib, {order}": quality.photos(order)["path"] for order in ranking.ORDERS}
    found = evaluation.load_evaluation(store, truth, run.run)
    rankings["seglib, agreement (no probabilities)"] = rank_by_agreement(found)["path"]
    rankings["seglib, lowest mIoU"] = found.images()["path"]
    scores = cleanlab_scores(place, run, store)
    rankings["cleanlab, softmin"] = scores["softmin"].sort_values(kind="stable").index
    rankings["cleanlab, num_pixel_issues"] = scores["issues"].sort_values(kind="stable").index
    ours = quality.photos("quality").set_index("path")["score"]
    difference = (ours - scores["softmin"]).abs().max()
    print(
        f"\n{arguments.model}, seed {seed}: {len(quality.files)} photos, {held_out} of them held out, "
        f"{len(kinds)} damaged; command: {seconds:.1f} s, CPU {cpu_seconds:.1f} s, peak {memory:,.0f} MB; "
        f"largest difference of the soft minimum from cleanlab's: {difference:.1e}\n"
    )
    report(rankings, kinds)


def plant(arguments: argparse.Namespace, seed: int, place: Path) -> tuple[dict[str, str], int]:
    """Write photos and masks, and return (path of the photo -> kind of damage, number of photos held out)."""
    rng = np.random.default_rng(seed)
    card = Path(registry.MODELS[CARD].path).with_suffix(".md").read_text(encoding="utf-8")
    names = sorted(path.stem for path in (arguments.voc / "SegmentationClass").glob("*.png"))
    held_out = [name for name in names if name in card][: arguments.photos]
    rest = rng.permutation([name for name in names if name not in card])[: arguments.photos - len(held_out)]
    chosen = sorted([*held_out, *rest.tolist()])
    masks = {name: np.array(Image.open(arguments.voc / "SegmentationClass" / f"{name}.png")) for name in chosen}
    able = [name for name in chosen if largest(masks[name])[1] >= SMALLEST * masks[name].size]
    damaged = rng.choice(able, arguments.damaged, replace=False).tolist()
    kinds = {name: list(DAMAGES)[number * len(DAMAGES) // len(damaged)] for number, name in enumerate(damaged)}
    for folder in ("photos", "truth"):
        (place / folder).mkdir()
    for name, mask in masks.items():
        other = masks[rng.choice([one for one in chosen if one != name])]
        drawn = DAMAGES[kinds[name]](mask, rng, other) if name in kinds else mask
        (place / "truth" / f"{name}.png").write_bytes(png.encode_index_png(drawn))
        shutil.copyfile(arguments.voc / "JPEGImages" / f"{name}.jpg", place / "photos" / f"{name}.jpg")
    return {f"{name}.jpg": kind for name, kind in kinds.items()}, len(held_out)


def largest(mask: Mask) -> tuple[int, int]:
    """(class other than background with the most pixels, its pixels)."""
    pixels = np.bincount(mask.ravel(), minlength=256)
    pixels[[0, VOID]] = 0
    return int(pixels.argmax()), int(pixels.max())


def cleanlab_scores(place: Path, run: Run, store: Store) -> pd.DataFrame:
    """Path -> `softmin` of each photo, and `issues`, by `num_pixel_issues` over all photos on every fourth pixel."""
    from cleanlab.segmentation import rank

    spec, settings = reproduce.resolve_run_model(store, run)
    scores, labels, tables = {}, [], []
    for photo in sorted((place / "photos").iterdir()):
        image, grid_wh = predictor.prepare_image(decode(read_bytes(photo)), spec, settings)
        probabilities = predictor.probability_map(image, spec, settings, grid_wh)
        mask = np.array(Image.open(place / "truth" / f"{photo.stem}.png"))
        size_wh = mask.shape[::-1]
        planes = [Image.fromarray(plane).resize(size_wh, Image.Resampling.NEAREST) for plane in probabilities]
        table, known = np.array([np.asarray(plane) for plane in planes]), mask != VOID
        part = mask[known].astype(int)[None, None], table[:, known][None, :, None]
        scores[photo.name] = float(rank.get_label_quality_scores(*part, method="softmin", verbose=False)[0][0])
        small = png.resize_mask(mask, grid_wh)[::4, ::4]
        labels.append(
            np.where(small == VOID, probabilities[:, ::4, ::4].argmax(0), small).astype(int)
        )  # void: no issue
        tables.append(probabilities[:, ::4, ::4])
    issues, _ = rank.get_label_quality_scores(
        np.array(labels), np.array(tables), method="num_pixel_issues", verbose=False, n_jobs=1, batch_size=1_000_000
    )
    return pd.DataFrame({"softmin": scores, "issues": dict(zip(scores, issues.tolist(), strict=True))})


def report(rankings: dict[str, pd.Index], kinds: dict[str, str]) -> None:
    first = len(kinds)
    of_kind = pd.Series(kinds).value_counts()
    names = [f"{kind} ({of_kind[kind]})" for kind in DAMAGES]
    print(f"| ranking | first {first} | first {2 * first} | " + " | ".join(names) + " |")
    print("|---|---|---|" + "---|" * len(names))
    for name, paths in rankings.items():
        hits = [pd.Series([kinds.get(path, "") for path in list(paths)[:n]]) for n in (first, 2 * first)]
        totals = [f"{(hit != '').sum()} ({100 * (hit != '').sum() / first:.0f} %)" for hit in hits]
        each = [" / ".join(str((hit == kind).sum()) for hit in hits) for kind in DAMAGES]
        print(f"| {name} | " + " | ".join((*totals, *each)) + " |")


if __name__ == "__main__":
    main()
