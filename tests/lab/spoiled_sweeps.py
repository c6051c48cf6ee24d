"""Ways to spoil a finished sweep: other figures in a summary, rows in another order."""

import polars as pl

from lab.runs.run_directory import read_summary, write_summary


def spoil(directory, **values):
    write_summary(directory, read_summary(directory) | values)


def without_its_last(file):
    rows = pl.read_parquet(file)
    rows.head(rows.height - 1).write_parquet(file)


def exchange(file, first, second):
    rows = pl.read_parquet(file)
    order = list(range(rows.height))
    order[first], order[second] = order[second], order[first]
    rows[order].write_parquet(file)


def exchange_two_windows_in_the_middle(file):
    rows = pl.read_parquet(file)
    exchange(file, rows.height // 2, rows.height // 2 + rows["operator"].n_unique())


def in_two_parts(file):
    rows = pl.read_parquet(file)
    operators = rows["operator"].n_unique()
    first = rows.height // operators // 2 * operators
    rows.head(first).write_parquet(file)
    second = file.with_name("part-00002.parquet")
    rows.tail(rows.height - first).write_parquet(second)
    return second


def in_groups_of(file, rows):
    pl.read_parquet(file).write_parquet(file, row_group_size=rows)
