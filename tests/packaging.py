"""Build the wheel of the checkout, offline."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

PACKAGES = ("seglib", "dashboard")
SAMPLE = "dataset/sample"
_MADE_HERE = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info", ".*")


def copy_tree(folder: Path) -> Path:
    """Copy what a wheel is built from, without what other tests leave in the checkout."""
    for name in (*PACKAGES, SAMPLE):
        shutil.copytree(ROOT / name, folder / name, ignore=_MADE_HERE)
    for name in ("pyproject.toml", "setup.py", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def build_wheel(tree: Path) -> Path:
    code = "from setuptools import build_meta; print(build_meta.build_wheel('dist'))"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=tree, check=True, capture_output=True)
    (wheel,) = (tree / "dist").glob("*.whl")
    return wheel
