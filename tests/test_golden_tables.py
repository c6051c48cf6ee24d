"""Results are those of the record, to the byte; see ``tests/golden/tables.py``."""

import pytest
from golden.tables import RUNS, differences, made_by, read_record, run


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_results_are_those_of_the_record(name: str) -> None:
    record = read_record()
    if record["made_by"] != made_by():
        pytest.skip(f"the record is of {record['made_by']}, this is {made_by()}")
    assert list(differences(record["runs"][name], run(name))) == []
