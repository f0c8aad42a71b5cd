"""The wheel holds the two packages whole: every module, style, script, picture and checkpoint."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("seglib", "dashboard")
MADE_HERE = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info", ".*")


def wheel_of(tree: Path) -> set[str]:
    """The names in the wheel that is built from this tree, offline."""
    code = "from setuptools import build_meta; print(build_meta.build_wheel('dist'))"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=tree, check=True, capture_output=True)
    (wheel,) = (tree / "dist").glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture
def tree(tmp_path) -> Path:
    """What a wheel is built from, without what other tests leave in the checkout."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=MADE_HERE)
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.slow
def test_the_wheel_leaves_no_file_of_the_packages_out(tree):
    files = {path.relative_to(tree).as_posix() for name in PACKAGES for path in (tree / name).rglob("*")}
    files = {name for name in files if (tree / name).is_file()}
    for ending in (".py", ".css", ".js", ".svg", ".safetensors", ".md", "py.typed"):
        assert any(name.endswith(ending) for name in files), ending
    found = wheel_of(tree)
    assert files - found == set()
    assert {name.split("/")[0] for name in found if ".dist-info/" not in name} == set(PACKAGES)
