"""Helpers shared by the page components: reading their files and values sent by the browser."""

from pathlib import Path
from typing import Any

import streamlit as st

from seglib.data.image import is_image_id

_HERE = Path(__file__).parent


def read_assets(*names: str) -> str:
    """Return these files of this folder, joined; scripts joined in this way form one module."""
    return "\n".join((_HERE / name).read_text("utf-8") for name in names)


def as_image_id(sent: object) -> str | None:
    """Return the value if it has the form of an image_id, else None."""
    return sent if isinstance(sent, str) and is_image_id(sent) else None


def component_value(key: str, name: str) -> Any:
    """Return what a component sent; it comes from the browser, so it may be anything."""
    return dict(st.session_state.get(key) or {}).get(name)
