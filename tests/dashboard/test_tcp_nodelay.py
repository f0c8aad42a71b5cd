"""Connections of the server send small answers at once."""

import socket

import pytest

from dashboard import tcp_nodelay


def nodelay_of_a_connection_to(listening: socket.socket) -> bool:
    with socket.create_connection(listening.getsockname()[:2]):
        accepted, _ = listening.accept()
        with accepted:
            return bool(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


@pytest.fixture
def listening():
    """A socket as Streamlit makes its own: without a protocol."""
    with socket.socket(socket.AF_INET) as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield one


def test_a_connection_inherits_it_from_the_listening_socket(listening):
    assert not nodelay_of_a_connection_to(listening)
    assert tcp_nodelay.disable_nagle() >= 1
    assert nodelay_of_a_connection_to(listening)


def test_other_open_files_are_left_alone(listening, tmp_path):
    (tmp_path / "x").write_text("still here")
    with (tmp_path / "x").open() as file, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        tcp_nodelay.disable_nagle()
        assert file.read() == "still here"
        assert datagrams.fileno() > 0


def test_where_open_files_are_not_listed_nothing_happens(listening, tmp_path, monkeypatch):
    monkeypatch.setattr(tcp_nodelay, "_OPEN_FILES", tmp_path / "nowhere")
    assert tcp_nodelay.disable_nagle() == 0
    assert not nodelay_of_a_connection_to(listening)
