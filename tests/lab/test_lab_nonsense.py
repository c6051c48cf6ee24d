"""A value of another type than its key's is refused, and so is what would have no effect."""

import pytest
from command_line import sentence_of

from lab.common.errors import InputError
from lab.config.compose import compose, set_up

BASE = ["planner=greedy", "horizon_s=60"]

NONSENSE = [
    ("cluster.shed_late=2", "cluster.shed_late=2: must be true or false"),
    ("cluster.shed_late=1.0", "cluster.shed_late=1: must be true or false"),
    ("figures=3", "figures=3: must be true or false"),
    ("figures='y'", "figures=y: must be true or false"),
    ("requests=-0.0", "must be true or false"),
    ("seed='0x10'", "seed=0x10: must be a whole number"),
    ("seed='1_000'", "seed=1_000: must be a whole number"),
    ("seed=' 5 '", "seed= 5 : must be a whole number"),
    ("seed='٣'", "seed=٣: must be a whole number"),
    ("seed=true", "seed=true: must be a whole number"),
    ("seed=1.5", "seed=1.5: must be a whole number"),
    ("flush_every_s=true", "must be a number, in s"),
    ("workload.rate='1e999'", "workload.rate=1e999: must be a finite number"),
    ("horizon_s=[60]", "must be a number, in s"),
    ("drift.events=[{}]", "drift.events.0: has no kind; choose one of device_slowdown"),
    ("drift.events=[{at_s: 3}]", "drift.events.0: has no kind"),
    (
        "drift.events=[{kind: machine_failure, node: cloud, factor: 0.3}]",
        "drift.events.0.factor=0.3: has no effect on a machine_failure, which has at_s, node",
    ),
    (
        "drift.events=[{kind: content_shift, node: cloud}]",
        "drift.events.0.node=cloud: has no effect on a content_shift, which has at_s, factor",
    ),
    ("cluster.nodes.edge={}", "cluster.nodes.edge={}: must not be empty; write ~cluster.nodes.ed"),
    ("about.claim='\udc80'", r"about.claim=\udc80: must be a text in UTF-8"),
]


@pytest.mark.parametrize(("override", "said"), NONSENSE)
def test_nonsense_is_refused(override, said):
    overrides = [*BASE, override]
    with pytest.raises(InputError) as error:
        set_up(compose(overrides), overrides)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("figures=false", "figures", False),
        ("figures=no", "figures", False),
        ("figures=off", "figures", False),
        ("requests=yes", "requests", True),
        ("requests='On'", "requests", True),
        ("horizon_s=70", "horizon_s", 70.0),
        ("horizon_s='70'", "horizon_s", 70.0),
        ("flush_every_s=1e3", "flush_every_s", 1000.0),
        ("seed=1e3", "seed", 1000),
        ("seed=1_000", "seed", 1000),
        ("seed='12'", "seed", 12),
        ("max_wall_s=null", "horizon_s", 60.0),
    ],
)
def test_other_notations_of_a_value_are_read(override, key, value):
    overrides = [*(one for one in BASE if not override.startswith(one[:9])), override]
    config = set_up(compose(overrides), overrides).config
    for part in key.split("."):
        config = config[part]
    assert config == value
    assert type(config) is type(value)


@pytest.mark.parametrize("name", ["", " ", "a ", "a\nb", "a\u202eb", "a\u200b", "x" * 101])
def test_a_name_that_cannot_be_seen_is_refused(name):
    config = compose(BASE)
    config.workload.datasets[name] = 1.0
    with pytest.raises(
        InputError, match=r"workload.datasets: the name .* must have 1 to 100 print"
    ):
        set_up(config, BASE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"seed: \xff\n", "mine.yaml: cannot be read as YAML in UTF-8 ("),
        (b"seed: !!timestamp 2001-99-99\n", "line 2: must not have the tag !!timestamp"),
        (b"seed: !!int 'x'\n", "line 2: 'x' is no value of the tag !!int"),
        (b"about: &a {quick: *a}\n", "the alias *a refers to itself"),
        (b"about: {quick: " + b"[" * 1100 + b"]" * 1100 + b"}\n", "are nested too deeply"),
        (b"defaults: [mine]\n", "defaults: the list of a configuration file refers to itself"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(text, said, tmp_path, compass_sim):
    file = tmp_path / "experiment" / "mine.yaml"
    file.parent.mkdir()
    file.write_bytes(b"# @package _global_\n" + text)
    printed = sentence_of(compass_sim("--config-dir", ".", "experiment=mine"))
    assert said in printed
    assert printed.count("\n") == 1
