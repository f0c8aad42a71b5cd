"""Measures expressions against the same filters in plain pandas: time, and that both choose the same rows.

    python benchmarks/expressions.py [--rows 100000 1000000] [--rounds 5]

Medians of the rounds. The first column of times parses and evaluates; pandas' own has nothing to parse.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from seglib.query.expressions.evaluation import evaluate
from seglib.query.expressions.parsing import parse
from tests.seglib.query.expressions.large_table import EXPRESSIONS, make_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for rows in arguments.rows:
        table = make_table(rows)
        print(f"| {rows:,} rows: expression | rows chosen | as in pandas | ms | pandas, ms |\n|---|---|---|---|---|")
        for text, plain in EXPRESSIONS.items():
            chosen, took = measure(partial(parse_and_evaluate, text, table), arguments.rounds)
            expected, plain_took = measure(partial(plain, table), arguments.rounds)
            same = "yes" if (chosen == expected).all() else "NO"
            print(f"| `{text}` | {chosen.sum():,} | {same} | {1000 * took:.1f} | {1000 * plain_took:.1f} |")


def parse_and_evaluate(text: str, table: pd.DataFrame) -> NDArray[np.bool_]:
    parse.cache_clear()
    return evaluate(parse(text), table)


def measure(act: Callable, rounds: int) -> tuple:
    """(result, median seconds)."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        result = act()
        times.append(time.perf_counter() - started)
    return result, statistics.median(times)


if __name__ == "__main__":
    main()
