"""A button that copies the page's URL to the clipboard."""

from dashboard.components.base import register_component

_copy_link = register_component("seglib_copy_link", css=["copy_link.css"], js=["dom.js", "copy_link.js"])


def copy_link_button(command: str, *, key: str) -> None:
    """Draw a button that copies the page's current URL and shows it together with a shell command."""
    _copy_link(key=key, data={"command": command}, width="content")
