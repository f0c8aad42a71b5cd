"""What a scan leaves out is counted by kind and said with its remedy."""

from dataclasses import asdict

import pytest

from seglib.data import left_out
from seglib.data.left_out import LeftOut, LeftOutCounter


def count(*names: str) -> LeftOut:
    counter = LeftOutCounter()
    for name in names:
        counter.count_file(name)
    return counter.counts()


def test_files_are_counted_by_kind_the_most_frequent_first():
    assert list(count("a.mp4", "b.MP4", "c.txt", "README", "d.cr2", "e.txt", "f.mp4").kinds.items()) == [
        (".mp4", 3),
        (".txt", 2),
        ("", 1),
        (".cr2", 1),
    ]


def test_odd_suffixes_and_too_many_kinds_are_counted_together():
    assert count("a.\x1b[31m", "b.<script>", "c.averylongsuffixindeed", "d.", ".e").kinds == {"": 5}
    kinds = count(*(f"a.{number}" for number in range(1000))).kinds
    assert len(kinds) == 101
    assert kinds[""] == 900
    assert sum(kinds.values()) == 1000


@pytest.mark.parametrize(
    ("counts", "sentences"),
    [
        (LeftOut(), []),
        (LeftOut(kinds={".mov": 10, ".mp4": 2}), ["12 files of other kinds were left out: 10 .mov, 2 .mp4."]),
        (LeftOut(kinds={".txt": 1}), ["1 file of other kinds was left out: 1 .txt."]),
        (LeftOut(kinds={"": 1200}), ["1,200 files of other kinds were left out: 1,200 without a suffix."]),
        (
            LeftOut(kinds=dict.fromkeys((".a", ".b", ".c", ".d", ".e", ".f", ".g", ""), 2)),
            ["16 files of other kinds were left out: 2 .a, 2 .b, 2 .c, 2 .d, 2 .e, 2 .f, 4 of more kinds."],
        ),
        (
            LeftOut(links_outside=2318, links_broken=1, links_circular=3),
            [
                "2,318 links out of the folder were left out: follow with `follow_links`, or name the folder that "
                "holds the photos.",
                "1 link to nothing was left out.",
                "3 links back to a folder above were left out.",
            ],
        ),
    ],
)
def test_what_was_left_out_in_sentences(counts, sentences):
    assert counts.describe() == sentences


@pytest.mark.parametrize("installed", [False, True])
def test_heic_names_the_extra_that_reads_it(installed, monkeypatch):
    monkeypatch.setattr(left_out, "has_heif", lambda: installed)
    (sentence,) = LeftOut(kinds={".heic": 10, ".mp4": 2}).describe()
    assert ("pip install '.[heic]'" in sentence) is not installed


def test_counts_come_back_from_their_record():
    counts = LeftOut(kinds={".mp4": 2, "": 1}, links_outside=1, links_circular=5)
    assert LeftOut.from_record(asdict(counts)) == counts


@pytest.mark.parametrize(
    "change",
    [{"kinds": [1]}, {"kinds": {".a": -1}}, {"kinds": {".a": True}}, {"links_broken": "1"}, {"more": 1}],
    ids=str,
)
def test_a_record_of_another_form_is_refused(change):
    with pytest.raises(ValueError, match="count"):
        LeftOut.from_record(asdict(LeftOut()) | change)
