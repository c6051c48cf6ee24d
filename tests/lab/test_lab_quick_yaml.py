"""YAML is the same, whichever parser and emitter PyYAML has."""

import yaml
from hypothesis import given
from hypothesis import strategies as st

from lab.common.quick_yaml import dump_lists, load

WORDS = st.text() | st.from_regex(r"[a-z.]+=[\[{]?[\w .,:'\"#]*[\]}]?", fullmatch=True)


@given(st.lists(st.lists(WORDS, max_size=3), max_size=3))
def test_lists_are_written_by_the_same_bytes_and_read_as_they_were(lists):
    written = dump_lists(lists)
    assert written == yaml.safe_dump(
        lists, default_flow_style=None, width=10_000, allow_unicode=True
    )
    assert load(written) == yaml.safe_load(written)


def test_what_the_compiled_emitter_would_escape_stays_as_it_is():
    assert "\U0001f600" in dump_lists([["planner.name=\U0001f600"]])
