"""The Try page, through Streamlit's own test driver, with a network that answers at once."""

import json
from dataclasses import asdict, replace

import pytest

from dashboard.offers import models
from dashboard.offers.models import ModelOffer
from dashboard.settings import ServerSettings
from dashboard.workers.jobs import Jobs
from dashboard.workers.predictor import ImagePrediction, ModelDescription, Predictor
from dashboard.workers.uploads import MAX_PHOTOS
from seglib.classes import VOC_CLASSES
from seglib.data.image import compute_image_id
from seglib.errors import BadImage, SegError
from seglib.masks import statistics
from seglib.masks.png import encode_index_png
from seglib.models.adapter import ModelRequest
from seglib.models.registry import MODELS
from seglib.query import export
from seglib.store.store import Store
from tests.dashboard.conftest import NASTY, fill_store, mask_of
from tests.dashboard.views.test_pages import asked as asked_for
from tests.dashboard.views.test_pages import component, html, opened, said

MEASURES = statistics.ConfidenceStats(confidence=0.9, entropy=0.1, low_margin=0.05)
MASKS = {"fcn_mobilenet_v2": {"cat": 40}, "fcn_resnet50": {"cat": 30}}


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Calls of the network that is not there; two networks have their weights here."""
    calls = []

    def predict(_, photo, *, model, resize="", precision="auto", like=None):
        calls.append((photo, model, resize, like))
        if photo == b"broken":
            raise BadImage("not_an_image", "No.")
        if photo == b"busy" and len(calls) == 1:
            raise SegError("Busy in /home/me/x.")
        mask = mask_of(MASKS[model])
        return ImagePrediction(
            run="net-1",
            image_id=compute_image_id(photo),
            width=40,
            height=30,
            classes=VOC_CLASSES,
            row=statistics.stats_row(mask, VOC_CLASSES, None if photo == b"unmeasured" else MEASURES),
            precision="fp32",
            device="cpu",
            seconds=0.012,
            mask=encode_index_png(mask),
            picture=b"jpeg",
        )

    monkeypatch.setattr(Predictor, "predict", predict)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    weights = MODELS["fcn_resnet50"].path
    weights.parent.mkdir(parents=True)
    weights.touch()
    return calls


def with_photos(*photos: tuple[str, bytes]):
    app = opened("Try")
    app.file_uploader[0].set_value([(name, data, "image/jpeg") for name, data in photos]).run()
    assert not app.exception
    return app


@pytest.mark.parametrize("state", ["empty", "missing", "full", "broken"])
def test_the_page_needs_no_run_and_asks_nothing_by_itself(request, state, asked):
    request.getfixturevalue(state)
    app = opened("Try")
    assert not app.exception
    assert app.title[0].value == "Try"
    assert "Choose photos" in said(app)
    assert app.multiselect(key="try:models").options == ["fcn_mobilenet_v2", "unet_mobilenet_v2", "fcn_resnet50"]
    assert asked == []


def test_a_photo_is_shown_with_its_figures_and_nothing_is_stored(missing, asked):
    app = with_photos(("my cat.jpg", b"1"))
    shown = component(app, "pictures")
    (picture,) = shown["pictures"]
    assert picture["name"] == "my cat.jpg"
    assert picture["photo"].startswith("data:image/jpeg;base64,")
    assert picture["masks"]["fcn_mobilenet_v2"].startswith("data:image/png;base64,")
    assert picture["heats"] == {}
    assert "40\xa0%" in html(app)
    assert "0.90" in html(app)
    assert "12 ms" in html(app)
    assert not missing.exists()
    assert [call[1:] for call in asked] == [("fcn_mobilenet_v2", "", None)]


def test_a_model_that_gives_masks_alone_has_no_confidence(missing, asked):
    from dashboard.views.try_page import photos
    from dashboard.workers.uploads import Upload

    app = with_photos(("my cat.jpg", b"unmeasured"))
    assert "<td>–</td>" in html(app)
    assert "nan" not in html(app).lower()
    (frame,) = [one.value for one in app.dataframe]
    assert frame[["confidence", "undecided pixels"]].to_numpy().tolist() == [["–", "–"]]
    one = Predictor.predict(None, b"unmeasured", model="fcn_mobilenet_v2")
    statistics_frame = photos._statistics([(Upload("a.jpg", b"", "0" * 32), "fcn_mobilenet_v2", one)])
    assert statistics_frame["confidence"].isna().all()
    assert ",,," in export.csv_bytes(statistics_frame).decode()


def test_what_an_operator_offers_can_be_tried_and_the_rest_says_why_not(missing, asked, monkeypatch):
    good = ModelOffer(
        id="offered:00000001", title="models/<b>a</b>.onnx (ONNX)", request=ModelRequest(model="/x/a.onnx")
    )
    bad = replace(good, id="offered:00000002", title="models/b.ts (TorchScript)", problem="It holds code in /x/b.ts.")
    monkeypatch.setattr(models, "find_models", lambda _: [good, bad])
    described = ModelDescription(name="a", classes=VOC_CLASSES, resize="96")
    monkeypatch.setattr(Predictor, "describe", lambda self, model: described)
    monkeypatch.setitem(MASKS, good.id, {"dog": 20})
    app = opened("Try")
    assert app.multiselect(key="try:models").options == [good.title]
    assert "models/b.ts (TorchScript): It holds code in b.ts." in said(app).replace("\\", "")
    app.multiselect(key="try:models").set_value([good.id]).run()
    app.file_uploader[0].set_value([("a.jpg", b"1", "image/jpeg")]).run()
    assert not app.exception
    assert [call[1] for call in asked] == [good.id]
    assert component(app, "pictures")["runs"][0]["title"] == good.title


def test_what_was_seen_is_not_asked_for_again(empty, asked):
    app = with_photos(("a.jpg", b"1"))
    app.run()
    assert len(asked) == 1
    app.selectbox(key="try:resize").set_value("512x512").run()
    assert [call[2] for call in asked] == ["", "512x512"]
    app.file_uploader[0].set_value([("a.jpg", b"1", "image/jpeg"), ("b.jpg", b"2", "image/jpeg")]).run()
    assert [call[0] for call in asked] == [b"1", b"1", b"2"]


def test_two_networks_side_by_side_and_their_agreement(empty, asked):
    app = with_photos(("a.jpg", b"1"))
    app.multiselect(key="try:models").set_value(["fcn_mobilenet_v2", "fcn_resnet50"]).run()
    assert [run["title"] for run in component(app, "pictures")["runs"]] == ["fcn_mobilenet_v2", "fcn_resnet50"]
    assert "fcn_mobilenet_v2 and fcn_resnet50" in html(app)
    assert "90\xa0%" in html(app)
    table = next(f.value for f in app.dataframe if "seen" in f.value)
    assert table["seen"].tolist() == ["cat 40\xa0%".replace("\xa0", " "), "cat 30 %"]


def test_the_stores_run_of_the_same_network_and_size_is_followed(full, asked):
    run = Store(full).runs()[0]
    about = asdict(run) | {"model": "fcn_mobilenet_v2", "resize": "224"}
    (full / "runs" / run.run / "run.json").write_text(json.dumps(about))
    app = with_photos(("a.jpg", b"1"))
    app.selectbox(key="try:resize").set_value("512x512").run()
    assert [call[3] and (call[3][0], call[3][1].run) for call in asked] == [(full.resolve(), run.run), None]


def test_a_photo_that_cannot_be_read_is_a_sentence_and_the_others_are_shown(empty, asked):
    app = with_photos(("bad.jpg", b"broken"), ("a.jpg", b"1"))
    app.multiselect(key="try:models").set_value(["fcn_mobilenet_v2", "fcn_resnet50"]).run()
    notes = app.warning[0].value.replace("\\", "")
    assert notes == "bad.jpg: It cannot be read: the content is none of JPEG, PNG, WEBP, BMP, GIF, TIFF, AVIF, HEIF."
    assert [picture["name"] for picture in component(app, "pictures")["pictures"]] == ["a.jpg"]
    assert not [button for button in app.button if button.key == "again"]


def test_a_network_that_could_not_look_is_asked_again_on_demand(empty, asked):
    app = with_photos(("a.jpg", b"busy"))
    assert "a.jpg: Busy in x." in app.warning[0].value.replace("\\", "")
    assert "/home/me" not in said(app).replace("\\", "")
    app.run()
    assert len(asked) == 1
    app.button(key="again").click().run()
    assert len(asked) == 2
    assert component(app, "pictures")["pictures"][0]["name"] == "a.jpg"


def test_names_are_text(empty, asked):
    app = with_photos((NASTY.partition("/")[2], b"1"), ("x" * 200 + ".jpg", b"1"))
    assert "<img" not in html(app)
    assert "same content as" in said(app).replace("\\", "")
    assert "<img src=x" not in said(app)


def test_another_photo_is_chosen(empty, asked):
    app = with_photos(*((f"{n}.jpg", bytes([n])) for n in range(5)))
    shown = component(app, "pictures")
    assert (len(shown["pictures"]), shown["shown"], shown["place"]["position"]) == (2, 0, 0)
    assert (shown["place"]["total"], shown["place"]["page_key"]) == (5, None)  # its photos are not in the URL
    app.selectbox(key="try:shown").set_value(compute_image_id(bytes([3]))).run()
    shown = component(app, "pictures")
    assert [picture["name"] for picture in shown["pictures"]] == ["2.jpg", "3.jpg", "4.jpg"]
    assert (shown["shown"], shown["place"]["position"]) == (1, 3)


def test_photos_are_kept_only_when_asked_and_a_run_is_started(tmp_path, serve, asked, monkeypatch):
    started = []
    monkeypatch.setattr(Jobs, "start", lambda self, request: started.append(request))
    data = tmp_path / "data"
    data.mkdir()
    serve(tmp_path / "store", data)
    app = with_photos(("my cat.jpg", b"1"), ("bad.jpg", b"broken"))
    assert "Writes 1 photo into the folder data/uploads" in said(app).replace("\\", "")
    assert list(data.iterdir()) == []
    app.button(key="keep").click().run()
    (file,) = (data / "uploads").iterdir()
    assert file.read_bytes() == b"1"
    (request,) = started
    assert (request.title, request.model, request.resize) == ("data/uploads", "fcn_mobilenet_v2", "224")
    assert app.title[0].value == "Runs"


def test_a_data_folder_that_cannot_be_written_is_a_sentence(empty, asked):
    app = with_photos(("a.jpg", b"1"))
    app.button(key="keep").click().run()
    assert "none/uploads cannot be written" in said(app).replace("\\", "")
    assert Jobs(ServerSettings.read()).all() == []


def test_the_csv_has_the_columns_of_an_export(full, asked):
    from dashboard.views.try_page import photos
    from dashboard.workers.uploads import Upload
    from seglib.query import export
    from seglib.query.filters import Filters

    fill_store(full)
    exported = export.stats_frame(Store(full), None, Filters())
    one = Predictor.predict(None, b"1", model="fcn_mobilenet_v2")
    frame = photos._statistics([(Upload("a.jpg", b"1", compute_image_id(b"1")), "fcn_mobilenet_v2", one)])
    assert set(exported.columns) - set(frame.columns) <= {"dataset", "split", "label", "label_class", "content", "tags"}
    assert set(frame.columns) <= set(exported.columns)
    assert frame["px:cat"].tolist() == [40]
    assert frame["share:cat"].tolist() == [0.4]


# --- the live view ---


def live(app):
    app.segmented_control(key="w:try_mode").set_value("live").run()
    assert not app.exception
    return component(app, "address")


def test_the_live_view_has_the_models_names_and_colours_and_asks_nothing(missing, asked):
    app = opened("Try")
    shown = live(app)
    assert asked_for(app, "try") == ["live"]
    assert shown["address"] == "/live-api"
    (model,) = shown["models"]
    assert (model["run"], model["title"], tuple(model["names"])) == (*["fcn_mobilenet_v2"] * 2, VOC_CLASSES)
    assert len(set(model["colours"])) == len(VOC_CLASSES)
    assert not app.file_uploader
    assert asked == []
    assert not missing.exists()


def test_the_live_view_takes_two_models_whose_classes_share_their_colours(missing, asked):
    app = opened("Try")
    app.multiselect(key="try:models").set_value(["unet_mobilenet_v2", "fcn_mobilenet_v2", "fcn_resnet50"]).run()
    models = live(app)["models"]
    assert [model["run"] for model in models] == ["unet_mobilenet_v2", "fcn_mobilenet_v2"]
    assert models[0]["colours"] == models[1]["colours"]


def test_photos_stay_when_the_camera_is_chosen_until_they_are_removed(missing, asked):
    app = with_photos(("a.jpg", b"1"))
    live(app)
    assert "1 photo kept for this visit" in said(app)
    app.button(key="show_kept").click().run()
    assert [picture["name"] for picture in component(app, "pictures")["pictures"]] == ["a.jpg"]
    app.button(key="drop_held").click().run()
    assert "Choose photos" in said(app)


def test_a_kept_frame_is_one_of_the_photos(monkeypatch):
    from dashboard.views.try_page import live as live_page

    state = {}
    monkeypatch.setattr(live_page.st, "session_state", state)
    monkeypatch.setattr(live_page.session, "add_notes", lambda notes: state.setdefault("notes", []).extend(notes))
    for sent in ["data:image/jpeg;base64,MQ==", None, "data:image/jpeg;base64,MjI="]:
        state[live_page.LIVE] = {"kept": sent}
        live_page._keep_frame()
    assert state["try:held"] == [("frame 1.jpg", b"1"), ("frame 3.jpg", b"22")]
    assert state[live_page._COUNT] == 3  # the browser waits for each
    assert "notes" not in state
    state["try:held"] = [("x", b"x")] * MAX_PHOTOS
    state[live_page.LIVE] = {"kept": "data:image/jpeg;base64,MQ=="}
    live_page._keep_frame()
    assert state["try:held"] == [("x", b"x")] * MAX_PHOTOS
    assert state["notes"] == ["At most 20 photos are kept for a visit: remove them under Photos."]
