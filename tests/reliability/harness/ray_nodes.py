"""A Ray cluster on this machine that only this machine can reach, and `seglib run --on ray` on it, to be harmed.

    with start_nodes(2) as nodes:
        with nodes.run(photos, store, passes=folder / "passes") as run:
            ...
            nodes.lose_one()
            assert run.wait() == 0

The driver is a process of its own (`main` below), and so are the workers, where `prepare_worker` makes photos slow,
counts them, and makes the decoding processes die or hang on photos with such names.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # the loopback address; read when ray is imported
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

from tests.conftest import ROOT
from tests.reliability.harness.scene import content

COMMIT_ROWS, PHOTOS_PER_TASK, BATCH = 8, 4, 2
PATIENCE_SECONDS = 180
LIMITS = (3.0, 2**32)
"""Seconds and bytes for a photo; a process that dies within twice as long, its start included, was not too slow."""


class RayNodes:
    def __init__(self, cluster: Any, nodes: int) -> None:
        self._cluster, self._count = cluster, nodes
        self._nodes: list[Any] = []

    @property
    def address(self) -> str:
        """`HOST:PORT` of the head."""
        return str(self._cluster.address)

    def complete(self) -> None:
        """Start as many nodes, of one CPU each, as are missing."""
        while len(self._nodes) < self._count:
            self._nodes.append(self._cluster.add_node(num_cpus=1, object_store_memory=100_000_000))

    def lose_one(self) -> None:
        """As if a machine had lost its power."""
        self._cluster.remove_node(self._nodes.pop(), allow_graceful=False)

    @contextlib.contextmanager
    def run(
        self, photos: Path, store: Path, *options: str, passes: Path, slow: float = 0.0, decoders: int = 0
    ) -> Iterator[subprocess.Popen[str]]:
        """The command as a process, and afterwards its end.

        `decoders`: so many nodes only decode, as where the others have GPUs.
        """
        command = [
            sys.executable,
            "-m",
            "tests.reliability.harness.ray_nodes",
            self._cluster.address,
            str(passes),
            str(slow),
            "run",
            str(photos),
        ]
        process = subprocess.Popen(
            [*command, "--store", str(store), "--model", "fake", "--precision", "fp32", "--on", "ray", *options],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "SEGLIB_TEST_DECODERS": str(decoders)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def start_nodes(count: int) -> Iterator[RayNodes]:
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="seglib-ray-")  # not the test's own: a socket's path has at most 107 bytes
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 100_000_000, "temp_dir": folder}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        nodes = RayNodes(cluster, count)
        nodes.complete()
        yield nodes
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def read_passes(passes: Path) -> list[int]:
    """For each photo that a net saw, the process that computed it."""
    return [int(line) for line in passes.read_text().split()] if passes.exists() else []


def wait_for_passes(passes: Path, count: int, run: subprocess.Popen[str]) -> None:
    """Wait until nets have seen so many photos; returns early if the run ends."""
    until = time.monotonic() + PATIENCE_SECONDS
    while len(read_passes(passes)) < count and run.poll() is None:
        assert time.monotonic() < until, f"only {len(read_passes(passes))} of {count} photos"
        time.sleep(0.02)


def content_in_any_order(store: Path) -> dict[str, Any]:
    """What a store holds: the rows of a cluster come in the order in which its workers are done."""
    return {
        name: sorted(value.splitlines()) if isinstance(value, str) else value for name, value in content(store).items()
    }


def prepare_worker() -> None:
    """In each worker process of Ray."""
    from seglib.data import decode_pool
    from seglib.inference import predictor

    decode_pool.decode_file = read_or_end
    decode_pool.Limits.__init__.__defaults__ = LIMITS
    real, slow = predictor.predict_batch, float(os.environ["SEGLIB_TEST_SLOW"])

    def counted(images: Any, *rest: Any) -> Any:
        time.sleep(slow)
        with Path(os.environ["SEGLIB_TEST_PASSES"]).open("a") as passes:
            passes.write(f"{os.getpid()}\n" * len(images))
        return real(images, *rest)

    predictor.predict_batch = counted


def read_or_end(path: Path, *rest: Any) -> Any:
    """For a decoding process: some photos end it, or keep it for ever."""
    from seglib.data.decode_pool import decode_file

    if path.name == "kills.png":
        os._exit(1)
    if path.name == "hangs.png":
        while True:
            time.monotonic()
    return decode_file(path, *rest)


def main() -> int:
    """The driver: the command line, connected to the cluster and with small parts and tasks."""
    address, passes, slow, *arguments = sys.argv[1:]
    import ray

    from seglib.cli import main as command_line
    from seglib.cluster import engine
    from seglib.cluster.engine import ActorResources
    from seglib.models import registry
    from seglib.store import writer
    from tests.conftest import fake_model

    variables = {"SEGLIB_TEST_PASSES": passes, "SEGLIB_TEST_SLOW": slow, "PYTHONPATH": str(ROOT)}
    setup = {"env_vars": variables, "worker_process_setup_hook": "tests.reliability.harness.ray_nodes.prepare_worker"}
    registry.MODELS["fake"] = fake_model(Path(passes).with_name("fake.safetensors"))
    writer.COMMIT_ROWS, engine.PHOTOS_PER_TASK = COMMIT_ROWS, PHOTOS_PER_TASK
    if decoders := int(os.environ["SEGLIB_TEST_DECODERS"]):
        engine.plan_actors = lambda found, *_: ActorResources(1, 0, len(found) - decoders, decoders)
    ray.init(address, runtime_env=setup, log_to_driver=False, logging_level="ERROR")
    return command_line.main([*arguments, "--batch-size", str(BATCH)])


if __name__ == "__main__":
    sys.exit(main())
