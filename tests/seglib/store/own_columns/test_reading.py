"""What a file says is read as it is meant, or refused in a sentence."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import seglib
from seglib.errors import UsageError
from seglib.query.fields import Kind, find_field
from seglib.store.own_columns import log
from seglib.store.own_columns.options import ColumnOptions, ColumnType
from tests.seglib.store.own_columns.plain_store import PATHS, add, column, lines

DATES = "datetime64[us]"

# --- types -------------------------------------------------------------------------------------------------------

D = pd.Timestamp

READ = {
    "whole numbers": (["1", "-2", "+3", ""], {}, "Int64", [1, -2, 3, None]),
    "a gap makes no float of them": (["1", "NA", "null", "2"], {}, "Int64", [1, None, None, 2]),
    "numbers": (["1", "2.5", "-1e3", "nan"], {}, "float64", [1.0, 2.5, -1000.0, None]),
    "decimal comma": (["1,5", "2", "0,25", ""], {}, "float64", [1.5, 2.0, 0.25, None]),
    "decimal comma with points between thousands": (["1.234,5", "2", "3", "4"], {}, "float64", [1234.5, 2.0, 3.0, 4.0]),
    "commas between thousands": (["1,234.5", "1,000", "3", "4"], {}, "float64", [1234.5, 1000.0, 3.0, 4.0]),
    "a comma that is said to be decimal": (["1,500", "2,000", "", ""], {"decimal": "comma"},
        "float64", [1.5, 2.0, None, None]),
    "a comma that is said not to be": (["1,500", "2,000", "", ""], {"decimal": "point"},
        "Int64", [1500, 2000, None, None]),
    "true or false": (["true", "FALSE", "True", ""], {}, "boolean", [True, False, True, None]),
    "0 and 1 are numbers": (["1", "0", "1", ""], {}, "Int64", [1, 0, 1, None]),
    "0 and 1 that are said to be truths": (["1", "0", "yes", ""], {"types": {"x": "bool"}},
        "boolean", [True, False, True, None]),
    "leading zeros are a name": (["007", "1", "2", ""], {}, "category", ["007", "1", "2", None]),
    "too long to be exact": (["9007199254740993", "1", "1", ""], {}, "category", ["9007199254740993", "1", "1", None]),
    "longer than any integer": (["9" * 40, "1", "1", ""], {}, "category", ["9" * 40, "1", "1", None]),
    "dates": (["2024-03-31", "2024-4-1", "", "-"], {}, DATES, [D("2024-03-31"), D("2024-04-01"), None, None]),
    "dates and times": (["2024-03-31T12:00", "2024-03-31 12:00:01.5", "2024-03-31", ""], {}, DATES,
                        [D("2024-03-31 12:00"), D("2024-03-31 12:00:01.5"), D("2024-03-31"), None]),
    "EXIF": (["2024:03:31 12:00:05", "", "", ""], {}, DATES, [D("2024-03-31 12:00:05"), None, None, None]),
    "German dates": (["31.03.2024", "03.04.2024", "", ""], {}, DATES, [D("2024-03-31"), D("2024-04-03"), None, None]),
    "a date of the column decides": (["31/03/2024", "03/04/2024", "", ""], {}, DATES,
                                     [D("2024-03-31"), D("2024-04-03"), None, None]),
    "the user decides": (["03/04/2024", "", "", ""], {"dates": "month-first"},
        DATES, [D("2024-03-04"), None, None, None]),
    "a format": (["03.04.24", "", "", ""], {"dates": "%d.%m.%y"}, DATES, [D("2024-04-03"), None, None, None]),
    "time zones": (["2024-03-31T12:00+02:00", "2024-03-31T12:00Z", "2024-03-31T12:00-0330", ""], {}, DATES,
                   [D("2024-03-31 10:00"), D("2024-03-31 12:00"), D("2024-03-31 15:30"), None]),
    "the first and last day": (["0001-01-01", "9999-12-31T23:59:59.999999", "", ""], {}, DATES,
                               [D("0001-01-01"), D("9999-12-31 23:59:59.999999"), None, None]),
    "texts keep NA": (["NA", "b", "b", ""], {}, "category", ["NA", "b", "b", None]),
    "unless it is said": (["NA", "b", "b", ""], {"missing": ("NA",)}, "category", [None, "b", "b", None]),
    "umlauts, in one spelling": (["Ko\u0308ln", " Köln ", "a\nb", ""], {}, "category", ["Köln", "Köln", "a\nb", None]),
    "numbers that are said to be categories": (["1", "2", "1", ""], {"types": {"x": "category"}},
        "category", ["1", "2", "1", None]),
    "whole numbers that are said to be numbers": (["1", "2", "1", ""], {"types": {"x": "number"}},
        "float64", [1.0, 2.0, 1.0, None]),
}  # fmt: skip


@pytest.mark.parametrize(("values", "options", "dtype", "expected"), READ.values(), ids=READ)
def test_values_are_read_as_what_they_are(known, values, options, dtype, expected):
    add(known, lines(*values), **options)
    assert str(known.table()["column:x"].dtype) == dtype
    assert column(known, "x") == expected


def test_many_different_texts_are_text_and_three_hundred_of_a_thousand_are_categories():
    from seglib.store.own_columns.reading import read_raw
    from seglib.store.own_columns.types.judging import judge_columns

    rows = "\n".join(f"p{row},k{row % 300},note {row}" for row in range(1000))
    raw = read_raw(f"path,kind,note\n{rows}\n".encode(), ColumnOptions())
    columns, _ = judge_columns(raw, ["kind", "note"], ColumnOptions(), {})
    assert [one.type for one in columns] == [ColumnType.CATEGORY, ColumnType.TEXT]


REFUSED = {
    "two readings of a comma": (lines("1,500", "2,000"), {}, "commas in the column 'x' .* `decimal` comma"),
    "two decimal signs": ("path;x;y\ncats/a.jpg;1,5;1.5\n", {}, "'x' have a decimal comma, and those of 'y' a decimal"),
    "two readings of a date": (lines("03/04/2024"), {}, "may begin with the day or with the month: say `dates`"),
    "both orders of a date": (lines("31/03/2024", "03/31/2024"), {}, "begins with the day .* with the month"),
    "several ways of writing": (lines("2024-03-31", "31.03.2024"), {}, "written in several ways"),
    "no such day": (lines("2024-02-30"), {}, "'2024-02-30' in row 2 of the column 'x' is no date of the calendar"),
    "no such time": (lines("2024-02-20 25:00"), {}, "is no date of the calendar"),
    "some time zones": (lines("2024-03-31T12:00Z", "2024-03-31T12:00"), {}, "have a time zone"),
    "infinite": (lines("1", "-inf"), {}, "an infinite number \\('-inf' in row 3\\)"),
    "so large that it is infinite": (lines("1e999"), {}, "an infinite number"),
    "not the type that is said": (lines("1", "abc"), {"types": {"x": "number"}}, "'abc' in row 3 of the column 'x' "),
    "not whole": (lines("1", "1.5"), {"types": {"x": "integer"}}, "'1.5' in row 3"),
    "no truth": (lines("true", "2"), {"types": {"x": "bool"}}, "'2' in row 3"),
    "no date": (lines("2024-01-01", "soon"), {"types": {"x": "date"}}, "'soon' in row 3"),
    "a type that does not exist": (lines("1"), {"types": {"x": "image"}}, "type of 'x' is integer, number"),
    "a column that does not exist": (lines("1"), {"types": {"y": "date"}}, "no column to add 'y'; known are: x"),
    "a format that is none": (lines("1"), {"dates": "soon"}, "`dates` is day-first, month-first or a format"),
    "an unfinished format": (lines("03.04.24"), {"dates": "%d.%Q"}, "is no format of dates"),
    "an empty file": (b"", {}, "The file is empty"),
    "white space": (b" \n\n", {}, "The file is empty"),
    "a header only": (b"path,x\n", {}, "a header and no rows"),
    "one column": (b"path\ncats/a.jpg\n", {}, "at least two columns"),
    "nothing but the key": (b"path,x\ncats/a.jpg,\n", {}, "no values to add"),
    "two headers of a name": (b"path,x,x\ncats/a.jpg,1,2\n", {}, "two columns 'x'"),
    "two headers that look the same": ("path,\u00e9,e\u0301\ncats/a.jpg,1,2\n", {}, "two columns 'é'"),
    "a control character in a header": (b'path,"x\ny"\ncats/a.jpg,1\n', {}, "has a line break or a control"),
    "a header that turns the text around": ("path,\u202ex\ncats/a.jpg,1\n", {}, "has a line break or a control"),
    "a header that is too long": (f"path,{'x' * 101}\ncats/a.jpg,1\n", {}, "at most 100 characters"),
    "no header": (b"cats/a.jpg,1\ncats/b.jpg,2\n", {}, "expected a header"),
    "too few cells": (b"path,x,y\ncats/a.jpg,1\n", {}, "Row 2 .* 2 instead of 3"),
    "too many cells": (b"path,x\ncats/a.jpg,1,5\n", {}, "Row 2 .* must be in quotation marks"),
    "an open quote": (b'path,x\ncats/a.jpg,"1\ncats/b.jpg,2\n', {}, "never closed"),
    "two separators": (b"path;x,y\ncats/a.jpg;1,2\n", {}, "a comma and a semicolon, and every row fits both"),
    "Windows text": ("path,x\ncats/a.jpg,ä\n".encode("cp1252"), {}, "not text in UTF-8 \\(byte 0xe4 at 18\\)"),
    "NUL": (b"path,x\ncats/a.jpg,\0\n", {}, "NUL characters"),
    "UTF-16 without a mark": ("path,x\ncats/a.jpg,1\n".encode("utf-16-le"), {}, "NUL characters"),
    "an encoding that does not exist": (b"path,x\ncats/a.jpg,1\n", {"encoding": "klingon"}, "no encoding 'klingon'"),
    "an encoding that is none of text": (b"path,x\ncats/a.jpg,1\n", {"encoding": "zlib"}, "no encoding 'zlib'"),
    "a workbook": (b"PK\x03\x04whatever", {}, "workbook"),
    "broken Parquet": (b"PAR1 nonsense PAR1", {}, "Parquet file cannot be read"),
    "ten thousand columns": (("path," + ",".join(f"c{n}" for n in range(10_000)) + "\ncats/a.jpg" + ",1" * 10_000), {},
                             "10,000 own columns, and a store has at most 200: name those that you need"),
    "keys that fit nothing": (b"path,x\nz/a.jpg,1\nz/b.jpg,2\n", {"key": "path"},
                              "None of the 2 rows fits a photo: the column 'path' holds 'z/a.jpg', 'z/b.jpg', and a "
                              "photo's path such as 'cats/a.jpg' was expected"),
    "no column that fits": (b"name,x\nfoo,1\nbar,2\n", {}, "No column of the file names photos"),
    "the same photo twice, differently": (b"path,x\ncats/a.jpg,1\ncats/a.jpg,2\n", {},
                                          "2 and 3 are about the same photo, 'cats/a.jpg', and give the column 'x'"),
    "two readings of the key": (b"first,second\na,b\nb,a\n", {}, "'first' as file name \\(2 photos\\), the"),
    "a key column that does not exist": (b"path,x\ncats/a.jpg,1\n", {"key_column": "y"}, "no column of text 'y'"),
    "a dataset that does not exist": (b"path,x\ncats/a.jpg,1\n", {"dataset": "y"}, "no dataset 'y'"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "options", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_damaged_or_fits_two_readings_is_refused_in_a_sentence(known, text, options, message):
    version = known.version()
    with pytest.raises(UsageError, match=message) as refused:
        add(known, text, **options)
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith(".")
    assert known.version() == version
    assert not known.column_values_folders()


TEXT_FILES = {
    "byte order mark": "\ufeffpath,größe\ncats/a.jpg,ö\n".encode(),
    "UTF-16": "path,größe\ncats/a.jpg,ö\n".encode("utf-16"),
    "UTF-32": "path,größe\ncats/a.jpg,ö\n".encode("utf-32"),
    "semicolons": "path;größe\ncats/a.jpg;ö\n".encode(),
    "tabs": "path\tgröße\ncats/a.jpg\tö\n".encode(),
    "quotes and old line ends": '"path","größe"\r"cats/a.jpg","ö"\r'.encode(),
    "Windows line ends and none at the end": "path,größe\r\n\r\ncats/a.jpg,ö".encode(),
    "unnamed and empty columns": ",path,größe,leer\n0,cats/a.jpg,ö,\n".encode(),
    "paths of Windows": "path,größe\n.\\cats\\a.jpg,ö\n".encode(),
}


@pytest.mark.parametrize("data", TEXT_FILES.values(), ids=TEXT_FILES)
def test_text_files_as_programs_write_them(known, data):
    add(known, data)
    assert column(known, "größe") == ["ö", None, None, None]
    assert [one.name for one in log.list_columns(known)] == ["größe"]


def test_a_text_file_of_windows_is_read_if_its_encoding_is_given(known):
    add(known, "path,größe\ncats/a.jpg,ö\n".encode("cp1252"), encoding="cp1252")
    assert column(known, "größe")[0] == "ö"


def test_names_with_dots_signs_and_formulas_are_names(known):
    names = ["a.b", "=1+1", "x:y", "a&b=c", "column:z", "100 %"]
    add(known, "path\t" + "\t".join(names) + "\ncats/a.jpg" + "\t1" * 6)
    assert [one.name for one in log.list_columns(known)] == [name.removeprefix("column:") for name in names]
    table = known.table()
    assert find_field(table, "column.a.b").kind is Kind.INTEGER
    assert len(seglib.select(table, seglib.Filters({"column.a.b": ("1",)}))) == 1
    assert len(seglib.select(table, seglib.Filters.decode(seglib.Filters({"column.a&b=c": ("1",)}).encode()))) == 1


def test_the_report_says_what_was_decided(known):
    report = add(known, 'path;a;b;c\ncats/a.jpg;1,5;NA;2024-01-01T00:00Z\nz.jpg;"2,5";x;\n;1;;\n')
    assert (report.rows, report.photos, report.unmatched, report.unmatched_examples) == (3, 1, 2, ("z.jpg", ""))
    assert report.notes == (
        "The commas in 'a' are read as decimal commas.",
        "'NA' is a text in 'b': name it as `missing` if it stands for no value.",
        "The times in 'c' are converted to UTC.",
    )
    assert [(one.name, one.type, one.photos, one.examples) for one in report.columns] == [
        ("a", "number", 1, ("1.5",)),
        ("b", "category", 1, ("NA",)),
        ("c", "date", 1, ("2024-01-01 00:00:00",)),
    ]


def test_a_single_wrong_value_among_numbers_is_named():
    from seglib.store.own_columns.reading import read_raw
    from seglib.store.own_columns.types.judging import judge_columns

    rows = "".join(f"p{row},{row}\n" for row in range(30))
    raw = read_raw(f"path,x\n{rows}q,3o\n".encode(), ColumnOptions())
    ((one,), _) = judge_columns(raw, ["x"], ColumnOptions(), {})
    assert one.type is ColumnType.TEXT
    assert one.notes == ("'x' is text, since '3o' in row 32 is none of the numbers that most of its values are.",)


# --- Parquet -----------------------------------------------------------------------------------------------------


def parquet(**columns) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"path": PATHS, **columns}), buffer)
    return buffer.getvalue()


TYPED = {
    "int8": (pa.array([1, None, 3, 4], pa.int8()), "Int64", [1, None, 3, 4]),
    "uint64": (pa.array([1, 2, 3, 4], pa.uint64()), "Int64", [1, 2, 3, 4]),
    "ids": (pa.array([2**63 + 1, 2, 3, 4], pa.uint64()), "category", [str(2**63 + 1), "2", "3", "4"]),
    "float16": (pa.array([1.5, np.nan, 3, 4], pa.float16()), "float64", [1.5, None, 3.0, 4.0]),
    "decimal": (pa.array([1, None, 3, 4], pa.decimal128(9, 2)), "float64", [1.0, None, 3.0, 4.0]),
    "bool": (pa.array([True, None, False, True]), "boolean", [True, None, False, True]),
    "date32": (pa.array([0, None, 1, 2], pa.date32()), DATES, [D("1970"), None, D("1970-01-02"), D("1970-01-03")]),
    "timestamp with a zone": (pa.array([0, 1, 2, 3], pa.timestamp("ns", "Europe/Berlin")), DATES, [D("1970")] * 4),
    "string": (pa.array(["1", "2", "x", ""]), "category", ["1", "2", "x", None]),
    "large dictionary": (pa.array(["a", "b", "a", None]).cast(pa.large_string()).dictionary_encode(), "category",
                         ["a", "b", "a", None]),
    "dictionary of numbers": (pa.array([1, 2, 1, None]).dictionary_encode(), "Int64", [1, 2, 1, None]),
}  # fmt: skip


@pytest.mark.parametrize(("values", "dtype", "expected"), TYPED.values(), ids=TYPED)
def test_parquet_gives_the_types(known, values, dtype, expected):
    add(known, parquet(x=values))
    assert (str(known.table()["column:x"].dtype), column(known, "x")) == (dtype, expected)


def test_what_is_no_single_value_is_left_out_and_said(known):
    report = add(known, parquet(x=[1, 2, 3, 4], vector=[[1.0], [2.0], [3.0], [4.0]], nothing=pa.nulls(4)))
    assert [one.name for one in report.columns] == ["x"]
    assert "vector and nothing, whose values are lists or other structures" in report.notes[0]


def test_a_column_of_nothing_but_nan_is_left_out_like_one_of_nulls(known):
    report = add(known, parquet(x=[1, 2, 3, 4], nan=[np.nan] * 4))
    assert [one.name for one in report.columns] == ["x"]


def test_infinite_values_of_parquet_are_refused(known):
    with pytest.raises(UsageError, match=r"infinite number \('inf' in row 1\)"):
        add(known, parquet(x=[np.inf, 1.0, 2.0, 3.0]))


def test_what_pandas_writes_comes_back(known):
    buffer = io.BytesIO()
    frame = pd.DataFrame({"x": [1.5, 2.5]}, index=pd.Index(PATHS[:2], name="path"))
    frame.to_parquet(buffer)
    add(known, buffer.getvalue())
    assert column(known, "x") == [1.5, 2.5, None, None]
