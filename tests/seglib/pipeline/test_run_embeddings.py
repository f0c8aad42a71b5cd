"""Embeddings of a run: the right averages, from the one forward pass, in step with its rows, and added by verify."""

from dataclasses import replace

import numpy as np
import pytest

import seglib
from seglib.cli import main
from seglib.errors import SegError, UsageError
from seglib.inference import predictor
from seglib.inference.config import InferenceConfig
from seglib.maintenance import prune, verify
from seglib.pipeline.reproduce import embed_image, resolve_source_model
from seglib.pipeline.session import RunOptions
from seglib.similarity.embeddings import find_source, list_sources, read_embeddings
from seglib.store.store import Store
from tests.seglib.small_runs import INLINE, counts, run

WITHOUT = RunOptions(workers=0, embeddings=False)
VERIFY = RunOptions(workers=0, verify=True)


def vector_of(store: Store, path: str, kind="global") -> list[float] | None:
    """Of a photo, by its path; None if it has none."""
    table = store.table()
    embeddings = read_embeddings(store, kind=kind)
    (position,) = embeddings.positions(table.loc[table["path"] == path, "image_id"])
    return None if position < 0 else embeddings.vectors[position].astype(float).round(3).tolist()


def test_an_embedding_is_the_mean_of_the_features_of_the_photo_and_of_its_dominant_class(photos, store, fake):
    run(photos, store, fake)
    (source,) = list_sources(store)
    assert (source.is_run, source.dimensions, source.images) == (True, 3, 4)
    assert vector_of(store, "cats/a.png") == [1, 0, 0]  # half red, half black
    # b.png is red, but for a green corner of 8 x 8: (3072 - 64, 64, 0) of 3072
    mixed = np.array([3008, 64, 0])
    assert vector_of(store, "cats/b.png") == (mixed / np.linalg.norm(mixed)).round(3).tolist()
    assert vector_of(store, "cats/b.png", "class") == [1, 0, 0]
    assert vector_of(store, "dogs/c.png", "class") == [0, 1, 0]


def test_a_photo_without_features_or_without_a_class_has_no_vector(photos, store, fake):
    run(photos, store, fake)
    assert vector_of(store, "dogs/d.png") is None  # black
    assert vector_of(store, "dogs/d.png", "class") is None
    assert len(read_embeddings(store, kind="class")) == 3


def test_masks_rows_and_run_are_the_same_with_and_without(photos, fake, tmp_path):
    one, other = Store.create(tmp_path / "with"), Store.create(tmp_path / "without")
    first, second = run(photos, one, fake), run(photos, other, fake, WITHOUT)
    assert first.run == second.run
    assert one.table().equals(other.table())
    for image_id in one.table()["image_id"]:
        assert one.mask_path(first.run, image_id).read_bytes() == other.mask_path(first.run, image_id).read_bytes()
    assert list_sources(other) == []
    with pytest.raises(UsageError, match="has no embeddings: run a built-in model"):
        read_embeddings(other)


def test_there_is_one_forward_pass_and_a_rerun_has_none(photos, store, fake, monkeypatch):
    real, seen = predictor.predict_batch, []
    monkeypatch.setattr(
        predictor, "predict_batch", lambda images, *rest: seen.append(len(images)) or real(images, *rest)
    )
    run(photos, store, fake)
    assert sum(seen) == 4
    run(photos, store, fake)
    assert sum(seen) == 4


def test_verify_adds_the_embeddings_that_a_run_lacks_and_only_those(photos, store, fake, paint):
    run(photos, store, fake, WITHOUT)
    assert counts(run(photos, store, fake)) == (4, 0, 4, 0)
    assert list_sources(store) == []
    assert counts(run(photos, store, fake, VERIFY)) == (4, 4, 0, 0)
    assert vector_of(store, "cats/a.png") == [1, 0, 0]
    assert counts(run(photos, store, fake, VERIFY)) == (4, 0, 4, 0)
    assert len(store.table()) == 4


def test_a_damaged_part_is_found_and_computed_again(photos, store, fake):
    run(photos, store, fake)
    (part,) = store.embeddings_folder(store.run()).glob("*.parquet")
    data = bytearray(part.read_bytes())
    data[len(data) // 3] ^= 1
    part.write_bytes(data)
    (damage,) = verify.find_damaged_files(store)
    assert (damage.kind, "run again with `verify`, which computes" in damage.sentence) == ("part", True)
    assert counts(run(photos, store, fake, VERIFY)) == (4, 4, 0, 0)
    assert not list(verify.find_damaged_files(store))
    assert vector_of(store, "dogs/c.png") == [0, 1, 0]


def test_a_run_that_is_killed_leaves_no_computed_photo_without_an_embedding(photos, store, fake, monkeypatch):
    class KilledError(BaseException):
        pass

    def killed(*_):
        raise KilledError

    monkeypatch.setattr("seglib.store.writer.stats_schema", killed)  # between embeddings and statistics
    with pytest.raises(KilledError):
        run(photos, store, fake)
    monkeypatch.undo()
    assert not store.computed_ids(store.run())
    assert counts(run(photos, store, fake)) == (4, 4, 0, 0)
    assert len(read_embeddings(store)) == 3
    assert store.computed_ids(store.run()) == set(store.table()["image_id"])


def test_prune_removes_the_embeddings_of_photos_that_are_gone(photos, store, fake):
    run(photos, store, fake)
    (photos / "cats" / "a.png").unlink()
    run(photos, store, fake)
    gone = set(read_embeddings(store).ids.to_pylist()) - set(store.table()["image_id"])
    assert len(gone) == 1
    prune.prune(store)
    assert len(read_embeddings(store)) == 2


def test_the_command_leaves_embeddings_out_and_status_offers_them(photos, fake, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(seglib.MODELS, "fake", fake)
    place = ["--store", str(tmp_path / "s")]
    assert main.main(["run", str(photos), "--model", "fake", "--workers", "0", "--no-embeddings", *place]) == 0
    assert main.main(["status", *place]) == 0
    assert "4 of them have no embedding: run again with --verify" in capsys.readouterr().out
    assert main.main(["embeddings", "list", *place]) == 0
    assert "no embeddings" in capsys.readouterr().out


def test_another_photo_gets_the_embedding_that_a_run_would_give_it(photos, store, fake, monkeypatch):
    monkeypatch.setitem(seglib.MODELS, "fake", fake)
    run(photos, store, replace(fake, source="torchvision"), INLINE)
    spec, settings = fake, InferenceConfig(resize=fake.resize)
    table = store.table()
    image = store.image(table["dataset"].iloc[0], "cats/b.png")
    vector = embed_image(image, spec, settings)
    assert vector / np.linalg.norm(vector) == pytest.approx(vector_of(store, "cats/b.png"), abs=1e-3)
    with pytest.raises(UsageError, match="nothing but background"):
        embed_image(store.image(table["dataset"].iloc[0], "dogs/d.png"), spec, settings, "class")


def test_the_model_of_a_set_that_was_brought_along_is_not_known(photos, store, fake):
    from seglib.store.embeddings import brought

    run(photos, store, fake)
    brought.add_set(store, "clip", list(store.table()["image_id"]), np.eye(4), "clip.npz")
    with pytest.raises(SegError, match="the model that made them is not known"):
        resolve_source_model(store, find_source(store, "clip"))
