"""The report on a sweep: its page, what is missing in it, and what it refuses to read."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from matplotlib.figure import Figure
from spoiled_sweeps import spoil, without_its_last

from lab import read_sweep
from lab.analysis.sweep_analysis import analyse
from lab.cli.tools import main
from lab.common.errors import InputError
from lab.reporting.claims import claims
from lab.reporting.page import counts, problems
from lab.runs.run_directory import read_summary, write_summary
from lab.version import versions


class Links(HTMLParser):
    """Collects what a page refers to, and the cells of its tables."""

    def __init__(self):
        super().__init__()
        self.links, self.sources, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        if tag == "a":
            self.links.append(given["href"])
        if "src" in given:
            self.sources.append(given["src"])


def test_report_writes_a_page_that_stands_alone(reported_and_printed):
    sweep, printed = reported_and_printed
    folder = sweep / "report"
    assert printed.endswith(f"report: {folder / 'index.html'}\n")
    text = (folder / "index.html").read_text()
    page = Links()
    page.feed(text)
    assert page.sources
    assert all(source.startswith("data:image/svg+xml;base64,") for source in page.sources)
    assert page.links
    assert all((folder / link).is_file() for link in page.links)
    assert "link" not in page.tags
    assert "8 with results, 8 finished" in text
    frames = {path.stem: pl.read_parquet(path) for path in folder.glob("*.parquet")}
    assert frames["runs"].equals(read_sweep(sweep).runs)
    assert frames["windows"].equals(read_sweep(sweep).windows.collect())
    assert frames["queries"].height == frames["runs"]["queries"].sum()
    for path in (folder / "figures").glob("*.svg"):
        assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_page_says_what_all_runs_share(reported):
    page = (reported / "report" / "index.html").read_text(encoding="utf-8")
    [shared] = re.findall(r"<dt>In all runs</dt>\s*<dd>(.*?)</dd>", page)
    assert "application.name=speech_recognition" in shared
    assert "horizon_s=120" in shared
    assert "cluster.discipline=fifo" in shared
    assert "drift.events=[]" in shared
    assert "workload.rate" not in shared  # It is varied.


@pytest.mark.slow
def test_report_gives_the_same_bytes_again(sweep):
    def written():
        assert main(["report", str(sweep)]) == 0
        files = (sweep / "report").rglob("*.*")
        return {path.name: path.read_bytes() for path in files if path.is_file()}

    assert written() == written()


@pytest.mark.usefixtures("undrawn")
def test_unfinished_failed_and_missing_runs_are_named_and_escaped(sweep, capsys):
    spoil(sweep / "7", simulated_s=20.0, status="interrupted")
    shutil.rmtree(sweep / "3")
    (sweep / "8").mkdir()
    (sweep / "8" / "error.txt").write_text("planner: <script>alert(1)</script> is refused\n")
    assert main(["report", str(sweep)]) == 0
    out = capsys.readouterr().out
    assert "Left out, because they did not finish: 7 (interrupted at 20 of 120 s)." in out
    assert "Missing: 3 (never ran)." in out
    text = (sweep / "report" / "index.html").read_text()
    assert "7 with results, 6 finished, 1 interrupted" in text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_a_planner_whose_every_call_raised_has_failed_in_a_report_too(sweep):
    first = "ValueError: no plan today (my_pkg.py, line 7)"
    spoil(sweep / "3", status="failed", service_goodput_mean=0.0, planner_error_first=first)
    analysis = analyse(read_sweep(sweep))
    assert counts(analysis) == "8 with results, 7 finished, 1 failed"
    assert list(problems(analysis)) == [
        "Failed, because the planner raised errors and deployed nothing; they are counted "
        f"nevertheless: 3 (Greedy: {first})."
    ]
    assert analysis.sweep.finished.height == 8


def test_runs_of_several_versions_are_told_apart(sweep):
    assert "versions" not in " ".join(problems(analyse(read_sweep(sweep))))
    ours = versions()
    spoil(sweep / "3", versions=ours | {"numpy": "1.0"})
    older = read_summary(sweep / "5")
    del older["versions"]
    write_summary(sweep / "5", older)
    assert list(problems(analyse(read_sweep(sweep)))) == [
        "Runs have several versions, so they may differ for that reason: "
        f"numpy {ours['numpy']} (0, 1, 2, 4, 6, 7); numpy 1.0 (3); not recorded (5)."
    ]
    spoil(sweep / "3", versions=ours)
    assert list(problems(analyse(read_sweep(sweep)))) == [
        "Runs have several versions, so they may differ for that reason: "
        f"compass-sim {ours['compass-sim']} (0, 1, 2, 3, 4, 6, 7); not recorded (5)."
    ]
    spoil(sweep / "5", versions=ours)
    spoil(sweep / "0", versions={name: here for name, here in ours.items() if name != "blas"})
    assert list(problems(analyse(read_sweep(sweep)))) == [
        "Runs have several versions, so they may differ for that reason: "
        f"not recorded (0); blas {ours['blas']} (1, 2, 3, 4, 5, 6, 7)."
    ]


@pytest.mark.slow
def test_failed_and_missing_jobs_beside_the_only_run_are_told_first(sweep, capsys):
    for number in (0, *range(2, 8)):
        shutil.rmtree(sweep / str(number))
    (sweep / "0").mkdir()
    (sweep / "0" / "error.txt").write_text("workload.rate=-1.0: must be above 0\n")
    assert main(["report", str(sweep / "1")]) == 0
    assert " jobs failed" not in capsys.readouterr().out
    assert main(["report", str(sweep)]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == "1 of 2 jobs failed: 0 (workload.rate=-1.0: must be above 0)"
    assert any("service goodput" in line for line in rest)
    (sweep / "jobs.yaml").write_text("\n".join(f"- [seed={seed}]" for seed in range(4)))
    assert main(["report", str(sweep)]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("1 of 4 jobs failed: 0 (")
    assert second == "2 of 4 jobs missing: 2 (never ran); 3 (never ran)"


def test_jobs_that_a_sweep_never_started_are_missing(sweep):
    (sweep / "jobs.yaml").write_text("\n".join(f"- [seed={seed}]" for seed in range(10)))
    assert read_sweep(sweep).without.rows() == [
        ("8", "missing", "never ran"),
        ("9", "missing", "never ran"),
    ]


def test_jobs_are_missing_also_while_a_sweep_is_under_way_and_beside_a_stray_folder(sweep):
    shutil.rmtree(sweep / "3")
    never = ("3", "missing", "never ran")
    (sweep / ".progress").mkdir()  # as of a sweep under way, or one that was killed
    assert read_sweep(sweep).without.rows() == [never]
    (sweep / "3").mkdir()  # as it is left by a job that was killed as it began
    assert read_sweep(sweep).without.rows() == [never]
    (sweep / "stray").mkdir()
    assert read_sweep(sweep).without.rows() == []
    (sweep / "jobs.yaml").write_text("\n".join(f"- [seed={seed}]" for seed in range(9)))
    assert read_sweep(sweep).without.rows() == [never, ("8", "missing", "never ran")]


@pytest.mark.usefixtures("undrawn")
def test_one_seed_has_no_interval_and_says_so(sweep):
    for number in (1, 3, 5, 7):
        shutil.rmtree(sweep / str(number))
    analysis = analyse(read_sweep(sweep))
    assert analysis.differences["boot_low"].null_count() == analysis.differences.height
    said = " ".join(claim.text for claim in claims(analysis))
    assert "no interval" in said
    assert main(["report", str(sweep)]) == 0


class Captions(HTMLParser):
    """Collects the captions of figures, and the whole text of a page."""

    def __init__(self):
        super().__init__()
        self.found, self.text, self.inside = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.inside = tag
        if tag == "figcaption":
            self.found.append("")

    def handle_data(self, data):
        if self.inside == "figcaption":
            self.found[-1] += data
        if self.inside not in ("style", "script"):
            self.text.append(data)


@pytest.mark.usefixtures("undrawn")
def test_a_report_of_a_single_run_speaks_of_no_others(sweep, capsys):
    assert main(["report", str(sweep / "0")]) == 0
    page = Captions()
    page.feed((sweep / "0" / "report" / "index.html").read_text())
    captions = [" ".join(caption.split()) for caption in page.found]
    assert all(captions)  # The run's own figures have some, too.
    assert (
        "Service goodput over time. There is only one seed, so there are no intervals."
        in " ".join(captions)
    )
    text = " ".join(" ".join(page.text).split())
    assert "There is only one finished run, so there are no intervals" in text
    for words in ("over seeds", "and seeds", "settings", "hollow", "bootstrap", "t-interval"):
        assert words not in text.replace("not over seeds", "")
    assert "In the run" in text


@pytest.mark.usefixtures("undrawn")
def test_a_report_on_one_seed_has_no_differences_over_seeds(sweep, capsys):
    for number in (1, 3, 5, 7):
        shutil.rmtree(sweep / str(number))
    assert main(["report", str(sweep)]) == 0
    page = Captions()
    page.feed((sweep / "report" / "index.html").read_text())
    text = " ".join(" ".join(page.text).split())
    assert "Differences on one seed; to the right of the line" in text
    assert "Means over completed requests of all settings." in text
    for words in ("over seeds", "Means over up to", "bootstrap", "t-test"):
        assert words not in text
    said = capsys.readouterr().out
    assert "1 seed, so no intervals" in said
    for words in ("over seeds", "paired t", "t-intervals"):
        assert words not in said


@pytest.mark.usefixtures("undrawn")
def test_a_sweep_of_unfinished_runs_without_windows_has_a_report(sweep):
    for number in range(8):
        spoil(sweep / str(number), simulated_s=0.0, status="running")
        shutil.rmtree(sweep / str(number) / "windows")
    assert main(["report", str(sweep)]) == 0
    assert "No run has finished" in (sweep / "report" / "index.html").read_text()


@pytest.mark.slow
def test_unlike_horizons_are_settings_of_their_own(sweep):
    config = (sweep / "7" / "config.yaml").read_text()
    (sweep / "7" / "config.yaml").write_text(config.replace("horizon_s: 120.0", "horizon_s: 60.0"))
    spoil(sweep / "7", horizon_s=60.0, simulated_s=60.0)
    read = read_sweep(sweep)
    assert list(read.keys) == ["horizon_s", "workload.rate"]
    assert read.settings.height == 3
    assert main(["report", str(sweep)]) == 0


def test_comparisons_are_read_in_their_order(made, tmp_path):
    order = {"1": "b", "0": "a"}  # as they were compared, not by the alphabet
    for seed in (0, 1):
        parent = tmp_path / str(seed)
        summaries = {}
        for place, name in order.items():
            number = 2 * int(place) + seed
            shutil.copytree(made / str(number), parent / name)
            spoil(parent / name, planner=name)
            summaries[name] = read_summary(parent / name)
        (parent / "summary.json").write_text(json.dumps(summaries))
    read = read_sweep(tmp_path)
    assert read.runs["run"].to_list() == ["0/b", "0/a", "1/b", "1/a"]
    assert analyse(read).differences.select("planner", "other").unique().rows() == [("b", "a")]


@pytest.mark.parametrize(
    ("spoiling", "said"),
    [
        (lambda it: it / "nowhere", "no such directory"),
        (lambda it: it / "0" / "summary.json", "is a file"),
        (lambda it: it / "0" / "windows", "is within the run"),
        (lambda it: (it / "0" / "summary.json").write_text("{") and it, "cannot be read as JSON"),
        (lambda it: (it / "0" / "summary.json").write_text("{}") and it, "is not a run's summary"),
        (lambda it: (it / "0" / "config.yaml").unlink() or it, "not the configuration of a run"),
        (
            lambda it: without_its_last(sorted((it / "0" / "operators").iterdir())[-1]) or it,
            "0/operators does not match its windows; delete ",
        ),
        (
            lambda it: (it / "0" / "queries" / "part-00000.parquet").write_text("x") and it,
            "0/queries/part-00000.parquet is not a valid Parquet file; delete ",
        ),
        (
            lambda it: (it / "0" / "windows" / "part-00000.parquet").write_text("x") and it,
            "0/windows/part-00000.parquet is not a valid Parquet file; delete ",
        ),
        (
            lambda it: shutil.rmtree(it / "1" / "operators") or it,
            "1/operators is missing, though the run has finished; delete ",
        ),
    ],
)
@pytest.mark.usefixtures("undrawn")
def test_what_is_no_sweep_is_refused_in_one_sentence(sweep, capsys, spoiling, said):
    assert main(["report", str(spoiling(sweep))]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert said in err


def test_a_directory_far_above_names_what_lies_below(made, tmp_path):
    deep = tmp_path / "a" / "b" / "c" / "d" / "e"
    shutil.copytree(made / "0", deep)
    with pytest.raises(InputError, match=re.escape(f"has no results, but {deep} does")):
        read_sweep(tmp_path)


def test_an_unknown_table_is_refused(made):
    with pytest.raises(InputError, match=r"table='wndows'.*windows"):
        read_sweep(made).scan("wndows")
    with pytest.raises(InputError, match=r"table='wndows'.*windows"):
        read_sweep(made).count("wndows")


@pytest.mark.usefixtures("undrawn")
def test_a_table_of_very_many_rows_is_not_written_again(sweep, monkeypatch):
    monkeypatch.setattr("lab.reporting.tables.MOST_ROWS", read_sweep(sweep).count("queries"))
    assert main(["report", str(sweep)]) == 0
    assert (sweep / "report" / "queries.parquet").is_file()
    assert not (sweep / "report" / "windows.parquet").exists()
    assert "windows" in (sweep / "report" / "index.html").read_text()


@pytest.mark.usefixtures("undrawn")
def test_a_report_leaves_nothing_of_an_earlier_one_and_all_of_the_users(reported, tmp_path):
    sweep = shutil.copytree(reported, tmp_path / "sweep")
    folder = sweep / "report"
    mine = {folder / "mine.parquet", folder / "figures" / "by_me.png", folder / "figures" / "a.svg"}
    for path in mine:
        path.write_text("mine")
    stale = {
        *(folder / f"{name}.parquet" for name in ("tiers", "pooled_means", "pooled_differences")),
        *(folder / "figures" / f"by_workload_rate.{kind}" for kind in ("png", "svg")),
    }
    before = set(folder.rglob("*.*"))
    assert stale < before
    for number in range(4, 8):
        shutil.rmtree(sweep / str(number))
    for number in range(4):
        told = {"gold": 0.5}
        spoil(sweep / str(number), slo_met_fraction_by_tier=told, queries_by_tier={"gold": 1})
    assert main(["report", str(sweep)]) == 0
    after = set(folder.rglob("*.*"))
    assert before - after == stale
    assert {path.read_text() for path in mine} == {"mine"}


def test_a_figure_that_cannot_be_written_leaves_no_half_of_one(made, tmp_path, monkeypatch, capsys):
    copy = shutil.copytree(made / "0", tmp_path / "run")

    def half(figure, path, **_):
        Path(path).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Figure, "savefig", half)
    assert main(["report", str(copy)]) == 0
    assert "goodput.png could not be drawn" in capsys.readouterr().err
    assert not list((copy / "report" / "figures").iterdir())


@pytest.mark.usefixtures("undrawn")
def test_names_are_shown_as_they_are_though_rich_reads_markup_in_them(made, tmp_path, capsys):
    odd = tmp_path / "run[bold]:bug:"
    shutil.copytree(made / "0", odd)
    spoil(odd, planner="Mine[/x]", planner_errors=1, planner_error_first="a [/red] error")
    assert main(["report", str(odd)]) == 0
    said = capsys.readouterr()
    head = said.out.splitlines()[1]
    assert f"{odd}, seed 0" in head
    assert "Mine[/x]" in head
    assert "raised once, first a [/red] error" in said.err


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_names_of_directories_may_look_like_patterns(made, tmp_path):
    odd = tmp_path / "exp[2] *?"
    shutil.copytree(made, odd)
    assert main(["report", str(odd)]) == 0
    assert main(["explain", str(odd / "0"), "0"]) == 0
    assert read_sweep(odd).count("windows") == read_sweep(made).count("windows") > 0
