import codecs

import pytest

from seglib.errors import UsageError
from seglib.fileio.text_file import read_text_lines

NAMES = ("Kätzchen/a b.jpg", "狗.png", "cat's.jpg", "\N{CAT FACE}.png")

MARKED = {
    "utf-8": b"",
    "utf-8-sig": b"",  # the codec writes the mark itself
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", MARKED)
def test_what_editors_write_is_read(tmp_path, encoding, end):
    text = f"  {NAMES[0]}\t{end}{end} {end}" + end.join(NAMES[1:])
    (tmp_path / "list.txt").write_bytes(MARKED[encoding] + text.encode(encoding))
    assert read_text_lines(tmp_path / "list.txt") == NAMES


@pytest.mark.parametrize("data", [b"", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, b"\n \r\n"])
def test_a_file_without_entries_has_none(tmp_path, data):
    (tmp_path / "list.txt").write_bytes(data)
    assert read_text_lines(tmp_path / "list.txt") == ()


def test_only_line_ends_end_a_line_since_names_may_hold_other_separators(tmp_path):
    (tmp_path / "list.txt").write_text("a\u2028b.jpg\nc\x0bd.jpg\ne\x85f.jpg", "utf-8")
    assert read_text_lines(tmp_path / "list.txt") == ("a\u2028b.jpg", "c\x0bd.jpg", "e\x85f.jpg")


def test_marks_inside_joined_files_are_no_part_of_a_name(tmp_path):
    (tmp_path / "list.txt").write_bytes(codecs.BOM_UTF8 + b"a.jpg\n" + codecs.BOM_UTF8 + b"b.jpg\n")
    assert read_text_lines(tmp_path / "list.txt") == ("a.jpg", "b.jpg")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("Kätzchen".encode("cp1252"), "byte 0xe4 at 1 is not UTF-8"),
        ("a.jpg\nb.jpg".encode("utf-16-le"), "NUL"),  # no mark
        ("a.jpg\nb.jpg".encode("utf-16-be"), "NUL"),
        ("a.jpg\nb.jpg".encode("utf-32"), "NUL"),  # whose mark begins like that of UTF-16
        (codecs.BOM_UTF16_LE + b"a\0b", "is not UTF-16"),
        (b"\x89PNG\r\n\x1a\n", "byte 0x89 at 0 is not UTF-8"),
    ],
)
def test_what_is_not_certainly_text_is_refused_in_one_sentence(tmp_path, data, found):
    (tmp_path / "list.txt").write_bytes(data)
    with pytest.raises(UsageError, match=rf"list.txt' cannot be read \(.*{found}.*\): .*save it as UTF-8\.$"):
        read_text_lines(tmp_path / "list.txt")


def test_a_file_that_is_not_there_is_refused_in_one_sentence(tmp_path):
    for path in (tmp_path, tmp_path / "nothing.txt"):
        with pytest.raises(UsageError, match="cannot be read"):
            read_text_lines(path)
