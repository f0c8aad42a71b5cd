"""What a chart and a matrix save, and the photos as a zip, in a real browser."""

import io
import re
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tests.dashboard.conftest import PIXELS, fill_store, photo_of
from tests.e2e.test_accessibility import violations
from tests.e2e.test_dashboard import FOCUSED, opened, settle

pytestmark = pytest.mark.e2e

WHITE = (255, 255, 255)


@pytest.fixture(scope="module")
def class_photos(tmp_path_factory) -> Path:
    store = tmp_path_factory.mktemp("taken") / "store"
    fill_store(store, folder="My class", real=True)
    return store


def save(page, title: str, kind: str) -> tuple[str, bytes]:
    """Choose an entry of a figure's menu; (file name, content)."""
    page.get_by_role("button", name=f"Save or copy: {title}", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name=kind).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def check_picture(data: bytes) -> tuple[int, int]:
    """White whatever the theme, with something dark where the title is; (width, height)."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    for corner in ((0, 0), (picture.width - 1, 0), (0, picture.height - 1), (picture.width - 1, picture.height - 1)):
        assert picture.getpixel(corner) == WHITE
    title = picture.crop((48, 48, 400, 48 + 44)).convert("L")
    assert title.getextrema()[0] < 80
    below = picture.crop((48, picture.height // 2, picture.width - 48, picture.height - 48))
    assert len(below.getcolors(1 << 24)) > 20
    assert below.getpixel((below.width - 1, below.height - 1)) == WHITE
    return picture.size


def check_svg(data: bytes, size: tuple[int, int], *texts: str) -> None:
    svg = data.decode()
    width, height = map(int, re.search(r'width="(\d+)" height="(\d+)"', svg).groups())
    assert (2 * width, 2 * height) == size
    assert '<rect width="100%" height="100%" fill="#ffffff"/>' in svg
    assert all(text in svg for text in texts)


def test_a_chart_and_a_matrix_are_taken_along(start, browser, class_photos):
    page = opened(browser, f"{start(class_photos).url}/explore?charts=classes&label=cats&label=dogs", scheme="dark")

    name, png = save(page, "Class distribution", "PNG")
    assert name == "my-class-cats-dogs-class-distribution.png"
    size = check_picture(png)
    name, svg = save(page, "Class distribution", "SVG")
    assert name.endswith(".svg")
    check_svg(
        svg, size, "Class distribution", "mean share of a photo", "n = 5", "person", "selected: Folder: cats, dogs"
    )
    name, csv = save(page, "Class distribution", "CSV")
    assert name == "my-class-cats-dogs-class-distribution.csv"
    table = pd.read_csv(io.BytesIO(csv)).set_index("class")
    shares = {"background": 0.62, "dog": 0.22, "cat": 0.14, "person": 0.02}
    assert table["mean share (0 to 1)"].to_dict() == pytest.approx(shares)
    assert table["photos with at least 0.5 % of it"].tolist() == [5, 2, 2, 1]

    matrix = "Folder and content agree?"
    name, png = save(page, matrix, "PNG")
    size = check_picture(png)
    check_svg(save(page, matrix, "SVG")[1], size, matrix, "cats", ">disagree<")
    table = pd.read_csv(io.BytesIO(save(page, matrix, "CSV")[1]), keep_default_na=False)
    cells = {(label, seen): n for label, seen, n in table.itertuples(index=False)}
    assert {pair: n for pair, n in cells.items() if n} == {
        ("cats", "cat"): 2,
        ("cats", "dog"): 1,
        ("dogs", "dog"): 1,
        ("dogs", "none"): 1,
        ("others", "none"): 1,
    }

    # by keyboard, and to the clipboard
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = page.get_by_role("button", name="Save or copy: Class distribution", exact=True)
    button.focus()
    page.keyboard.press("ArrowUp")
    items = page.get_by_role("menuitem")
    items.last.wait_for()
    assert violations(page) == []
    assert button.get_attribute("aria-expanded") == "true"
    page.keyboard.press("ArrowDown")
    assert items.first.evaluate("element => element === document.activeElement")
    page.keyboard.press("Escape")
    items.first.wait_for(state="hidden")
    assert page.evaluate(FOCUSED) == "Save or copy: Class distribution"
    page.keyboard.press("Enter")
    items.first.wait_for()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "navigator.clipboard.read().then(all => all.some(one => one.types.includes('image/png')), () => false)"
    )

    # the photos that pass the filters, as their files are
    page.get_by_role("button", name="Export").click()
    page.get_by_text("The photos themselves: 5 files").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Photos (zip)").click()
    assert download.value.suggested_filename == "my-class-cats-dogs.zip"
    archive = zipfile.ZipFile(download.value.path())
    assert sorted(archive.namelist()) == sorted(f"My_class/{path}" for path in PIXELS if path[0] in "cd")
    assert archive.read("My_class/cats/a.jpg") == photo_of("cats/a.jpg")
    with page.expect_download() as download:
        page.get_by_role("button", name="List (CSV)").click()
    listed = pd.read_csv(download.value.path())
    assert download.value.suggested_filename == "my-class-cats-dogs.csv"
    assert listed["agreement"].tolist() == ["agree", "disagree", "agree", "agree", "nothing seen"]
    assert listed["full path"].tolist() == [str(class_photos.parent / "My class" / path) for path in listed["path"]]
    settle(page)
    assert page.faults == []


def test_columns_of_a_file_are_brought_and_filtered_by(start, browser, class_photos):
    page = opened(browser, f"{start(class_photos).url}/runs", drawn="h1")
    page.get_by_text("Add columns from a file").click()
    data = "\ufeffdatei;größe;ort\na;1,5;Köln\nb;2;Zürich\nc;2,5;\n".encode()
    field = page.locator("input[type=file]").last
    field.set_input_files({"name": "class.csv", "mimeType": "text/csv", "buffer": data})
    page.get_by_text("3 rows about 3 photos, found by file name in the column datei.").wait_for()
    assert violations(page) == []
    page.get_by_role("button", name="Add 2 columns to 3 photos").click()
    page.get_by_text("2 columns of 3 photos added").wait_for()
    page.get_by_role("link", name="Explore").click()
    page.locator("summary", has_text="Your columns").click()
    page.get_by_role("button", name="Köln").wait_for()
    page.get_by_role("slider", name="größe").first.press("ArrowRight")
    page.get_by_role("button", name=re.compile("größe: 1.5. or more")).wait_for()
    page.get_by_role("button", name="Zürich").click()
    page.get_by_role("button", name="ort: Zürich").wait_for()
    page.wait_for_function("new URL(location).searchParams.get('column.ort') == 'Zürich'")
