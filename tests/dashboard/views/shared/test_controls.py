"""Controls that several pages share."""

import pytest
from streamlit.testing.v1 import AppTest


def size_page() -> None:
    import streamlit as st

    from dashboard.views.shared import controls

    st.text(repr(controls.resize_select([], key="size", accept_new_options=True)))


@pytest.mark.parametrize(("kept", "size"), [("Automatic (320)", ""), ("", ""), ("short:520", "short:520")])
def test_the_automatic_size_stays_automatic_when_other_models_are_chosen(kept, size):
    app = AppTest.from_function(size_page)
    app.session_state["size"] = kept  # with what was written there while other models were chosen
    app.run()
    assert not app.exception
    assert app.text[0].value == repr(size)
    assert app.selectbox[0].value == size
