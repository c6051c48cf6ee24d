"""A message is one short printable line, and says which part of the command line is wrong."""

import pytest
from command_line import sentence_of
from hypothesis import given
from hypothesis import strategies as st

from lab.cli.tools import main
from lab.common.errors import LONGEST, InputError, printable
from lab.config.compose import compose
from lab.version import __version__

MOST = 2_000

COMMAND_LINES = [
    ("", "TOOL is missing"),
    (
        "--vers",
        "--vers: no such option; choose one of --help, --version; did you mean '--version'?",
    ),
    ("explain", "RUN and QUERY are missing"),
    ("explain --row 5", "--row: no such option; choose one of --help, --figure, --rows; did you"),
    ("explain RUN 1 --row=5", "--row: no such option; choose one of"),
    ("explain RUN 1 2", "2: one word too many"),
    ("explain RUN 1 --rows", "--rows: needs a value, such as --rows=VALUE"),
    ("explain RUN 1 --rows 1.5", "--rows=1.5: must be a whole number"),
    ("explain RUN 1 --rows=1_0", "--rows=1_0: must be a whole number"),
    ("explain RUN 1 --rows=٣", "--rows=٣: must be a whole number"),
    (f"explain RUN 1 --rows={'9' * 5000}", "--rows=9999"),
    ("trace DIR --query 1 --query x", "--query=x: must be a whole number"),
    ("trace DIR --from nan", "--from=nan: must be a number"),
    ("trace DIR --to inf", "--to=inf: must be a number"),
    ("report DIR --all=3", "--all=3: takes no value; write --all"),
    ("calibrate", "--callable or --command or --observations is missing"),
    ("calibrate --callable a --command b", "--command: cannot be combined with --callable"),
    ("capacity --vary seed=1 --at-least 1_0", "--at-least=1_0: must be a number"),
    ("check-planner my.Planner --limit-s 1_0", "--limit-s=1_0: must be a number"),
]


@pytest.mark.parametrize(("line", "said"), COMMAND_LINES)
def test_tools_say_what_is_wrong_with_a_command_line(line, said, capsys):
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    printed = capsys.readouterr().err
    assert ended.value.code == 2
    assert said in printed
    assert len(printed) <= MOST
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--fast", "--fast: no such option; choose one of --all, --allow-import, --help"),
        ("--multi seed=1", "--multi: no such option"),
        ("--cfg jobs", "--cfg=jobs: choose one of job, hydra, all; did you mean 'job'?"),
        ("--cfg", "--cfg: needs a value, such as --cfg=VALUE"),
        ("--resolve=3", "--resolve=3: takes no value; write --resolve"),
    ],
)
def test_simulator_says_what_is_wrong_with_a_command_line(line, said, compass_sim):
    printed = sentence_of(compass_sim(*line.split()))
    assert said in printed
    assert printed.endswith("; see compass-sim --help\n")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed=[1", "seed=[1: not a valid override (its [ and ] do not match); write key=value"),
        ("seed='x", "seed='x: not a valid override (a quote ' is not closed); write key=value"),
        ("seed==3", "(a value with other characters than letters, digits and -_./%+ needs quotes)"),
        ("+planner.compare.a/b._target_=3", "(its key has a character that is in no key)"),
        ("nonsense", "nonsense: not a valid override; write key=value"),
        ("", "an empty word: has no key; write key=value"),
        ("=", "=: has no key; write key=value"),
        ("=3", "=3: has no key; write key=value"),
    ],
)
def test_a_slip_in_an_override_is_told_without_terms_of_a_grammar(override, said):
    with pytest.raises(InputError) as error:
        compose([override])
    assert said in str(error.value)


def test_both_commands_name_this_project_and_its_version(compass_sim, capsys):
    status, said, _ = compass_sim("--version")
    assert (status, said.splitlines()[0]) == (0, f"compass-sim {__version__}")
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == said


@given(st.text(st.characters(), max_size=50), st.integers(0, 5_000))
def test_message_of_any_text_is_one_short_printable_line(text, times):
    said = printable(text * times)
    assert len(said) <= LONGEST
    assert said.isprintable()
    assert printable(said) == said
    assert str(InputError(text * times)) == said


def test_message_keeps_the_beginning_and_the_end():
    said = printable(f"seed={'x' * 5_000_000}: must be a whole number")
    assert said.startswith("seed=xxx")
    assert "(5,000,029 characters)" in said
    assert said.endswith("x: must be a whole number")


def test_escapes_of_a_terminal_are_shown():
    assert printable("a\x1b[2J\nb\u202ec\ud800é漢") == r"a\x1b[2J\nb\u202ec\ud800é漢"


@pytest.mark.parametrize("text", ["x" * 5_000_000, "x\x1b[2J\n" * 100_000])
def test_tools_cut_and_escape_what_they_quote(text, capsys):
    assert main([text]) == 2
    with pytest.raises(SystemExit):
        main(["list", text])
    for printed in capsys.readouterr().err.splitlines():
        assert len(printed) <= MOST
        assert printed.isprintable()
