"""Move single files into packs, and rewrite packs. The caller must hold the store lock, and nobody may be writing.

A pack is complete and on disk before what it replaces is deleted. Killed at any moment, each picture is therefore in
one place at least; what is in two is the same, and the next call removes it from one.
"""

import contextlib
import heapq
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from seglib.fileio.atomic import AtomicWriter
from seglib.store.pictures import pack_file
from seglib.store.pictures.pack_file import Entry, Pack, write_pack
from seglib.store.pictures.picture_folder import PictureFolder, read_without_links


def pack_next(pictures: PictureFolder, atomic: AtomicWriter, after: str = "") -> list[Path]:
    """Move the single files with a name above `after` into a pack, as many as one holds; returns these files."""
    moved: list[Path] = []
    write_pack(atomic, pictures.folder, _read_next(pictures, after, moved))
    for path in moved:
        path.unlink(missing_ok=True)
    for shard in {path.parent for path in moved}:
        with contextlib.suppress(OSError):  # it holds other files
            shard.rmdir()
    return moved


def _read_next(pictures: PictureFolder, after: str, moved: list[Path]) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of what is to be packed, and list the files that are in a pack then, or have been before."""
    packs, number, size = pictures.packs(), 0, 0
    for path in pictures.single_files(after):
        if number >= pack_file.MAX_PICTURES or size >= pack_file.MAX_BYTES:
            return
        try:
            data = read_without_links(path)
        except FileNotFoundError:
            continue
        moved.append(path)
        if _read_newest(packs, path.name) != data:  # else a call was killed before it deleted the file
            yield path.name, data
            number, size = number + 1, size + len(data)


def _read_newest(packs: Sequence[Pack], name: str) -> bytes | None:
    """The picture in the newest of these packs that has it; None if none has, or it is damaged there."""
    try:
        pack = _find_newest(packs, name)
        return None if pack is None else pack.read(name)
    except OSError:
        return None


def _find_newest(packs: Sequence[Pack], name: str) -> Pack | None:
    """`packs`: the newest first."""
    return next((one for one in packs if pack_file.covers(one.path.name, name) and one.find(name)), None)


def merge_small_packs(pictures: PictureFolder, atomic: AtomicWriter) -> None:
    """Make one pack of the smallest ones, if two or more fit into one."""
    chosen: list[Pack] = []
    number = size = 0
    for pack in sorted(pictures.packs(), key=lambda pack: pack.pictures):
        number, size = number + pack.pictures, size + pack.directory
        if number > pack_file.MAX_PICTURES or size > pack_file.MAX_BYTES:
            break
        chosen.append(pack)
    if len(chosen) > 1:
        rewrite_packs(pictures, atomic, chosen)


def rewrite_packs(
    pictures: PictureFolder, atomic: AtomicWriter, packs: Sequence[Pack], alive: Container[str] | None = None
) -> None:
    """Replace packs with one of the pictures in them that are current, intact and, if given, `alive`."""
    write_pack(atomic, pictures.folder, _read_current(pictures, packs, alive))
    for pack in packs:
        pack.path.unlink(missing_ok=True)


def _read_current(
    pictures: PictureFolder, packs: Sequence[Pack], alive: Container[str] | None
) -> Iterator[tuple[str, bytes]]:
    def entries(pack: Pack) -> Iterator[tuple[Entry, Pack]]:
        return ((entry, pack) for entry in pack.entries())

    newest_first = pictures.packs()
    for entry, pack in heapq.merge(*map(entries, packs), key=lambda pair: pair[0].name):
        image_id = entry.name.removesuffix(pictures.suffix)
        if alive is not None and image_id not in alive:
            continue
        if _find_newest(newest_first, entry.name) != pack or pictures.path(image_id).exists():
            continue
        with contextlib.suppress(OSError):  # damaged: it is missing then, which is as bad
            data = pack.read(entry.name)
            assert data is not None
            yield entry.name, data


def count_dead(pictures: PictureFolder, alive: Container[str]) -> dict[Pack, int]:
    """The packs with pictures that are no longer `alive` -> how many; none of a damaged pack."""
    counts = {}
    for pack in pictures.packs():
        with contextlib.suppress(OSError):  # damaged
            dead = sum(entry.name.removesuffix(pictures.suffix) not in alive for entry in pack.entries())
            if dead:
                counts[pack] = dead
    return counts


def is_stale(pack: Pack, dead: int) -> bool:
    """Whether more than half of the pack is dead.

    The others are left as they are: to remove one picture of a pack, all of it must be written again.
    """
    return 2 * dead > pack.pictures
