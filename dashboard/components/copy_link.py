"""A button that copies the page's URL to the clipboard."""

import streamlit as st

from dashboard.components.base import read_assets

_copy_link = st.components.v2.component(
    "seglib_copy_link", css=read_assets("copy_link.css"), js=read_assets("dom.js", "copy_link.js")
)


def copy_link_button(command: str, *, key: str) -> None:
    """Draw a button that copies the page's current URL and shows it together with a shell command."""
    _copy_link(key=key, data={"command": command}, width="content")
