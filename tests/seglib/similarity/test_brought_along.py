"""Vectors of another model: every format gives the same, keys match photos, and what is wrong is one sentence."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seglib.cli import main
from seglib.errors import UnknownName, UsageError
from seglib.maintenance import compact, prune, verify
from seglib.maintenance.status import read_status
from seglib.similarity.brought_along import add_embeddings
from seglib.similarity.embeddings import list_sources, read_embeddings
from seglib.store.embeddings import brought
from seglib.store.store import Store
from tests.seglib.small_runs import run

PATHS = ["cats/a.png", "cats/b.png", "dogs/c.png", "dogs/d.png"]
VECTORS = np.array([[3, 4], [1, 0], [0, 2], [-1, 0]], np.float32)


@pytest.fixture
def ran(photos, store, fake) -> Store:
    """A store with a run over the four photos."""
    run(photos, store, fake)
    return store


def write(path, keys=PATHS, vectors=VECTORS, name="path"):
    """The vectors in a file of the kind that its name says."""
    if path.suffix == ".npz":
        np.savez(path, **{name: np.array(keys, str), "vectors": vectors})
    elif path.suffix == ".npy":
        np.save(path, vectors)
        path.with_suffix(".csv").write_text("\ufeff" + "\n".join([f"n,{name}", *(f"1,{key}" for key in keys)]))
    else:
        pq.write_table(pa.table({name: list(keys), "vector": [list(map(float, row)) for row in vectors]}), path)
    return path


@pytest.mark.parametrize("file", ["x.npz", "x.npy", "x.parquet"])
@pytest.mark.parametrize("key", ["path", "stem", "image_id"])
def test_every_format_and_key_gives_the_same_vectors(ran, tmp_path, file, key):
    table = ran.table()
    keys = {"path": table["path"], "stem": ["a", "b", "c", "d"], "image_id": table["image_id"]}[key]
    report = add_embeddings(ran, write(tmp_path / file, keys, name=key), "clip")
    assert (report.key, report.images, report.dimensions, report.unmatched, report.without) == (key, 4, 2, (), 0)
    embeddings = read_embeddings(ran, "clip")
    vectors = embeddings.vectors[embeddings.positions(table["image_id"])]
    assert vectors == pytest.approx(np.array([[0.6, 0.8], [1, 0], [0, 1], [-1, 0]]), abs=1e-3)
    assert [source.name for source in list_sources(ran)] == [ran.run().run, "clip"]


@pytest.mark.parametrize("factor", [1e-300, 1e300])
def test_the_length_of_a_vector_does_not_matter(ran, tmp_path, factor):
    report = add_embeddings(ran, write(tmp_path / "x.npz", vectors=VECTORS.astype(np.float64) * factor), "clip")
    assert (report.images, read_embeddings(ran, "clip").vectors.shape) == (4, (4, 2))


def test_a_path_may_begin_with_its_dataset_and_copies_have_one_vector(ran, tmp_path, photos, fake):
    (photos / "dogs" / "copy.png").write_bytes((photos / "cats" / "a.png").read_bytes())
    run(photos, ran, fake)
    keys = ["photos/cats/a.png", "./cats/b.png", "dogs/copy.png", "q"]
    vectors = np.array([[3, 4], [1, 0], [6.001, 8], [-1, 0]], np.float32)
    report = add_embeddings(ran, write(tmp_path / "x.npz", keys, vectors), "clip")
    assert (report.rows, report.images, report.unmatched, report.without) == (4, 2, ("q",), 2)


def test_different_vectors_of_one_photo_under_two_names_are_refused(ran, tmp_path, photos, fake):
    (photos / "dogs" / "copy.png").write_bytes((photos / "cats" / "a.png").read_bytes())
    run(photos, ran, fake)
    file = write(tmp_path / "x.npz", ["cats/b.png", "cats/a.png", "dogs/copy.png", "dogs/d.png"])
    with pytest.raises(UsageError, match=r"different vectors for 'cats/a.png' and 'dogs/copy.png', which are the same"):
        add_embeddings(ran, file, "clip")
    assert brought.list_sets(ran) == []


@pytest.mark.parametrize(
    ("keys", "vectors", "sentence"),
    [
        (PATHS, [[1, 2], [3, np.nan], [1, 1], [1, 1]], "1 vectors with NaN or infinite numbers, that of 'cats/b.png'"),
        (PATHS, [[1, 2], [3, 1], [0, 0], [1, 1]], "1 vectors of zeros, which have no direction, that of 'dogs/c.png'"),
        (PATHS[:3], VECTORS, "has 4 vectors and 3 keys"),
        ([*PATHS[:3], PATHS[0]], VECTORS, "several vectors for 'cats/a.png'"),
        (["x", "y", "z", "w"], VECTORS, "No key of 'x.npz' fits a photo of this store, read as image_id, path or stem"),
        (PATHS, VECTORS[:, :1], "expected at least one row, of 2 to"),
        ([], np.empty((0, 2)), "expected at least one row"),
    ],
)
def test_vectors_that_cannot_be_right_are_refused(ran, tmp_path, keys, vectors, sentence):
    np.savez(tmp_path / "x.npz", path=np.array(keys, str), vectors=np.array(vectors, np.float32))
    with pytest.raises(UsageError, match=sentence):
        add_embeddings(ran, tmp_path / "x.npz", "clip")
    assert brought.list_sets(ran) == []


def test_a_stem_of_two_photos_is_refused(ran, paint, fake, photos, tmp_path):
    paint("dogs/a.png", dog=(0, 0, 5, 5))
    run(photos, ran, fake)
    with pytest.raises(UsageError, match=r"1 keys of 'x.npz' fit several photos, 'a' fits 2: name the photos by path"):
        add_embeddings(ran, write(tmp_path / "x.npz", ["a", "b", "c", "d"]), "clip", key="stem")


def test_files_that_are_none_of_these(ran, tmp_path):
    refused = {
        "x.txt": "is no file of embeddings",
        "missing.npz": "There is no file",
        "objects.npz": "save the keys as an array of text",
        "two.npz": "expected one array of text",
        "broken.npz": "cannot be read",
        "broken.parquet": "cannot be read",
        "alone.npy": "does not name its rows, and there is no 'alone.csv'",
        "flat.npy": r"holds float64 \(3,\): expected numbers",
        "ragged.parquet": "vectors of 2 different lengths",
        "nokey.parquet": "expected one column of text",
    }
    (tmp_path / "x.txt").write_text("a")
    np.savez(tmp_path / "objects.npz", path=np.array(PATHS, object), vectors=VECTORS)
    np.savez(tmp_path / "two.npz", path=np.array(PATHS), one=VECTORS, other=VECTORS)
    for name in ("broken.npz", "broken.parquet"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 nothing")
    np.save(tmp_path / "alone.npy", VECTORS)
    np.save(tmp_path / "flat.npy", np.ones(3))
    pq.write_table(pa.table({"path": ["a", "b"], "vector": [[1.0], [1.0, 2.0]]}), tmp_path / "ragged.parquet")
    pq.write_table(pa.table({"vector": [[1.0], [1.0]]}), tmp_path / "nokey.parquet")
    for name, sentence in refused.items():
        with pytest.raises(UsageError, match=sentence):
            add_embeddings(ran, tmp_path / name, "clip")


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "a b", "x" * 61])
def test_a_name_that_cannot_be_a_folder_is_refused(ran, tmp_path, name):
    with pytest.raises(UsageError, match="are named by 1 to 60 letters"):
        add_embeddings(ran, write(tmp_path / "x.npz"), name)


def test_a_name_that_is_taken_is_refused(ran, tmp_path):
    file = write(tmp_path / "x.npz")
    add_embeddings(ran, file, "clip")
    for name in ("clip", ran.run().run[:60]):
        with pytest.raises(UsageError, match="choose another name, or remove it"):
            add_embeddings(ran, file, name)


def test_a_removed_set_is_gone_and_can_be_added_again(ran, tmp_path):
    version = ran.version()
    add_embeddings(ran, write(tmp_path / "x.npz"), "clip")
    assert ran.version() != version
    brought.remove_set(ran, "clip")
    assert ran.version() == version
    with pytest.raises(UnknownName, match="no set of embeddings 'clip'"):
        brought.remove_set(ran, "clip")
    add_embeddings(ran, tmp_path / "x.npz", "clip")


def test_upkeep_knows_a_set(ran, tmp_path, photos, fake):
    add_embeddings(ran, write(tmp_path / "x.npz"), "clip")
    (photos / "cats" / "a.png").unlink()
    run(photos, ran, fake)
    compact.merge_parts(ran)
    prune.prune(ran)
    assert len(read_embeddings(ran, "clip")) == 4  # kept: the photo may come back, and the file may be gone
    assert [one.name for one in read_status(ran).embedding_sets] == ["clip"]
    assert not list(verify.find_damaged_files(ran))
    ran.embedding_record("clip").write_text("{")
    (part,) = ran.brought_folder("clip").glob("*.parquet")
    (damage,) = verify.find_damaged_files(ran)
    assert "remove these embeddings, and add their file again" in damage.sentence
    assert part.exists()


def test_the_commands(ran, tmp_path, capsys):
    place = ["--store", str(ran.path)]
    file = write(tmp_path / "x.npz", [*PATHS[:3], "nowhere.png"])
    assert main.main(["embeddings", "add", str(file), "--name", "clip", *place]) == 0
    out, err = capsys.readouterr()
    assert out == "clip: vectors of 3 photos, 2 dimensions, matched by path\n"
    assert "1 of 4 keys fit no photo of this store: 'nowhere.png'" in err
    assert "1 photos of this store have no vector in 'x.npz'" in err
    assert main.main(["similar", "cats/a.png", "--source", "clip", *place]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["0.800", "0.600"]
    assert lines[0].endswith("photos/dogs/c.png")
    assert main.main(["similar", "dogs/d.png", "--source", "clip", *place]) == 2
    assert "no embedding in clip" in capsys.readouterr().err
    assert main.main(["outliers", "--source", "clip", "--tag", "odd", "--number", "1", *place]) == 0
    assert ran.table()["tags"].notna().sum() == 1
    out_file = tmp_path / "out.csv"
    assert main.main(["duplicates", "--out", str(out_file), "--json", *place]) == 0
    assert pd.read_csv(out_file)["path"].tolist() == ["cats/a.png", "cats/b.png"]  # red, and black beside
    assert main.main(["embeddings", "remove", "clip", *place]) == 0
    assert main.main(["similar", "0" * 32, "--source", "clip", *place]) == 2
    assert "no source of embeddings 'clip'" in capsys.readouterr().err
