"""Match the classes of a ground truth with those of a run by name."""

from seglib.classes import Mask, class_lookup
from seglib.masks import annotations
from seglib.store.ground_truth import GroundTruth
from seglib.store.records import Run


def align_class_names(truth_record: GroundTruth, run: Run) -> tuple[str, ...]:
    """The ground truth's class names mapped to the run's: cat and dog become pet if the run only has pet."""
    if annotations.PET in run.classes and not {"cat", "dog"} & set(run.classes):
        return tuple(annotations.PET if name in ("cat", "dog") else name for name in truth_record.classes)
    return truth_record.classes


def build_class_lookup(truth_record: GroundTruth, run: Run) -> Mask:
    """Lookup table, uint8 (256,): ground truth value -> the run's index of that class, or void if it has none."""
    return class_lookup(align_class_names(truth_record, run), run.classes)
