"""Controls shared by several pages: run choice, view menus, paging, and cards side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from dashboard.components import gallery as gallery_component
from dashboard.components import layout
from dashboard.formatting import count, escape_markdown, pluralize
from dashboard.queries import source
from dashboard.queries.own_columns.values import list_columns
from dashboard.queries.photos import Selection
from dashboard.queries.similarity.vectors import has_vectors
from dashboard.queries.source import ModelChoice
from dashboard.settings import ServerSettings
from dashboard.state import pages, session
from dashboard.state.own_columns import column_sorts
from dashboard.state.view import FIRST_PAGES, OPACITY_RANGE, SIZE_RANGE, SORTS, View, encode, sort_label
from seglib.classes import BACKGROUND
from seglib.query.filters import Filters

MAX_PILLS = 8
"""With more runs than this, a searchable list replaces the buttons."""

RESIZES = ("", "224", "512x512", "short:520", "short:640", "native")
"""Sizes offered for the models' input; the empty text is each model's own."""

AUTOMATIC = "Automatic"

PALETTE_NAMES = {"okabe-ito": "Okabe-Ito (colour-blind safe)", "voc": "Pascal VOC"}

OnFilters = Callable[[Filters], None]


def side_by_side(
    selection: Selection, widths: Sequence[int], *lines: Sequence[Callable[[Selection], None]], key: str
) -> None:
    """Draw cards row by row, with the given relative column widths and equal heights within a row."""
    rows = layout.card_rows(key)
    for line in lines:
        for place, draw in zip(rows.columns(list(widths)), line, strict=True):
            with place:
                draw(selection)


def choose_runs(
    title: str,
    names: Sequence[str],
    chosen: Sequence[str],
    label: Callable[[str], str],
    apply: Callable[[list[str]], None],
    *,
    key: str,
    limit: int | None = None,
) -> None:
    """Let the visitor choose several runs, with buttons or, if there are many, a searchable list.

    `label` returns plain text. Only the list enforces `limit`, so `apply` has to check it too.
    """
    few = len(names) <= MAX_PILLS
    key = session.sync_widget(key, [name for name in names if name in chosen] if few else [*chosen])
    if few:
        st.pills(
            title,
            names,
            selection_mode="multi",
            format_func=lambda name: escape_markdown(label(name)),
            key=key,
            on_change=session.widget_callback(key, apply),
            width="stretch",
        )
    else:
        st.multiselect(
            title,
            names,
            format_func=label,
            max_selections=limit,
            key=key,
            on_change=session.widget_callback(key, apply),
            width="stretch",
        )


def choose_models(
    title: str, choices: Sequence[ModelChoice], default: Sequence[str], *, key: str, limit: int | None = None
) -> list[ModelChoice]:
    """Let the visitor choose among the models that can be used, and list why the others cannot.

    Models that are still being looked at come to the list when they are known.
    """
    usable = {choice.id: choice for choice in choices if not choice.problem and not choice.pending}
    chosen = st.multiselect(
        title,
        list(usable),
        default=[one for one in default if one in usable],
        format_func=lambda one: usable[one].title if one in usable else one,
        max_selections=limit,
        key=key,
    )
    if waiting := sum(choice.pending for choice in choices):
        st.fragment(partial(_await_models, waiting), run_every=1.0)()
    problems = [f"{choice.title}: {choice.problem}" for choice in choices if choice.problem]
    if problems:
        with st.expander(f"{pluralize(len(problems), 'model')} cannot be used"):
            layout.remarks(problems)
    return [usable[one] for one in chosen if one in usable]


def _await_models(waiting: int) -> None:
    """Say how many models are being looked at, and draw the page again when fewer are."""
    if sum(choice.pending for choice in source.model_choices(ServerSettings.read())) < waiting:
        st.rerun()
    layout.remark(f"Looking at {pluralize(waiting, 'more model')} …")


def image_link(view: View, **more: Any) -> str:
    """Return the URL of the viewer page with this view's photos; append the image_id to it.

    `more`: view fields that differ from this page's.
    """
    photos_alone = View(
        filters=view.filters, run=view.run, focus=view.focus, sort=view.sort, palette=view.palette, runs=view.runs
    )
    photos_alone = replace(photos_alone, **more)
    return f"{pages.IMAGE.lower()}?{urlencode([*encode(photos_alone), ('image', '')])}"


def similar_link(selection: Selection) -> str:
    """Return the URL of the page with the photos similar to one, to which its image_id is appended.

    Empty if the store holds no embeddings.
    """
    if not has_vectors(selection.source):
        return ""
    view = View(filters=selection.filters, run=selection.run.run, embeddings=selection.view.embeddings, find="similar")
    return f"{pages.SIMILAR.lower()}?{urlencode([*encode(view), ('similar', '')])}"


def find_similar(image_id: str | None) -> None:
    """Callback: show the photos similar to this one."""
    if image_id:
        session.go_to_page(pages.SIMILAR, find="similar", similar=(image_id,), **FIRST_PAGES)


def list_switch(widget: str, lists: Mapping[str, str], shown: str, apply: Callable[[str | None], None]) -> None:
    """Draw the choice between a page's lists of photos: key -> label; `apply` receives the key that is chosen."""
    key = session.sync_widget(widget, shown)
    st.segmented_control(
        "List",
        list(lists),
        required=True,
        format_func=lambda name: lists[name],
        label_visibility="collapsed",
        key=key,
        on_change=session.widget_callback(key, apply),
    )


def sort_select(selection: Selection, *, labelled: bool = False) -> None:
    names = {sort: sort_label(sort, selection.focus) for sort in SORTS}
    names |= column_sorts(list_columns(selection.source))
    view_select("Sort", "sort", names, width=260, labelled=labelled)


def colours_select(*, labelled: bool = False) -> None:
    view_select("Colours", "palette", PALETTE_NAMES, width=210, labelled=labelled)


def resize_select(models: Sequence[ModelChoice], *, key: str, **options: Any) -> str:
    """Draw a drop-down of `RESIZES`, of which "" is the models' own; `options` are those of `st.selectbox`."""
    own = ", ".join(dict.fromkeys(model.resize for model in models))
    automatic = f"{AUTOMATIC} ({own})" if own else AUTOMATIC
    if str(st.session_state.get(key, "")).startswith(AUTOMATIC):  # as it was written while other models were chosen
        st.session_state[key] = ""
    resize: str = st.selectbox("Resize", RESIZES, format_func=lambda text: text or automatic, key=key, **options)
    return "" if resize.startswith(AUTOMATIC) else resize


def column_titles(classes: Sequence[str]) -> list[str]:
    """Return the classes as matrix column headers, with background abbreviated to keep column widths similar."""
    return ["backgr." if name == BACKGROUND else str(name) for name in classes]


def view_select(label: str, part: str, names: Mapping[str, str], *, width: int, labelled: bool = False) -> None:
    """Draw a drop-down for one view field; a change resets the gallery to its first page.

    Only if `labelled`, the label is visible, above the drop-down.
    """
    key = session.sync_widget(f"w:{part}", getattr(session.view(), part))
    st.selectbox(
        label,
        list(names),
        format_func=lambda value: names[value],
        label_visibility="visible" if labelled else "collapsed",
        key=key,
        on_change=session.widget_callback(key, lambda value: session.update_from_first_page(**{part: value})),
        width=width,
    )


def view_switch(label: str, part: str, names: Mapping[str, str]) -> None:
    """Draw a segmented control for one view field with few values; a change keeps the gallery's page."""
    key = session.sync_widget(f"w:{part}", getattr(session.view(), part))
    st.segmented_control(
        label,
        list(names),
        required=True,
        format_func=lambda value: names[value],
        label_visibility="collapsed",
        key=key,
        on_change=session.widget_callback(
            key, lambda value: session.update_view(**{part: value or getattr(session.view(), part)})
        ),
    )


def remember_look(gallery: str) -> None:
    """Callback: store the visitor's display settings for the tiles of this gallery."""
    look = gallery_component.read_look(gallery)
    if look is not None:
        opacity, size = _clamp(look.opacity, OPACITY_RANGE), _clamp(look.size, SIZE_RANGE)
        session.update_view(overlay=look.overlay, opacity=opacity, size=size)


def _clamp(value: int, limits: tuple[int, int]) -> int:
    return min(max(value, limits[0]), limits[1])


def pagination(page: int, number: int, n: int, size: int, part: str = "page", *, unit: str = "photo") -> None:
    """Draw the pagination of `n` photos, or other units, `size` per page; the view field `part` holds the page."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="pages"):
        first, last = (page - 1) * size + 1, min(page * size, n)
        layout.remark(f"{count(first)} to {count(last)} of {pluralize(n, unit)}")
        key = session.sync_widget(f"w:{part}", page)
        st.pagination(
            number,
            key=key,
            on_change=session.widget_callback(key, lambda chosen: session.update_view(**{part: chosen})),
        )
