"""The engine on a fake net that one can check by eye, and on the embedded one."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import seglib
from seglib.data.image import decode
from seglib.data.resize import Resize, resize_image
from seglib.errors import SegError, UsageError
from seglib.inference import config, predictor, torch_backend
from seglib.inference.config import InferenceConfig, make_run_config
from seglib.inference.predictor import predict_batch
from seglib.models import optimize
from seglib.models.registry import MODELS, find_model_spec
from tests.conftest import COLOURS


def picture(*names: str) -> np.ndarray:
    """(48, 64, 3): vertical stripes of equal width."""
    return np.concatenate([np.full((48, 64 // len(names), 3), COLOURS[n], np.uint8) for n in names], axis=1)


def test_the_mask_is_the_class_of_the_best_logit(fake):
    masks, _ = predict_batch(picture("cat", "dog")[None], fake, InferenceConfig(resize=fake.resize))
    assert (masks.shape, masks.dtype) == ((1, 48, 64), np.uint8)
    assert (masks[0, :, :32] == 1).all()
    assert (masks[0, :, 32:] == 2).all()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_net_with_a_side_of_its_own_sees_that_and_its_mask_lies_on_the_grid(fake, precision):
    """One bright column among 128 has a third of its light at a third of the side: it is background then."""
    image = np.tile(picture("background"), (2, 2, 1))
    image[:, 33] = COLOURS["cat"]
    settings = InferenceConfig(resize=fake.resize, precision=precision)
    (straight,), _ = predict_batch(image[None], fake, settings)
    (coarse,), _ = predict_batch(image[None], replace(fake, net_side=32), settings)
    assert straight.shape == coarse.shape == (96, 128)
    assert (straight[:, 33] == 1).all()
    assert not coarse.any()
    wide = picture("cat", "dog")
    masks, _ = predict_batch(np.stack([wide, wide[:, ::-1]]), replace(fake, net_side=96), settings)
    assert (masks[0] == predict_batch(wide[None], fake, settings)[0][0]).all()
    assert (masks[1] == masks[0][:, ::-1]).all()


def test_measures_equal_a_plain_loop(fake):
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    masks, (measure,) = predict_batch(image[None], fake, InferenceConfig(resize=fake.resize))
    colours = np.array(list(COLOURS.values())) / 255
    confidence, entropy, low = [], [], []
    for y in range(48):
        for x in range(64):
            logits = 20 * colours @ (image[y, x] / 255) - 10 * (colours**2).sum(1)
            p = np.exp(logits - logits.max())
            p /= p.sum()
            first, second = sorted(p)[-1], sorted(p)[-2]
            assert masks[0, y, x] == p.argmax() or first - second < 1e-6
            confidence.append(first)
            entropy.append(-sum(v * math.log(v) for v in p if v > 0) / math.log(len(p)))
            low.append(first - second < 0.2)
    assert measure.confidence == pytest.approx(np.mean(confidence), abs=1e-5)
    assert measure.entropy == pytest.approx(np.mean(entropy), abs=1e-5)
    assert measure.low_margin == pytest.approx(np.mean(low), abs=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_entropy_map_is_the_softmaxs_entropy_and_its_mean_is_the_measure(fake, precision):
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    settings = InferenceConfig(resize=fake.resize, precision=precision)
    found = predictor.entropy_map(image, fake, settings)
    assert (found.shape, found.dtype) == ((48, 64), np.float32)
    assert 0 <= found.min() < found.max() <= 1
    _, (measure,) = predict_batch(image[None], fake, settings)
    assert found.mean() == pytest.approx(measure.entropy, abs=1e-6)
    if precision == "fp32":
        colours = torch.tensor(list(COLOURS.values())) / 255
        logits = 20 * torch.from_numpy(image / 255).float() @ colours.T - 10 * (colours**2).sum(1)
        oracle = torch.distributions.Categorical(logits=logits).entropy() / math.log(len(COLOURS))
        assert found == pytest.approx(oracle.numpy(), abs=1e-5)


def test_a_certain_picture_has_no_entropy_and_a_grey_one_is_undecided(fake):
    _, (sure,) = predict_batch(picture("cat")[None], fake, InferenceConfig(resize=fake.resize))
    assert (sure.confidence, sure.entropy) == (pytest.approx(1, abs=1e-3), pytest.approx(0, abs=1e-2))
    assert sure.low_margin == 0
    between = np.full((48, 64, 3), (128, 128, 0), np.uint8)  # as near to cat as to dog
    _, (unsure,) = predict_batch(between[None], fake, InferenceConfig(resize=fake.resize))
    assert unsure.low_margin == 1


@pytest.mark.slow
def test_a_picture_gets_the_same_mask_in_every_batch(sample):
    spec = MODELS["fcn_mobilenet_v2"]
    photos = sorted(sample.glob("*/*"))[:8]
    images = np.stack([resize_image(decode(p.read_bytes()), spec.resize) for p in photos])
    settings = InferenceConfig(resize=spec.resize)
    together, measures = predict_batch(images, spec, settings)
    for index in range(len(images)):
        alone, (measure,) = predict_batch(images[index : index + 1], spec, settings)
        assert (alone[0] == together[index]).all()
        assert measure.confidence == pytest.approx(measures[index].confidence, abs=1e-5)


@pytest.mark.slow
def test_the_mask_is_that_of_torchvisions_own_forward_pass(sample):
    """The oracle: torchvision's preset, its forward pass, argmax of the upsampled logits."""
    from torchvision.transforms._presets import SemanticSegmentation

    from seglib.models.loading import load

    spec = replace(MODELS["fcn_mobilenet_v2"], net_side=0)
    photo = decode((sample / "cats" / "chelsea.png").read_bytes())
    net, preset = load(spec), SemanticSegmentation(resize_size=384)
    with torch.inference_mode():
        expected = net(preset(photo)[None])["out"].argmax(1)[0].byte().numpy()
    grid = resize_image(photo, Resize("short:384"))[None]
    (found,), _ = predict_batch(grid, spec, InferenceConfig(resize=Resize("short:384")))
    assert found.shape == expected.shape
    assert (found == expected).mean() > 0.9999


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["224", "short:384", "300x700", "native"])
@pytest.mark.parametrize("of", ["photo", "grid"])
def test_the_mask_of_a_net_with_a_side_of_its_own_is_torchvisions_at_that_side(sample, rule, of):
    """The oracle: torchvision resizes the photo, or the grid where that is at hand, its preset's numbers, the head's
    logits enlarged to the grid.
    """
    from torchvision.transforms._presets import SemanticSegmentation
    from torchvision.transforms.v2.functional import pil_to_tensor, resize, to_image

    from seglib.models.loading import load

    spec, settings = MODELS["fcn_mobilenet_v2"], InferenceConfig(resize=Resize(rule))
    photo = decode((sample / "cats" / "chelsea.png").read_bytes())
    grid = resize_image(photo, Resize(rule))
    height, width = grid.shape[:2]
    picture = pil_to_tensor(photo) if of == "photo" else to_image(grid.copy())
    high, wide = picture.shape[1:]
    longer = round(spec.net_side * max(wide, high) / min(wide, high) / 16) * 16
    seen = resize(picture, [spec.net_side, longer] if wide > high else [longer, spec.net_side], antialias=True)
    with torch.inference_mode():
        logits = load(spec).logits(SemanticSegmentation(resize_size=None)(seen)[None])
        expected = torch.nn.functional.interpolate(logits, size=(height, width), mode="bilinear").argmax(1)[0]
    image, grid_wh = predictor.prepare_image(photo, spec, settings)
    asked = (image[None], spec, settings, grid_wh) if of == "photo" else (grid[None], spec, settings)
    (found,), (measure,) = predict_batch(*asked)
    assert found.shape == (height, width)
    assert (found == expected.byte().numpy()).mean() > 0.9995
    for of_pixels, mean in ((predictor.confidence_map, measure.confidence), (predictor.entropy_map, measure.entropy)):
        drawn = of_pixels(asked[0][0], *asked[1:])
        assert drawn.shape == (height, width)
        assert drawn.mean() == pytest.approx(mean, abs=1e-5)


def test_what_a_net_is_shown_follows_the_rule_or_its_own_side(fake):
    photo, settings = Image.fromarray(np.zeros((48, 104, 3), np.uint8)), InferenceConfig(resize=Resize("64"))
    image, grid_wh = predictor.prepare_image(photo, fake, settings)
    assert (image.shape, grid_wh) == ((64, 64, 3), (64, 64))
    image, grid_wh = predictor.prepare_image(photo, replace(fake, net_side=96), settings)
    assert (image.shape, grid_wh) == ((96, 208, 3), (64, 64))


def test_a_side_of_its_own_makes_another_run_and_no_side_the_one_it_always_was(fake):
    settings = InferenceConfig(resize=fake.resize)
    assert make_run_config(fake, settings).grid_rule == "bilinear-logits-1"
    own = make_run_config(replace(fake, net_side=96), settings)
    assert own.grid_rule == "bilinear-logits-1, photos seen at short:96 in steps of 16"
    assert own.run_name != make_run_config(fake, settings).run_name


def test_bf16_agrees_with_fp32_nearly_everywhere(sample):
    spec = MODELS["fcn_mobilenet_v2"]
    image = resize_image(decode((sample / "dogs" / "german_shepherd.webp").read_bytes()), spec.resize)[None]
    exact, _ = predict_batch(image, spec, InferenceConfig(resize=spec.resize))
    rough, _ = predict_batch(image, spec, InferenceConfig(resize=spec.resize, precision="bf16"))
    assert (exact == rough).mean() > 0.985


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_and_cpu_see_the_same_areas(sample):
    spec = MODELS["fcn_mobilenet_v2"]
    image = resize_image(decode((sample / "cats" / "tabby.jpg").read_bytes()), spec.resize)[None]
    cpu, _ = predict_batch(image, spec, InferenceConfig(resize=spec.resize, device="cpu"))
    gpu, _ = predict_batch(image, spec, InferenceConfig(resize=spec.resize, device="cuda"))
    assert (
        np.abs(np.bincount(cpu.ravel(), minlength=21) - np.bincount(gpu.ravel(), minlength=21)).max() < 0.001 * cpu.size
    )


def test_cuda_where_there_is_none_is_a_sentence(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SegError, match="`device` cpu"):
        config.resolve_device("cuda")
    assert config.resolve_device("auto") == "cpu"


# --- what a run is called ---


def test_a_runs_name_says_model_and_resize_and_ends_in_its_digest(fake):
    named = make_run_config(fake, InferenceConfig(resize=Resize("short:64")))
    model, resize, digest = named.run_name.split("-")
    assert (model, resize) == ("fake", "short64")
    assert len(digest) == 8
    assert int(digest, 16) >= 0


def test_all_that_changes_a_mask_changes_the_run_and_the_device_does_not(fake, tmp_path):
    settings = InferenceConfig(resize=fake.resize)
    runs = {
        make_run_config(fake, settings).run_name,
        make_run_config(fake, replace(settings, precision="bf16")).run_name,
        make_run_config(fake, replace(settings, resize=Resize("65x48"))).run_name,
        make_run_config(replace(fake, mean=(0.1, 0.0, 0.0)), settings).run_name,
        make_run_config(replace(fake, classes=("background", "a", "b", "c")), settings).run_name,
        make_run_config(MODELS["fcn_mobilenet_v2"], settings).run_name,
    }
    assert len(runs) == 6
    assert make_run_config(fake, replace(settings, device="cuda")).run_name == make_run_config(fake, settings).run_name
    with open(fake.path, "ab") as file:
        file.write(b"\0")
    assert make_run_config(fake, settings).run_name not in runs


@pytest.mark.parametrize("setting", [{"precision": "auto"}, {"precision": "fp8"}, {"device": "tpu"}])
def test_settings_are_resolved_and_known(setting):
    with pytest.raises(UsageError):
        InferenceConfig(resize=Resize("224"), **setting)


def test_auto_precision_repeats_what_was_used_before_and_else_judges(monkeypatch):
    monkeypatch.setattr(config, "fastest_precision", {"cpu": "bf16"}.get)
    spec = find_model_spec()
    assert config.resolve_precision(spec, "auto", ["fp32", "bf16"]) == "bf16"
    assert config.resolve_precision(spec, "fp32", ["bf16"]) == "fp32"
    assert config.resolve_precision(spec, "auto", [], "cpu") == "bf16"


def test_a_model_that_is_not_built_in_runs_in_fp32_unless_another_precision_is_named():
    spec = seglib.find_model(torch.nn.Conv2d(3, 2, 1), classes=["background", "cat"])
    assert config.resolve_precision(spec, "auto", [], "cpu") == "fp32"
    assert config.resolve_precision(spec, "bf16", [], "cpu") == "bf16"
    with pytest.raises(UsageError, match="runs in fp32 or bf16, not in int8: take `precision` fp32"):
        config.resolve_precision(spec, "int8", [], "cpu")


@pytest.mark.parametrize(
    ("flags", "precision"), [("avx2 avx512f", "fp32"), ("avx512_bf16", "bf16"), ("amx_bf16 amx_tile", "bf16")]
)
def test_auto_takes_bf16_only_where_the_processor_has_it(monkeypatch, flags, precision):
    monkeypatch.setattr("pathlib.Path.read_text", lambda path: f"flags : fpu {flags}\n")
    assert config.fastest_precision("cpu") == precision


def test_auto_takes_fp32_where_nothing_is_known_of_the_processor(monkeypatch):
    def missing(path):
        raise FileNotFoundError

    monkeypatch.setattr("pathlib.Path.read_text", missing)
    assert config.fastest_precision("cpu") == "fp32"


@pytest.mark.parametrize(
    "name", ["fcn_mobilenet_v2", "fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"]
)
def test_folding_batch_norms_changes_logits_by_rounding_alone(name):
    torch.manual_seed(0)
    net = MODELS[name].build(21).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        expected = net(x)["out"]
        folded = optimize.prepare_for_inference(net, torch.float32)
        found = torch.nn.functional.interpolate(folded(x), size=(64, 96), mode="bilinear", align_corners=False)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_blocks_may_stay_in_float32():
    net = optimize.prepare_for_inference(MODELS["fcn_mobilenet_v2"].build(21).eval(), torch.bfloat16, ("backbone.2",))
    kinds = {name: p.dtype for name, p in net.named_parameters()}
    kept = [name for name in kinds if name.startswith("backbone.2.")]
    assert kept
    assert all((dtype == torch.float32) == (name in kept) for name, dtype in kinds.items())
    with torch.inference_mode():
        logits = net(torch.zeros(1, 3, 64, 64, dtype=torch.bfloat16))
    assert (logits.dtype, logits.shape) == (torch.bfloat16, (1, 21, 8, 8))


def test_the_confidence_map_has_the_mean_that_is_stored(fake):
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    settings = config.InferenceConfig(resize=fake.resize)
    (measures,) = predictor.predict_batch(image[None], fake, settings)[1]
    grid = predictor.confidence_map(image, fake, settings)
    assert grid.shape == (48, 64)
    assert float(grid.mean()) == pytest.approx(measures.confidence, abs=1e-6)


@pytest.mark.parametrize(("threads", "meanwhile"), [(1, 1), (2, 1), (4, 3)])
def test_a_core_is_spared_only_meanwhile(threads, meanwhile):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch_backend.spare_core():
            assert torch.get_num_threads() == meanwhile
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
