"""What a folder of transformers may hold, and what is refused in a sentence; nothing of it is executed."""

import json
import pickle
import struct
import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="the extra hf is not installed")

import torch

import seglib
from seglib.errors import SegError, UsageError, WeightsError
from tests.seglib.adapters.hugging_face import tiny_models
from tests.seglib.adapters.hugging_face.tiny_models import HEAD, find, replace_weights, weights


def test_a_model_is_described_without_loading_it(folder):
    spec = find(folder)
    assert (spec.name, spec.classes) == ("tiny-segformer", tiny_models.CLASSES)
    assert spec.parameters == sum(one.numel() for one in seglib.load_model(spec).parameters())
    assert spec.resize.grid_wh(640, 480) == (128, 96)
    assert spec.input_rule.grid_wh(640, 480) == (128, 96)
    assert spec.request.model == f"hf:{folder}"


def test_a_relative_path_is_found_again_from_elsewhere(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(folder.parent)
    spec = seglib.find_model("hf:tiny-segformer/")
    monkeypatch.chdir(tmp_path)
    assert seglib.find_model(spec.request.model) == spec
    assert spec == find(folder)


# --- settings ---


@pytest.mark.parametrize(
    ("file", "values", "reason"),
    [
        (
            "config.json",
            {"auto_map": {"AutoModel": "evil.Model"}},
            r"config.json names code of its own, .* \(auto_map\)",
        ),
        ("config.json", {"backbone_config": {"auto_map": {"AutoBackbone": "evil.Backbone"}}}, "code of its own"),
        ("config.json", {"quantization_config": {"quant_method": "bitsandbytes"}}, "its weights are quantised"),
        ("config.json", {"backbone": "microsoft/resnet-50"}, "takes its backbone from 'microsoft/resnet-50'"),
        ("config.json", {"model_type": None}, "names no model_type"),
        ("config.json", {"model_type": "clipseg"}, "needs a text for each class"),
        ("config.json", {"model_type": "segformer2"}, "gives no semantic masks: expected one of beit, .*segformer"),
        ("config.json", {"architectures": ["SegformerForImageClassification"]}, "expected SegformerForSemanticSegm"),
        ("config.json", {"hidden_sizes": "large"}, "cannot be built from its config.json"),
        ("config.json", {"num_attention_heads": [1, 1, 3, 3]}, "do not fit its config.json: segformer"),
        ("preprocessor_config.json", {"auto_map": {"AutoImageProcessor": "evil.Processor"}}, "code of its own"),
        ("preprocessor_config.json", {"image_processor_type": "pipeline"}, "'pipeline' is not known"),
        ("preprocessor_config.json", {"image_processor_type": "../evil"}, "is not known"),
        ("preprocessor_config.json", {"image_std": [0, 1, 1]}, "not above 0"),
        ("preprocessor_config.json", {"image_mean": "grey"}, "expected three numbers"),
        ("preprocessor_config.json", {"resample": 17}, "the filter 17"),
        ("preprocessor_config.json", {"size": {"height": 99_999, "width": 64}}, "expected sides of 32 to 8192"),
        ("preprocessor_config.json", {"size": {"height": 16, "width": 64}}, "expected sides of 32 to 8192"),
        ("preprocessor_config.json", {"size": "large"}, "cannot be read"),
        ("preprocessor_config.json", {"rescale_factor": "small"}, "cannot be read"),
        ("preprocessor_config.json", {"size": {"longest_edge": 64}}, "expected height and width, or the shortest edge"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(folder, file, values, reason):
    tiny_models.edit_json(folder / file, **values)
    with pytest.raises(SegError, match=reason) as error:
        seglib.load_model(find(folder))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("content", ["{", "[" * 100_000, "[]", "\udcff"])
def test_damaged_settings_are_refused(folder, file, content):
    (folder / file).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(WeightsError, match=rf"{file} is not"):
        find(folder)


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("config.json", "has no config.json"),
        ("preprocessor_config.json", "save the image processor"),
        ("model.safetensors", r"has no model.safetensors \(it holds no other files\)"),
    ],
)
def test_what_is_missing_is_named(folder, missing, reason):
    (folder / missing).unlink()
    with pytest.raises(WeightsError, match=reason):
        find(folder)


def test_an_adapter_without_its_model_is_refused(folder):
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "somebody/else"}))
    with pytest.raises(WeightsError, match="merge the two"):
        find(folder)


def test_attention_kernels_and_other_weights_that_a_config_names_are_not_used(folder):
    before = find(folder)
    tiny_models.edit_json(
        folder / "config.json",
        attn_implementation="somebody/kernel",
        transformers_weights="/etc/passwd",
        dtype="float16",
    )
    model = seglib.load_model(find(folder))
    assert model.config._attn_implementation in ("sdpa", "eager")
    assert model.dtype == torch.float32
    assert find(folder) == before


@pytest.mark.parametrize(
    "option", [{"mean": (0, 0, 0)}, {"channels": "bgr"}, {"scores": "logits"}, {"output": "logits"}]
)
def test_what_the_folder_says_itself_is_not_asked(folder, option):
    with pytest.raises(UsageError, match=f"leave out `{next(iter(option))}`"):
        find(folder, **option)


def test_without_transformers_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SegError, match=r"pip install '\.\[hf\]'"):
        find(folder)


# --- class names ---


def name_classes(folder: Path, labels) -> None:
    tiny_models.edit_json(folder / "config.json", id2label=labels, label2id=None)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"0": "a", "2": "b"}, "its 2 indices are not 0 to 1"),
        ({"first": "a", "1": "b"}, "no whole number"),
        ({str(index): f"c{index}" for index in range(256)}, "names 256 classes, and a mask holds at most 255"),
        ({"0": "a", "1": " "}, "empty, too long or not printable"),
        ({"0": "a", "1": None}, "empty, too long or not printable"),
        (["a", "b"], "no whole number"),
        ({}, "empty, too long"),
    ],
)
def test_lists_of_classes_that_cannot_be_read_are_refused(folder, labels, reason):
    name_classes(folder, labels)
    with pytest.raises(WeightsError, match=reason):
        find(folder)


def test_names_that_repeat_are_told_apart_and_spaces_are_left_out(folder):
    name_classes(folder, {"0": "wall ", "1": "door", "2": "Background", "3": "Door", "4": "cat"})
    assert find(folder).classes == ("wall", "door", "background", "Door (3)", "cat")


def test_classes_can_be_named_by_the_person_who_brings_the_model(folder):
    assert find(folder, classes=["a", "b", "c", "d", "e"]).classes == ("a", "b", "c", "d", "e")
    with pytest.raises(UsageError, match=r"has 5 classes, and `classes` names 2: expected 5"):
        find(folder, classes=["a", "b"])


def test_numbered_classes_are_accepted_and_said(folder):
    name_classes(folder, {str(index): f"LABEL_{index}" for index in range(5)})
    spec = find(folder)
    assert spec.classes[4] == "LABEL_4"
    (note,) = spec.adapter.load_backend(spec, "fp32", "cpu").notes
    assert note == "tiny-segformer calls its classes LABEL_0, LABEL_1, ...: name them in index order with `classes`."


def test_one_channel_is_the_second_of_two_classes(tmp_path):
    one = tiny_models.save(tmp_path / "one", lambda t: tiny_models.segformer(t, **tiny_models.labels(["cat"])))
    with pytest.raises(UsageError, match="has one class, 'cat': name two"):
        find(one)
    spec = find(one, classes=["background", "cat"])
    (note,) = spec.adapter.load_backend(spec, "fp32", "cpu").notes
    assert note == "one gives one channel, read as the logit of 'cat'."


# --- weights ---


def test_shards_give_the_same_model_as_one_file(folder, tmp_path):
    shards = tiny_models.save(tmp_path / "shards", tiny_models.segformer, max_shard_size="8KB")
    assert not (shards / "model.safetensors").exists()
    assert len(find(shards).adapter.files) > 2
    whole, parts = (seglib.load_model(find(one)).state_dict() for one in (folder, shards))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert find(shards).parameters == find(folder).parameters


@pytest.mark.parametrize(
    "name", ["../outside.safetensors", "/etc/passwd", "other.bin", "..\\outside.safetensors", "gone.safetensors"]
)
def test_an_index_that_names_other_files_is_refused(folder, name):
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"decode_head.x": name}}))
    with pytest.raises(WeightsError, match=r"which is (no \.safetensors file beside it|missing)"):
        find(folder)


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


def test_pickles_are_read_only_if_allowed_and_never_executed(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    expected = seglib.load_model(find(folder)).state_dict()
    torch.save(weights(folder), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="add `allow_pickle`"):
        find(folder)
    spec = find(folder, allow_pickle=True)
    assert seglib.find_model(spec.request.model, allow_pickle=True) == spec
    found = seglib.load_model(spec).state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Evil()}))
    with pytest.raises(WeightsError, match="holds tensors and plain data alone"):
        seglib.load_model(find(folder, allow_pickle=True))
    assert not Path("executed").exists()


def test_a_header_of_ten_gigabytes_is_refused(folder):
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 10 * 2**30) + b"{}")
    with pytest.raises(WeightsError, match="not a safetensors file, or it is damaged"):
        find(folder)


def test_truncated_weights_are_refused(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"model.safetensors is not a checkpoint"):
        seglib.load_model(find(folder))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: state.pop(HEAD), f"no weights for {HEAD}, which would be random"),
        (lambda state: state | {HEAD: state[HEAD][:3]}, rf"{HEAD} has the shape \(3, 16, 1, 1\), and \(5, 16, 1, 1\)"),
        (lambda state: state | {HEAD: state[HEAD] * float("nan")}, f"NaN or infinite numbers in {HEAD}"),
        (
            lambda state: state | {"more.weight": torch.ones(2)},
            "has weights for more.weight, which its config.json has",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(folder, change, reason):
    state = weights(folder)
    replace_weights(folder, changed if isinstance(changed := change(state), dict) else state)
    with pytest.raises(WeightsError, match=reason):
        seglib.load_model(find(folder))


def test_a_backbone_without_a_head_is_refused(folder):
    replace_weights(folder, {k: v for k, v in weights(folder).items() if not k.startswith("decode_head.")})
    with pytest.raises(WeightsError, match=r"no weights for decode_head\.\S+ and \d+ more, which would be random"):
        seglib.load_model(find(folder))


def test_parts_that_only_training_needs_may_be_missing_or_left_over(folder, tmp_path):
    replace_weights(folder, weights(folder) | {"auxiliary_head.x": torch.ones(2), "a.position_index": torch.arange(3)})
    assert seglib.load_model(find(folder))
    upernet = tiny_models.save(tmp_path / "upernet", tiny_models.upernet)
    state = weights(upernet)
    without = {name: value for name, value in state.items() if not name.startswith("auxiliary_head.")}
    assert len(without) < len(state)
    replace_weights(upernet, without)
    assert seglib.load_model(find(upernet))


def test_a_file_is_no_folder(folder):
    with pytest.raises(UsageError, match="is a file: name the folder"):
        find(folder / "config.json")
