"""Agreement, accuracy and boundary F against a plain loop on 4x4 masks, against torchmetrics on random ones."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from seglib.classes import VOID
from seglib.masks import boundary
from seglib.metrics import bootstrap
from seglib.metrics.measures import accuracy_measures, agreement_measures, boundary_f_measures
from tests.seglib.metrics.small_masks import NAMES, NOTHING, PAIRS, A, B, mask, of, overall


def plain_agreement(a, b) -> dict[str, float | None]:
    pixels = [(x, y) for x, y in zip(a.ravel(), b.ravel(), strict=True) if VOID not in (x, y)]
    same = sum(x == y for x, y in pixels)
    foreground = [(x, y) for x, y in pixels if x or y]
    found = {
        "pixel_agreement": same / len(pixels) if pixels else None,
        "foreground_agreement": sum(x == y for x, y in foreground) / len(foreground) if foreground else None,
    }
    for index, name in enumerate(NAMES):
        either = [(x, y) for x, y in pixels if index in (x, y)]
        found[f"iou:{name}"] = sum(x == y for x, y in either) / len(either) if either else None
        share = [sum(v == index for v in side.ravel()) / side.size for side in (a, b)]
        found[f"area_difference:{name}"] = share[1] - share[0]
    return found


@pytest.mark.parametrize(
    ("a", "b"),
    [(A, B), (A, A), (NOTHING, NOTHING), (A, NOTHING), (A[:1, :1], B[:1, :1]), (mask("##"), mask("cd"))],
    ids=["different", "same", "all background", "one empty", "one pixel", "all void"],
)
def test_agreement_is_that_of_a_plain_loop(a, b):
    found = overall(agreement_measures(of((a, b))))
    assert found == pytest.approx(plain_agreement(a, b))
    each = {name: measure.per_image()[0] for name, measure in agreement_measures(of((a, b))).items()}
    assert {n: None if math.isnan(v) else v for n, v in each.items()} == pytest.approx(found)


def test_agreement_is_symmetric_and_areas_turn_round():
    there, back = (overall(agreement_measures(of(pair))) for pair in ((A, B), (B, A)))
    for name, value in there.items():
        assert back[name] == (-value if name.startswith("area") else value)


def test_a_mask_agrees_with_itself():
    found = overall(agreement_measures(of((A, A), (NOTHING, NOTHING))))
    assert {found[n] for n in ("pixel_agreement", "foreground_agreement", "iou:background", "iou:cat")} == {1}
    assert found["iou:person"] is None
    assert found["area_difference:cat"] == 0


def test_the_two_reductions_differ_and_the_mean_states_its_n():
    measure = agreement_measures(of((A, B), (NOTHING, NOTHING)))["iou:cat"]
    assert measure.overall() == 3 / 5
    assert measure.mean() == (3 / 5, 1)  # the image without a cat is left out, not a 0
    big, small = np.ones((10, 10), np.uint8), np.ones((1, 1), np.uint8)
    measure = agreement_measures(of((big, big), (small, 0 * small)))["iou:cat"]
    assert measure.overall() == 100 / 101
    assert measure.mean() == (0.5, 2)


def test_classes_are_matched_by_name_and_only_common_ones_are_compared():
    other = ("background", "dog", "cat")  # in another order, and without person
    a, b = mask("cpd."), np.array([[2, 1, 1, 0]], np.uint8)
    counts = of((a, b), names_b=other)
    assert counts.common_classes == ("background", "cat", "dog")
    found = overall(agreement_measures(counts))
    assert found["pixel_agreement"] == 1  # of three pixels: person is left out
    assert found["iou:dog"] == 1
    assert found["area_difference:dog"] == 1 / 4  # areas are each side's own: two pixels of four, against one
    assert "iou:person" not in found


@pytest.fixture(scope="module")
def random_masks():
    draw = np.random.default_rng(7)
    pairs = []
    for side in (5, 16, 31):
        truth = draw.integers(0, 4, (side, side + 3)).astype(np.uint8)
        truth[draw.random(truth.shape) < 0.2] = VOID
        right = draw.random(truth.shape) < 0.6
        pairs.append(
            (truth, np.where(right & (truth != VOID), truth, draw.integers(0, 4, truth.shape)).astype(np.uint8))
        )
    pairs[1][0][pairs[1][0] == 3] = 0  # no person in the truth of the second
    pairs[2][0][pairs[2][0] == 2] = VOID
    pairs[2][1][pairs[2][1] == 2] = 1  # no dog at all in the third
    return pairs


def as_tensors(pairs):
    return tuple(torch.from_numpy(np.concatenate([p[side].ravel() for p in pairs]).astype(np.int64)) for side in (1, 0))


def test_accuracy_is_that_of_torchmetrics(random_masks):
    from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassF1Score, MulticlassJaccardIndex

    prediction, truth = as_tensors(random_masks)
    options = {"num_classes": 4, "ignore_index": VOID}
    counts = of(*random_masks)
    matrix = MulticlassConfusionMatrix(**options)(prediction, truth)
    assert (counts.matrix() == matrix.numpy()).all()
    found = overall(accuracy_measures(counts))
    for name, prefix in ((MulticlassJaccardIndex, "iou"), (MulticlassF1Score, "dice")):
        expected = name(average=None, **options)(prediction, truth)
        assert [found[f"{prefix}:{n}"] for n in NAMES] == pytest.approx(expected.tolist(), abs=1e-6)
    assert found["miou"] == pytest.approx(float(MulticlassJaccardIndex(average="macro", **options)(prediction, truth)))
    right = (prediction == truth)[truth != VOID]
    assert found["pixel_accuracy"] == pytest.approx(float(right.double().mean()), abs=1e-12)


def test_agreement_is_that_of_torchmetrics_whichever_mask_comes_first(random_masks):
    from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

    prediction, truth = as_tensors(random_masks)
    options = {"num_classes": 4, "ignore_index": VOID}
    matrix = MulticlassConfusionMatrix(**options)(prediction, truth).numpy()
    ious = MulticlassJaccardIndex(average=None, **options)(prediction, truth).tolist()
    there, back = of(*random_masks), of(*((b, a) for a, b in random_masks))
    assert (there.matrix() == matrix).all()
    assert (back.matrix() == matrix.T).all()
    for counts in (there, back):
        found = overall(agreement_measures(counts))
        assert [found[f"iou:{name}"] for name in NAMES] == pytest.approx(ious, abs=1e-6)
        assert found["pixel_agreement"] == pytest.approx(matrix.trace() / matrix.sum(), abs=1e-12)
        foreground = matrix.sum() - matrix[0, 0]
        assert found["foreground_agreement"] == pytest.approx((matrix.trace() - matrix[0, 0]) / foreground, abs=1e-12)


def test_accuracy_per_image_is_that_of_torchmetrics(random_masks):
    from torchmetrics.classification import MulticlassJaccardIndex

    options = {"num_classes": 4, "ignore_index": VOID}
    each = {name: m.per_image() for name, m in accuracy_measures(of(*random_masks)).items()}
    for i, pair in enumerate(random_masks):
        prediction, truth = as_tensors([pair])
        macro = MulticlassJaccardIndex(average="macro", **options)(prediction, truth)
        assert each["miou"][i] == pytest.approx(float(macro), abs=1e-6)
    assert math.isnan(each["iou:dog"][2])
    assert math.isnan(each["dice:dog"][2])
    assert each["iou:person"][1] == 0  # predicted and not there


def plain_accuracy(truth, prediction) -> dict[str, float | None]:
    pixels = [(x, y) for x, y in zip(truth.ravel(), prediction.ravel(), strict=True) if x != VOID]
    found: dict[str, float | None] = {
        "pixel_accuracy": sum(x == y for x, y in pixels) / len(pixels) if pixels else None
    }
    ious, dices, in_truth = [], [], []
    for index, name in enumerate(NAMES):
        both = sum(x == y == index for x, y in pixels)
        of_truth, of_prediction = sum(x == index for x, _ in pixels), sum(y == index for _, y in pixels)
        union = of_truth + of_prediction - both
        found[f"iou:{name}"] = both / union if union else None
        found[f"dice:{name}"] = 2 * both / (of_truth + of_prediction) if union else None
        if union:
            ious.append(both / union)
            dices.append(2 * both / (of_truth + of_prediction))
        if of_truth:
            in_truth.append(both / union)
    for name, values in (("miou", ious), ("miou_truth", in_truth), ("mdice", dices)):
        found[name] = sum(values) / len(values) if values else None
    return found


@pytest.mark.parametrize(
    ("truth", "prediction"),
    [
        (A, B),
        (A, A),
        (NOTHING, NOTHING),
        (A, NOTHING),
        (NOTHING, B),
        (A[:1, :1], B[:1, :1]),
        (mask("c"), mask("d")),
        (mask("##", "##"), mask("cd", "..")),
        (mask("pp..", "pp..", "....", "...#"), mask("....", "....", "..pp", "..pp")),
    ],
    ids=["different", "same", "background", "missed", "invented", "one", "one wrong", "all void", "apart"],
)
def test_accuracy_is_that_of_a_plain_loop(truth, prediction):
    measures = accuracy_measures(of((truth, prediction)))
    assert overall(measures) == pytest.approx(plain_accuracy(truth, prediction))
    each = {name: measure.per_image()[0] for name, measure in measures.items()}
    assert {n: None if math.isnan(v) else v for n, v in each.items()} == pytest.approx(overall(measures))


def test_miou_in_truth_leaves_out_what_the_truth_does_not_hold():
    found = overall(accuracy_measures(of((mask("cc.."), mask("cd..")))))
    assert (found["iou:cat"], found["iou:dog"], found["iou:background"], found["iou:person"]) == (1 / 2, 0, 1, None)
    assert found["miou"] == pytest.approx(0.5)
    assert found["miou_truth"] == pytest.approx(0.75)
    assert found["mdice"] == pytest.approx((2 / 3 + 0 + 1) / 3)


def test_miou_in_truth_of_an_image_goes_by_that_image_alone():
    one, other = (mask("cc.."), mask("cd..")), (mask("dd.."), mask("dd.."))
    each = [accuracy_measures(of(*pairs))["miou_truth"].per_image() for pairs in ([one], [one, other])]
    assert each[0][0] == each[1][0] == pytest.approx(0.75)  # the dog is not in its truth, whoever is beside it
    whole = accuracy_measures(of(one, other))["miou_truth"].overall()
    assert whole == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)  # over all pixels it is


def test_what_the_truth_does_not_know_is_wrong_and_what_the_mask_cannot_name_is_left_out():
    truth_names, mask_names = ("background", "cat", "dog"), ("background", "cat", "person")
    truth, prediction = mask("cd.."), np.array([[1, 1, 2, 0]], np.uint8)  # person on background
    found = overall(accuracy_measures(of((truth, prediction), names_a=truth_names, names_b=mask_names)))
    assert found["pixel_accuracy"] == pytest.approx(2 / 3)
    assert found["iou:background"] == 1 / 2
    assert found["iou:cat"] == 1  # the cat on the unknown dog's pixel is not held against it
    assert "iou:person" not in found


def test_classes_of_the_truth_can_be_made_one():
    pets = of((mask("cd.#"), mask("cc..")), names_b=("background", "pet")).rename_classes(
        ("background", "pet", "pet", "pet")
    )
    found = overall(accuracy_measures(pets))
    assert (found["iou:pet"], found["iou:background"], found["pixel_accuracy"]) == (1, 1, 1)
    assert pets.matrix().tolist() == [[1, 0], [0, 2]]


@pytest.mark.parametrize("truth", [mask("##"), np.zeros((0, 0), np.uint8)], ids=["all void", "no pixel"])
def test_without_a_labelled_pixel_nothing_is_defined(truth):
    measures = accuracy_measures(of((truth, np.zeros(truth.shape, np.uint8))))
    assert set(overall(measures).values()) == {None}
    assert {m.mean() for m in measures.values()} == {(None, 0)}
    assert {bootstrap.estimate(measures)[n].interval for n in measures} == {None}


def score(truth, prediction) -> dict[str, float | None]:
    found = boundary.count_matches(truth, prediction)
    columns = {
        name: tuple(np.array([float(found.get(i, (0, 0, 0, 0))[c])]) for c in range(4)) for i, name in enumerate(NAMES)
    }
    return overall(boundary_f_measures(columns, 1))


def test_boundary_f_at_its_edges():
    assert score(A, A)["boundary_f"] == 1
    assert score(NOTHING, NOTHING)["boundary_f"] is None  # no outline in either
    found = score(B, NOTHING)
    assert (found["boundary_f:cat"], found["boundary_f:person"]) == (0, None)
    far, near = np.zeros((100, 100), np.uint8), np.zeros((100, 100), np.uint8)
    far[:, 50:], near[:, 49:] = 1, 1
    assert score(far, near)["boundary_f:cat"] == 1  # one pixel beside it is within 0.75 % of the diagonal
    near[:, 45:] = 1
    assert score(far, near)["boundary_f:cat"] == 0


def test_a_band_of_void_is_halved_and_deep_void_is_nobodys():
    truth, prediction = np.zeros((60, 80), np.uint8), np.zeros((60, 80), np.uint8)
    truth[:, 40:], truth[:, 38:42], prediction[:, 40:] = 1, VOID, 1
    assert score(truth, prediction)["boundary_f"] == 1
    truth[:, 1:38], prediction[:, 20:] = VOID, 1  # no label anywhere near: nobody knows where the cat ends
    assert boundary.count_matches(truth, prediction) == {}
    assert boundary.count_matches(np.full((4, 4), VOID, np.uint8), A) == {}


@settings(max_examples=60)
@given(PAIRS)
def test_whoever_comes_first_changes_a_comparison_by_sign_alone(pairs):
    one, other = (overall(agreement_measures(of(*some))) for some in (pairs, [(b, a) for a, b in pairs]))
    for name, value in one.items():
        turned = other[name] if value is None or not name.startswith("area_difference") else -other[name]
        assert value == pytest.approx(turned)


@pytest.mark.slow
@settings(max_examples=60)
@given(PAIRS)
def test_a_mask_agrees_with_itself_wholly_or_there_is_nothing_to_agree_on(pairs):
    for name, value in overall(agreement_measures(of(*((a, a) for a, _ in pairs)))).items():
        assert value in ((0.0, None) if name.startswith("area_difference") else (1.0, None))


@settings(max_examples=60)
@given(PAIRS)
def test_shares_lie_between_nothing_and_all(pairs):
    for name, measure in agreement_measures(of(*pairs)).items():
        values = [measure.overall(), *measure.per_image()]
        low = -1 if name.startswith("area_difference") else 0
        assert all(value is None or math.isnan(value) or low <= value <= 1 for value in values)
