"""Puts the sample photos into the wheel, as `dashboard/sample`; pyproject.toml says everything else about the build."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithSample(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree("dataset/sample", Path(self.build_lib, "dashboard", "sample"), dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithSample})
