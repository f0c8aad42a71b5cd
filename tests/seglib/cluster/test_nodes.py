"""What the nodes of a cluster are asked, and which answers are refused; the cluster is made up."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from seglib.cluster import engine, nodes
from seglib.cluster.nodes import Node, NodeFacts
from seglib.errors import SegError, UsageError
from seglib.inference import config

HERE = NodeFacts(
    nodes.program_digest(),
    config.library_versions(),
    photo="FileNotFoundError",
    device="cpu",
    cuda=False,
    fastest="fp32",
)
ROOT, RECORD = Path("/mnt/photos"), {"path": "a.jpg", "bytes": 3}


def cluster(*resources: dict[str, float], dead: int = 0):
    """The module `ray`, as far as it lists nodes; the last ones may be dead."""
    alive = [True] * (len(resources) - dead) + [False] * dead
    listed = [
        {"NodeID": f"id{number}", "NodeManagerAddress": f"10.0.0.{number}", "Alive": is_alive, "Resources": has}
        for number, (has, is_alive) in enumerate(zip(resources, alive, strict=True), 1)
    ]
    return SimpleNamespace(nodes=lambda: listed)


def test_auto_takes_the_gpus_where_there_are_any():
    mixed = cluster({"CPU": 8.0}, {"CPU": 8.0, "GPU": 2.0}, {"CPU": 0.0}, {"CPU": 4.0, "GPU": 1.0}, dead=1)
    both = [Node("id1", "10.0.0.1", 8, 0), Node("id2", "10.0.0.2", 8, 2)]
    assert nodes.find_nodes(mixed, "auto") == nodes.find_nodes(mixed, "cuda") == ("cuda", both)
    assert nodes.find_nodes(mixed, "cpu") == ("cpu", both)
    assert nodes.find_nodes(cluster({}, {"CPU": 1.0}), "auto") == ("cpu", [Node("id2", "10.0.0.2", 1, 0)])


def test_a_cluster_without_what_is_asked_for_is_refused():
    with pytest.raises(UsageError, match="has a GPU: leave out `device` cuda"):
        nodes.find_nodes(cluster({"CPU": 1.0}), "cuda")
    with pytest.raises(SegError, match="has CPUs for workers"):
        nodes.find_nodes(cluster({}, {"CPU": 8.0}, dead=1), "auto")


@pytest.mark.parametrize(
    ("different", "sentence"),
    [
        ({"photo": "3 bytes"}, "Node b of the cluster cannot see the photos in /mnt/photos"),
        ({"code": "0" * 64}, "Node b of the cluster has another version of seglib"),
        ({"versions": HERE.versions | {"torch": "1.0"}}, "torch on node b of the cluster is 1.0, and here"),
        ({"versions": {}}, "numpy on node b of the cluster is none, and here|on node b of the cluster is none"),
        ({"device": "cuda"}, "Node b of the cluster has a GPU that torch cannot use there"),
    ],
)
def test_a_node_that_would_not_compute_the_same_is_refused(different, sentence):
    nodes.check_nodes({"a": HERE, "b": replace(HERE, device="cuda", cuda=True)}, "cuda", ROOT, RECORD)
    with pytest.raises(SegError, match=sentence):
        nodes.check_nodes({"a": HERE, "b": replace(HERE, **different)}, "cuda", ROOT, RECORD)


def test_several_blind_nodes_are_counted_and_builds_of_torch_are_alike():
    blind = replace(HERE, photo="3 bytes")
    with pytest.raises(SegError, match="Node a and 2 more of the cluster cannot see"):
        nodes.check_nodes({"a": blind, "b": blind, "c": blind, "d": HERE}, "cpu", ROOT, RECORD)
    nodes.check_nodes(
        {"a": replace(HERE, versions={n: f"{v}+cpu" for n, v in HERE.versions.items()})}, "cpu", ROOT, RECORD
    )


def test_a_precision_on_which_nodes_disagree_must_be_named():
    assert nodes.fastest_precision({"a": HERE, "b": HERE}, "cpu") == "fp32"
    faster = replace(HERE, fastest="bf16")
    with pytest.raises(SegError, match="name the `precision`"):
        nodes.fastest_precision({"a": HERE, "b": faster}, "cpu")
    assert nodes.fastest_precision({"a": HERE, "b": replace(faster, device="cuda")}, "cuda") == "bf16"


def test_what_is_seen_of_a_photo_is_its_size_or_why_there_is_none(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"abc")
    assert nodes.look_at(tmp_path, RECORD) == "3 bytes"
    assert nodes.look_at(tmp_path, RECORD | {"path": "b.jpg"}) == "FileNotFoundError"
    facts = nodes.read_facts("cpu", tmp_path, RECORD)
    assert facts == replace(HERE, photo="3 bytes", cuda=False, fastest=config.fastest_precision("cpu"))


@pytest.mark.parametrize(
    ("found", "device", "workers", "expected"),
    [
        ([(4, 0), (2, 0)], "cpu", None, (1, 0, 6, 0)),
        ([(4, 0), (3, 0)], "cpu", 2, (2, 0, 3, 0)),
        ([(16, 2), (4, 1)], "cuda", None, (1, 1, 3, 14 + 3)),
        ([(16, 2), (4, 1)], "cuda", 4, (4, 1, 3, 3)),
        ([(8, 1), (32, 0)], "cuda", None, (1, 1, 1, 7 + 32)),  # a node without a GPU decodes
        ([(1, 4)], "cuda", None, (1, 1, 1, 0)),
        ([(2, 2)], "cuda", 4, (1, 1, 2, 0)),
    ],
)
def test_an_actor_computes_on_a_cpu_or_a_gpu_for_which_others_decode(found, device, workers, expected):
    planned = engine.plan_actors([Node("id", "a", *one) for one in found], device, workers)
    assert (planned.cpus, planned.gpus, planned.fitting, planned.decoders) == expected


def test_more_decoding_processes_than_any_node_has_cpus_are_refused():
    with pytest.raises(UsageError, match="the 8 CPUs that `workers` asks for"):
        engine.plan_actors([Node("id", "a", 4, 0)] * 3, "cpu", 8)
