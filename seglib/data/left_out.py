"""Count what a scan leaves out of a dataset: files of other kinds than images, and symbolic links."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self

from seglib.data.formats import HEIF_REMEDY, HEIF_SUFFIXES, has_heif

_SUFFIX = re.compile(r"\.[a-z0-9_~-]{1,12}")
_MAX_KINDS = 100
_NAMED_KINDS = 6
_OUTSIDE_REMEDY = "follow with `follow_links`, or name the folder that holds the photos"


@dataclass(frozen=True)
class LeftOut:
    """Numbers of files and links that a scan left out; hidden ones are not counted."""

    kinds: dict[str, int] = field(default_factory=dict)
    """Suffix in lower case -> files of this kind, the most frequent first; "" counts all others."""
    links_outside: int = 0
    """Links that leave the folder; they are followed on request."""
    links_broken: int = 0
    """Links to nothing or to themselves."""
    links_circular: int = 0
    """Links to a folder above."""

    @property
    def files(self) -> int:
        return sum(self.kinds.values())

    def describe(self) -> list[str]:
        """Return one sentence for each kind of what was left out, with what to do about it."""
        counts = (
            (self.files, "file", "of other kinds", self._list_kinds()),
            (self.links_outside, "link", "out of the folder", _OUTSIDE_REMEDY),
            (self.links_broken, "link", "to nothing", ""),
            (self.links_circular, "link", "back to a folder above", ""),
        )
        return [
            f"{number:,} {thing}{'' if number == 1 else 's'} {which} {'was' if number == 1 else 'were'} left out"
            f"{more and f': {more}'}."
            for number, thing, which, more in counts
            if number
        ]

    def _list_kinds(self) -> str:
        named = [kind for kind in self.kinds if kind][:_NAMED_KINDS]
        texts = [
            f"{self.kinds[kind]:,} {kind}{f' (to read them: {HEIF_REMEDY})' if _needs_extra(kind) else ''}"
            for kind in named
        ]
        if rest := self.files - sum(self.kinds[kind] for kind in named):
            texts.append(f"{rest:,} {'of more kinds' if named else 'without a suffix'}")
        return ", ".join(texts)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read the form of `dataclasses.asdict`. Raises `ValueError` for any other."""
        kinds = record.get("kinds")
        names = [each.name for each in fields(cls)]
        if not isinstance(kinds, dict) or set(record) != set(names):
            raise ValueError("not the counts of a scan")
        counts = [*kinds.values(), *(record[name] for name in names[1:])]
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError("counts must be whole numbers")
        return cls(**record)


class LeftOutCounter:
    """Counts one by one; `counts` returns the sum."""

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._links: Counter[str] = Counter()

    def count_file(self, name: str) -> None:
        suffix = Path(name).suffix.lower()
        known = _SUFFIX.fullmatch(suffix) and (suffix in self._kinds or len(self._kinds) < _MAX_KINDS)
        self._kinds[suffix if known else ""] += 1

    def count_link(self, kind: Literal["outside", "broken", "circular"]) -> None:
        self._links[kind] += 1

    def counts(self) -> LeftOut:
        return LeftOut(
            kinds=dict(sorted(self._kinds.items(), key=lambda item: (-item[1], item[0]))),
            links_outside=self._links["outside"],
            links_broken=self._links["broken"],
            links_circular=self._links["circular"],
        )


def _needs_extra(kind: str) -> bool:
    return kind in HEIF_SUFFIXES and not has_heif()
