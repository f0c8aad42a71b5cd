"""Tags are a log of actions: what it says is a replay, an undo gives back what was, and two writers both count."""

import multiprocessing
import time

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seglib.errors import StoreError, UsageError
from seglib.fileio import parquet_parts
from seglib.fileio.lock import lock
from seglib.maintenance import compact, prune
from seglib.maintenance import status as maintenance_status
from seglib.query.columns import count_tags, split_tags
from seglib.store import tags
from seglib.store.store import Store

IDS = [f"{n:032x}" for n in range(6)]
NAMES = ["blurry", "keep", "кот 🐈", "=1+1"]


def said(store: Store) -> dict[str, list[str]]:
    return {str(image_id): split_tags(joined) for image_id, joined in tags.tags_by_image(store).items()}


def test_nothing_is_tagged_at_first(store):
    assert said(store) == {}
    assert count_tags(tags.tags_by_image(store)) == {}
    assert tags.undo(store) is None


def test_tags_of_a_picture_are_in_order_and_told_apart(store):
    tags.tag(store, IDS[:2], "keep")
    tags.tag(store, IDS[1:3], "blurry")
    assert said(store) == {IDS[0]: ["keep"], IDS[1]: ["blurry", "keep"], IDS[2]: ["blurry"]}
    tags.untag(store, IDS[1:], "keep")
    assert said(store) == {IDS[0]: ["keep"], IDS[1]: ["blurry"], IDS[2]: ["blurry"]}


def test_an_action_says_what_it_changed_and_none_if_nothing(store):
    done = tags.tag(store, [*IDS[:2], IDS[0]], "keep")
    assert (done.tag, done.on, done.images) == ("keep", True, 2)
    assert tags.tag(store, IDS[:3], "keep").images == 1
    assert tags.tag(store, IDS[:3], "keep") is None
    assert tags.untag(store, IDS[3:], "keep") is None
    assert tags.tag(store, [], "keep") is None


ACTIONS = st.lists(
    st.tuples(st.booleans(), st.sets(st.sampled_from(IDS)), st.sampled_from(NAMES)), min_size=1, max_size=6
)


@pytest.mark.slow
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTIONS)
def test_each_undo_gives_back_what_was_before_and_a_plain_replay_agrees(tmp_path_factory, actions):
    store = Store.create(tmp_path_factory.mktemp("tags") / "store")
    expected: dict[str, set[str]] = {}
    history = []
    for on, ids, name in actions:
        before = said(store)
        if (tags.tag if on else tags.untag)(store, ids, name) is not None:
            history.append(before)
        for image_id in ids:
            (expected.setdefault(image_id, set()).add if on else expected.setdefault(image_id, set()).discard)(name)
        assert said(store) == {i: sorted(names) for i, names in expected.items() if names}
    for before in reversed(history):
        assert tags.undo(store) is not None
        assert said(store) == before
    assert tags.undo(store) is None
    assert said(store) == {}


def test_undoing_one_action_leaves_what_others_did_since(store):
    mine = tags.tag(store, IDS[:3], "keep")
    tags.untag(store, IDS[:1], "keep")
    tags.tag(store, IDS[:1], "blurry")
    assert tags.undo(store, mine.id) == mine
    assert said(store) == {IDS[0]: ["blurry"]}
    assert tags.undo(store, mine.id) is None  # it is already undone
    assert tags.undo(store, "no such action") is None


def test_an_action_comes_after_the_last_one_even_if_the_clock_went_back(store, monkeypatch):
    tags.tag(store, IDS[:1], "keep")
    monkeypatch.setattr(tags.pd.Timestamp, "now", lambda _: pd.Timestamp("2001-01-01", tz="UTC"))
    tags.untag(store, IDS[:1], "keep")
    assert said(store) == {}


@pytest.mark.parametrize(
    "name", ["", "  ", "x" * 61, "a|b", "a\nb", "tab\t", "\x00", "\u202eevil", "\ud800", "line\u2028end"]
)
def test_names_that_cannot_be_a_tag(store, name):
    with pytest.raises(UsageError, match="A tag"):
        tags.tag(store, IDS, name)
    assert said(store) == {}


def test_names_that_look_the_same_are_the_same():
    assert tags.normalise_tag("  cafe\u0301   au lait ") == "café au lait"
    assert tags.normalise_tag("👩‍🚀") == "👩‍🚀"  # the joiner inside is no control character


@pytest.mark.parametrize("image_id", ["", "x", "A" * 32, "../../etc/passwd", "0" * 33])
def test_only_an_image_id_is_tagged(store, image_id):
    with pytest.raises(UsageError, match="32 hex digits"):
        tags.tag(store, [image_id], "keep")


# --- many writers, merging, pruning ---


def _tag_many(path, ids, name):
    for image_id in ids:
        tags.tag(Store(path), [image_id], name)


@pytest.mark.slow
def test_two_writers_and_a_reader_at_once(store):
    jobs = [
        multiprocessing.get_context("spawn").Process(target=_tag_many, args=(store.path, IDS, name))
        for name in ("left", "right")
    ]
    for job in jobs:
        job.start()
    deadline = time.monotonic() + 60
    seen = 0
    while any(job.is_alive() for job in jobs) and time.monotonic() < deadline:
        found = said(store)
        with lock(store.path):
            tags.merge(store)
        assert len(found) >= seen  # what was once seen stays
        seen = len(found)
    for job in jobs:
        job.join()
        assert job.exitcode == 0
    assert said(store) == {image_id: ["left", "right"] for image_id in IDS}
    for _ in range(12):
        assert tags.undo(store) is not None
    assert said(store) == {}


def test_merging_keeps_every_action(store):
    for name in NAMES:
        tags.tag(store, IDS, name)
    tags.untag(store, IDS[:3], "keep")
    before = said(store)
    compact.merge_parts(store)
    assert len(parquet_parts.list_parts(store.path / "tags")) == 1
    assert said(store) == before
    tags.undo(store)
    assert said(store) == {image_id: sorted(NAMES) for image_id in IDS}


def test_many_small_actions_do_not_leave_many_parts(store, monkeypatch):
    monkeypatch.setattr(tags, "MERGE_FROM", 5)
    for n in range(12):
        tags.tag(store, IDS[:1], f"tag {n}")
    assert len(parquet_parts.list_parts(store.path / "tags")) < 6
    assert len(said(store)[IDS[0]]) == 12


def test_pruning_keeps_the_tags_and_forgets_their_history(store):
    tags.tag(store, IDS[:3], "keep")
    tags.untag(store, IDS[:1], "keep")
    tags.tag(store, IDS, "blurry")
    tags.undo(store)
    assert tags.count_outdated(store) == 1 + 1 + len(IDS) + 1  # taken off twice over, undone, and the undo itself
    status = prune.prune(store)
    assert status.tags.photos == {"keep": 2}
    assert status.tags.gone == 2  # no file of this store has them, and yet they stay
    assert status.stale == status.tags.outdated_rows
    assert said(store) == {IDS[1]: ["keep"], IDS[2]: ["keep"]}
    assert maintenance_status.read_status(store).stale == 0
    assert tags.undo(store) is None
    tags.tag(store, IDS[:1], "new")
    tags.undo(store)
    assert said(store) == {IDS[1]: ["keep"], IDS[2]: ["keep"]}


def test_pruning_leaves_no_part_where_no_tag_is_left(store):
    tags.tag(store, IDS, "keep")
    tags.undo(store)
    prune.prune(store)
    assert parquet_parts.list_parts(store.path / "tags") == []


def test_a_damaged_part_is_named(store):
    tags.tag(store, IDS, "keep")
    (part,) = (store.path / "tags").glob("*.parquet")
    part.write_bytes(b"PAR1 no more")
    with pytest.raises(StoreError, match=f"{part.name} is damaged.*restore it from a copy"):
        tags.tags_by_image(store)


# --- the table ---


def test_a_column_follows_the_rows(store):
    tags.tag(store, IDS[:2], "keep")
    tags.tag(store, IDS[1:2], "blurry")
    rows = pd.Series([IDS[1], "f" * 32, IDS[0], IDS[1]], index=[5, 6, 7, 8])
    column = tags.align_tags(tags.tags_by_image(store), rows)
    assert column.index.tolist() == [5, 6, 7, 8]
    assert column.astype("object").fillna("").tolist() == ["blurry|keep", "", "keep", "blurry|keep"]
    assert count_tags(column) == {"": 1, "blurry": 2, "keep": 3}


def test_the_version_follows_each_action(store):
    versions = {tags.log_version(store)}
    heavy, every = store.version(with_tags=False), {store.version()}
    for _ in range(3):
        tags.tag(store, IDS, "keep")
        versions.add(tags.log_version(store))
        every.add(store.version())
        tags.undo(store)
    assert len(versions) == len(every) == 4
    assert store.version(with_tags=False) == heavy


@pytest.mark.slow
def test_a_hundred_thousand_tagged_of_a_million_are_fast(store):
    """A bound far above what it takes, and far below what a loop over the rows would."""
    import numpy as np
    import pyarrow as pa

    rng = np.random.default_rng(1)
    ids = pd.Series([bytes(row).hex() for row in rng.integers(0, 256, (200_000, 16), dtype=np.uint8)])
    for n, name in enumerate(("one", "two", "three")):
        tags.tag(store, pa.array(ids[n * 10_000 : 100_000], pa.string()), name)
    started = time.perf_counter()
    tagged = tags.tags_by_image(store)
    column = tags.align_tags(tagged, pd.concat([ids] * 5, ignore_index=True))
    assert time.perf_counter() - started < 5
    assert len(tagged) == 100_000
    assert count_tags(column) == {"": 500_000, "one": 500_000, "three": 400_000, "two": 450_000}
