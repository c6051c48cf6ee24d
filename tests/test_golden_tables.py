"""Results are those of the record, to the byte; see ``tests/golden/tables.py``."""

import pytest
from golden.tables import (
    FILES,
    RUNS,
    all_additions,
    differences,
    made_by,
    read_record,
    run,
)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_results_are_those_of_the_record(name: str) -> None:
    record = read_record()
    if record["made_by"] != made_by():
        pytest.skip(f"the record is of {record['made_by']}, this is {made_by()}")
    kept, found = record["runs"][name], run(name)
    assert list(differences(kept, found)) == []
    assert all_additions(kept, found) == []


KEPT = {FILES: "a/part-0=1 b/part-0=2", "a": "x=3 y=4", "b": "z=5"}


@pytest.mark.parametrize(
    ("changes", "unlike", "more"),
    [
        ({}, [], []),
        ({FILES: "a/part-0=9 b/part-0=2 c/part-0=8", "a": "x=3 w=7 y=4", "c": "v=6"}, [],
         ["a/w", "c"]),
        ({FILES: "a/part-0=9 b/part-0=2", "a": "x=3 y=0 w=7"}, ["p/a: y"], ["a/w"]),
        ({FILES: "a/part-0=9 b/part-0=0", "a": "w=7 x=3 y=4"}, [f"p/{FILES}: b/part-0"], ["a/w"]),
        ({"a": "y=4 x=3"}, ["p/a: order"], []),
        ({"a": "x=3", "b": ""}, ["p/a: y", "p/b: z"], []),
    ],
    ids=["same", "added", "added and changed", "another file", "order", "removed"],
)  # fmt: skip
def test_additions_hide_no_difference(changes, unlike, more) -> None:
    kept, found = {"p": KEPT}, {"p": KEPT | changes}
    assert list(differences(kept, found)) == unlike
    assert all_additions(kept, found) == more
