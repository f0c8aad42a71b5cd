"""Class names from `id2label` of a config, or from the person who brings the model."""

import re
from typing import Any

from seglib.annotations.class_names import canonical_name
from seglib.classes import BACKGROUND, VOID, are_valid_class_names
from seglib.errors import UsageError, WeightsError


def read_class_names(name: str, config: dict[str, Any], given: tuple[str, ...] | None) -> tuple[str, ...]:
    """Names in index order: `given`, or those of `id2label`. Raises `UsageError` or `WeightsError`.

    If a name occurs twice, as in some lists of ADE20K, its index is appended: `door (14)`. For a model with one output
    channel, `given` may name two classes; the channel is the score of the second.
    """
    count, labels = _read_labels(name, config)
    if given is None:
        if count == 1:
            raise UsageError(f"{name} has one class, {labels[0]!r}: name two with `classes`, such as background,cat.")
        return labels
    if len(given) != count and (len(given), count) != (2, 1):
        raise UsageError(f"{name} has {count} classes, and `classes` names {len(given)}: expected {count} names.")
    return given


def placeholder_note(name: str, classes: tuple[str, ...]) -> str | None:
    """A sentence for the user if a config names its classes by number only."""
    if not all(re.fullmatch(r"LABEL_\d+", one) for one in classes):
        return None
    return f"{name} calls its classes {', '.join(classes[:2])}, ...: name them in index order with `classes`."


def _read_labels(name: str, config: dict[str, Any]) -> tuple[int, tuple[str, ...]]:
    labels, declared = config.get("id2label"), config.get("num_labels")
    if labels is None:
        labels = {str(index): f"LABEL_{index}" for index in range(declared if isinstance(declared, int) else 2)}
    try:
        by_index = {int(index): label for index, label in labels.items()}
    except (AttributeError, TypeError, ValueError):
        raise _unreadable(name, "an index is no whole number") from None
    count = len(by_index)
    if sorted(by_index) != list(range(count)):
        raise _unreadable(name, f"its {count} indices are not 0 to {count - 1}")
    if declared is not None and declared != count:
        raise _unreadable(name, f"it names {count} classes, and num_labels is {declared}")
    if count > VOID:
        raise _unreadable(name, f"it names {count} classes, and a mask holds at most {VOID}")
    names = _number_repeated([by_index[index] for index in range(count)])
    if not are_valid_class_names(names):
        raise _unreadable(name, "a name is empty, too long or not printable")
    return count, names


def _number_repeated(labels: list[Any]) -> tuple[str, ...]:
    names: list[str] = []
    meanings: set[str] = set()
    for index, label in enumerate(labels):
        plain = label.strip() if isinstance(label, str) else ""
        own = BACKGROUND if canonical_name(plain) == BACKGROUND else plain
        if canonical_name(own) in meanings:
            own = f"{own} ({index})"
        meanings.add(canonical_name(own))
        names.append(own)
    return tuple(names)


def _unreadable(name: str, reason: str) -> WeightsError:
    return WeightsError(f"The class names of {name} (id2label in config.json) cannot be read: {reason}.")
