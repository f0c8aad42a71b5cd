"""Match the classes of a ground truth with those of a run by name, and those of several runs."""

from collections.abc import Sequence

from seglib.annotations.class_names import canonical_name
from seglib.annotations.trimap import PET
from seglib.classes import Mask, class_lookup
from seglib.store.ground_truth import GroundTruth
from seglib.store.records import Run


def align_class_names(truth_record: GroundTruth, run: Run) -> tuple[str, ...]:
    """The ground truth's class names as the run writes them (`Dining table` becomes `diningtable`).

    cat and dog become pet if the run only has pet. Names that the run does not have stay as they are.
    """
    by_meaning = {canonical_name(name): name for name in run.classes}
    if PET in run.classes and not {"cat", "dog"} & set(by_meaning):
        by_meaning |= {"cat": PET, "dog": PET}
    return tuple(by_meaning.get(canonical_name(name), name) for name in truth_record.classes)


def build_class_lookup(truth_record: GroundTruth, run: Run) -> Mask:
    """Lookup table, uint8 (256,): ground truth value -> the run's index of that class, or void if it has none."""
    return class_lookup(align_class_names(truth_record, run), run.classes)


def note_class_mismatch(runs: Sequence[Run]) -> list[str]:
    """Return a note on the classes that not every run has, which therefore cannot be compared."""
    common = [name for name in runs[0].classes if all(name in run.classes for run in runs)]
    every = dict.fromkeys(name for run in runs for name in run.classes)
    alone = [name for name in every if name not in common]
    if not alone:
        return []
    return [
        f"Classes are matched by name. All runs know {', '.join(common) or 'none'}; pixels that a run gives to a class "
        f"that the other does not know ({', '.join(alone)}) are not compared."
    ]
