"""Small input that would become huge is refused at once, in one sentence."""

import json
import re

import pytest
from command_line import sentence_of
from rows_by_hand import summary

from lab.common.errors import InputError
from lab.config.compose import compose, set_up
from lab.runs.run_directory import load_config, read_summary

SHORT = ["experiment=speech_small", "planner=greedy"]


def bomb(levels=6, width=9):
    lines = ["a0: &a0 [x]"]
    for level in range(1, levels + 1):
        aliases = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} [{aliases}]")
    return "\n".join(lines)


SPOILT = {
    bomb(): "has more than 20,000 values, aliases included",
    bomb(30): "has more than 20,000 values, aliases included",
    "a: &a {b: *a}": "the alias *a refers to itself",
    "a: " + "[" * 900 + "]" * 900: "is nested more than 50 levels deep",
    "a: " + "{b: " * 60 + "1" + "}" * 60: "is nested more than 50 levels deep",
    "a: [" + "1, " * 30_000 + "1]": "has more than 20,000 values, aliases included",
    "a: " + "1" * 11_000_000: "is larger than 10,000,000 bytes",
    "a: '" + "${a." * 5_000 + "'": "a text with ${...} has more than 2,000 characters: "
    + "${a." * 25
    + "...",
    "a: [" + "'${seed}', " * 3_000 + "1]": "has more than 20,000 values, aliases and characters of "
    "texts with ${...} included",
}


@pytest.mark.parametrize(("text", "sentence"), SPOILT.items(), ids=range(len(SPOILT)))
def test_a_huge_experiment_file_is_refused(tmp_path, text, sentence):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{text}\n")
    search = f"hydra.searchpath=['file://{tmp_path}']"
    with pytest.raises(InputError) as refused:
        compose([search, "experiment=mine"])
    assert str(refused.value) == f"{tmp_path}/experiment/mine.yaml: {sentence}"


@pytest.mark.parametrize(("text", "sentence"), SPOILT.items(), ids=range(len(SPOILT)))
def test_a_huge_configuration_of_results_is_refused(tmp_path, text, sentence):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError) as refused:
        load_config(tmp_path / "config.yaml")
    assert str(refused.value) == f"{tmp_path}/config.yaml: {sentence}"


NODES = ["n0: {x: 1}"] + [
    f"n{level}:" + "".join(f"\n  k{at}: ${{about.n{level - 1}}}" for at in range(9))
    for level in range(1, 10)
]
TEXTS = [f"n{level}: '${{.n{level - 1}}}${{.n{level - 1}}}'" for level in range(1, 40)]
REPEATED = {
    "about:\n " + "\n ".join(NODES): "about.n9.k0=${about.n8}: ${...} repeats too much",
    f"about: {{n0: {'x' * 1_900}, {', '.join(TEXTS)}}}": "about.n39=${.n38}${.n38}: ${...} repeats",
    "about: {claim: '${.metric}', metric: '${.claim}'}": "about.metric=${.claim}: refers to itself",
    "about: {quick: '${seed}', claim: {x: ['${about}']}}": "about.claim.x[0]=${about}: refers to",
    "about: {claim: '${about.claim.x}'}": "about.claim=${about.claim.x}: refers to itself",
    "about: {claim: '${half:" + "[" * 90 + "]" * 90 + "}'}": "in a file, ${...} can have only",
}


def compose_file(directory, text, name="experiment/mine"):
    path = directory / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(f"# @package _global_\n{text}\n")
    return compose([f"hydra.searchpath=['file://{directory}']", "experiment=mine"])


@pytest.mark.parametrize(("text", "sentence"), REPEATED.items(), ids=range(len(REPEATED)))
def test_references_that_repeat_too_much_are_refused(tmp_path, text, sentence):
    with pytest.raises(InputError) as refused:
        compose_file(tmp_path, text)
    assert str(refused.value).startswith(f"{tmp_path}/experiment/mine.yaml: about.")
    assert sentence in str(refused.value)


def test_references_are_bounded_before_files_are_merged(tmp_path):
    """Merging a value into a reference copies what it refers to."""
    big = ", ".join(f"x{at}: 1" for at in range(300))
    many = ", ".join(f"k{at}: '${{about.a}}'" for at in range(300))
    over = ", ".join(f"k{at}: {{x0: 2}}" for at in range(300))
    compose_file(tmp_path, f"about: {{a: {{{big}}}}}")
    (tmp_path / "experiment/mine.yaml").rename(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text(f"about: {{b: {{{many}}}}}")
    (tmp_path / "c.yaml").write_text(f"about: {{b: {{{over}}}}}")
    with pytest.raises(InputError, match=r"/b\.yaml: about\.b\.k0=.* repeats too much"):
        compose_file(tmp_path, "defaults: [/a, /b@_global_, /c@_global_]")


def test_references_can_repeat_some_values(tmp_path):
    nodes = "{near: '${cluster.nodes.edge}', far: {count: '${cluster.nodes.edge.count}'}}"
    text = f"about: {{claim: '${{seed}} of ${{.metric}}', metric: x}}\ncluster: {{nodes: {nodes}}}"
    config = compose_file(tmp_path, text)
    assert config.about.claim == "0 of x"
    assert config.cluster.nodes.near.count == config.cluster.nodes.far.count


def test_defaults_that_load_too_many_files_are_refused(tmp_path):
    for at in range(20):
        (tmp_path / f"b{at}.yaml").write_text(f"defaults: [b{at + 1}@a, b{at + 1}@b]\n")
    (tmp_path / "b20.yaml").write_text("x: 1\n")
    with pytest.raises(InputError, match=r"^b20: defaults: name more than 2,000 files"):
        compose_file(tmp_path, "defaults: [/b0@about]")


def test_a_file_is_not_placed_too_deeply(tmp_path):
    (tmp_path / "deep.yaml").write_text(f"# @package {'a.' * 2_500}a\nx: 1\n")
    with pytest.raises(InputError, match=r"/deep\.yaml: is placed more than 50 levels deep$"):
        compose_file(tmp_path, "defaults: [/deep]")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: !!timestamp x", ", line 2: must not have the tag !!timestamp"),
        ("about: {claim: !!binary aGVsbG8=}", ", line 2: must not have the tag !!binary"),
        ("about: {quick: !!set {a}}", ", line 2: must not have the tag !!set"),
        ("seed: !!int ''", ", line 2: '' is no value of the tag !!int"),
        ("seed: !!bool abc", ", line 2: 'abc' is no value of the tag !!bool"),
        ("seed: 190:20:30", ", line 2: 190:20:30: YAML takes this for a number of base 60"),
        ("seed: !!int 1:30", ", line 2: 1:30: YAML takes this for a number of base 60"),
        ("seed: 010", ", line 2: 010: YAML takes this for a number of base 8"),
        ("defaults: [//etc/passwd]", ": defaults: //etc/passwd: must be the name of a file"),
        ('defaults: ["/planner/gr\\0eedy"]', ": must be the name of a file"),
        ("defaults: [/planner/a/b/c]", "planner/a/b=c: there is no such planner/a/b"),
        ("defaults: [{'': greedy}]", ": defaults: a group has no name"),
        ("defaults: [/planner@x]", "planner: there is no such configuration file"),
    ],
)
def test_values_and_names_that_nobody_means_are_refused(tmp_path, text, said):
    with pytest.raises(InputError) as refused:
        compose_file(tmp_path, text)
    assert said in str(refused.value)
    assert "choose one of" not in str(refused.value)


def test_quoted_texts_and_tags_that_suit_are_read(tmp_path):
    config = compose_file(tmp_path, "about: {claim: '1:30', metric: !!str 010}\nseed: !!int 3")
    assert (config.about.claim, config.about.metric, config.seed) == ("1:30", "010", 3)


@pytest.mark.parametrize("name", ["schema", "hydra/launcher/basic", "hydra/sweeper/compass"])
def test_a_file_does_not_take_a_name_of_this_program(tmp_path, name, recwarn):
    compose_file(tmp_path, "seed: 1")
    with pytest.raises(InputError) as refused:
        compose_file(tmp_path, "n_jobs: 1", name)
    said = f"{tmp_path}/{name}.yaml: this program has a {name} of its own; rename the file"
    assert str(refused.value) == said
    assert not recwarn.list


@pytest.mark.parametrize("name", ["config.yaml", "jobs.yaml", "summary.json"])
@pytest.mark.parametrize("text", [bomb(12), "[" * 100_000, "a: &a {b: *a}"], ids=range(3))
def test_a_report_on_huge_files_is_refused(tmp_path, refused, name, text):
    run = tmp_path / "0"
    (run / "queries").mkdir(parents=True)
    (run / "summary.json").write_text(json.dumps(summary("Greedy")))
    (run / "config.yaml").write_text("seed: 0\n")
    (tmp_path / "jobs.yaml").write_text("- []\n")
    (tmp_path / name if name == "jobs.yaml" else run / name).write_text(text)
    assert name in refused("report", tmp_path)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("cluster.profiling.lanes=1000000000", "must lie between 1 and 100000"),
        ("cluster.profiling.workers=1000000000", "must lie between 1 and 100000"),
        ("max_wall_s=1e308", "must be 1e+08 s or less, or null"),
    ],
)
def test_a_huge_number_is_refused(override, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        set_up(compose([*SHORT, override]), [*SHORT, override])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["seed=range(1000000000)"], "seed=range(1000000000): has more than 100,000 values"),
        (["seed=range(9000)", "horizon_s=range(1,9000)"], "-m: would be 80,991,000 jobs"),
    ],
)
def test_a_sweep_of_too_many_jobs_is_refused(compass_sim, words, sentence):
    assert sentence in sentence_of(compass_sim("-m", *words))


@pytest.mark.parametrize(
    "change", [{"seed": 10**400}, {"planner": "a\x1b[31m"}, {"planner_error_first": "\x07"}]
)
def test_a_summary_that_cannot_be_printed_or_tabled_is_refused(tmp_path, change):
    (tmp_path / "summary.json").write_text(json.dumps({**summary("Greedy"), **change}))
    with pytest.raises(InputError, match=next(iter(change))):
        read_summary(tmp_path)
