"""The wheel holds the two packages whole (each module, style, script, picture and checkpoint) and the sample photos."""

import zipfile

import pytest

from tests.packaging import PACKAGES, SAMPLE, build_wheel, copy_tree


@pytest.mark.slow
def test_the_wheel_leaves_no_file_out(tmp_path):
    tree = copy_tree(tmp_path)
    files = {path.relative_to(tree).as_posix() for name in PACKAGES for path in (tree / name).rglob("*")}
    files = {name for name in files if (tree / name).is_file()}
    for ending in (".py", ".css", ".js", ".svg", ".safetensors", ".md", "py.typed"):
        assert any(name.endswith(ending) for name in files), ending
    photos = (path for path in (tree / SAMPLE).rglob("*") if path.is_file())
    files |= {f"dashboard/sample/{path.relative_to(tree / SAMPLE).as_posix()}" for path in photos}
    found = set(zipfile.ZipFile(build_wheel(tree)).namelist())
    assert files - found == set()
    assert {name.split("/")[0] for name in found if ".dist-info/" not in name} == set(PACKAGES)
