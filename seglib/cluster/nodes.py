"""Ask the nodes of a cluster what they are, and refuse those that would not compute the same as the others."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from seglib.cluster.connection import say_shortly
from seglib.data.photo_root import PhotoRoot, name_photo, read_photo
from seglib.data.scan import Record
from seglib.errors import BadImage, SegError, UsageError
from seglib.inference import config

_ANSWER_SECONDS = 120


@dataclass(frozen=True)
class Node:
    """A node of the cluster that has CPUs for workers."""

    node_id: str
    address: str
    cpus: int
    gpus: int


@dataclass(frozen=True)
class NodeFacts:
    code: str
    """Digest of this program."""
    versions: Mapping[str, str]
    """Of the libraries that may affect a mask."""
    photo: str
    """What `look_at` says of a photo there."""
    device: str
    """What computes there, as far as it was asked; CPUs beside GPUs only decode."""
    cuda: bool
    """Whether torch can use a GPU there; False also if nobody asked."""
    fastest: str
    """The faster precision on the device."""


def read_facts(device: str, root: PhotoRoot, record: Record) -> NodeFacts:
    """The facts of the node on which this is called, for workers on this device: `cpu` or `cuda`."""
    cuda = device == "cuda" and config.resolve_device("auto") == "cuda"
    fastest = config.fastest_precision(device) if cuda or device == "cpu" else "fp32"
    return NodeFacts(program_digest(), config.library_versions(), look_at(root, record), device, cuda, fastest)


def look_at(root: PhotoRoot, record: Record) -> str:
    """What is found where a scan found this photo: its size, or why there is none. Alike on all that see the photos."""
    try:
        if isinstance(root, Path):
            return f"{os.stat(root / record['path']).st_size} bytes"
        return f"{len(read_photo(root, record['path'], record['bytes'], record['etag']))} bytes"
    except OSError as error:
        return type(error).__name__
    except (BadImage, SegError) as error:
        return str(error)


@cache
def program_digest() -> str:
    """SHA-256 of this package's source."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        digest.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def find_nodes(ray: Any, device: str) -> tuple[str, list[Node]]:
    """The device, where `auto` is `cuda` if any node has a GPU, and the nodes with CPUs. Raises `SegError`."""
    alive = [
        Node(
            one["NodeID"],
            one["NodeManagerAddress"],
            int(one["Resources"].get("CPU", 0)),
            int(one["Resources"].get("GPU", 0)),
        )
        for one in ray.nodes()
        if one["Alive"]
    ]
    nodes = [node for node in alive if node.cpus]
    if not nodes:
        raise SegError("No node of the cluster has CPUs for workers: start one that has.")
    with_gpu = [node for node in nodes if node.gpus]
    if device == "cuda" and not with_gpu:
        raise UsageError("No node of the cluster has a GPU: leave out `device` cuda.")
    return ("cuda" if with_gpu and device != "cpu" else "cpu"), nodes


def ask_nodes(ray: Any, nodes: Sequence[Node], device: str, root: PhotoRoot, record: Record) -> dict[str, NodeFacts]:
    """Address -> facts of each node, found by a worker there. Raises `SegError` if one does not answer."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote = ray.remote(read_facts)
    asked = {}
    for node in nodes:
        on_gpu = device == "cuda" and node.gpus > 0
        asked[node.address] = remote.options(
            num_cpus=0,
            num_gpus=0.01 if on_gpu else 0,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=False),
        ).remote("cuda" if on_gpu else "cpu", root, record)
    facts = {}
    for address, reference in asked.items():
        try:
            facts[address] = ray.get(reference, timeout=_ANSWER_SECONDS)
        except Exception as error:  # Ray raises what the worker did, or its own kinds
            raise _describe_failure(address, error) from None
    return facts


def check_nodes(facts: Mapping[str, NodeFacts], device: str, root: PhotoRoot, record: Record) -> None:
    """Raise `SegError` if the nodes do not see the photos, or would not compute what this program does here."""
    here, where = look_at(root, record), name_photo(root, "").rstrip("/")
    if blind := [address for address, one in facts.items() if one.photo != here]:
        raise SegError(
            f"{_names(blind)} of the cluster cannot see the photos in {where}: name a folder "
            "on a disk that every node mounts at this path, or a bucket that every node has credentials for."
        )
    if other := [address for address, one in facts.items() if one.code != program_digest()]:
        raise SegError(f"{_names(other)} of the cluster has another version of seglib: install the same on all nodes.")
    versions_here = config.library_versions()
    for address, one in facts.items():
        for name in sorted({*versions_here, *one.versions}):
            found, expected = (_public(versions.get(name, "none")) for versions in (one.versions, versions_here))
            if found != expected:
                raise SegError(
                    f"{name} on node {address} of the cluster is {found}, and here {expected}: masks could differ; "
                    "install the same on all nodes."
                )
    without = [address for address, one in facts.items() if one.device == "cuda" and not one.cuda]
    if device == "cuda" and without:
        raise SegError(
            f"{_names(without)} of the cluster has a GPU that torch cannot use there, and masks of CPUs and GPUs "
            "differ: repair it, or take `device` cpu."
        )


def fastest_precision(facts: Mapping[str, NodeFacts], device: str) -> str:
    """The faster precision, on all nodes with this device. Raises `SegError` if that differs."""
    found = {one.fastest for one in facts.values() if one.device == device}
    if len(found) > 1:
        raise SegError("Some nodes of the cluster compute bf16 natively and some do not: name the `precision`.")
    return found.pop()


def _public(version: str) -> str:
    """Without the build, such as `+cpu`."""
    return version.partition("+")[0]


def _names(addresses: Sequence[str]) -> str:
    more = f" and {len(addresses) - 1} more" if len(addresses) > 1 else ""
    return f"Node {addresses[0]}{more}"


def _describe_failure(address: str, error: Exception) -> SegError:
    if isinstance(error, TimeoutError):
        return SegError(f"No worker on node {address} of the cluster has answered for {_ANSWER_SECONDS} s.")
    text = str(error)
    if "ModuleNotFoundError" in text:
        missing = text.rpartition("No module named ")[2].splitlines()[0]
        return SegError(f"Node {address} of the cluster has no module {missing}: install this program on all nodes.")
    return SegError(f"A worker on node {address} of the cluster failed: {say_shortly(text or type(error).__name__)}")
