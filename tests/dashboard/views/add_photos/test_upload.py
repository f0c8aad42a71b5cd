"""Photos that are sent to the page become a folder that can be analysed, and deleted again."""

import io
import zipfile

import pytest

from dashboard.offers import uploaded_photos
from dashboard.queries import source
from seglib.store.store import Store
from tests.dashboard.conftest import fill_store, photo_of
from tests.dashboard.views.test_pages import html, opened, said


@pytest.fixture
def nothing(missing):
    source.look_again()
    return missing


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, photo_of(name))
    return buffer.getvalue()


def test_a_zip_becomes_the_chosen_folder(nothing):
    app = opened("Runs")
    assert app.button(key="upload:add").disabled
    app.file_uploader(key="upload:files:0").upload(
        "class.zip", zipped("cats/a.jpg", "b.jpg", "read me.txt"), "application/zip"
    ).run()
    app.button(key="upload:add").click().run()
    assert not app.exception
    assert "2 photos are in class: choose models and start. 1 other file was left out." in said_success(app)
    assert app.selectbox(key="start:folder").options == ["class", "class/cats"]
    assert "2 photos in class" in said(app)
    assert not app.file_uploader(key="upload:files:1").value  # nothing is held in memory any more
    app.run()
    assert said_success(app) == ""


def said_success(app) -> str:
    return " ".join(element.value for element in app.success).replace("\\", "")


def test_what_cannot_be_used_is_a_sentence_and_the_name_stays(nothing):
    app = opened("Runs")
    app.text_input(key="upload:name").set_value("mine").run()
    app.file_uploader(key="upload:files:0").upload("class.zip", b"no zip", "application/zip").run()
    app.button(key="upload:add").click().run()
    assert not app.exception
    assert "This is no zip, or it is damaged" in said(app).replace("\\", "")
    assert app.text_input(key="upload:name").value == "mine"
    assert uploaded_photos.find_folders(nothing) == []


def test_an_upload_is_deleted_with_its_dataset(nothing):
    folder = uploaded_photos.add(nothing, "mine", [("a.jpg", io.BytesIO(photo_of("a.jpg")))]).folder
    fill_store(nothing, folder="photos")
    Store(nothing).register_dataset(folder)
    app = opened("Runs")
    app.button(key="upload:delete").click().run()
    app.button(key="upload:delete:yes").click().run()
    assert not app.exception
    assert not folder.exists()
    assert [dataset.name for dataset in Store(nothing).datasets()] == ["photos"]


def test_a_dataset_of_uploaded_photos_goes_with_them(nothing):
    folder = uploaded_photos.add(nothing, "mine", [("a.jpg", io.BytesIO(photo_of("a.jpg")))]).folder
    fill_store(nothing)
    dataset = Store(nothing).register_dataset(folder)
    app = opened("Runs")
    app.button(key=f"forget:{dataset.id}").click().run()
    assert "uploaded here and are deleted for good" in said(app)
    app.button(key="forget").click().run()
    assert not folder.exists()
    assert "Datasets in this store" in html(app)
