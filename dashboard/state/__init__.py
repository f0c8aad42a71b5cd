"""The state of a view: in the URL, in the session, and in filtered charts."""
