"""The wheel, installed into an environment of its own and started in an empty folder, with an empty home."""

import contextlib
import os
import signal
import site
import subprocess
import sys
import time
import urllib.request
import venv
from pathlib import Path

import pytest

from tests.e2e.conftest import START_SECONDS, free_port
from tests.e2e.pages import new_page, settle
from tests.packaging import build_wheel, copy_tree

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The environment's folder of programs. Its other packages are those of this one: to install them takes minutes."""
    folder = tmp_path_factory.mktemp("installed")
    wheel = build_wheel(copy_tree(folder / "tree"))
    venv.create(folder / "venv", with_pip=False)
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    (packages / "those_of_the_tests.pth").write_text("\n".join(site.getsitepackages()))
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "venv" / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    return folder / "venv" / "bin"


@pytest.fixture
def url(installed, tmp_path):
    """A dashboard over the demo, in an empty folder."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    port, log = free_port(), tmp_path / "log"
    environment = {"HOME": str(tmp_path / "home"), "PATH": f"{installed}:{os.defpath}"}
    with log.open("w") as printed:
        process = subprocess.Popen(
            ["seglib", "dashboard", "--port", str(port)],
            cwd=tmp_path / "work",
            env=environment,
            executable=installed / "seglib",
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health"):
                break
            time.sleep(0.2)
        assert process.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def test_an_installed_dashboard_looks_as_in_a_checkout(url, browser, tmp_path):
    page = new_page(browser, url)
    page.goto(url)
    page.wait_for_selector("dl.figures")
    settle(page)
    text = page.locator("[data-testid=stApp]").inner_text()
    assert "13" in page.locator("dl.figures").inner_text()  # the sample, analysed
    assert page.get_by_text("Deploy", exact=True).count() == 0
    assert "Streamlit runs this" not in text
    assert '"""' not in text
    background = page.locator("[data-testid=stSidebar]").evaluate(
        "element => getComputedStyle(element).backgroundColor"
    )
    assert background == "rgb(244, 246, 249)"  # `theme.light.sidebar.backgroundColor`
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["output"]
    assert not page.faults
