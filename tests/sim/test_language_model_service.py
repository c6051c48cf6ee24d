"""How an allocation serves a language model, by hand from the times of an engine's iterations."""

from math import fsum

import numpy as np
import pytest

from hardware_models.llm import iteration_times, language_model
from scenarios.applications.application import Application, LanguageModel
from scenarios.applications.dataset import Dataset
from scenarios.applications.pipeline import Knob, Operator, Pipeline
from scenarios.cluster import Node
from scenarios.numerics.distributions import Constant
from sim.api.plan import Allocation
from sim.catalogue.service_times import RefusalError, node_service

MODEL = LanguageModel("Qwen2.5-Coder-7B-Instruct", "BF16")
PROMPT, OUTPUT, SEQUENCES, REFERENCE_S = 100, 51, 2, 10.0
CONTEXT = PROMPT + SEQUENCES * OUTPUT / 2  # on average over the tokens that are generated
NODE, PROFILE = Node(machine="a2-ultragpu-1g"), "7g.80gb"


def service(prompt=PROMPT, output=OUTPUT, **allocation):
    grid, ones = np.array([[[0.0, 1.0]]]), np.array([[1.0]])
    application = Application(
        Pipeline("generation", (Operator("write", "llm", (Knob("size", (1,)),)),)),
        {
            "data": Dataset(
                "data",
                service_time_s=REFERENCE_S * ones,
                message_bytes=ones,
                stratum_weights=np.ones(1),
                accuracy=0.5 * ones,
                accuracy_quantiles=grid,
                quantile_grid=grid,
                request_size=Constant(),
                prompt_tokens=prompt * ones,
                output_tokens=output * ones,
                sequences=np.array([[SEQUENCES]]),
            )
        },
        {("write", (1,)): MODEL},
    )
    configuration = application.pipeline.configurations[0]
    return node_service(application, 0, configuration, NODE, Allocation(PROFILE, **allocation))


def test_a_request_takes_its_prefill_and_a_step_for_each_further_token():
    times = iteration_times(MODEL.name, MODEL.precision, "A100-80GB", PROFILE)

    def step_s(sequences, context):
        return fsum(
            (
                times.decode_fixed_s,
                times.decode_s_per_sequence * (sequences - 1),
                times.decode_s_per_context_token * context,
            )
        )

    found = service(max_batch=4)
    prefill_s = (
        times.prefill_fixed_s
        + PROMPT * times.prefill_s_per_token
        + PROMPT**2 * times.prefill_s_per_token2
    )
    alone_s = prefill_s + (OUTPUT - 1) * step_s(2, CONTEXT)
    assert found.factor == pytest.approx(alone_s / REFERENCE_S)
    # A full engine has room for two requests, which share each step, and not their prefills.
    assert found.at_once == 2
    share_s = prefill_s + (OUTPUT - 1) * step_s(4, 2 * CONTEXT) / 2
    assert found.work_factor == pytest.approx(share_s / alone_s)
    assert found.crowded_factor == pytest.approx(2 * share_s / alone_s)
    engine = found.iterations
    assert engine.prefill_fixed_ns == round(1e9 * times.prefill_fixed_s)
    assert engine.prompt_ns(PROMPT) == pytest.approx(
        1e9 * (prefill_s - times.prefill_fixed_s), abs=1
    )
    assert engine.prompt_ns(10 * PROMPT) == pytest.approx(
        1e10 * PROMPT * (times.prefill_s_per_token + 10 * PROMPT * times.prefill_s_per_token2),
        abs=1,
    )
    steps_s = [step_s(active, round(active * CONTEXT / 2)) for active in (1, 2, 3, 4)]
    assert engine.decode_ns == pytest.approx([1e9 * each for each in steps_s], abs=1)


def test_memory_bounds_what_an_engine_serves_at_once():
    """Nine tenths of a card hold the weights and the keys and values of all tokens."""
    found = service(prompt=10_000, output=1_000, max_batch=1000)
    room = int(0.9 * 80e9)
    tokens = (room - MODEL.weight_bytes) // language_model(MODEL.name).kv_bytes_per_token
    assert (found.memory_bytes, found.iterations.kv_tokens) == (room, tokens)
    assert found.at_once == tokens // (10_000 + SEQUENCES * 1_000)


def test_what_an_engine_cannot_serve_is_refused():
    with pytest.raises(RefusalError, match="max_batch=1 is below the 2 sequences of one request"):
        service(max_batch=1)
    assert service(prompt=32_717, max_batch=2).at_once == 1
    with pytest.raises(RefusalError, match=r"of 32769 tokens exceeds the context of .*, 32768"):
        service(prompt=32_718, max_batch=2)
    with pytest.raises(RefusalError, match="cannot share one by MPS"):
        service(max_batch=2, processes=2)
    with pytest.raises(RefusalError, match="cannot share one by MPS"):
        service(max_batch=2, thread_percent=50)
