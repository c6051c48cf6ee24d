"""How an allocation serves an operator at nominal speed, according to tables of measurements."""

from dataclasses import dataclass

import numpy as np

from hardware_models.basis import Basis, worst
from hardware_models.devices import DeviceModel
from hardware_models.gpu.compute import (
    accelerator_time,
    cpu_latency_factor,
    gpu_batch_times,
    network_on_cpu_factor,
)
from hardware_models.gpu.mig import profiles
from hardware_models.llm import iteration_times, language_model
from scenarios.applications.application import Application, LanguageModel, NeuralNetwork
from scenarios.applications.dataset import Tokens
from scenarios.applications.pipeline import Configuration
from scenarios.cluster import Node
from sim.api.plan import Allocation
from sim.clock import NS_PER_S, ns
from sim.dataplane.base.interface import Iterations

MEMORY_SHARE = 0.9
"""Share of an instance's memory that an engine of a language model uses for weights and for keys
and values. It is the default of vLLM's gpu_memory_utilization (docs.vllm.ai, engine arguments)."""


class RefusalError(ValueError):
    """An operator cannot run on an allocation; the message says why."""


@dataclass(frozen=True, slots=True)
class Service:
    """How an operator of one configuration is served."""

    factor: float  # time of a mean request served alone, divided by its reference time
    # Time of a batch of 1, 2, ... requests, divided by the time of one request.
    batch_factor: tuple[float, ...] = (1.0,)
    # Requests that a server serves at the same time; above 1 for language models only.
    at_once: int = 1
    # Server time that a request takes, divided by its time alone; below 1 if ``at_once`` exceeds 1.
    work_factor: float = 1.0
    # Time of a request on a server that serves ``at_once`` requests, divided by its time alone.
    crowded_factor: float = 1.0
    memory_bytes: int = 0  # memory that a replica needs
    basis: Basis = "measured"  # the kind of evidence for the times
    iterations: Iterations | None = None  # how a language model generates; None for other operators
    fixed_share: float = 0.0  # share of its time that does not scale with a request's size


def device_service(
    application: Application, operator: int, configuration: Configuration, device: DeviceModel
) -> Service:
    """Return how a user's device serves an operator; raise `RefusalError` if it cannot."""
    model = application.model(operator, configuration)
    name = application.operators[operator].name
    if model is None:
        return Service(cpu_latency_factor(device.relative_speed), basis="scaled")
    if isinstance(model, LanguageModel):
        raise RefusalError(
            f"{name} on device: no measurement of language models on devices is at hand"
        )
    if model.weight_bytes > device.memory_bytes:
        raise RefusalError(
            f"{name} on device: {model.name} needs {_gb(model.weight_bytes)}, "
            f"a {device.name} has {_gb(device.memory_bytes)}"
        )
    if device.accelerator is not None:
        try:
            times = accelerator_time(device.accelerator, model.benchmark, model.like_items)
        except ValueError as error:
            raise RefusalError(f"{name} on a {device.name}: {error}") from None
        return Service(
            times.factors[0],
            memory_bytes=model.weight_bytes,
            basis=worst(times.basis, _likeness(model)),
        )
    if model.device_ratio is None:
        raise RefusalError(f"{name} on device: no measurement of {model.name} on a CPU is at hand")
    ratio = network_on_cpu_factor(model.device_ratio, device.relative_speed)
    return Service(ratio.value, memory_bytes=model.weight_bytes, basis=ratio.basis)


def node_service(
    application: Application,
    operator: int,
    configuration: Configuration,
    node: Node,
    allocation: Allocation,
) -> Service:
    """Return how a node's allocation serves an operator; raise `RefusalError` if it cannot."""
    model = application.model(operator, configuration)
    if model is None:
        factor = cpu_latency_factor(node.cpu_relative_speed)
        batches = _core_batches(application, operator, configuration, allocation)
        return Service(factor, batches, basis="measured" if factor == 1.0 else "scaled")
    name = application.operators[operator].name
    assert node.gpu_board is not None
    try:
        if isinstance(model, LanguageModel):
            return _generation(application, operator, configuration, model, node, allocation)
        return _inference(application, model, node, allocation)
    except ValueError as error:
        raise RefusalError(f"{name} on {node.gpu_board}:{allocation.profile}: {error}") from None


def _core_batches(
    application: Application, operator: int, configuration: Configuration, allocation: Allocation
) -> tuple[float, ...]:
    """Return the times of batches on a core: one by one, unless the application measured them."""
    most = allocation.max_batch
    measured = application.batch_factor(operator, configuration)
    if measured is None:
        return tuple(float(size) for size in range(1, most + 1))
    if most > len(measured):
        raise RefusalError(
            f"{application.operators[operator].name}: max_batch={most} is above {len(measured)}, "
            "the largest batch of which a time was measured"
        )
    return measured[:most]


def _inference(
    application: Application, model: NeuralNetwork, node: Node, allocation: Allocation
) -> Service:
    assert node.gpu_board is not None
    board, profile = node.gpu_board, allocation.profile
    need, room = allocation.processes * model.weight_bytes, profiles(board)[profile].memory_bytes
    if need > room:
        raise RefusalError(f"{model.name} needs {_gb(need)} of memory, there are {_gb(room)}")
    times = gpu_batch_times(
        model.like,
        model.benchmark,
        board,
        profile,
        allocation.max_batch,
        allocation.processes,
        allocation.thread_percent,
        model.like_items,
    )
    alone = times.factors[0]
    return Service(
        alone,
        tuple(factor / alone for factor in times.factors),
        memory_bytes=need,
        # On the reference hardware, a lone request takes the time that its application gives.
        basis="measured" if times.factors == (1.0,) else worst(times.basis, _likeness(model)),
        fixed_share=application.fixed_share(
            model, board, profile, allocation.processes, allocation.thread_percent
        ),
    )


def _likeness(model: NeuralNetwork) -> Basis:
    """Return the basis of a network's times, which are scaled like those of ``model.like``."""
    return "measured" if model.name == model.like else "assumed"


def _generation(
    application: Application,
    operator: int,
    configuration: Configuration,
    model: LanguageModel,
    node: Node,
    allocation: Allocation,
) -> Service:
    if allocation.processes > 1 or allocation.thread_percent < 100:
        raise RefusalError(f"{model.name} takes an instance of its own, it cannot share one by MPS")
    assert node.gpu_board is not None
    board, profile, decoder = node.gpu_board, allocation.profile, language_model(model.name)
    room = int(MEMORY_SHARE * profiles(board)[profile].memory_bytes)
    tokens = mean_tokens(application, operator, configuration)
    context = tokens.prompt + tokens.sequences * tokens.output / 2
    longest = tokens.prompt + tokens.sequences * tokens.output
    kv_tokens = (room - model.weight_bytes) // decoder.kv_bytes_per_token
    if kv_tokens < longest:
        need = model.weight_bytes + longest * decoder.kv_bytes_per_token
        raise RefusalError(
            f"{model.name} in {model.precision} needs {_gb(need)} of memory for one request, there "
            f"are {_gb(room)} for weights, keys and values"
        )
    if tokens.sequences > allocation.max_batch:
        raise RefusalError(
            f"max_batch={allocation.max_batch} is below the {tokens.sequences} sequences of one "
            "request"
        )
    if tokens.prompt + tokens.output > decoder.context_tokens:
        raise RefusalError(
            f"a mean request of {tokens.prompt + tokens.output:.0f} tokens exceeds the context of "
            f"{model.name}, {decoder.context_tokens}"
        )
    times = iteration_times(model.name, model.precision, board, profile)
    # Requests in the batch share what the mean one asks for; the context grows with their number.
    decode_s = [
        times.decode_s(active, round(active / tokens.sequences * context))
        for active in range(1, allocation.max_batch + 1)
    ]
    prefill_s = times.prefill_s([round(tokens.prompt)])
    alone_s = prefill_s + (tokens.output - 1) * decode_s[tokens.sequences - 1]
    at_once = min(allocation.max_batch // tokens.sequences, int(kv_tokens // longest))
    # A decoding step of a full engine serves all sequences; each is charged its share.
    step_s = decode_s[at_once * tokens.sequences - 1]
    share_s = prefill_s + (tokens.output - 1) * step_s / at_once
    reference_s = float(
        np.mean(
            [
                data.service_time_s[configuration.index, operator]
                for data in application.datasets.values()
            ]
        )
    )
    return Service(
        alone_s / reference_s,
        at_once=at_once,
        work_factor=share_s / alone_s,
        crowded_factor=at_once * share_s / alone_s,  # by Little's law
        memory_bytes=room,
        basis=times.basis,
        iterations=Iterations(
            ns(times.prefill_fixed_s),
            times.prefill_s_per_token * NS_PER_S,
            times.prefill_s_per_token2 * NS_PER_S,
            tuple(max(1, ns(step_s)) for step_s in decode_s),
            int(kv_tokens),
        ),
    )


def mean_tokens(application: Application, operator: int, configuration: Configuration) -> Tokens:
    """Return a request's mean tokens over all data sets, because data sets share stations."""
    parts = [data.tokens(configuration.index, operator) for data in application.datasets.values()]
    return Tokens(
        float(np.mean([part.prompt for part in parts])),
        float(np.mean([part.output for part in parts])),
        max(part.sequences for part in parts),
    )


def _gb(amount: float) -> str:
    return f"{amount / 1e9:.1f} GB"
