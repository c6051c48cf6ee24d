"""Files of pipelines, and what is wrong with them in a sentence."""

import re
from time import thread_time

import numpy as np
import pytest

from lab.common.errors import InputError
from lab.serving.extra import needed
from lab.serving.ocr import Recognise
from lab.serving.pipeline import load_pipeline
from lab.serving.stub import Busy, Sizes

STUB = """
name: stub
payloads: {_target_: lab.serving.stub.Sizes}
operators:
  one:
    replicas: 2
    max_batch: 4
    max_wait_s: 0.005
    operator: {_target_: lab.serving.stub.Busy, mean_s: 0.02}
  two:
    operator: {_target_: lab.serving.stub.Busy}
"""


def test_the_shipped_pipeline_reads_documents():
    pipeline = load_pipeline("document_reading")
    assert list(pipeline.stages) == ["detect", "recognise", "extract"]
    assert pipeline.payloads.payload(0, 0).body.startswith(b"\x89PNG")


def test_overrides_set_knobs_and_how_an_operator_is_served():
    words = ["operators.recognise.max_batch=4", "operators.recognise.operator.recogniser=int8"]
    stage = load_pipeline("document_reading", words).stages["recognise"]
    assert stage.max_batch == 4
    assert stage.operator == Recognise("int8", 0.75)


def test_a_pipeline_describes_all_knobs(tmp_path):
    path = tmp_path / "stub.yaml"
    path.write_text(STUB)
    one, two = load_pipeline(str(path)).described()
    served = {"name": "one", "replicas": 2, "max_batch": 4, "max_wait_s": 0.005}
    assert served.items() <= one.items()
    assert one["knobs"]["mean_s"] == 0.02
    assert two["knobs"]["mean_s"] == Busy().mean_s
    assert two["replicas"] == 1


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("operators.one.replicas=0", "operators.one.replicas=0: must be from 1 to 64"),
        ("operators.one.max_batch=x", "operators.one.max_batch=x: must be a whole number"),
        ("operators.one.max_wait_s=-1.0", "operators.one.max_wait_s=-1.0: must be 0 s or more"),
        ("operators.one.batch=2", "operators.one.batch=2: Stage has no such parameter"),
        ("operators.on.max_batch=2", "operators.on.max_batch=2: there is no on; choose one of"),
        ("operators.one.operator.mean=1", "did you mean 'mean_s'?"),
        ("operators.one.operator._target_=os.system", "is not an Operator"),
        ("operators.one.operator=3", "operators.one.operator=3: must be"),
        ("operators={}", "must be a mapping with at least one operator"),
        ("operator=1", "operator: a pipeline has no such key; choose one of"),
        ("name=A b", "name=A b: must have lower-case letters"),
        ("operators={answer: {}}", "operators.answer: tables call the way of the answer so"),
        ("operators.one", "must be KEY=VALUE"),
        ("name=[", "is not a value in YAML"),
        ("name=2020-13-45", "name=2020-13-45: is not a value in YAML: month must be in 1..12"),
    ],
)
def test_wrong_values_are_refused(tmp_path, word, message):
    path = tmp_path / "stub.yaml"
    path.write_text(STUB)
    with pytest.raises(InputError) as refused:
        load_pipeline(str(path), [word])
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "must have a mapping with the keys name, payloads, operators"),
        ("a: [", "cannot be read"),
        (STUB.replace("payloads", "sends"), "sends: a pipeline has no such key"),
        (STUB.replace("name: stub", ""), "name: is missing"),
        (STUB.replace("lab.serving.stub.Busy", "my_pkg.Mine"), "--allow-import my_pkg"),
        (STUB.replace("lab.serving.stub.Busy", "lab.serving.stub.Buzy"), "Busy"),
    ],
)
def test_wrong_files_are_refused(tmp_path, text, message):
    path = tmp_path / "stub.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(message)):
        load_pipeline(str(path))


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'document_reading'"):
        load_pipeline("document_readin")


def test_a_missing_extra_is_one_sentence():
    with pytest.raises(InputError, match=re.escape("pip install 'compass-sim[serve]'")):
        needed("no_such_module_of_the_extra")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["http://127.0.0.1:1/"], "--payloads is missing"),
        (["http://127.0.0.1:1/", "a=1"], "a=1: sets a key of a pipeline, and none is named"),
        (["http://127.0.0.1:1/", "--endpoint=http://h"], "is an address already"),
        (["document_reading", "--rate=0"], "--rate=0.0: must be from"),
        (["document_reading", "--out=."], ""),
    ],
)
def test_the_command_refuses_bad_input(words, message, current, refused):
    (current / "observation.json").touch()
    assert message in refused("observe", "--rate=1", "--requests=2", "--out=made", *words)


def body(number, size=1.0):
    return b'{"seed": 1, "number": %d, "size": %f}' % (number, size)


def test_the_stub_computes_for_the_drawn_time():
    busy = Busy(mean_s=0.02, fixed_s=0.01)
    before = thread_time()
    assert busy.run([body(0), body(1, 2.0)]) == [body(0), body(1, 2.0)]
    assert thread_time() - before == pytest.approx(0.07, abs=0.02)


def test_the_stubs_times_have_the_mean_and_the_spread():
    busy = Busy(mean_s=0.02, cv=0.3)
    times = [busy.time_s(body(number)) for number in range(2000)]
    assert np.mean(times) == pytest.approx(0.02, rel=0.03)
    assert np.std(times) / np.mean(times) == pytest.approx(0.3, rel=0.1)
    assert busy.time_s(body(0, 2.0)) == pytest.approx(2 * times[0])


def test_sizes_have_mean_one():
    sizes = [Sizes(cv=0.5).payload(0, number).size for number in range(2000)]
    assert np.mean(sizes) == pytest.approx(1, rel=0.05)
