"""`seglib similar`, `duplicates` and `outliers`: find photos by their embeddings."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglib.cli.common import (
    add_json_option,
    add_store_option,
    escape_for_terminal,
    frame_to_records,
    new_command,
    parse_positive,
    print_json,
    print_message,
)
from seglib.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from seglib.store.store import Store

_KIND_HELP = "vectors of the whole photo, or of its dominant class alone (default global)"


def add(commands: Any) -> None:
    similar = new_command(
        commands,
        "similar",
        "find the photos most similar to one",
        "python -m seglib similar cats/chelsea.png --number 10",
        _similar,
    )
    similar.add_argument(
        "photo",
        metavar="PHOTO|IMAGE_ID",
        help="a photo's path as in the table, its image_id, or any other photo's file",
    )
    similar.add_argument(
        "--number", type=parse_positive, default=20, metavar="N", help="photos to find at most (default 20)"
    )
    similar.add_argument("--kind", choices=["global", "class"], default="global", help=_KIND_HELP)
    duplicates = new_command(
        commands,
        "duplicates",
        "find groups of photos that show the same picture, those across splits first",
        "python -m seglib duplicates --across splits",
        _duplicates,
    )
    duplicates.add_argument(
        "--across",
        choices=["splits", "datasets", "labels"],
        help="only groups whose photos stand in several splits (such as train and test), in several datasets, or under "
        "several labels",
    )
    outliers = new_command(
        commands,
        "outliers",
        "find the photos that are least like any others",
        "python -m seglib outliers --number 50 --tag look_at",
        _outliers,
    )
    outliers.add_argument(
        "--number", type=parse_positive, default=50, metavar="N", help="photos to list at most (default 50)"
    )
    outliers.add_argument(
        "--neighbours",
        type=parse_positive,
        default=10,
        metavar="K",
        help="a photo's distance is the mean of those to its K nearest (default 10)",
    )
    outliers.add_argument("--kind", choices=["global", "class"], default="global", help=_KIND_HELP)
    for command in (similar, duplicates, outliers):
        command.add_argument(
            "--source",
            metavar="NAME",
            help="whose embeddings: a run, or a set that was added (default: the run last used)",
        )
        command.add_argument("--out", type=Path, metavar="FILE.csv", help="write the photos to a CSV file as well")
        command.add_argument("--tag", metavar="NAME", help="give the photos found a tag, as a list to work through")
        add_store_option(command)
        add_json_option(command)


def _similar(arguments: argparse.Namespace) -> int:
    from seglib.similarity.embeddings import find_source, read_embeddings
    from seglib.similarity.files import list_files
    from seglib.similarity.search import find_similar
    from seglib.store.store import Store

    store = Store(arguments.store)
    source = find_source(store, arguments.source)
    files = list_files(store)
    embeddings = read_embeddings(store, source.name, arguments.kind)
    image_id = _find_photo(arguments.photo, files)
    if image_id is not None and embeddings.positions([image_id])[0] >= 0:
        found = find_similar(embeddings, [image_id], arguments.number, among=files["image_id"])
    else:
        vector = _embed_file(arguments.photo, store, source.name, arguments.kind)
        found = find_similar(embeddings, vector, arguments.number, among=files["image_id"])
    if found.empty:
        print_message(f"No other photo of this store has a vector in {source.name}.")
    _give(arguments, store, _add_first_files(found, files))
    return 0


def _find_photo(text: str, files: "pd.DataFrame") -> str | None:
    """The image_id that the text names: as such, by a path in the store, or by a file with this content; else None."""
    from seglib.data.image import compute_image_id, is_image_id, read_bytes
    from seglib.errors import BadImage

    if is_image_id(text):
        return text
    in_store = files[(files["path"] == text) | (files["dataset"].astype("str") + "/" + files["path"] == text)]
    named = set(in_store["image_id"])
    if Path(text).is_file():
        try:
            named.add(compute_image_id(read_bytes(Path(text))))
        except BadImage as error:
            raise UsageError(f"{text!r} cannot be read ({error.reason}): {error.detail}") from None
    if len(named) > 1:
        raise UsageError(f"{text!r} names {len(named)} different photos: name one by its image_id.")
    if not named:
        raise UsageError(f"{text!r} is no photo of this store, no file and no image_id of 32 hex digits.")
    return str(next(iter(named)))


def _embed_file(text: str, store: "Store", source: str, kind: str) -> Any:
    """The vector of a photo that the source has none of, made by the source's model."""
    from seglib.data.image import decode, read_bytes
    from seglib.errors import BadImage
    from seglib.pipeline.reproduce import embed_image, resolve_source_model
    from seglib.similarity.embeddings import find_source

    if not Path(text).is_file():
        raise UsageError(
            f"{text!r} has no embedding in {source}, and there is no such file to make one from: run with `verify`, "
            "which adds missing embeddings, or name a photo's file."
        )
    spec, settings = resolve_source_model(store, find_source(store, source))
    try:
        return embed_image(decode(read_bytes(Path(text))), spec, settings, "class" if kind == "class" else "global")
    except BadImage as error:
        raise UsageError(f"{text!r} cannot be read ({error.reason}): {error.detail}") from None


def _duplicates(arguments: argparse.Namespace) -> int:
    from seglib.similarity.duplicates import find_near_duplicates
    from seglib.similarity.embeddings import read_embeddings
    from seglib.similarity.files import list_files
    from seglib.similarity.hashes import read_hashes
    from seglib.store.store import Store

    store = Store(arguments.store)
    files = list_files(store)
    embeddings = read_embeddings(store, arguments.source)
    found = find_near_duplicates(embeddings, read_hashes(store, files["image_id"]), files)
    if arguments.across:
        found = found[found["across"].str.split("|").apply(lambda spans: arguments.across in spans)]
    if not arguments.json:
        print(f"{found['group'].nunique()} groups of {len(found)} files")
    _give(arguments, store, found)
    return 0


def _outliers(arguments: argparse.Namespace) -> int:
    from seglib.similarity.embeddings import read_embeddings
    from seglib.similarity.files import list_files
    from seglib.similarity.outliers import find_outliers
    from seglib.store.store import Store

    store = Store(arguments.store)
    files = list_files(store)
    embeddings = read_embeddings(store, arguments.source, arguments.kind).only(files["image_id"])
    found = find_outliers(embeddings, arguments.neighbours).head(arguments.number)
    _give(arguments, store, _add_first_files(found, files))
    return 0


def _add_first_files(found: "pd.DataFrame", files: "pd.DataFrame") -> "pd.DataFrame":
    """The frame with dataset, path, split and label of each image's first file."""
    from seglib.similarity.files import first_files

    return found.join(first_files(files), on="image_id")


def _give(arguments: argparse.Namespace, store: "Store", found: "pd.DataFrame") -> None:
    """Print the rows, and write and tag them if that was asked for."""
    from seglib.query import export
    from seglib.store import tags

    if arguments.out is not None:
        export.write_file(arguments.out, export.csv_bytes(found))
        print_message(f"{len(found)} rows written to {arguments.out}.")
    if arguments.tag is not None:
        done = tags.tag(store, found["image_id"], arguments.tag)
        print_message(f"{done.images if done else 0} photos have got the tag {tags.normalise_tag(arguments.tag)}.")
    if arguments.json:
        print_json(*frame_to_records(found))
        return
    number = "distance" if "distance" in found else "similarity"
    for row in found.to_dict("records"):
        group = f"{row['group'] + 1:>5}  " if "group" in row else ""
        across = f"  across {row['across'].replace('|', ', ')}" if row.get("across") else ""
        where = f"{row['dataset']}/{row['path']}"
        print(f"{group}{row[number]:.3f}  {row['image_id']}  {escape_for_terminal(where)}{across}")
