"""The button that copies the page's address."""

import streamlit as st

from dashboard.components.base import _text

_copy_link = st.components.v2.component("seglib_copy_link", css=_text("copy_link.css"), js=_text("copy_link.js"))


def copy_link(command: str, *, key: str) -> None:
    """A button that copies the address of the page as it is at the click, and shows it and a command for the shell."""
    _copy_link(key=key, data={"command": command}, width="content")
