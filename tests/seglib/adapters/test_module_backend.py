"""Every form that a module's output can have is read as what it is, or refused; padding leaves no trace."""

import threading
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from seglib.adapters.module_backend import CallOptions, ModuleBackend
from seglib.classes import VOID
from seglib.data.resize import Resize
from seglib.errors import WeightsError
from seglib.models.registry import ModelSpec

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
SPEC = ModelSpec(
    name="own", weights="", parameters=0, classes=("background", "cat", "dog"), resize=Resize("64"), **PLAIN
)
TWO = replace(SPEC, classes=("background", "cat"))
IMAGES = np.random.default_rng(1).integers(0, 256, (2, 40, 56, 3), np.uint8)


def backend(forward, spec=SPEC, **options) -> ModuleBackend:
    return ModuleBackend(forward, spec, "fp32", "cpu", CallOptions(**options))


def read(one: ModuleBackend, images=IMAGES) -> torch.Tensor:
    return torch.cat(list(one(images)))


def logits(x):
    """(B, 3, H, W) of range 0..1 -> three logits per pixel, of both signs."""
    return (x.float() - 0.5) * 8


# --- what goes in ---


def test_a_module_gets_normalised_contiguous_images_and_gives_one_output_per_image():
    spec = replace(SPEC, mean=(0.5, 0.25, 0.125), std=(0.5, 0.25, 2.0))
    seen = []

    def forward(x):
        seen.append(x)
        return logits(x)

    outputs = list(backend(forward, spec)(IMAGES))
    assert [tuple(one.shape) for one in outputs] == [(1, 3, 40, 56)] * 2
    want = (IMAGES.astype(np.float32) / 255 - np.float32(spec.mean)) / np.float32(spec.std)
    assert seen[-1].is_contiguous()
    assert np.array_equal(seen[-1].numpy(), want.transpose(0, 3, 1, 2))
    assert torch.equal(torch.cat(outputs), logits(seen[-1]))


def test_the_channels_are_turned_round_after_each_got_its_own_mean():
    spec, seen = replace(SPEC, mean=(0.5, 0.25, 0.125)), []
    read(backend(lambda x: (seen.append(x), logits(x))[1], spec, channels="bgr"))
    blue, green, red = seen[-1].unbind(1)
    want = torch.from_numpy(IMAGES).float() / 255 - torch.tensor(spec.mean)
    assert torch.equal(torch.stack([red, green, blue], -1), want)


def test_uint8_is_given_as_decoded():
    seen = []
    read(backend(lambda x: (seen.append(x), logits(x / 255))[1], input="uint8"))
    assert seen[-1].dtype == torch.uint8
    assert np.array_equal(seen[-1].permute(0, 2, 3, 1), IMAGES)


def test_a_batch_is_split_for_a_module_that_takes_one_image():
    def forward(x):
        assert len(x) == 1
        return logits(x)

    assert torch.equal(read(backend(forward, one_at_a_time=True)), read(backend(logits)))
    with pytest.raises(WeightsError, match=r"cannot be called with images of 56x40 \(AssertionError"):
        read(backend(forward))


def test_the_precision_of_the_input_is_that_of_the_module():
    one = backend(nn.Conv2d(3, 3, 1, dtype=torch.float64), dtype=torch.float64)
    assert read(one).dtype == torch.float32


# --- what comes out ---


@dataclass
class Output:
    loss: None
    logits: torch.Tensor


FORMS = {
    "a tensor": lambda y: y,
    "a dict with out": lambda y: {"aux": y + 9, "out": y},
    "a dict with logits": lambda y: {"loss": torch.zeros(()), "logits": y},
    "an object with logits": lambda y: Output(None, y),
    "a tuple": lambda y: (y, torch.zeros(2, 5)),
    "a list": lambda y: [y],
    "an array": lambda y: y.numpy(),
    "a dict of an array": lambda y: {"out": y.numpy()},
    "half precision": lambda y: y.half(),
    "a transposed array": lambda y: y.permute(0, 2, 3, 1).numpy().transpose(0, 3, 1, 2),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_scores_are_found_in_every_form_of_output(form):
    def forward(x):
        return form(logits(x))

    one = backend(forward)
    assert (one.output, one.notes) == ("logits", [])
    want = torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255
    assert torch.allclose(read(one), logits(want), atol=2e-3)


def test_a_named_output_is_taken_and_a_missing_one_is_refused_with_what_there_is():
    def forward(x):
        return {"coarse": logits(x), "fine": -logits(x)}

    assert torch.equal(read(backend(forward, output="fine")), -read(backend(forward, output="coarse")))
    by_attribute = backend(lambda x: SimpleNamespace(coarse=logits(x)), output="coarse")
    assert torch.equal(read(by_attribute), read(backend(logits)))
    with pytest.raises(WeightsError, match=r"own has no output 'out': it gave a dict of 'coarse', 'fine'\."):
        backend(forward, output="out")
    with pytest.raises(WeightsError, match="gave a dict of 'coarse', 'fine': expected a tensor, a dict with 'out'"):
        backend(forward)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda x: None, "gave a NoneType: expected a tensor"),
        (lambda x: "mask", "gave a str: expected a tensor"),
        (lambda x: (), "gave a tuple of nothing"),
        (lambda x: [None, x], "gave a list of NoneType, Tensor"),
        (
            lambda x: logits(x)[:, :2],
            r"gave float32 of shape \(1, 2, 64, 96\) for 1 images: expected 3 scores per pixel",
        ),
        (lambda x: logits(x)[0], r"gave float32 of shape \(3, 64, 96\) for 1 images"),
        (lambda x: logits(x).mean((2, 3)), r"gave float32 of shape \(1, 3\) for 1 images"),
        (lambda x: logits(torch.cat([x, x])), r"gave float32 of shape \(2, 3, 64, 96\) for 1 images"),
        (lambda x: logits(x) * float("nan"), "gives NaN or infinite numbers: its weights are damaged"),
        (lambda x: logits(x) / 0, "gives NaN or infinite numbers"),
        (lambda x: x.sigmoid(), "between 0 and 1 that do not sum to 1 over the classes; they may be probabilities"),
        (lambda x: logits(x).argmax(1).float(), r"gives whole numbers as float32 of shape \(1, 64, 96\): say what"),
        (lambda x: logits(x).argmax(1) + 1, "gave the index 3, and its last class, 'dog', has the index 2"),
        (lambda x: logits(x).argmax(1) - 1, "gave the index -1, and its last class"),
        (lambda x: logits(x) > 0, r"gave bool of shape \(1, 3, 64, 96\) for 1 images: expected masks \(1, h, w\)"),
        (lambda x: logits(x).argmax(1)[0], r"gave int64 of shape \(64, 96\) for 1 images: expected masks"),
        (lambda x: 1 / 0, r"cannot be called with images of 64x64 \(ZeroDivisionError: division by zero\)"),
    ],
)
def test_what_cannot_be_read_is_refused_before_the_run(given, words):
    with pytest.raises(WeightsError, match=words):
        backend(given)


def test_softmax_is_seen_and_said():
    one = backend(lambda x: logits(x).softmax(1))
    assert (one.output, one.notes) == ("probabilities", ["own: its output is read as probabilities."])
    assert torch.equal(read(one), read(backend(logits)).softmax(1))


def test_probabilities_need_not_sum_to_1_if_they_are_said_to_be_some():
    one = backend(lambda x: logits(x).sigmoid(), scores="probabilities")
    assert (one.output, one.notes) == ("probabilities", [])
    assert torch.equal(read(one), read(backend(logits)).sigmoid())
    assert backend(lambda x: logits(x).sigmoid(), scores="logits").output == "logits"


@pytest.mark.parametrize("value", [-0.25, 1.5])
def test_probabilities_outside_their_range_are_refused_also_during_the_run(value):
    def forward(x):
        return logits(x).softmax(1) + (value if x.shape[2] == 40 else 0)

    with pytest.raises(WeightsError, match=r"as a probability: say `scores` logits"):
        read(backend(forward))
    with pytest.raises(WeightsError, match="as a probability"):
        backend(logits, scores="probabilities")


@pytest.mark.parametrize("squeezed", [False, True])
def test_one_channel_is_the_logit_or_the_probability_of_the_second_class(squeezed):
    def channel(x):
        y = logits(x)[:, :1]
        return y[:, 0] if squeezed else y

    logit, want = backend(channel, TWO), read(backend(logits))[:, 0]
    assert (logit.output, logit.notes) == ("logits", ["own gives one channel, read as the logit of 'cat'."])
    assert torch.equal(read(logit), torch.stack([torch.zeros_like(want), want], 1))
    with pytest.raises(WeightsError, match="say which with `scores`"):
        backend(lambda x: channel(x).sigmoid(), TWO)
    probability = backend(lambda x: channel(x).sigmoid(), TWO, scores="probabilities")
    assert probability.notes == ["own gives one channel, read as the probability of 'cat'."]
    assert torch.allclose(read(probability)[:, 1], want.sigmoid())
    assert torch.allclose(read(probability).sum(1), torch.ones(()))
    assert torch.equal(read(probability).argmax(1), read(logit).argmax(1))
    with pytest.raises(WeightsError, match="expected 3 scores per pixel"):
        backend(channel, scores="logits")


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.float32])
def test_masks_alone_are_indices_of_any_type(dtype):
    def forward(x):
        return logits(x).argmax(1).to(dtype)

    one = backend(forward, scores="masks" if dtype.is_floating_point else None)
    assert one.output == "masks"
    assert one.notes == ([] if dtype.is_floating_point else ["own: its output is read as masks."])
    assert read(one).dtype == torch.uint8
    assert torch.equal(read(one), read(backend(logits)).argmax(1).byte())
    assert torch.equal(read(backend(lambda x: forward(x)[:, None], scores="masks")), read(one))


def test_a_mask_may_be_bool_for_two_classes_and_hold_void():
    assert torch.equal(read(backend(lambda x: x[:, 0] > 0.5, TWO)), (torch.from_numpy(IMAGES[..., 0]) > 127).byte())
    void = read(backend(lambda x: torch.where(x[:, 0] > 0.5, VOID, 1), TWO))
    assert set(void.unique().tolist()) == {1, VOID}


def test_masks_with_fractions_are_refused():
    with pytest.raises(WeightsError, match="gives masks with fractions: say `scores` logits or probabilities"):
        backend(lambda x: x[:, 0], scores="masks")


def test_numbers_that_become_infinite_for_one_photo_end_the_run_rather_than_being_a_class():
    one = backend(lambda x: logits(x) / (x.shape[2] != 40))
    with pytest.raises(WeightsError, match="gives NaN or infinite numbers"):
        read(one)


def test_what_fails_for_one_size_only_says_the_size():
    def forward(x):
        if x.shape[2] == 40:
            raise RuntimeError("sizes do not match\nin two lines")
        return logits(x)

    with pytest.raises(WeightsError, match=r"with images of 56x40 \(RuntimeError: sizes do not match\)"):
        read(backend(forward))


def test_a_model_that_needs_larger_images_is_tried_with_one_of_the_usual_size():
    def forward(x):
        assert x.shape[2] >= 128
        return logits(x)

    assert backend(forward, replace(SPEC, resize=Resize("short:128"))).output == "logits"
    with pytest.raises(WeightsError, match="images of 64x64"):
        backend(forward)
    only = backend(lambda x: logits(x.view(1, 3, 48, 80)), replace(SPEC, input_rule=Resize("80x48")))
    assert only.output == "logits"


# --- padding ---


class Strided(nn.Module):
    """Halves the sides five times with an average, so that what the padding adds is easy to tell."""

    def __init__(self, upsampled: bool) -> None:
        super().__init__()
        self.upsampled = upsampled

    def forward(self, x):
        assert x.shape[2] % 32 == x.shape[3] % 32 == 0
        y = nn.functional.avg_pool2d(logits(x), 32)
        return nn.functional.interpolate(y, size=x.shape[2:]) if self.upsampled else y


@pytest.mark.parametrize("upsampled", [False, True])
def test_the_sides_are_padded_at_the_right_and_bottom_and_the_padding_is_cut_off(upsampled):
    one = backend(Strided(upsampled), multiple=32)
    padded = np.zeros((2, 64, 64, 3), np.float32)
    padded[:, :40, :56] = IMAGES.astype(np.float32) / 255
    mean = (padded.reshape(2, 2, 32, 2, 32, 3).mean((2, 4)) - 0.5) * 8  # (B, 2, 2, 3)
    small = torch.from_numpy(mean.transpose(0, 3, 1, 2))
    mode = {"mode": "nearest"} if upsampled else {"mode": "bilinear", "align_corners": False}
    want = nn.functional.interpolate(small, size=(64, 64), **mode)[..., :40, :56]
    assert torch.allclose(read(one), want, atol=1e-5)
    assert not torch.allclose(want[..., 20, :], want[..., 39, :])


def test_no_padding_is_added_to_what_fits():
    image = IMAGES[:, :32, :32]
    assert tuple(read(backend(Strided(False), multiple=32), image).shape) == (2, 3, 1, 1)


def test_padding_is_cut_off_masks_too():
    one = backend(lambda x: Strided(False)(x).argmax(1), multiple=32)
    scores = read(backend(Strided(False), multiple=32), np.pad(IMAGES, ((0, 0), (0, 24), (0, 8), (0, 0))))
    want = nn.functional.interpolate(scores.argmax(1)[:, None].byte(), size=(64, 64), mode="nearest")[:, 0, :40, :56]
    assert torch.equal(read(one), want)


# --- threads and precision ---


class Keeps(nn.Module):
    """Keeps something on itself between two lines, as code of one's own may."""

    def __init__(self, keeps) -> None:
        super().__init__()
        self.keeps, self.inside, self.most, self.seen = keeps, [0], [0], [None]
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        lock = threading.Lock()
        with lock:
            COUNTS["inside"] += 1
            COUNTS["most"] = max(COUNTS["most"], COUNTS["inside"])
        self.keeps(self, x)
        BARRIER["event"].wait(0.05)
        COUNTS["inside"] -= 1
        return logits(x)


COUNTS, BARRIER = {"inside": 0, "most": 0}, {"event": threading.Event()}


@pytest.mark.parametrize(
    ("keeps", "alone"),
    [
        (lambda self, x: None, False),
        (lambda self, x: setattr(self, "size", x.shape), True),
        (lambda self, x: self.seen.__setitem__(0, x), True),
        (lambda self, x: self.calls.add_(1), True),
    ],
    ids=["nothing", "an attribute", "an item of a list", "a buffer"],
)
def test_a_module_that_keeps_something_while_it_is_called_is_called_by_one_thread_at_a_time(keeps, alone):
    one = backend(Keeps(keeps))
    COUNTS["most"] = 0
    threads = [threading.Thread(target=lambda: read(one)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (COUNTS["most"] == 1) is alone


def test_a_module_with_a_hook_is_called_by_one_thread_at_a_time():
    module = nn.Conv2d(3, 3, 1)
    assert backend(module)._lock.__class__.__name__ != "lock"
    module.register_forward_hook(lambda *_: None)
    assert backend(module)._lock.__class__.__name__ == "lock"


def test_bf16_rounds_and_fp32_does_not():
    torch.manual_seed(0)
    module = nn.Conv2d(3, 3, 3, padding=1)
    exact = read(ModuleBackend(module, SPEC, "fp32", "cpu"))
    rounded = read(ModuleBackend(module, SPEC, "bf16", "cpu"))
    want = module(torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255)
    assert torch.allclose(exact, want, atol=1e-5)
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    assert torch.allclose(rounded, exact, atol=0.05)
    assert torch.equal(rounded, rounded.bfloat16().float())
