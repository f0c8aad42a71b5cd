"""The registry and the loading of weights. No test downloads: the network is cut, or a local file stands in for it."""

import hashlib
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model_weights

from seglib.classes import VOC_CLASSES
from seglib.errors import UnknownName, UsageError, WeightsError
from seglib.models import loading, registry
from seglib.models.checkpoint import metadata
from seglib.models.registry import MODELS, find_model_spec

TORCHVISION = [name for name, spec in MODELS.items() if spec.source == "torchvision"]
EMBEDDED = [name for name, spec in MODELS.items() if spec.source == "embedded"]


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch) -> Path:
    """A torch cache of this test's own, and no way out."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def no_network(*_, **__):
        raise OSError("no network in tests")

    monkeypatch.setattr("torch.hub.urlopen", no_network)
    return tmp_path / "torch" / "hub" / "checkpoints"


def bare(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return registry.get_model_builder(name)(21)


# --- the registry tells the truth ---


@pytest.mark.parametrize("name", list(MODELS))
def test_parameters_are_counted_and_the_net_maps_a_batch_to_21_logits(name):
    with torch.device("meta"):
        net = MODELS[name].build(21).eval()
        logits = net(torch.empty(2, 3, 64, 96))["out"]
    assert sum(p.numel() for p in net.parameters()) == MODELS[name].parameters
    assert logits.shape == (2, 21, 64, 96)


@pytest.mark.parametrize("name", TORCHVISION)
def test_specs_repeat_what_torchvisions_weights_say(name):
    weights = get_model_weights(name)["COCO_WITH_VOC_LABELS_V1"]
    spec = MODELS[name]
    assert weights.url.rsplit("/", 1)[1] == spec.weights
    assert spec.sha256.startswith(spec.weights.removesuffix(".pth").rsplit("-", 1)[1])
    assert tuple(weights.meta["categories"][1:]) == spec.classes[1:] == VOC_CLASSES[1:]
    assert (weights.meta["categories"][0], spec.classes[0]) == ("__background__", "background")
    transforms = weights.transforms()
    assert spec.resize.text == f"short:{transforms.resize_size[0]}"
    assert (tuple(transforms.mean), tuple(transforms.std)) == (spec.mean, spec.std)


def test_the_hub_folder_is_torchs_own(monkeypatch):
    assert registry.hub_folder() == Path(torch.hub.get_dir()) / "checkpoints"
    monkeypatch.delenv("TORCH_HOME")
    assert registry.hub_folder() == Path(torch.hub.get_dir()) / "checkpoints"


def test_the_embedded_checkpoint_is_genuine_and_loads_without_network():
    spec = find_model_spec()
    assert (spec.name, spec.source) == ("fcn_mobilenet_v2", "embedded")
    assert loading.weights_sha256(spec) == spec.sha256
    net = loading.load(spec)
    assert not net.training
    assert {p.dtype for p in net.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_embedded_files_say_themselves_what_their_models_say(name):
    spec = MODELS[name]
    file = find_model_spec(None, spec.path)
    said = ("name", "classes", "resize", "net_side", "mean", "std", "parameters")
    assert [getattr(file, one) for one in said] == [getattr(spec, one) for one in said]


def test_operations_follow_what_the_net_sees():
    spec = replace(MODELS["fcn_resnet50"], gflops=8.0)
    assert spec.gflops_at(520, 520) == 8
    assert spec.gflops_at(260, 260) == 2
    assert replace(spec, net_side=288).gflops_at(576, 288) == 16
    assert replace(spec, gflops=None).gflops_at(1, 1) is None


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownName, match="fcn_mobilenet_v2, unet_mobilenet_v2, fcn_resnet50"):
        find_model_spec("fcn_resnet18")


# --- torchvision's weights ---


def test_without_network_and_file_one_sentence_says_what_is_needed(empty_cache):
    with pytest.raises(WeightsError) as caught:
        loading.ensure_weights(MODELS["fcn_resnet50"])
    message = str(caught.value)
    assert "fcn_resnet50_coco-1167a1af.pth" in message
    assert str(empty_cache) in message
    assert "`model` fcn_mobilenet_v2, which works offline" in message
    assert "\n" not in message


def test_a_download_is_kept_if_its_hash_fits(empty_cache, tmp_path, monkeypatch):
    """torchvision's own loader fetches from a file: URL: download, progress, hash check and final place are real."""
    published = tmp_path / "published.pth"
    torch.save(bare("lraspp_mobilenet_v3_large").state_dict(), published)
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    spec = _served(monkeypatch, published, digest[:8])
    loading.ensure_weights(spec)
    assert spec.path.parent == empty_cache
    assert loading.weights_sha256(spec) == digest
    assert loading.load(spec)(torch.zeros(1, 3, 64, 64))["out"].shape == (1, 21, 64, 64)


def test_a_download_with_a_wrong_hash_is_refused_and_leaves_nothing(empty_cache, tmp_path, monkeypatch):
    published = tmp_path / "published.pth"
    torch.save({"weight": torch.zeros(1)}, published)
    with pytest.raises(WeightsError, match="invalid hash value"):
        loading.ensure_weights(_served(monkeypatch, published, "00000000"))
    assert not list(empty_cache.iterdir())


def _served(monkeypatch, published: Path, digest: str) -> registry.ModelSpec:
    import urllib.request

    monkeypatch.setattr("torch.hub.urlopen", urllib.request.urlopen)
    name = f"lraspp_mobilenet_v3_large-{digest}.pth"
    served = published.with_name(name)
    shutil.copy(published, served)
    weights = get_model_weights("lraspp_mobilenet_v3_large")
    monkeypatch.setattr(
        weights["COCO_WITH_VOC_LABELS_V1"],
        "_value_",
        replace(weights["COCO_WITH_VOC_LABELS_V1"].value, url=served.as_uri()),
    )
    return replace(MODELS["lraspp_mobilenet_v3_large"], weights=name, sha256=digest)


def test_a_file_that_already_lies_there_is_checked_too(empty_cache):
    empty_cache.mkdir(parents=True)
    torch.save(bare("fcn_resnet50").state_dict(), empty_cache / "fcn_resnet50_coco-1167a1af.pth")
    with pytest.raises(WeightsError, match=r"expected 1167a1af.*Delete it"):
        loading.weights_sha256(MODELS["fcn_resnet50"])


# --- torch.hub ---


@pytest.mark.slow
def test_source_hub_runs_the_code_of_the_pinned_tag(empty_cache):
    """torch.hub's own cache of the repository stands in for the network."""
    spec = replace(find_model_spec("fcn_resnet50", source="hub"), sha256="")
    torch.manual_seed(0)
    empty_cache.mkdir(parents=True)
    torch.save(MODELS["fcn_resnet50"].build(21).state_dict(), spec.path)
    repository = empty_cache.parent / registry.HUB_REPOSITORY.replace("/", "_").replace(":", "_")
    repository.mkdir()
    (repository / "hubconf.py").write_text(
        "import torch\n"
        "def fcn_resnet50(weights):\n"
        "    assert weights == 'COCO_WITH_VOC_LABELS_V1'\n"
        "    net = torch.nn.Identity(); net.aux_classifier = torch.nn.Identity(); return net\n"
    )
    (empty_cache.parent / "trusted_list").write_text("pytorch_vision\n")
    net = loading.load(spec)
    assert isinstance(net, torch.nn.Identity)
    assert net.aux_classifier is None


def test_source_hub_without_network_is_a_sentence(empty_cache):
    spec = replace(find_model_spec("fcn_resnet50", source="hub"), sha256="")
    empty_cache.mkdir(parents=True)
    spec.path.write_bytes(b"x")
    with pytest.raises(WeightsError, match="leave out `source` hub"):
        loading.load(spec)


def test_our_own_net_is_not_on_the_hub():
    with pytest.raises(UsageError, match=r"not on torch\.hub"):
        find_model_spec("fcn_mobilenet_v2", source="hub")


# --- --weights FILE ---


@pytest.mark.slow
def test_a_state_dict_with_auxiliary_head_fits_the_net_that_runs(tmp_path):
    from torchvision.models.segmentation import fcn_resnet50

    file = tmp_path / "mine.pth"
    torch.save(fcn_resnet50(weights=None, weights_backbone=None, aux_loss=True).state_dict(), file)
    spec = find_model_spec("fcn_resnet50", file)
    assert (spec.source, spec.path) == ("file", file)
    assert loading.load(spec).aux_classifier is None


def test_a_safetensors_file_names_its_model_classes_and_resize_itself(tmp_path):
    file = tmp_path / "pets.safetensors"
    about = {"architecture": "fcn_mobilenet_v2", "classes": '["background", "pet"]', "resize": "short:384"}
    save_file(registry.get_model_builder("fcn_mobilenet_v2")(2).state_dict(), file, about)
    spec = find_model_spec(None, file)
    assert spec.net_side == 0  # the embedded net's own is of its file, not of every file of this name
    assert (spec.name, spec.classes, spec.resize.text) == ("fcn_mobilenet_v2", ("background", "pet"), "short:384")
    assert loading.load(spec)(torch.zeros(1, 3, 64, 64))["out"].shape[1] == 2


def test_a_pth_needs_its_model_named(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(UsageError, match="`model`"):
        find_model_spec(None, tmp_path / "x.pth")


def test_weights_of_another_model_are_refused(tmp_path):
    file = tmp_path / "other.pth"
    torch.save(bare("lraspp_mobilenet_v3_large").state_dict(), file)
    with pytest.raises(WeightsError, match=r"does not fit fcn_mobilenet_v2.*take `model` lraspp_mobilenet_v3_large"):
        loading.load(find_model_spec("fcn_mobilenet_v2", file))
    save_file({"a": torch.zeros(1)}, tmp_path / "s.safetensors", {"architecture": "fcn_resnet50"})
    with pytest.raises(WeightsError, match="made for fcn_resnet50, not for fcn_mobilenet_v2"):
        find_model_spec("fcn_mobilenet_v2", tmp_path / "s.safetensors")


class Payload:
    def __reduce__(self):
        return (Path.touch, (Path("payload-ran"),))


@pytest.mark.parametrize("content", [b"", b"hello", Payload(), {"a": 1}, [1]])
def test_what_is_no_state_dict_is_refused_in_a_sentence(tmp_path, content, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "x.pth"
    file.write_bytes(content) if isinstance(content, bytes) else torch.save(content, file)
    with pytest.raises(WeightsError, match=r"^x\.pth .*tensors") as caught:
        loading.load(find_model_spec("fcn_mobilenet_v2", file))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "payload-ran").exists()


def test_a_damaged_safetensors_file_is_refused(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(WeightsError, match="not a safetensors file"):
        find_model_spec(None, tmp_path / "x.safetensors")


def test_nan_weights_are_refused(tmp_path):
    state = bare("fcn_mobilenet_v2").state_dict()
    state["classifier.4.bias"][3] = float("nan")
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"NaN.*classifier\.4\.bias"):
        loading.load(find_model_spec("fcn_mobilenet_v2", tmp_path / "x.pth"))


@pytest.mark.parametrize(
    "harm",
    [
        lambda value: value.to(torch.complex64),
        lambda value: value.to(torch.int8),
        lambda value: value.float().to_sparse(),
        lambda value: torch.zeros(1).expand(10**12),
    ],
)
def test_numbers_of_another_kind_or_shape_are_refused_before_anything_is_computed(tmp_path, harm):
    state = bare("fcn_mobilenet_v2").state_dict()
    state["classifier.4.bias"] = harm(state["classifier.4.bias"])
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"x\.pth (does not fit|holds sparse tensors|.* has the data of 1 numbers)"):
        loading.load(find_model_spec("fcn_mobilenet_v2", tmp_path / "x.pth"))


def test_keys_that_are_no_names_are_refused(tmp_path):
    torch.save({1: torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="something other than a state dict"):
        loading.load(find_model_spec("fcn_mobilenet_v2", tmp_path / "x.pth"))


def test_a_compressed_checkpoint_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"")
        archive.writestr("archive/data/0", bytes(10_000_000))
    with pytest.raises(WeightsError, match="it is compressed"):
        loading.load(find_model_spec("fcn_mobilenet_v2", tmp_path / "x.pth"))


def test_nobody_is_told_how_to_run_what_a_checkpoint_holds(tmp_path):
    torch.save(Payload(), tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="it holds an object of") as caught:
        loading.load(find_model_spec("fcn_mobilenet_v2", tmp_path / "x.pth"))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "about",
    [
        {"classes": '"abc"'},
        {"classes": "[1, 2]"},
        {"classes": '["cat", "cat"]'},
        {"classes": '["\\u001b[2J"]'},
        {"classes": "[" * 100_000},
        {"mean": "[0.5, 0.5]"},
        {"mean": "[NaN, 0, 0]"},
        {"std": "[0, 0, 0]"},
        {"net_side": "wide"},
        {"net_side": "31"},
        {"net_side": "8193"},
        {"net_side": "-288"},
        {"recipe": "{}", "options": "[1]"},
    ],
)
def test_metadata_that_makes_no_sense_is_a_sentence(tmp_path, about):
    file = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(1)}, file, {"architecture": "fcn_mobilenet_v2", **about})
    with pytest.raises(WeightsError, match="has metadata that cannot be read"):
        find_model_spec(None, file)
    if "options" in about:
        with pytest.raises(WeightsError, match="has metadata that cannot be read"):
            metadata.read_options(file)


def test_a_header_that_is_nested_without_end_is_a_sentence(tmp_path):
    (tmp_path / "x.safetensors").write_bytes((200_000).to_bytes(8, "little") + b"[" * 200_000)
    with pytest.raises(WeightsError, match="not a safetensors file"):
        find_model_spec(None, tmp_path / "x.safetensors")


def test_an_option_that_the_net_does_not_have_is_a_sentence(tmp_path):
    about = {"architecture": "fcn_mobilenet_v2", "recipe": "{}", "options": '{"colour": "red"}'}
    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors", about)
    with pytest.raises(WeightsError, match="does not fit fcn_mobilenet_v2"):
        loading.load(find_model_spec(None, tmp_path / "x.safetensors"))


def test_a_name_of_any_length_makes_a_short_sentence():
    with pytest.raises(UnknownName) as caught:
        find_model_spec("x" * 1_000_000)
    assert len(str(caught.value)) < 500


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(WeightsError, match="no weights file"):
        find_model_spec("fcn_mobilenet_v2", tmp_path / "nowhere.pth")
