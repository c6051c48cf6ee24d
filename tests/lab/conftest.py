"""What the tests of the tool ``explain`` share."""

import pytest

from lab.tools import main


@pytest.fixture
def told(capsys):
    """Return a function that runs ``explain`` on words, and returns what it prints."""

    def explain(*words):
        assert main(["explain", *map(str, words)]) == 0
        return capsys.readouterr().out

    return explain
