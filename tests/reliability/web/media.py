"""The web side from outside: requests that ask for what is not theirs, names and origins that are not ours, a proxy.

In: a real server on a real socket, fed byte by byte, so that no client tidies up what is asked. Beside the dataset
lie files that nobody may get, each with a canary in it. Out: counts of what was answered.
"""

import base64
import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from dashboard.server import media_urls
from seglib.store.store import Store
from tests.conftest import ROOT
from tests.dashboard.conftest import fill_store, make_run_config, real_id
from tests.reliability.harness.ledger import Campaign, CampaignResult

CANARY = b"CANARY-THAT-NOBODY-MAY-SEE"
PASSWORDS = b"root:x:0:0"
RUN = make_run_config().run_name
CAT = real_id("cats/a.jpg")


def requested(tries: int, seed: int, folder: Path) -> CampaignResult:
    """Generated requests for media; what is given out is one of the pictures that the pages show, bit by bit."""
    store = _furnished(folder)
    chance = random.Random(seed)
    with _served(store, folder) as port:
        addresses = _addresses()
        overlays = [f"{address}?palette=voc" for address in addresses if "/overlay/" in address]
        sound = [_body(_send(port, _request(address))) for address in (*addresses, *overlays)]
        assert all(sound)
        statuses: Counter[int] = Counter()
        given = 0
        for _ in range(tries):
            asked = _generated(addresses, chance)
            status, body = _send(port, asked)
            statuses[status] += 1
            assert status < 500, f"{status}: {body[:300]!r}"
            assert CANARY not in body
            assert PASSWORDS not in body
            if status in (200, 206, 304) and body.startswith((b"\xff\xd8", b"\x89PNG")):
                assert any(one.startswith(body) for one in sound), asked[:300]  # cut short if so requested
                given += 1
        alive = _send(port, _request("/_stcore/health"))
        assert alive[0] == 200
    told = ", ".join(f"{count:,} times {status}" for status, count in sorted(statuses.items()) if status)
    closed = f", {statuses[0]} closed" if statuses[0] else ""
    return CampaignResult(
        tries, f"{told}{closed}; {given} images, each from the store and requested as the pages do; no 5xx"
    )


def foreign(tries: int, seed: int, folder: Path) -> CampaignResult:
    """Names in `Host` and pages in `Origin` that are not ours; uploads without Streamlit's token."""
    store = _furnished(folder)
    chance = random.Random(seed)
    refused: Counter[str] = Counter()
    with _served(store, folder) as port:
        own = f"127.0.0.1:{port}"
        assert _send(port, _handshake(own, f"http://{own}"))[0] == 101
        for number in range(tries):
            site = chance.choice(("evil.example", f"{own}.evil.example", "localhost.evil.example", "null", "10.0.0.1"))
            if number % 3 == 0:
                status, _ = _send(port, _request(chance.choice(_addresses()), host=site))
                refused["requests under a foreign name"] += 1
            elif number % 3 == 1:
                origin = "null" if site == "null" else f"{chance.choice(('http', 'https'))}://{site}"
                status, _ = _send(port, _handshake(own, origin))
                refused["websockets from a foreign page"] += 1
            else:
                target = f"/_stcore/upload_file/{number}/{number}"
                status, _ = _send(port, _request(target, method="PUT", more=f"Origin: http://{own}\r\n"))
                refused["uploads without the token"] += 1
            assert status in (400, 403), f"{number}: {status}"
    return CampaignResult(tries, "; ".join(f"{count} {what} refused" for what, count in refused.items()))


def proxied(tries: int, _seed: int, folder: Path) -> CampaignResult:
    """The nginx configuration of docs/security.md, with its login and its path, in front of a real server."""
    store = _furnished(folder)
    with _served(store, folder, "--allow-host", "127.0.0.1", "--base-path", "/photos") as port:
        front = _free_port()
        with _nginx(folder, front, port):
            login = "Authorization: Basic " + base64.b64encode(b"me:secret").decode() + "\r\n"
            done: Counter[str] = Counter()
            for number in range(tries):
                address = "/photos" + _addresses()[number % len(_addresses())]
                assert _send(front, _request(address, host=f"127.0.0.1:{front}"))[0] == 401
                status, body = _send(front, _request(address, host=f"127.0.0.1:{front}", more=login))
                assert (status, body[:2] in (b"\xff\xd8", b"\x89P")) == (200, True), body[:300]
                status, body = _send(front, _request("/photos/", host=f"127.0.0.1:{front}", more=login))
                assert (status, b"<html" in body) == (200, True)
                own = f"127.0.0.1:{front}"
                socket_address = "/photos/_stcore/stream"
                assert _send(front, _handshake(own, f"http://{own}", socket_address))[0] == 401
                assert _send(front, _handshake(own, f"http://{own}", socket_address, login))[0] == 101
                assert _send(front, _handshake(own, "http://evil.example", socket_address, login))[0] == 403
                done.update(("images", "pages", "websockets", "websockets from a foreign page refused"))
                done["refused without the login"] += 2
    return CampaignResult(sum(done.values()), ", ".join(f"{count} {what}" for what, count in done.items()))


# --- what is asked -----------------------------------------------------------------------------------------------


def _addresses() -> list[str]:
    kinds = [f"{kind}/{RUN}/{CAT}.png" for kind in ("overlay", "mask")]
    return [f"{media_urls.PREFIX}/{one}" for one in (f"thumb/{CAT}.jpg", f"photo/{CAT}.jpg", *kinds)]


def _generated(addresses: list[str], chance: random.Random) -> bytes:
    target = chance.choice(addresses) if chance.random() < 0.2 else _traversal_path(chance)
    if chance.random() < 0.25:
        target += "?" + chance.choice(
            ("v=1", "v=../x", "v=%00", "palette=voc", "palette=../../x", "path=/etc/passwd", "v=1&v=2", "w=999999999",
             "v=" + "1" * 5000, "%3f" * 500, "&" * 300)
        )  # fmt: skip
    method = chance.choice(
        ("GET",) * 6 + ("HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "G\x01T")
    )
    more = "".join(
        chance.choice(
            ("Range: bytes=0-", "Range: bytes=-1", "Range: bytes=999999999999-", "Range: bytes=0-1," + "0-1," * 200,
             "If-None-Match: *", "If-None-Match: " + '"x",' * 500, "Accept-Encoding: gzip;q=x",
             "X-Forwarded-Host: evil", "X-Original-URL: /etc/passwd", "Content-Length: 5", "Transfer-Encoding: chunked",
             "X: " + "a" * 20_000,
             "Cookie: _streamlit_xsrf=../../x", "Expect: 100-continue", "Content-Length: -1", "Connection: upgrade")
        ) + "\r\n"
        for _ in range(chance.choice((0, 0, 1, 2)))
    )  # fmt: skip
    return _request(target, method=method, more=more)


def _traversal_path(chance: random.Random) -> str:
    """A path that leads, by one spelling or another, to what is not theirs."""
    goals = (
        *("secret.txt", "photos2/secret.jpg", "photos-set2/cats/a.jpg", "store/store.json", "outside.jpg"),
        *("etc/passwd", "proc/self/environ", f"store/runs/{RUN}/run.json", f"other/thumbs/{CAT[:2]}/{CAT}.jpg"),
        *("cats/link.jpg", "store/thumbs", "", "."),
    )
    up = chance.choice(("..", ".", "...", "%2e%2e", "%252e%252e", "..%00", "%c0%ae%c0%ae", "..;", "．．", "", "%u002e"))
    slash = chance.choice(("/", "%2f", "%252f", "\\", "%5c", "//", "/./", "%c0%af", ";/", "%2f%2f"))
    climb = slash.join([up] * chance.randint(1, 9)) + slash
    goal = chance.choice(goals).replace("/", slash if chance.random() < 0.5 else "/")
    ids = (CAT, CAT.upper(), "0" * 32, CAT[:-1], CAT + "%00", CAT + "%0a", quote("é" * 32), "*" * 32, "a" * 3000, "..")
    end = chance.choice((".jpg", ".png", ".JPG", "", ".jpg/", ".json", "%2ejpg", ".jpg%00.png"))
    runs = (RUN, RUN + "x", "..", "%2e%2e", f"..{slash}{RUN}", "other", "*", quote("<img>"), "a" * 300)
    kinds, statics = (
        ("mask", "overlay", "uncertainty"),
        ("/media", "/static", "/app/static", "/_stcore/bidi-components"),
    )
    shapes = (
        lambda: f"{media_urls.PREFIX}/thumb/{climb}{goal}",
        lambda: f"{media_urls.PREFIX}/photo/{climb}{goal}{end}",
        lambda: f"{media_urls.PREFIX}/{chance.choice(('mask', 'overlay'))}/{chance.choice(runs)}/{climb}{goal}{end}",
        lambda: f"{media_urls.PREFIX}/{chance.choice(('thumb', 'photo'))}/{chance.choice(ids)}{end}",
        lambda: f"{media_urls.PREFIX}/{chance.choice(kinds)}/{chance.choice(runs)}/{chance.choice(ids)}{end}",
        lambda: f"{media_urls.PREFIX}/truth/{chance.choice(('00000000', '..', CAT[:8]))}/{chance.choice(ids)}{end}",
        lambda: (
            f"{media_urls.PREFIX}/judged/{chance.choice(runs)}/{'0' * 8}/{chance.choice(ids)}/{chance.choice(ids)}{end}"
        ),
        lambda: f"{media_urls.PREFIX}/difference/{chance.choice(runs)}/{chance.choice(runs)}/{chance.choice(ids)}{end}",
        lambda: f"{media_urls.PREFIX}{climb}{goal}",
        lambda: f"/{climb}{goal}",
        lambda: f"{chance.choice(statics)}/{climb}{goal}",
        lambda: f"/chart-script/{climb}{goal}",
        lambda: f"http://127.0.0.1/{climb}{goal}",
        lambda: f"file:///{goal}",
    )  # fmt: skip
    return chance.choice(shapes)()


def _request(target: str, *, method: str = "GET", host: str = "localhost", more: str = "") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n".encode()


def _handshake(host: str, origin: str, target: str = "/_stcore/stream", more: str = "") -> bytes:
    key = base64.b64encode(bytes(16)).decode()
    return (
        f"GET {target} HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: streamlit\r\n{more}\r\n"
    ).encode()


def _send(port: int, request: bytes) -> tuple[int, bytes]:
    """(status, body); 0 where the server closed without an answer, as to what is no HTTP."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(request)
        if b"\r\nContent-Length: 5" in request or b"chunked" in request:
            connection.shutdown(socket.SHUT_WR)  # what is announced never comes
        with contextlib.suppress(ConnectionError):
            while data := connection.recv(65536):
                answer += data
                if answer.startswith(b"HTTP/1.1 101") or _is_whole(answer):
                    break
    head, _, body = answer.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.[01] (\d{3})", head)
    return (int(found[1]) if found else 0), body


def _is_whole(answer: bytes) -> bool:
    """A connection that asked for an upgrade is not closed where that is refused."""
    head, end, body = answer.partition(b"\r\n\r\n")
    size = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(end and size and len(body) >= int(size[1]))


def _body(answer: tuple[int, bytes]) -> bytes:
    assert answer[0] == 200, answer
    return answer[1]


# --- what is there -----------------------------------------------------------------------------------------------


def _furnished(folder: Path) -> Path:
    """A store over `photos`, whose neighbours hold canaries; one of its photos is a link out of the folder."""
    store = folder / "store"
    fill_store(store, real=True)
    for name in ("secret.txt", "photos2/secret.jpg", "photos-set2/cats/a.jpg", "outside.jpg", "photos/secret.txt"):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(CANARY)
    (folder / "photos" / "cats" / "link.jpg").symlink_to(folder / "outside.jpg")
    other = Store.create(folder / "other")
    thumb = other.thumbnail_path(CAT)
    thumb.parent.mkdir(parents=True)
    thumb.write_bytes(b"\xff\xd8" + CANARY)
    return store


@contextlib.contextmanager
def _served(store: Path, folder: Path, *more: str) -> Iterator[int]:
    """A server's port, from its first answer on."""
    port = _free_port()
    command = [sys.executable, "-m", "dashboard", "--store", str(store), "--data", str(folder / "photos")]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port), *more], cwd=folder, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    base = more[more.index("--base-path") + 1] if "--base-path" in more else ""
    try:
        assert _answers(port, f"{base}/_stcore/health", process), (folder / "server.log").read_text()
        yield port
        assert "Traceback" not in (folder / "server.log").read_text("utf-8", "replace")
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def _nginx(folder: Path, front: int, port: int) -> Iterator[None]:
    """The nginx block of docs/security.md, on free ports and in a folder of its own."""
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    server = re.search(r"```nginx\n(.*?)```", text, re.S)
    assert server is not None
    place = folder / "nginx"
    place.mkdir()
    site = re.sub(r"listen .*;|server_name .*;|ssl_certificate.*;", "", server[1])
    site = site.replace("server {", f"server {{ listen 127.0.0.1:{front};").replace(":8501", f":{port}")
    site = re.sub(r"auth_basic_user_file .*;", f"auth_basic_user_file {place}/users;", site)
    (place / "users").write_text("me:{PLAIN}secret\n")
    temporary = "".join(
        f"{kind}_temp_path {place}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root root; " if os.geteuid() == 0 else ""  # its workers would be nobody, who may not read here
    own = f"{user}daemon off; pid {place}/pid; error_log {place}/log; events {{}}"
    (place / "nginx.conf").write_text(f"{own} http {{ access_log off; {temporary} {site} }}")
    process = subprocess.Popen([nginx_program(), "-c", str(place / "nginx.conf"), "-p", str(place)])
    try:
        assert _answers(front, "/photos/_stcore/health", process, accepted=401)
        yield
        assert "[alert]" not in (place / "log").read_text()
    except AssertionError as error:
        raise AssertionError(f"{error}\n{(place / 'log').read_text()}") from error
    finally:
        process.terminate()
        process.wait(20)


def nginx_program() -> str:
    """Empty where it is not installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin") or ""


def _answers(port: int, target: str, process: "subprocess.Popen[bytes]", accepted: int = 200) -> bool:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            if _send(port, _request(target))[0] == accepted:
                return True
        time.sleep(0.2)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


SECTION = "Web server"
CAMPAIGNS = (
    Campaign(SECTION, "requests for files outside the store", requested, 1500, 100),
    Campaign(SECTION, "foreign host names, foreign pages, uploads without the token", foreign, 90, 15),
    Campaign(SECTION, "behind the documented nginx, with a login, below a path", proxied, 20, 2, needs="nginx"),
)
