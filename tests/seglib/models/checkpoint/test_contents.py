"""What a checkpoint holds is read without running anything; what is no checkpoint is told in one sentence."""

import argparse
import collections
import os
import pickle
import struct
import subprocess
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import seglib
from seglib.errors import SegError, WeightsError
from seglib.models import loading, weights_file
from seglib.models.checkpoint import contents, pickled
from seglib.models.checkpoint.contents import read_contents
from seglib.models.checkpoint.pickled import TensorInfo
from tests.conftest import ROOT

NAME = "fcn_resnet50"


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


def archive(structure: bytes, **more: bytes) -> bytes:
    """A zip archive as torch writes it, around this pickle."""
    file = Path("archive.zip")
    with zipfile.ZipFile(file, "w") as opened:
        records = {"data.pkl": structure, "version": b"3\n", "byteorder": b"little"}
        for name, data in {**records, **more}.items():
            opened.writestr(f"archive/{name}", data)
    return file.read_bytes()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refuse(file: Path) -> str:
    """The sentence that refuses a file, found and loaded as `seglib run` does."""
    with pytest.raises(SegError) as caught:
        loading.load(seglib.find_model(NAME, weights=file))
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert len(sentence) < 600
    assert not Path("ran").exists()
    return sentence


def test_tensors_are_listed_as_torch_reads_them(folder):
    saved = {
        "model": {
            "a": torch.zeros(2, 3),
            "b": torch.zeros((), dtype=torch.int64),
            "c": torch.nn.Parameter(torch.ones(1)),
        },
        "half": {"d": torch.zeros(4, dtype=torch.bfloat16)},
        "eight": {"e": torch.zeros(4).to(torch.float8_e4m3fn)},
        "strided": {"f": torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last)[:, :2]},
    }
    for zipped in (True, False):
        kept = (
            saved if zipped else {name: state for name, state in saved.items() if name != "eight"}
        )  # torch's own limit
        torch.save(kept, "x.pth", _use_new_zipfile_serialization=zipped)
        read = torch.load("x.pth", weights_only=True)
        assert read_contents(folder / "x.pth").state_dicts == {
            (name,): {
                key: TensorInfo(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
                for key, tensor in tensors.items()
            }
            for name, tensors in read.items()
        }


def test_reading_the_structure_does_not_import_torch(folder):
    torch.save({"model": {"a": torch.zeros(2, 3)}, "args": argparse.Namespace(a=1)}, "x.pth")
    code = (
        "import sys; from pathlib import Path; from seglib.models.checkpoint.contents import read_contents; "
        "print(list(read_contents(Path('x.pth')).state_dicts), 'torch' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert ran.stdout == "[('model',)] False\n"


def test_plain_data_beside_the_weights_is_read_as_nothing(folder, monkeypatch):
    module = types.ModuleType("lightning.fabric.utilities.data")
    attributes = type("AttributeDict", (dict,), {"__module__": module.__name__})
    module.AttributeDict = attributes  # type: ignore[attr-defined]
    for name in ("lightning", "lightning.fabric", "lightning.fabric.utilities"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    saved = {
        "state": {"a": torch.arange(3.0)},
        "args": argparse.Namespace(lr=0.1, out=Path("a") / "b", names=["c"], none=None),
        "best": np.float64(0.5),
        "history": np.arange(6).reshape(2, 3),
        "milestones": collections.Counter([3, 5]),
        "parameters": attributes(lr=0.1),
        "text": "a" * 300,
        "bytes": b"abc",
    }
    torch.save(saved, "x.pth")
    chosen = weights_file.Selection(("state",))
    assert torch.equal(weights_file.read_state_dict(folder / "x.pth", chosen)["a"], torch.arange(3.0))


def test_a_dict_that_holds_itself_is_read_once(folder):
    state: dict[str, Any] = {"a": torch.zeros(1)}
    state["itself"] = state
    torch.save(state, "x.pth")
    assert list(read_contents(folder / "x.pth").state_dicts) == [()]


@pytest.mark.parametrize(
    ("saved", "sentence"),
    [
        (Payload(), "it holds an object of 'posix.system', which could be code"),
        ({"state_dict": {"a": torch.zeros(1)}, "more": [Payload()]}, "it holds an object of 'posix.system'"),
        (torch.nn.Conv2d(3, 3, 1), "it holds an object of 'torch.nn.modules.conv.Conv2d'"),
        ({"a": torch.zeros(3).to_sparse()}, "holds sparse tensors: expected"),
        ({"a": torch.zeros(3, device="meta")}, "holds tensors of the device meta, without values: expected"),
        ({"a": torch.zeros(1).expand(10**12)}, "has the data of 1 numbers"),
        ({1: torch.zeros(1)}, "no tensors by name"),
        ({(1, 2): torch.zeros(1)}, "keys are neither names nor numbers"),
        ([torch.zeros(1)], "no tensors by name"),
        ({}, "no tensors by name"),
    ],
)
def test_what_torch_saved_and_is_no_state_dict_is_a_sentence(folder, saved, sentence):
    for zipped in (True, False):
        torch.save(saved, "x.pth", _use_new_zipfile_serialization=zipped)
        assert sentence in refuse(folder / "x.pth")


TUPLES = b"\x80\x02}(" + b")" + 200_000 * b"\x85" + b"K\x01u."  # a dict whose key is nested deeper than C's stack
PICKLES = {
    "keys nested without end": (TUPLES, "keys are neither names nor numbers"),
    "a number out of range for a memo": (b"\x80\x02Nr\xff\xff\xff\x7f.", "no tensors by name"),
    "an array of bytes of 2 GB": (b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R.", "__builtin__.bytearray"),
    "an opcode that torch does not write": (b"\x80\x02(i__main__\nPayload\n.", "opcode INST"),
    "an extension": (b"\x80\x02\x82\x01.", "opcode EXT1"),
    "a codec": (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.", "_codecs.encode"),
    "no end": (b"\x80\x02]", "exhausted"),
    "quantised tensors": (b"\x80\x02ctorch._utils\n_rebuild_qtensor\n.", "holds quantised tensors: expected"),
    "nothing on the stack": (b"\x80\x02a.", "IndexError|pop from empty list"),
    "an empty memo": (b"\x80\x02h\x05.", "5"),
    "nothing": (b"", "exhausted"),
    "a call of no function": (b"\x80\x02]]R.", "calls what is no function"),
    "a storage of another kind": (b"\x80\x02K\x01Q.", "int"),
}


@pytest.mark.parametrize("case", PICKLES)
def test_a_pickle_that_torch_would_not_write_is_a_sentence(folder, case):
    structure, sentence = PICKLES[case]
    (folder / "x.pth").write_bytes(archive(structure))
    said = refuse(folder / "x.pth")
    assert any(part in said for part in sentence.split("|")), said


def test_a_structure_of_any_length_ends(folder, monkeypatch):
    monkeypatch.setattr(pickled, "_MOST_STEPS", 10_000)
    (folder / "x.pth").write_bytes(archive(b"\x80\x02" + 10_001 * b"]" + b"."))
    assert "its structure has no end" in refuse(folder / "x.pth")
    monkeypatch.setattr(contents, "_MOST_STRUCTURE", 10_000)
    assert "its structure takes 10,004 bytes" in refuse(folder / "x.pth")


def test_a_stated_size_without_the_data_is_refused(folder):
    """By torch's reader, where the pickle contradicts only the archive: its storage and its tensor agree."""
    torch.save({"a": torch.zeros(3)}, "x.pth")
    with zipfile.ZipFile("x.pth") as opened:
        structure = opened.read("x/data.pkl")
    assert structure.count(b"K\x03") == 2  # of the storage and of the tensor
    (folder / "x.pth").write_bytes(archive(structure.replace(b"K\x03", b"J\xff\xff\xff\x7f"), **{"data/0": bytes(12)}))
    with pytest.raises(WeightsError, match=r"^x\.pth is not a checkpoint"):
        weights_file.read_state_dict(folder / "x.pth")


def test_the_structure_is_checked_before_torch_reads_the_file(folder):
    """torch's reader makes arrays of bytes of any size."""
    structure, _ = PICKLES["an array of bytes of 2 GB"]
    (folder / "x.pth").write_bytes(archive(structure))
    with pytest.raises(WeightsError, match=r"it holds an object of '__builtin__\.bytearray'"):
        weights_file.read_state_dict(folder / "x.pth")


def test_an_archive_that_would_fill_the_memory_is_not_unpacked(folder):
    with zipfile.ZipFile("x.pth", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("archive/data.pkl", bytes(50_000_000))
    assert "it is compressed" in refuse(folder / "x.pth")


@pytest.mark.parametrize("name", ["x.safetensors", "x.pth"])
@pytest.mark.parametrize("length", [0, 9, 10_000_000_000, 2**64 - 1])
def test_a_header_of_any_stated_length_is_a_sentence(folder, name, length):
    (folder / name).write_bytes(struct.pack("<Q", length) + b'{"a": 1}')
    sentence = refuse(folder / name)
    if name == "x.safetensors" and length > 9:
        assert f"its header would take {length:,} bytes" in sentence


@pytest.mark.parametrize(
    "tensor",
    [
        b'{"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}',
        b'{"dtype": "F32", "shape": [1e999], "data_offsets": [0, 4]}',
        b'{"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}',
        b'{"dtype": "F32", "shape": [99999999999999999999], "data_offsets": [0, 4]}',
        b"7",
    ],
)
def test_a_header_that_makes_no_sense_is_a_sentence(folder, tensor):
    header = b'{"a": ' + tensor + b"}"
    (folder / "x.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    assert "not a safetensors file" in refuse(folder / "x.safetensors")


def test_a_truncated_file_is_a_sentence(folder):
    torch.save({"a": torch.zeros(1000)}, "x.pth")
    data = (folder / "x.pth").read_bytes()
    for share in (1, 10, len(data) // 2, len(data) - 1):
        (folder / "x.pth").write_bytes(data[:share])
        assert "is not a checkpoint" in refuse(folder / "x.pth")


def test_what_is_no_file_is_a_sentence(folder):
    (folder / "folder.pth").mkdir()
    os.mkfifo(folder / "pipe.pth")
    assert "it is a folder" in refuse(folder / "folder.pth")
    assert "it is no regular file" in refuse(folder / "pipe.pth")
    assert "There is no weights file" in refuse(folder / "gone.pth")
    assert "There is no weights file" in refuse(Path("a\0b.pth"))


def script(file: Path) -> None:
    file.write_bytes(archive(b"\x80\x02N.", **{"constants.pkl": b"\x80\x02).", "code/__torch__.py": b""}))


def exported(file: Path) -> None:
    torch.export.save(torch.export.export(torch.nn.ReLU(), (torch.zeros(1),)), str(file))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (script, "is a TorchScript file, which holds code: give it as `model` FILE, with `run_code`"),
        (exported, "is a program of torch.export: give it as `model` FILE"),
        (b"\x08\x08\x12\x07pytorch:", "is an ONNX file: give it as `model` FILE"),
        (b'<?xml version="1.0"?><net name="x">', "is the XML of an OpenVINO model: give it as `model` FILE"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (pickle.dumps({"a": Payload()}), "is a pickle that torch.save did not write"),
        (b"version 1/git-lfs/spec\noid sha256:0", "is a pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b"\x1f\x8b\x08", "is compressed by gzip"),
        (257 * b"a" + b"ustar\0", "is a tar archive"),
        (b"hello", "neither torch nor safetensors wrote it"),
    ],
)
def test_another_kind_of_file_is_named(folder, content, sentence):
    content(folder / "x.pth") if callable(content) else (folder / "x.pth").write_bytes(content)
    assert sentence in refuse(folder / "x.pth")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("encoder.conv1.weight", "decoder.p5.weight", "segmentation_head.0.weight"), "`model` smp:FOLDER"),
        (("segformer.encoder.patch.weight", "decode_head.linear_c.0.weight"), "`model` hf:FOLDER"),
        (("model.pixel_level_module.encoder.weight", "class_predictor.weight"), "`model` hf:FOLDER"),
        (("backbone.layer1.0.conv1.weight", "decode_head.conv_seg.weight"), "MMSegmentation: export it as ONNX"),
        (("model.0.conv.weight",), "Ultralytics: export it as ONNX"),
        (("conv1.weight", "layer1.0.conv1.weight", "fc.weight"), "a classifier"),
        (("net.module.layer.weight",), "it has none of that architecture's first and last layers"),
    ],
)
def test_the_library_that_a_state_dict_seems_to_be_of_is_named(folder, names, sentence):
    torch.save({"state_dict": {name: torch.zeros(2, 3) for name in names}}, "x.pth")
    said = refuse(folder / "x.pth")
    assert said.startswith(f"x.pth does not fit {NAME}: it holds {len(names)} tensor")
    assert f"in 'state_dict' ('{names[0]}' (2, 3)" in said
    assert sentence in said
