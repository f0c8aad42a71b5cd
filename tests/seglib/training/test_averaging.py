"""The mean of checkpoints: each weight by hand, what the file says of itself, and each sentence of refusal."""

import json
import math

import pytest
import torch

from seglib.cli import main
from seglib.errors import UsageError, WeightsError
from seglib.models import registry, weights_file
from seglib.training import checkpoint
from seglib.training.checkpoint import average_checkpoints
from tests.seglib.training.plain_training import TinyNet, recipe

pytestmark = pytest.mark.usefixtures("tiny")

PAIR = (1.0, 1.0)


def made(path, value: float, seen: int = 0, *, half: bool = True, about=(), **changes):
    """A checkpoint all of whose weights are one number, and whose norm has seen so many batches."""
    chosen = recipe(**changes)
    net = TinyNet(len(chosen.classes))
    for tensor in net.state_dict().values():
        tensor.fill_(value if tensor.is_floating_point() else seen)
    checkpoint.save_checkpoint(path, net, chosen, {"epoch": "3", "validation_miou": "0.5"} | dict(about), half=half)
    return path


@pytest.mark.parametrize(
    ("values", "shares", "expected"),
    [((1, 3), PAIR, 2.0), ((1, 3), (0.75, 0.25), 1.5), ((1, 3), (3, 1), 1.5), ((0, 6, 3), (1, 1, 4), 3.0)],
)
def test_each_weight_is_the_mean_by_shares(tmp_path, values, shares, expected):
    files = [made(tmp_path / f"{index}.safetensors", value) for index, value in enumerate(values)]
    average_checkpoints(files, shares, out := tmp_path / "new" / "mean.safetensors")
    weights = [t for t in weights_file.read_state_dict(out).values() if t.is_floating_point()]
    assert len(weights) == 8
    for tensor in weights:
        torch.testing.assert_close(tensor, torch.full_like(tensor, expected))
        assert tensor.dtype == torch.float16


def test_a_mean_with_itself_is_itself(tmp_path):
    torch.manual_seed(0)
    checkpoint.save_checkpoint(one := tmp_path / "a.safetensors", TinyNet(3), recipe(), {}, half=False)
    other = tmp_path / "b.safetensors"
    other.write_bytes(one.read_bytes())
    average_checkpoints([one, other], (0.3, 0.7), out := tmp_path / "mean.safetensors")
    for name, tensor in weights_file.read_state_dict(one).items():
        torch.testing.assert_close(weights_file.read_state_dict(out)[name], tensor)


@pytest.mark.parametrize(
    ("trained", "expected"),
    [
        ((["background"], ["cat"]), '["background", "cat"]'),
        ((["cat"], ["cat"]), '["cat"]'),
        ((["cat"], None), None),
        ((None, ["cat"]), None),
    ],
)
def test_a_mean_is_trained_on_what_any_of_its_parts_is(tmp_path, trained, expected):
    files = [
        made(
            tmp_path / f"{index}.safetensors", 1, about=() if names is None else {"trained_classes": json.dumps(names)}
        )
        for index, names in enumerate(trained)
    ]
    average_checkpoints(files, PAIR, out := tmp_path / "mean.safetensors")
    assert weights_file.read_metadata(out).get("trained_classes") == expected


def test_whole_numbers_are_the_greatest_and_the_first_file_says_the_rest(tmp_path):
    a = made(tmp_path / "a.safetensors", 1, seen=7, half=False, about={"note": "mine"})
    b = made(tmp_path / "b.safetensors", 3, seen=40)
    average_checkpoints([a, b], (1, 3), out := tmp_path / "mean.safetensors")
    state, about = weights_file.read_state_dict(out), weights_file.read_metadata(out)
    assert state["backbone.1.num_batches_tracked"].item() == 40
    assert state["classifier.weight"].dtype == torch.float32
    assert about["note"] == "mine"
    assert "epoch" not in about
    assert "validation_miou" not in about
    assert json.loads(about["mean_of"]) == [[weights_file.file_sha256(a), 0.25], [weights_file.file_sha256(b), 0.75]]
    assert registry.find_model_spec(None, out).classes == ("background", "cat", "dog")


def test_a_mean_sees_at_the_side_of_the_first_or_at_the_one_that_is_asked_for(tmp_path):
    a = made(tmp_path / "a.safetensors", 1, about={"net_side": "96"})
    b = made(tmp_path / "b.safetensors", 3)
    for files, asked, side in (([a, b], None, 96), ([b, a], None, 0), ([b, a], 64, 64)):
        average_checkpoints(files, PAIR, out := tmp_path / "mean.safetensors", asked)
        assert registry.find_model_spec(None, out).net_side == side
    with pytest.raises(UsageError, match="A net side of 16 is out of range: expected 32 to 8192 pixels"):
        average_checkpoints([a, b], PAIR, tmp_path / "other.safetensors", 16)


def test_what_has_no_mean_is_refused_and_nothing_is_written(tmp_path):
    a, b = made(tmp_path / "a.safetensors", 1), made(tmp_path / "b.safetensors", 3)
    fewer = made(tmp_path / "fewer.safetensors", 3, classes=("background", "cat"))
    (damaged := tmp_path / "damaged.safetensors").write_bytes(a.read_bytes()[:-9])
    endless = made(tmp_path / "endless.safetensors", math.inf)
    out = tmp_path / "mean.safetensors"
    for files, shares, error, words in (
        ([a], (1,), UsageError, "at least two checkpoints"),
        ([a, b], (1,), UsageError, "got 2 and 1"),
        ([a, b], (1, 0), UsageError, "above 0"),
        ([a, b], (1, math.nan), UsageError, "above 0"),
        ([a, fewer], PAIR, UsageError, "fewer.safetensors is not of the same model"),
        ([a, damaged], PAIR, WeightsError, "damaged"),
        ([a, endless], PAIR, WeightsError, "NaN or infinite"),
        ([a, tmp_path / "gone.safetensors"], PAIR, WeightsError, "no weights file"),
    ):
        with pytest.raises(error, match=words):
            average_checkpoints(files, shares, out)
        assert not out.exists()
    with pytest.raises(UsageError, match=r"ends in \.safetensors"):
        average_checkpoints([a, b], PAIR, tmp_path / "mean.pth")
    before = a.read_bytes()
    with pytest.raises(UsageError, match="would be overwritten"):
        average_checkpoints([a, b], PAIR, tmp_path / "." / "a.safetensors")
    assert a.read_bytes() == before


def test_the_command_takes_equal_shares_or_those_it_is_told(tmp_path, capsys):
    a, b = made(tmp_path / "a.safetensors", 1), made(tmp_path / "b.safetensors", 3)
    out = tmp_path / "mean.safetensors"
    for options, expected in ([], 2.0), (["--shares", "0.75,0.25"], 1.5):
        assert main.main(["average", str(a), str(b), "--out", str(out), *options]) == 0
        assert f"python -m seglib run FOLDER --weights {out}" in capsys.readouterr().out
        assert weights_file.read_state_dict(out)["classifier.bias"][0].item() == expected
    assert main.main(["average", str(a), str(b), "--shares", "1", "--out", str(out)]) == 2
    assert "a share of each" in capsys.readouterr().err
    with pytest.raises(SystemExit) as wrong:
        main.main(["average", str(a), str(b), "--shares", "half", "--out", str(out)])
    assert wrong.value.code == 2
    assert "numbers with a comma" in capsys.readouterr().err
