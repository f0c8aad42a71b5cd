"""Which photo, which mask, which split, which class: on small folders, with every sentence that a user may meet."""

import contextlib

import numpy as np
import pytest
from PIL import Image

from seglib.annotations.options import MaskOptions
from seglib.classes import VOC_CLASSES
from seglib.data import resize
from seglib.errors import DatasetError, SegError, UsageError
from seglib.masks import png
from seglib.training import dataset, distillation
from seglib.training.dataset import Sample
from tests.seglib.training.plain_training import voc_folder


@pytest.fixture
def voc(tmp_path):
    return voc_folder(tmp_path / "voc", 10)


@pytest.fixture
def pets(tmp_path):
    """Two Oxford pairs: `Bengal_1` (cats are capitalised) and `beagle_1`."""
    for name in ("images", "annotations/trimaps"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("Bengal_1", "beagle_1"):
        Image.new("RGB", (4, 3), "grey").save(tmp_path / "images" / f"{name}.jpg")
        trimap = np.array([[1, 1, 3, 2], [1, 3, 2, 2], [2, 2, 2, 2]], np.uint8)
        Image.fromarray(trimap).save(tmp_path / "annotations" / "trimaps" / f"{name}.png")
    return tmp_path


def test_a_voc_folder_gives_its_pairs(voc):
    pairs, mapping = dataset.find_samples(voc)
    assert mapping.masks.source == voc / "SegmentationClass"
    assert [pair.name for pair in pairs] == [f"{index:02}.png" for index in range(10)]
    photo, mask = dataset.load_sample(pairs[1], mapping)
    assert photo.size == mask.shape[::-1] == (48, 40)
    assert set(np.unique(mask)) == {0, VOC_CLASSES.index("dog"), 255}


def test_lists_of_image_sets_say_who_takes_part(voc):
    (voc / "ImageSets").mkdir()
    (voc / "ImageSets" / "train.txt").write_text("00\n01\n")
    (voc / "ImageSets" / "more.txt").write_text("04 1\n")
    assert [pair.name for pair in dataset.find_samples(voc)[0]] == ["00.png", "01.png", "04.png"]
    (voc / "SegmentationClass" / "04.png").unlink()
    with pytest.raises(DatasetError, match=r"1 photos that ImageSets names have no mask, e\.g\. '04\.png'"):
        dataset.find_samples(voc)
    (voc / "JPEGImages" / "00.png").unlink()
    with pytest.raises(DatasetError, match="ImageSets names '00'"):
        dataset.find_samples(voc)


def test_photos_without_a_mask_are_left_out_where_no_list_names_them(voc):
    (voc / "SegmentationClass" / "04.png").unlink()
    assert len(dataset.find_samples(voc)[0]) == 9


def test_a_folder_of_photos_takes_its_masks_from_elsewhere(voc):
    pairs, _ = dataset.find_samples(voc / "JPEGImages", voc / "SegmentationClass")
    assert len(pairs) == 10


def test_links_in_a_folder_of_training_are_followed_and_a_circle_ends(voc, tmp_path):
    linked = tmp_path / "linked"
    for name in ("JPEGImages", "SegmentationClass"):
        (linked / name).mkdir(parents=True)
        for path in (voc / name).iterdir():
            (linked / name / path.name).symlink_to(path)
    (linked / "JPEGImages" / "round").symlink_to(linked)
    pairs, _ = dataset.find_samples(linked)
    assert [pair.name for pair in pairs] == [pair.name for pair in dataset.find_samples(voc)[0]]


def test_what_is_not_there_is_a_sentence(voc, tmp_path):
    with pytest.raises(DatasetError, match="is not a folder"):
        dataset.find_samples(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="neither JPEGImages and SegmentationClass"):
        dataset.find_samples(voc / "JPEGImages")
    with pytest.raises(DatasetError, match="name the folder that holds the masks"):
        dataset.find_samples(voc / "JPEGImages", tmp_path / "nowhere")
    for index in range(10):
        (voc / "SegmentationClass" / f"{index:02}.png").rename(voc / "SegmentationClass" / f"x{index}.png")
    with pytest.raises(
        DatasetError, match=r"None of the 10 photos has a mask .*: photos are called '00.png', '01.png'"
    ):
        dataset.find_samples(voc)


def test_a_mask_of_another_size_and_a_damaged_photo_are_left_out(voc):
    (voc / "SegmentationClass" / "00.png").write_bytes(png.encode_index_png(np.zeros((7, 9), np.uint8)))
    (voc / "JPEGImages" / "01.png").write_bytes(b"no picture")
    samples, mapping = dataset.find_samples(voc)
    checked = dataset.check_samples(samples, mapping)
    assert [sample.name for sample in checked.usable] == [f"{index:02}.png" for index in range(2, 10)]
    assert "'00.png' is 9 x 7 pixels and its photo 48 x 40" in checked.left_out["00.png"]
    assert "The photo '01.png' cannot be used" in checked.left_out["01.png"]
    loaded = [dataset.load_sample(sample, mapping)[1] for sample in checked.usable]
    assert checked.pixels.tolist() == np.bincount(np.concatenate([m.ravel() for m in loaded]), minlength=256).tolist()


@pytest.mark.parametrize(
    ("pixels", "chosen", "sentence"),
    [
        ((9, 0, 3), True, "no pixel of cat: they hold background, dog"),
        ((9, 0, 0), False, "no pixel of more than one class: they hold background"),
        ((0, 0, 0), False, "they hold no class at all"),
        ((9, 0, 3), False, None),
        ((9, 1, 3), True, None),
    ],
)
def test_a_class_without_a_pixel_stops_the_training(pixels, chosen, sentence):
    counts = np.zeros(256, np.int64)
    counts[:3] = pixels
    with pytest.raises(DatasetError, match=sentence) if sentence else contextlib.nullcontext():
        dataset.check_classes(("background", "cat", "dog"), counts, chosen=chosen)


# --- split ---


def made_up(count):
    return [Sample(None, None, f"{index:04}.jpg", None) for index in range(count)]


def test_the_split_is_whole_seeded_and_of_the_asked_size():
    pairs = made_up(313)
    training, validation = dataset.split(pairs, 0.1, 0)
    assert len(validation) == 31
    assert sorted(pair.name for pair in [*training, *validation]) == [pair.name for pair in pairs]
    assert dataset.split(pairs[::-1], 0.1, 0)[1] == validation[::-1]
    assert dataset.split(pairs, 0.1, 1)[1] != validation


def test_a_list_names_the_photos_that_are_held_out_by_path_name_or_stem(tmp_path):
    pairs = [Sample(tmp_path, None, name, None) for name in ("a/one.jpg", "b/two.jpg", "three.jpg", "four.jpg")]
    (tmp_path / "val.txt").write_text("a/one.jpg\ntwo.jpg\n\nthree\n")
    training, held_out = dataset.split_by_list(pairs, tmp_path / "val.txt")
    assert [pair.name for pair in training] == ["four.jpg"]
    assert held_out == pairs[:3]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("one\nfive\n", r"'val.txt' names 1 photos that have no mask here, e\.g\. 'five'"),
        ("", "'val.txt' holds out 0 of 2 photos: both parts need some"),
        ("one\ntwo\n", "'val.txt' holds out 2 of 2 photos"),
        (None, r"The list '.*val.txt' cannot be read \(No such file"),
    ],
)
def test_a_list_that_holds_out_something_else_is_a_sentence(tmp_path, lines, sentence):
    if lines is not None:
        (tmp_path / "val.txt").write_text(lines)
    pairs = [Sample(tmp_path, None, name, None) for name in ("one.jpg", "two.jpg")]
    with pytest.raises(SegError, match=sentence):
        dataset.split_by_list(pairs, tmp_path / "val.txt")


def test_a_name_in_a_list_that_several_photos_have_is_refused_and_their_paths_are_not(tmp_path):
    pairs = [Sample(tmp_path, None, name, None) for name in ("a/one.jpg", "b/one.jpg", "c/two.jpg")]
    for ambiguous in ("one", "one.jpg"):
        (tmp_path / "val.txt").write_text(ambiguous)
        with pytest.raises(DatasetError, match=f"names {ambiguous!r}, and 2 photos are called so: give the path"):
            dataset.split_by_list(pairs, tmp_path / "val.txt")
    (tmp_path / "val.txt").write_text("b/one.jpg")
    assert dataset.split_by_list(pairs, tmp_path / "val.txt") == (pairs[::2], [pairs[1]])


def test_photos_of_rare_classes_are_repeated_by_the_square_root_of_what_they_lack():
    """Four masks; class 1 is in one of them: sqrt(1 / 0.25) = 2; class 0 is in all, void is no class."""
    shows = np.zeros((4, 256), bool)
    shows[:, [0, 255]] = True
    shows[2, 1] = True
    rows = [*shows, None]
    assert dataset.repeat_factors(rows, 1.0) == [1, 1, 2, 1, 1]
    assert dataset.repeat_factors(rows, 0.5) == pytest.approx([1, 1, 2**0.5, 1, 1])
    assert dataset.repeat_factors(rows, 0.0) == dataset.repeat_factors(rows, 0.2) == [1] * 5
    assert dataset.repeat_factors([None], 1.0) == [1]
    assert dataset.repeat_factors([np.arange(256) == 255], 1.0) == [1]  # all void


def test_photos_that_are_added_hardly_move_the_others():
    before = {pair.name for pair in dataset.split(made_up(1000), 0.1, 0)[1]}
    after = {pair.name for pair in dataset.split(made_up(1050), 0.1, 0)[1]}
    assert len(before - after) <= 10


@pytest.mark.parametrize(("count", "share"), [(0, 0.5), (1, 0.5), (3, 0.1), (3, 0.9)])
def test_a_side_without_photos_is_a_sentence(count, share):
    with pytest.raises(DatasetError, match="cannot be split"):
        dataset.split(made_up(count), share, 0)


# --- classes ---


def rewrite_masks(voc, *values):
    """Give every mask of the folder these values, one row each, as grey."""
    for file in sorted((voc / "SegmentationClass").iterdir()):
        mask = np.zeros((40, 48), np.uint8)
        mask[: len(values)] = np.array(values, np.uint8)[:, None]
        Image.fromarray(mask).save(file)


def load_column(voc, named=None, **options):
    """The first column of the first mask, as the classes to learn."""
    samples, mapping = dataset.find_samples(voc, classes=named, options=MaskOptions(**options))
    return dataset.load_sample(samples[0], mapping)[1][:, 0].tolist()


@pytest.mark.parametrize(
    ("values", "named", "options", "expected"),
    [
        ((8, 12, 15, 20, 255), ("background", "dog", "cat"), {}, [2, 1, 0, 0, 255]),
        ((8, 12, 15, 20, 255), ("Background", "Dog"), {}, [0, 1, 0, 0, 255]),
        ((8, 12, 15, 20, 255), None, {}, [8, 12, 15, 20, 255]),
        ((1, 2, 255), ("paper", "ink", "stain"), {}, [1, 2, 255]),
        ((1, 2, 255), ("background", "cat", "dog"), {}, [1, 2, 255]),  # own indices under VOC's names
        ((1, 2, 255), ("background", "cat", "dog"), {"format": "index"}, [1, 2, 255]),
        ((8, 2, 255), ("background", "cat"), {}, [1, 0, 255]),
        ((8, 2, 255), ("background", "cat"), {"format": "voc"}, [1, 0, 255]),
        ((1, 255), ("background", "cat"), {"format": "binary", "ignore": (255,)}, [1, 255]),
        ((255,), ("background", "cat"), {"format": "binary"}, [1]),
        ((2, 3, 255), ("paper", "ink", "stain"), {"offset": 1}, [1, 2, 255]),
    ],
)
def test_classes_are_selected_by_name_or_name_the_indices(voc, values, named, options, expected):
    rewrite_masks(voc, *values)
    assert load_column(voc, named, **options)[: len(expected)] == expected


@pytest.mark.parametrize(
    ("values", "named", "options", "sentence"),
    [
        ((8, 12), ("paper", "ink", "stain"), {}, "Most masks hold a value without a class, e.g. 8"),
        ((8, 12), ("cat", "dog"), {}, "The first class is 'cat': expected background"),
        ((255,), ("background", "cat"), {}, "hold only 0 and 255"),
        ((1, 255), ("background", "aeroplane", "cat"), {}, None),
        ((1, 2), ("background", "aeroplane", "cat"), {}, "may be VOC's indices or indices into"),
        ((8, 12), None, {"format": "index"}, "Index masks name no class"),
        ((8, 12), ("background", "cat"), {"format": "trimap"}, "Trimaps hold 1 for the pet"),
    ],
)
def test_masks_that_contradict_the_classes_or_fit_two_readings_are_refused(voc, values, named, options, sentence):
    rewrite_masks(voc, *values)
    with pytest.raises(SegError, match=sentence) if sentence else contextlib.nullcontext():
        load_column(voc, named, **options)


@pytest.mark.parametrize(
    ("named", "cat", "dog"),
    [
        (None, 1, 1),
        (("background", "pet"), 1, 1),
        (("background", "cat", "dog"), 1, 2),
        (("background", "dog"), 0, 1),
    ],
)
def test_trimaps_know_pets_or_species(pets, named, cat, dog):
    pairs, what = dataset.find_samples(pets, classes=named)
    assert what.masks.format == "trimap"
    assert what.classes == (named or ("background", "pet"))
    assert [pair.name for pair in pairs] == ["Bengal_1.jpg", "beagle_1.jpg"]
    for pair, animal in zip(pairs, (cat, dog), strict=True):
        assert dataset.load_sample(pair, what)[1].tolist() == [
            [animal, animal, 255, 0],
            [animal, 255, 0, 0],
            [0, 0, 0, 0],
        ]


def test_a_class_that_trimaps_do_not_know_is_a_sentence(pets):
    with pytest.raises(UsageError, match="'horse' is none of them"):
        dataset.find_samples(pets, classes=("background", "horse"), options=MaskOptions(format="trimap"))


# --- soft labels ---


@pytest.fixture
def softened(fake, paint, tmp_path):
    """A teacher that tells colours apart, over a red (cat) and a green (dog) photo in folders that say so."""
    photos = tmp_path / "photos"
    paint("cats/a.png", "background", cat=(0, 0, 32, 48))
    paint("dogs/b.png", "background", dog=(0, 0, 32, 48))
    pairs = dataset.find_unlabelled(photos)
    distillation.compute_soft_labels(
        fake, resize.Resize("64x48"), pairs, tmp_path / "soft", precision="fp32", device="cpu"
    )
    return tmp_path / "soft", pairs


def test_soft_labels_are_the_teachers_mean_over_photo_and_mirror_image(softened):
    folder, pairs = softened
    logits = distillation.open_soft_labels(folder, ("background", "cat")).load(
        pairs[0], ("background", "cat", "dog", "person")
    )
    assert (logits.shape, logits.dtype) == ((4, 48, 64), np.float32)
    seen = logits.argmax(0)
    assert (seen[:, :32] == 1).all()  # mirrored and turned back: still on the left
    assert (seen[:, 32:] == 0).all()


def test_the_folders_word_rules_the_other_animal_out(softened):
    folder, pairs = softened
    soft = distillation.open_soft_labels(folder, ("background",))
    names = ("background", "cat", "dog", "person")
    assert (soft.load(pairs[0], names)[2] < -1000).all()
    assert (soft.load(pairs[1], names)[1] < -1000).all()
    masked = Sample(pairs[0].image_path, "a.png", pairs[0].name, pairs[0].label)
    assert (soft.load(masked, names)[2] > -1000).all()  # a mask says more than a folder


def test_what_nobody_learns_is_the_teachers_background():
    logits = np.array([1.0, 2.0, 3.0], np.float32)[:, None, None]
    got = distillation.merge_classes(logits, ("background", "cat", "dog"), ("background", "dog"))[:, 0, 0]
    wanted = np.exp([1.0, 2.0, 3.0]) / np.exp([1.0, 2.0, 3.0]).sum()
    assert np.exp(got) / np.exp(got).sum() == pytest.approx([wanted[0] + wanted[1], wanted[2]], rel=1e-5)


def test_soft_labels_are_made_once(softened, fake, monkeypatch):
    folder, pairs = softened
    monkeypatch.setattr(distillation, "_logits", lambda *_: pytest.fail("computed again"))
    distillation.compute_soft_labels(fake, resize.Resize("64x48"), pairs, folder, precision="fp32", device="cpu")
    with pytest.raises(UsageError, match="of another teacher"):
        distillation.compute_soft_labels(fake, resize.Resize("32"), pairs, folder, precision="fp32", device="cpu")


def test_soft_labels_that_lack_something_are_a_sentence(softened, tmp_path, paint):
    folder, _ = softened
    with pytest.raises(UsageError, match="does not know 'horse'"):
        distillation.open_soft_labels(folder, ("background", "horse"))
    with pytest.raises(UsageError, match="holds no soft labels"):
        distillation.open_soft_labels(tmp_path, ("background",))
    other = paint("cats/c.png", "person")
    with pytest.raises(DatasetError, match=r"no soft labels of 'c.png'"):
        distillation.open_soft_labels(folder, ("background",)).load(Sample(other, None, "c.png", None), ("background",))


def test_classes_name_yolo_labels_that_come_without_names(tmp_path):
    for folder in ("photos", "labels"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (20, 10)).save(tmp_path / "photos" / "a.png")
    (tmp_path / "labels" / "a.txt").write_text("1 0 0 0.5 0 0.5 1 0 1\n")
    classes = ("background", "cat", "dog")
    samples, mapping = dataset.find_samples(tmp_path / "photos", tmp_path / "labels", classes=classes)
    assert mapping.masks.classes == classes
    assert np.bincount(dataset.load_sample(samples[0], mapping)[1].ravel()).tolist() == [100, 0, 100]
    (tmp_path / "classes.txt").write_text("dog\ncat\n")  # names of its own count
    _, mapping = dataset.find_samples(tmp_path / "photos", tmp_path / "labels", classes=classes)
    assert mapping.masks.classes == ("background", "dog", "cat")
