"""The Image page through Streamlit's own test driver: which photo, which runs, which figures, and what it says."""

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.components import viewer
from dashboard.components.viewer import ViewerLook
from dashboard.state.view import View, decode
from dashboard.views.image.navigation import ImageNavigation
from seglib.fileio import parquet_parts
from seglib.pipeline.run import describe_run
from seglib.store.schemas import FILES_SCHEMA
from seglib.store.store import Store
from tests.dashboard.conftest import NASTY, PIXELS, fill_store, id_of, make_run_config, photo_of, real_id
from tests.dashboard.views.test_pages import asked, component, html, opened, said

PATHS = sorted(PIXELS)
RUN, OTHER = make_run_config().run_name, make_run_config(2).run_name
LOOK = {"overlay": True, "opacity": 55, "outline": False, "uncertainty": False, "names": False, "hidden": []}
LOOK["difference"] = ""


def shown(app: AppTest) -> dict:
    return component(app, "pictures")


def picture(app: AppTest) -> dict:
    return shown(app)["pictures"][shown(app)["shown"]]


def place(app: AppTest) -> tuple[int | None, int]:
    """The photo's position in its list, and the list's length."""
    return shown(app)["place"]["position"], shown(app)["place"]["total"]


@pytest.fixture
def two(full):
    """A second run, which has seen two of the photos."""
    fill_store(full, code_schema=2, pixels={"cats/a.jpg": {"dog": 10}, "cats/b.jpg": {"dog": 40}})
    return full


def test_without_an_image_the_first_of_the_selection_is_shown_and_named_in_the_address(full):
    app = opened("Image")
    assert not app.exception
    assert app.title[0].value == r"cats\/a\.jpg"
    assert place(app) == (0, 6)
    assert asked(app, "image") == [id_of("cats/a.jpg")]
    app = opened("Image", label=["dogs"])
    assert picture(app)["name"] == "dogs/d.jpg"
    assert place(app) == (0, 2)


def test_a_class_has_one_colour_in_runs_of_other_classes(full):
    names = [f"class {number}" for number in range(60)]
    fill_store(full, code_schema=2, pixels={"cats/a.jpg": {"class 3": 50}}, classes=("background", *names, "cat"))
    fill_store(full, code_schema=3, pixels={"cats/a.jpg": {"class 3": 50}}, classes=("cat", *names[:7], "background"))
    runs = shown(opened("Image", image=[id_of("cats/a.jpg")]))["runs"]
    colours = [dict(zip(run["names"], run["colours"], strict=True)) for run in runs]
    assert len(runs) == 3
    for name in ("background", "cat", *names[:7]):
        assert len({one[name] for one in colours if name in one}) == 1
    every = {name: colour for one in colours for name, colour in one.items()}
    assert len(set(every.values())) == len(every)


def test_the_tabs_title_names_page_and_photo(full, monkeypatch):
    titles: list[str] = []
    monkeypatch.setattr("streamlit.set_page_config", lambda **options: titles.append(options["page_title"]))
    opened("Image", image=[id_of("dogs/d.jpg")])
    assert titles[-1] == "d.jpg · Image · Segmentation dashboard"
    opened("Explore")
    assert titles[-1] == "Explore · Segmentation dashboard"


def test_the_drop_downs_have_visible_labels(full):
    app = opened("Image")
    labels = {
        box.label: box.proto.label_visibility.value for box in app.selectbox if box.key in ("w:sort", "w:palette")
    }
    assert labels == {"Sort": 0, "Colours": 0}  # 0: visible


def test_a_link_shows_its_photo_among_its_neighbours(full):
    app = opened("Image", image=[id_of("dogs/d.jpg")], sort=["confidence"])
    order = [one["name"] for one in shown(app)["pictures"]]
    assert order == ["cats/b.jpg", NASTY, "cats/c.jpg", "cats/a.jpg", "dogs/d.jpg", "dogs/e.jpg"]
    assert picture(app)["name"] == "dogs/d.jpg"
    assert place(app) == (4, 6)
    assert picture(app)["photo"] == f"/media-api/photo/{id_of('dogs/d.jpg')}.jpg"
    assert f"/media-api/mask/{RUN}/{id_of('dogs/d.jpg')}.png" in picture(app)["masks"][RUN]


def test_only_near_neighbours_are_sent(tmp_path, serve):
    fill_store(tmp_path / "store", pixels={f"cats/{number:03}.jpg": {"cat": number} for number in range(60)})
    serve(tmp_path / "store")
    app = opened("Image", image=[id_of("cats/050.jpg")])
    names = [one["name"] for one in shown(app)["pictures"]]
    assert names == [f"cats/{number:03}.jpg" for number in range(46, 55)]
    assert (picture(app)["name"], shown(app)["place"]["position"]) == ("cats/050.jpg", 50)


def test_figures_are_those_of_the_store(full):
    app = opened("Image", image=[id_of("cats/c.jpg")])
    table = html(app)
    assert "<tr><th scope='row'>cat</th><td>20\N{NO-BREAK SPACE}%</td><td>20</td><td>1</td></tr>" in table
    assert "<tr><th scope='row'>person</th><td>10\N{NO-BREAK SPACE}%</td><td>10</td><td>1</td></tr>" in table
    assert table.index(">cat<") < table.index(">person<") < table.index(">background<")
    assert "<th scope='row'>confidence</th><td>0.80</td>" in table
    assert "40 x 30 pixels" in table
    assert "10 x 10 pixels" in table


def test_all_runs_of_a_photo_are_side_by_side_and_can_be_chosen(two):
    app = opened("Image", image=[id_of("cats/a.jpg")], run=[RUN])
    assert [run["run"] for run in shown(app)["runs"]] == [RUN, OTHER]
    assert "<td>50\N{NO-BREAK SPACE}%</td><td>50</td><td>1</td><td>0\N{NO-BREAK SPACE}%</td><td>0</td>" in html(app)
    assert "<th scope='row'>confidence</th><td>0.90</td><td>0.90</td>" in html(app)
    app.pills(key="w:runs").set_value([]).run()  # the active run stays
    assert [run["run"] for run in shown(app)["runs"]] == [RUN]
    assert asked(app, "runs") == [RUN]
    app.pills(key="w:runs").set_value([RUN, OTHER]).run()
    assert "runs" not in app.query_params
    assert [run["run"] for run in shown(app)["runs"]] == [RUN, OTHER]


def test_a_run_without_the_photo_is_not_offered(two):
    app = opened("Image", image=[id_of("dogs/d.jpg")], run=[RUN])
    assert [run["run"] for run in shown(app)["runs"]] == [RUN]
    assert not [pills for pills in app.get("button_group") if pills.key == "w:runs"]


def test_runs_of_other_classes_keep_their_own_names(full):
    classes = ("background", "pet")
    run = fill_store(full, code_schema=3, classes=classes, measured=False, pixels={"cats/a.jpg": {"pet": 60}}).run
    app = opened("Image", image=[id_of("cats/a.jpg")], run=[RUN])
    assert shown(app)["runs"][1]["names"] == list(classes)
    assert len(shown(app)["runs"][1]["colours"]) == 2
    assert "<tr><th scope='row'>pet</th><td>–</td><td>–</td><td>–</td><td>60\N{NO-BREAK SPACE}%</td>" in html(app)
    assert "<th scope='row'>confidence</th><td>0.90</td><td>–</td>" in html(app)
    assert not opened("Image", image=[id_of("cats/a.jpg")], run=[run]).exception


# --- from photo to photo -------------------------------------------------------------------------------------------


def went(app: AppTest, image_id: str, **look: object) -> AppTest:
    app.session_state["viewer"] = {"go": {"image": image_id, "look": LOOK | look}}
    return app.run()


def test_what_the_viewer_sends_is_checked(monkeypatch):
    def send(value: object) -> None:
        monkeypatch.setattr("dashboard.components.base.st.session_state", {"viewer": {"go": value}})

    send({"image": "a" * 32, "look": LOOK | {"opacity": 120, "hidden": ["dog", "cat", "dog"]}})
    look = ViewerLook(overlay=True, opacity=100, outline=False, uncertainty=False, names=False, hidden=("cat", "dog"))
    assert viewer.read_navigation("viewer") == ("a" * 32, look)
    senseless = [
        *(None, "x", {}, [], {"image": "../x", "look": LOOK}, {"image": "a" * 32, "look": None}),
        *({"image": "a" * 32, "look": LOOK | {"hidden": [1]}}, {"image": "a" * 32, "look": LOOK | {"opacity": "x"}}),
        *(
            {"image": "a" * 32, "look": LOOK | {"hidden": "cat"}},
            {"image": "a" * 32, "look": LOOK | {"difference": "x"}},
            {"image": 3, "look": LOOK},
        ),
    ]
    for value in senseless:
        send(value)
        assert viewer.read_navigation("viewer") is None


def test_going_on_changes_photo_look_and_the_gallerys_page(tmp_path, serve, monkeypatch):
    fill_store(tmp_path / "store", pixels={f"cats/{number:03}.jpg": {"cat": number} for number in range(60)})
    serve(tmp_path / "store")
    app = opened("Image", image=[id_of("cats/047.jpg")])
    sent = {"image": id_of("cats/048.jpg"), "look": LOOK | {"hidden": ["cat"], "outline": True}}
    monkeypatch.setattr("dashboard.components.viewer.component_value", lambda key, name: sent)
    from dashboard.views.image import page as image

    changes: dict = {}
    monkeypatch.setattr(image.session, "update_view", lambda **parts: changes.update(parts))
    order = image.np.arange(60)
    selection = type("Selection", (), {"source": source_of(tmp_path / "store"), "view": View()})
    for part, size, number in (("page", 48, 2), ("compare_page", 24, 3)):
        image._navigate(selection, ImageNavigation(order, part, size, lambda: None, "there", 60))
        assert (changes["image"], changes[part]) == (id_of("cats/048.jpg"), number)
    assert (changes["hidden"], changes["outline"]) == (("cat",), True)
    assert not app.exception


def source_of(path):
    from dashboard.queries import source

    _, version, (run,) = source.open_store(path)
    return source.RunSource(str(path), version, run.run)


@pytest.mark.slow
def test_the_look_of_a_link_is_the_viewers(full):
    app = opened("Image", opacity=["20"], mask=["outline"], hide=["cat", "dog"], uncertainty=["on"], names=["on"])
    look = LOOK | {"opacity": 20, "outline": True, "hidden": ["cat", "dog"], "uncertainty": True, "names": True}
    assert shown(app)["look"] == look


def test_colours_follow_the_palette(full):
    app = opened("Image", palette=["voc"])
    assert shown(app)["runs"][0]["colours"][8] == "#400000"  # cat in VOC's own palette
    app.selectbox(key="w:palette").set_value("okabe-ito").run()
    assert shown(app)["runs"][0]["colours"][8] == "#56b4e9"


def test_back_to_the_gallery(full):
    app = opened("Image", label=["cats"])
    assert app.button(key="back").label == "Back to Explore"
    app.button(key="back").click().run()
    assert app.title[0].value == "Explore"
    assert asked(app, "label") == ["cats"]


# --- what is not there ---------------------------------------------------------------------------------------------


def test_an_id_that_is_none_is_dropped_with_a_note(full):
    app = opened("Image", image=["../../etc/passwd"])
    assert "32 hex digits" in said(app)
    assert picture(app)["name"] == "cats/a.jpg"


def test_an_unknown_photo_is_a_sentence_and_a_way_on(full):
    app = opened("Image", image=["0" * 32])
    assert not app.exception
    assert "has no photo with the id in this link" in said(app)
    app.button(key="to_first").click().run()
    assert picture(app)["name"] == "cats/a.jpg"


def test_a_photo_outside_the_selection_is_shown_and_leads_into_it(full):
    app = opened("Image", image=[id_of("cats/a.jpg")], label=["dogs"])
    assert "not among the 2 photos" in said(app)
    assert picture(app)["name"] == "cats/a.jpg"
    assert [one["name"] for one in shown(app)["pictures"]] == ["cats/a.jpg", "dogs/d.jpg"]
    assert place(app) == (None, 2)
    app.button(key="to_first").click().run()
    assert picture(app)["name"] == "dogs/d.jpg"


def test_a_photo_is_shown_though_no_photo_passes(full):
    app = opened("Image", image=[id_of("cats/a.jpg")], path=["nothing like this"])
    assert "not among the 0 photos" in said(app)
    assert len(shown(app)["pictures"]) == 1


def test_an_empty_selection_is_a_sentence(full):
    app = opened("Image", path=["nothing like this"])
    assert "None of the 6 photos passes all filters" in said(app)
    assert app.title[0].value == "Image"


def test_a_missing_mask_has_no_address_and_the_figures_stay(full):
    Store(full).mask_path(RUN, id_of("cats/a.jpg")).unlink()
    app = opened("Image")
    assert not app.exception
    assert picture(app)["masks"] == {RUN: None}
    assert "<th scope='row'>cat</th><td>50" in html(app)


def test_a_damaged_mask_of_another_run_leaves_dashes(two):
    Store(two).mask_path(OTHER, id_of("cats/a.jpg")).write_bytes(b"no picture")
    app = opened("Image", image=[id_of("cats/a.jpg")], run=[RUN])
    assert not app.exception
    assert "<th scope='row'>cat</th><td>50\N{NO-BREAK SPACE}%</td><td>50</td><td>1</td><td>–</td>" in html(app)


def test_a_damaged_part_of_another_run_takes_its_measures_alone(two):
    for part in two.glob(f"runs/{OTHER}/stats/*.parquet"):
        data = bytearray(part.read_bytes())
        data[60] ^= 1
        part.write_bytes(data)
    app = opened("Image", image=[id_of("cats/a.jpg")], run=[RUN])
    assert not app.exception
    told = f"runs/{OTHER}/stats/{part.name} is damaged (its content is not what was written): run again with"
    assert said(app).replace("\\", "").count(told) == 1
    table = html(app).replace("\N{NO-BREAK SPACE}%", "")
    assert "<th scope='row'>dog</th><td>0</td><td>0</td><td>0</td><td>10</td><td>10</td>" in table
    assert "<th scope='row'>confidence</th><td>0.90</td><td>–</td>" in html(app)


def test_a_changed_file_is_noted_and_its_thumbnail_shown(real):
    app = opened("Image")
    assert picture(app)["note"] == ""
    (real.parent / "photos" / "cats" / "a.jpg").write_bytes(photo_of("another"))
    app = opened("Image")
    assert picture(app)["note"] == "The file has changed since its scan"
    assert picture(app)["thumbnail"].startswith(f"/media-api/thumb/{real_id('cats/a.jpg')}.jpg")


def test_equal_files_are_one_picture_that_names_them_all(full):
    store = Store(full)
    row = {"path": "dogs/copy.jpg", "bytes": 1, "mtime_ns": 1, "label": "dogs", "scan": 2, "width": 40, "height": 30}
    row = {name: row.get(name) for name in FILES_SCHEMA.names} | {"image_id": id_of("cats/a.jpg")}
    parquet_parts.append(
        store.atomic, store.files_folder(store.datasets()[0]), pa.Table.from_pylist([row]).cast(FILES_SCHEMA)
    )
    app = opened("Image")
    assert [one["name"] for one in shown(app)["pictures"]].count("dogs/copy.jpg") == 0
    assert shown(app)["place"]["total"] == 6
    assert "<tr><th scope='row'>the same content</th><td>dogs/copy.jpg</td></tr>" in html(app)


def test_a_contradiction_is_said(full):
    app = opened("Image", image=[id_of("cats/b.jpg")])
    assert "The folder says cats, the model dog." in html(app)
    assert "The folder says" not in html(opened("Image", image=[id_of("cats/a.jpg")]))


def test_names_are_text_everywhere(full):
    app = opened("Image", image=[id_of(NASTY)])
    assert picture(app)["name"] == NASTY
    assert "<img" not in html(app)
    assert "&lt;img src=x onerror=alert(1)&gt;" in html(app)
    assert "<img" not in app.title[0].value.replace(r"\<", "")


def test_a_tile_leads_to_its_photo(full):
    app = opened("Explore", label=["cats"], page=["1"])
    data = component(app, "tiles")
    assert data["tiles"][1]["name"] == "cats/b.jpg"
    page, _, query = data["tiles"][1]["href"].partition("?")
    view, notes = decode(pair.split("=", 1) for pair in query.split("&"))
    assert (page, notes) == ("image", [])
    assert (view.image, view.filters.encode(), view.run) == (id_of("cats/b.jpg"), "label=cats", RUN)


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("empty", "Nothing has been analysed yet"),
        ("missing", "Nothing has been analysed yet"),
        ("broken", "is damaged"),
        ("newer", "layout 99"),
    ],
)
def test_a_store_that_cannot_be_read_is_a_sentence(request, state, sentence):
    path = request.getfixturevalue(state)
    app = opened("Image", image=["a" * 32])
    assert not app.exception
    assert sentence in said(app).replace("\\", "")
    assert str(path.parent) not in said(app).replace("\\", "")


def test_a_run_without_photos_yet_says_so(full):
    Store(full).keep_run(describe_run(make_run_config(9), parameters=1, versions={}))
    app = opened("Image", run=[make_run_config(9).run_name])
    assert not app.exception
    assert "holds no photos yet" in said(app)


def test_the_page_holds_no_absolute_path(real):
    app = opened("Image")
    texts = [html(app), said(app), *(e.proto.json for e in app.get("bidi_component"))]
    assert not [text for text in texts if str(real.parent) in text]
