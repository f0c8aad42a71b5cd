"""Every option of Streamlit that the dashboard sets, in one table, so that an installed dashboard looks and behaves as
one in a checkout does, and no `.streamlit/config.toml` of the folder or the user changes it.
"""

from collections.abc import Mapping

from dashboard.server.middleware.request_log import FORMAT
from dashboard.settings import ServerSettings

MAX_UPLOAD_MB = 500
"""Largest file that a browser on this machine may send, such as a zip of photos; it is held in memory."""

MAX_PUBLIC_UPLOAD_MB = 100
"""The same if others can reach the server."""

Option = str | int | bool

_LIGHT = {
    "primaryColor": "#1f4fd8",
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f4f6f9",
    "textColor": "#1c2333",
    "borderColor": "#dfe3ea",
    "linkColor": "#1f4fd8",
    "sidebar.backgroundColor": "#f4f6f9",
    "sidebar.secondaryBackgroundColor": "#ffffff",
    "sidebar.borderColor": "#dfe3ea",
}
_DARK = {
    "primaryColor": "#7da2ff",
    "backgroundColor": "#11151c",
    "secondaryBackgroundColor": "#1b212b",
    "textColor": "#e7eaf0",
    "borderColor": "#303846",
    "linkColor": "#7da2ff",
    "sidebar.backgroundColor": "#161b23",
    "sidebar.secondaryBackgroundColor": "#1f2631",
    "sidebar.borderColor": "#303846",
}

OPTIONS: Mapping[str, Option] = {
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",  # the terminal has the traceback; a page shows a sentence
    "client.toolbarMode": "minimal",  # no Deploy button
    "logger.messageFormat": FORMAT,
    "global.developmentMode": False,  # which Streamlit turns on where it is not installed in site-packages
    # A widget is set from the visitor's view before it is drawn; st.pagination would warn of that each time.
    "global.disableWidgetStateDuplicationWarning": True,
    "runner.magicEnabled": False,  # else docstrings are shown as text of the page
    "runner.postScriptGC": False,  # see `lifespan.freeze_gc`
    "server.address": "127.0.0.1",
    "server.enableAgentApi": False,
    "server.enableCORS": True,
    "server.enableXsrfProtection": True,
    "server.fileWatcherType": "none",
    "server.headless": True,
    "server.maxUploadSize": MAX_PUBLIC_UPLOAD_MB,
    "theme.baseRadius": "8px",
    "theme.buttonRadius": "8px",
    "theme.baseFontSize": 15,
    **{f"theme.light.{name}": colour for name, colour in _LIGHT.items()},
    **{f"theme.dark.{name}": colour for name, colour in _DARK.items()},
}


def for_server(settings: ServerSettings, host: str, port: int) -> dict[str, Option]:
    """All options of the server that the launcher starts."""
    return {
        **OPTIONS,
        "logger.level": settings.log_level,
        "server.address": host,
        "server.port": port,
        "server.baseUrlPath": settings.base_path.strip("/"),
        "server.maxUploadSize": MAX_UPLOAD_MB if settings.local_only else MAX_PUBLIC_UPLOAD_MB,
    }


def to_flags(options: Mapping[str, Option]) -> list[str]:
    """The options as arguments of `streamlit run`."""
    return [f"--{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in options.items()]


def apply() -> None:
    """Set the options that nobody has set, as for `streamlit run dashboard/app.py`."""
    from streamlit import config

    for name, value in OPTIONS.items():
        if not config.is_manually_set(name):
            config.set_option(name, value)
