"""Measures the dashboard under load: 20 visitors at once, each changing a filter for a minute, on 100,000 rows.

    python benchmarks/load.py [--rows 100000] [--sessions 20] [--seconds 60] [--pause 2] [--minutes 2] [--keep DIR]
                              [--store STORE] [--rest 15] [--out FILE.json]

The visitors speak the browser's own protocol (Streamlit's websocket, and HTTP for the pictures) without being browsers:
on a small machine 20 of those would cost more than the server that is measured. A visitor opens Overview, then Explore,
and there goes from filter to filter, as a link or the back button does; after each the 16 pictures that a browser would
have in view are fetched, six at a time, and it pauses for 0 to 2 `--pause` seconds. A filter takes from its request to
the end of the server's answer (the page is drawn then but for its pictures). Every filter is drawn at random, so that
hardly any was asked for before; afterwards each number of photos is compared with what the library says.
"""

import argparse
import asyncio
import json
import random
import re
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from servers import Server, dashboard_command, folder_for_stores, run_server
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from synthetic import build
from websockets.asyncio.client import ClientConnection, connect

from seglib.query.filters import Filters, select
from seglib.store.store import Store

ROOT = Path(__file__).resolve().parents[1]
IN_VIEW = 16
CHARTS = 2
"""Of Explore's charts of classes."""

_PHOTOS = re.compile(r"<dt>photos?</dt><dd[^>]*><b>([\d,]+)</b>")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pause", type=float, default=2, help="mean seconds between two filters of a visitor")
    parser.add_argument("--minutes", type=int, default=2, help="how often, with new visitors each time")
    parser.add_argument("--photos", type=Path, default=ROOT / "dataset" / "sample")
    parser.add_argument("--keep", type=Path, help="folder for the stores, which are used again and not deleted")
    parser.add_argument("--rest", type=float, default=15, help="seconds after which those who left are forgotten")
    parser.add_argument("--store", type=Path, help="a store that is there, instead of a synthetic one")
    parser.add_argument("--out", type=Path, help="the same figures as JSON, for programs")
    arguments = parser.parse_args()
    with folder_for_stores(arguments.keep) as folder:
        store = arguments.store or folder / f"s{arguments.rows}"
        if arguments.store is None:
            build(store, arguments.rows, arguments.photos)
        with run_server(dashboard_command(store)) as server:
            measured = report(store, server, arguments)
    if arguments.out:
        arguments.out.write_text(json.dumps(measured, indent=1), "utf-8")


def report(store: Path, server: Server, arguments: argparse.Namespace) -> list[dict[str, object]]:
    """Print a row per minute, and return them."""
    measured: list[dict[str, object]] = []
    asyncio.run(run_minute(server.url, 1, 5, 0))
    rows = f"{arguments.rows:,} rows" if arguments.store is None else store.name
    print(f"{arguments.sessions} visitors, {rows}, pause {arguments.pause:g} s on average\n")
    print("| minute | filters | errors | median s | p95 s | longest s | memory before, after, at most MB |")
    print("|---|---|---|---|---|---|---|")
    for number in range(1, arguments.minutes + 1):
        before = server.memory_mb()
        visitors = asyncio.run(run_minute(server.url, arguments.sessions, arguments.seconds, arguments.pause))
        time.sleep(arguments.rest)  # the server notices that they have gone
        after, most = server.memory_mb(), server.memory_mb("VmHWM")
        took = sorted(seconds for visitor in visitors for seconds in visitor.seconds)
        errors = [error for visitor in visitors for error in visitor.errors] + find_wrong_counts(store, visitors)
        p95 = took[int(0.95 * len(took))]
        print(
            f"| {number} | {len(took)} | {len(errors)} | {statistics.median(took):.2f} | {p95:.2f} | {took[-1]:.2f} "
            f"| {before:.0f}, {after:.0f}, {most:.0f} |",
            flush=True,
        )
        for error in errors[:5]:
            print(f"    {error}", file=sys.stderr)
        measured.append(
            {
                "filters": len(took),
                "errors": errors,
                "median_s": statistics.median(took),
                "p95_s": p95,
                "memory_mb": {"before": before, "after": after, "most": most},
            }
        )
    return measured


# --- visitors ----------------------------------------------------------------------------------------------------


@dataclass
class Visitor:
    number: int
    seconds: list[float] = field(default_factory=list)
    answers: list[tuple[str, str]] = field(default_factory=list)
    """(filters, photos that the page counted)."""
    errors: list[str] = field(default_factory=list)


async def run_minute(url: str, sessions: int, seconds: float, pause: float) -> list[Visitor]:
    visitors = [Visitor(number) for number in range(sessions)]
    async with asyncio.TaskGroup() as group:
        for visitor in visitors:
            group.create_task(visit(visitor, url, seconds, pause))
    return visitors


async def visit(visitor: Visitor, url: str, seconds: float, pause: float) -> None:
    """Come, filter until the time is over, go. What goes wrong is kept and ends the visit."""
    chance = random.Random(visitor.number + time.time_ns())
    address = url.replace("http", "ws", 1) + "/_stcore/stream"
    limits = httpx.Limits(max_connections=6, keepalive_expiry=4)
    try:
        async with (
            connect(address, subprotocols=["streamlit"], origin=url, max_size=None) as socket,
            httpx.AsyncClient(base_url=url, limits=limits) as client,
        ):
            await fetch_page(socket, client, "", title="overview")  # charts are drawn from now on
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                await asyncio.sleep(chance.uniform(0, 2 * pause))
                where = some_filters(chance)
                started = time.perf_counter()
                answer = await fetch_page(socket, client, where)
                assert answer.charts == CHARTS or answer.photos == "0", answer
                visitor.seconds.append(answer.at - started)
                visitor.answers.append((where, answer.photos))
    except Exception as error:  # whatever it is, it is what a visitor would have met
        visitor.errors.append(f"visitor {visitor.number}: {type(error).__name__}: {error}")


@dataclass
class Answer:
    at: float = 0.0
    photos: str = ""
    charts: int = 0
    pictures: list[str] = field(default_factory=list)


async def fetch_page(socket: ClientConnection, client: httpx.AsyncClient, where: str, title: str = "explore") -> Answer:
    """The page with these filters, and its pictures in view."""
    request = BackMsg()
    request.rerun_script.query_string = f"{where}&charts=classes"
    request.rerun_script.page_name = title
    await socket.send(request.SerializeToString())
    answer = Answer()
    async for data in socket:
        message = ForwardMsg.FromString(data)
        kind = message.WhichOneof("type")
        if kind == "delta":
            parse_message(message, answer)
        elif kind == "script_finished" and message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
            break
    answer.at = time.perf_counter()
    await asyncio.gather(*(fetch_picture(client, picture) for picture in answer.pictures))
    return answer


async def fetch_picture(client: httpx.AsyncClient, address: str) -> None:
    """Get a picture; once more, as browsers do, if the server closed the idle connection at this moment."""
    try:
        reply = await client.get(address)
    except (httpx.RemoteProtocolError, httpx.ReadError):
        reply = await client.get(address)
    reply.raise_for_status()


def parse_message(message: ForwardMsg, answer: Answer) -> None:
    element = message.delta.new_element
    kind = element.WhichOneof("type")
    if kind == "exception":
        raise RuntimeError(element.exception.message)
    if kind == "html" and (found := _PHOTOS.search(element.html.body)):
        answer.photos = found[1]
    elif kind == "bidi_component" and '"figure"' in element.bidi_component.json:
        answer.charts += 1
    elif kind == "bidi_component" and '"tiles"' in element.bidi_component.json:
        shown = json.loads(element.bidi_component.json)
        tiles = [tile for group in shown.get("groups", [shown]) for tile in group["tiles"]][: IN_VIEW // 2]
        answer.pictures = [address for tile in tiles for address in (tile["photo"], tile["mask"])]


def some_filters(chance: random.Random) -> str:
    """One to three filters, as in the address of a page."""
    low = chance.randrange(1, 60)
    possible = [
        f"share.{chance.choice(['cat', 'dog', 'person', 'sofa'])}=0.{low:02}..1",
        f"confidence=0.{chance.randrange(10, 60)}..0.{chance.randrange(70, 99)}",
        f"label={chance.choice(['cats', 'dogs'])}",
        f"split={chance.choice(['train', 'val', 'test'])}",
        f"agreement={chance.choice(['agrees', 'contradicts'])}",
    ]
    return "&".join(chance.sample(possible, chance.randrange(1, 4)))


def find_wrong_counts(store: Path, visitors: list[Visitor]) -> list[str]:
    opened = Store(store)
    table = opened.table([opened.run().run], with_tags=False)
    asked = {pair for visitor in visitors for pair in visitor.answers}
    counted = ((where, said, f"{len(select(table, Filters.decode(where))):,}") for where, said in asked)
    return [f"{where}: the page says {said}, the library {right}" for where, said, right in counted if said != right]


if __name__ == "__main__":
    main()
