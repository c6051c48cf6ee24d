"""Times of the iterations of a language-model engine, by model, precision and hardware.

The time of a decoding iteration of one sequence, which launches kernels and reads the weights, is
measured on vLLM 0.6.3 on A100-80GB (table ``llm_speed``). The other parts of iterations are
proportional to it, by shares that are fitted to whole engines (Splitwise, ``llm_iteration``). For
other boards, these times are multiplied by ratios of layer times (Helix, Vidur), or by ratios from
data sheets if layer times were not measured. MIG slices were not measured: the exponents of table
``llm_slice_scaling`` are declared assumptions, which studies should vary. All coefficients are in
``fit_llm``.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import polars as pl

from hardware_models.basis import Basis, worst
from hardware_models.errors import pick
from hardware_models.gpu import mig
from hardware_models.llm.architecture import language_model, layer_bytes, names_of
from hardware_models.llm.speed import FULL_PRECISION, SPEED, STACK, attention_flops, flops_per_s
from hardware_models.reference import LAYER_REFERENCE, REFERENCE
from hardware_models.surfaces import coefficients, correction
from hardware_models.tables import load_table, required_row, table_cache

WHOLE = "full"
"""The profile of a whole board, including boards that cannot be partitioned."""

_GIGA, _TERA, _S_PER_MS = 1e9, 1e12, 1e-3
_HALF_PRECISION_BYTES = 2
_SHORT = 1  # prompt tokens of the rows with the least context in a decoding iteration


@dataclass(frozen=True, slots=True)
class IterationTimes:
    """Times of the iterations of one engine replica.

    An iteration that admits new sequences takes `prefill_s` of the new ones plus `decode_s` of the
    others.

    Attributes:
        prefill_fixed_s: Fixed seconds of an iteration with new sequences.
        prefill_s_per_token: Seconds for each token of the new sequences' prompts.
        prefill_s_per_token2: Seconds for attention, per square of a prompt's tokens.
        decode_fixed_s: Fixed seconds of an iteration that decodes, including the first sequence.
        decode_s_per_sequence: Seconds for each sequence beyond the first.
        decode_s_per_context_token: Seconds for each token of all sequences' contexts.
        basis: The basis of these times.
    """

    prefill_fixed_s: float
    prefill_s_per_token: float
    prefill_s_per_token2: float
    decode_fixed_s: float
    decode_s_per_sequence: float
    decode_s_per_context_token: float
    basis: Basis

    def prefill_s(self, prompt_tokens: Sequence[int]) -> float:
        """Return the seconds of prefill for the prompts of new sequences, or 0 without prompts."""
        if not len(prompt_tokens):
            return 0.0
        tokens = sum(prompt_tokens)
        squares = sum(count * count for count in prompt_tokens)
        parts = (self.prefill_s_per_token * tokens, self.prefill_s_per_token2 * squares)
        return math.fsum((self.prefill_fixed_s, *parts))

    def decode_s(self, active: int, context_tokens: int = 0) -> float:
        """Return the seconds to generate one token for each active sequence, or 0 without any.

        Args:
            active: Number of active sequences.
            context_tokens: Sum of the tokens of their contexts.
        """
        if active < 1:
            return 0.0
        growth = (
            self.decode_s_per_sequence * (active - 1),
            self.decode_s_per_context_token * context_tokens,
        )
        return math.fsum((self.decode_fixed_s, *growth))


def boards() -> tuple[str, ...]:
    """Return the names of the boards on which iterations of engines can be predicted."""
    return tuple(load_table("llm_boards")["board"])


@table_cache
def _board_ratios(board: str) -> tuple[float, float, Basis]:
    """Return the board's times to read memory and to compute, relative to the reference board."""
    pick("gpu", board, boards())

    def by_sheet(of: str) -> tuple[float, float]:
        known, reference = (required_row("llm_boards", board=one) for one in (of, REFERENCE))
        memory = reference["memory_gb_per_s"] / known["memory_gb_per_s"]
        return memory, reference["tensor_tflops"] / known["tensor_tflops"]

    if board == REFERENCE:
        return 1.0, 1.0, "measured"
    values, group = coefficients("llm"), f"board {board}"
    for over in (REFERENCE, LAYER_REFERENCE):
        decode, prefill = (
            values.get((group, f"{part}_over_{over.lower().replace('-', '_')}"))
            for part in ("decode", "prefill")
        )
        if decode is None or prefill is None:
            continue
        if over == REFERENCE:
            return decode, prefill, "scaled"
        # only a data sheet compares the A100-40GB with the reference
        memory, compute = by_sheet(over)
        return decode * memory, prefill * compute, "assumed"
    return *by_sheet(board), "assumed"


@table_cache
def _slice_ratios(board: str, profile: str) -> tuple[dict[str, float], Basis]:
    """Return the factor of each part of an iteration on a slice, relative to the whole board."""
    known = mig.profiles(board) if board in mig.boards() else {}
    pick(f"profile of {board}", profile, dict.fromkeys([*known, WHOLE]))
    exponents = {
        part: float(required_row("llm_slice_scaling", part=part)["exponent"])
        for part in ("decode", "prefill", "fixed")
    }
    if profile == WHOLE or known[profile].compute_fraction == 1:
        return dict.fromkeys(exponents, 1.0), "measured"
    memory = known[profile].memory_slices / max(each.memory_slices for each in known.values())
    compute = known[profile].compute_fraction
    shares = {"decode": memory, "prefill": compute, "fixed": compute}
    return {part: shares[part] ** -exponent for part, exponent in exponents.items()}, "assumed"


@table_cache
def _decode_correction(model: str, precision: str, tensor_parallel: int) -> float:
    """Return the factor by which measured rates correct a modelled decoding iteration."""
    row = {
        "model": model,
        "precision": precision,
        "gpu": REFERENCE,
        "n_gpus": tensor_parallel,
        "engine": STACK,
        "input_tokens": _SHORT,
        "output_tokens": SPEED.measured()["output_tokens"].max(),
        "batch": 1,
    }
    return float(np.exp(-correction(SPEED, pl.DataFrame([row]))[0]))


@table_cache
def _measured_range() -> tuple[float, float, frozenset[int]]:
    """Return the range of layer bytes, and the board counts, for which rates were measured."""
    rows = SPEED.measured()
    sizes = [
        layer_bytes(model, precision)
        for model, precision in zip(rows["model"], rows["precision"], strict=True)
    ]
    return min(sizes), max(sizes), frozenset(rows["n_gpus"])


@table_cache
def iteration_times(
    model: str, precision: str, board: str, profile: str, tensor_parallel: int = 1
) -> IterationTimes:
    """Return the times of an engine's iterations: modelled times, scaled to a user's measurements.

    The scale factors of prefill and of decoding are the geometric means of (measured / modelled
    time) over the rows of table ``llm_iteration`` for the same model, precision, board and number
    of boards. A row matches if it has the model's name or an alias in table ``llm_models``. If the
    precision is not full, the row's name must end with it, as in ``"Qwen2.5-7B-Instruct-AWQ"``.
    Shipped rows were measured on several boards, and simulated engines run on one, so only a user's
    rows affect simulations.

    Args:
        model: A name in `models`, or an alias in a measured table.
        precision: One of its `precisions`.
        board: One of `boards`.
        profile: A MIG profile of the board, or ``"full"``.
        tensor_parallel: Number of boards (or slices) that share the model.

    Raises:
        UnknownNameError: The model, precision, board or profile is not known.
        ValueError: ``tensor_parallel`` is not positive.
    """
    times = modelled_iteration_times(model, precision, board, profile, tensor_parallel)
    prefill, decode = _measured_over_modelled(model, precision, board, tensor_parallel)
    scaled = {
        name: seconds * (prefill if name.startswith("prefill") else decode)
        for name, seconds in asdict(times).items()
        if name != "basis"
    }
    return replace(times, **scaled)


@table_cache
def _measured_over_modelled(
    model: str, precision: str, board: str, tensor_parallel: int
) -> tuple[float, float]:
    """Return the scale factors of prefill and decoding; both are 1 without measured rows."""
    names = names_of(model)
    if precision != FULL_PRECISION:
        names = frozenset(f"{name}-{precision}" for name in names)
    rows = load_table("llm_iteration").filter(
        pl.col("model").is_in(list(names)),
        pl.col("gpu").str.to_lowercase() == board.lower(),
        pl.col("tensor_parallel") == tensor_parallel,
    )
    if rows.is_empty():
        return 1.0, 1.0
    times = modelled_iteration_times(model, precision, board, WHOLE, tensor_parallel)
    prefills, decodes = [], []
    columns = rows.select("prompt_tokens", "batch", "output_tokens", "ttft_ms", "tpot_ms")
    for prompt, batch, output, ttft_ms, tpot_ms in columns.iter_rows():
        context = round(batch * (prompt + output / 2))
        prefills.append(math.log(ttft_ms * _S_PER_MS / times.prefill_s([prompt] * batch)))
        decodes.append(math.log(tpot_ms * _S_PER_MS / times.decode_s(batch, context)))
    return math.exp(np.mean(prefills)), math.exp(np.mean(decodes))


@table_cache
def modelled_iteration_times(
    model: str, precision: str, board: str, profile: str, tensor_parallel: int = 1
) -> IterationTimes:
    """Return the times of an engine's iterations by the fitted model; see `iteration_times`.

    A decoding iteration of one sequence launches kernels and reads the weights of the layers and of
    the output matrix, at a speed fitted for each precision. For LLM.int8, the time in full
    precision is multiplied by the ratio measured on BLOOM-176B. Each further sequence takes a
    fitted multiple of the time of a prompt token. Each token of context takes the time to read its
    keys and values. A prompt token takes two operations per parameter of the layers, at the
    throughput of Vidur's rows, plus causal attention. With several boards, the time to read is
    divided by their number, and the time of arithmetic by a fitted power of this number. The time
    of a vision tower is left out.

    Returns:
        The times. On a whole A100-80GB, their basis is ``"interpolated"`` within the measured
        ranges of model sizes and board numbers, and ``"extrapolated"`` beyond them. It is
        ``"scaled"`` on a board with measured ratios, and ``"assumed"`` on other boards and on
        slices.
    """
    if tensor_parallel < 1:
        raise ValueError(
            f"tensor_parallel is {tensor_parallel!r}: give the number of boards, at least 1"
        )
    known = language_model(model)
    layer_bytes(model, precision)  # raises if the precision is not known
    memory, compute, board_basis = _board_ratios(board)
    slices, slice_basis = _slice_ratios(board, profile)
    values = coefficients("llm")
    int8 = values.get((f"precision {precision}", "decode_over_full_precision"))
    timed_as = precision if int8 is None else FULL_PRECISION
    matrices_gb = layer_bytes(model, timed_as) / _GIGA
    timed = [of.removeprefix("speed ") for of, name in values if name == "log_read_ms_per_gb"]
    pick("precision with a measured rate", timed_as, timed)

    def shared(name: str) -> float:
        return math.exp(values["speed", name])

    read = math.exp(values[f"speed {timed_as}", "log_read_ms_per_gb"])
    read_full = math.exp(values[f"speed {FULL_PRECISION}", "log_read_ms_per_gb"])
    each = shared("log_layer_ms")
    if timed_as != FULL_PRECISION:
        each += shared("log_quantised_layer_ms")
    fixed = shared("log_launch_ms") + known.layers * each
    if tensor_parallel > 1:
        fixed *= 1 + shared("log_parallel")
    output_gb = _HALF_PRECISION_BYTES * known.output_parameters / _GIGA
    reading = (read * matrices_gb + read_full * output_gb) / tensor_parallel
    measured = _decode_correction(model, timed_as, tensor_parallel) * (int8 or 1.0)
    longer_reading = memory * slices["decode"]
    decode = measured * (fixed * slices["fixed"] + reading * longer_reading)

    arithmetic = values["engine", "prefill_parallel_exponent"]
    longer_computing = compute * slices["prefill"] / tensor_parallel**arithmetic
    token = 2.0 * known.layers * known.layer_parameters / flops_per_s(REFERENCE)
    attention = shared("log_attention_ms_per_tflop") * _S_PER_MS * attention_flops(model) / _TERA
    sequence = values["engine", "sequence_over_prompt_token"] * token
    context = read_full * _S_PER_MS * known.kv_bytes_per_token / _GIGA / tensor_parallel

    smallest, largest, counts = _measured_range()
    inside = smallest <= layer_bytes(model, timed_as) <= largest and tensor_parallel in counts
    own: Basis = "interpolated" if inside else "extrapolated"
    if int8 is not None:
        own = worst(own, "scaled")
    return IterationTimes(
        prefill_fixed_s=values["engine", "prefill_fixed_over_decode"] * decode * _S_PER_MS,
        prefill_s_per_token=token * longer_computing,
        prefill_s_per_token2=attention * longer_computing,
        decode_fixed_s=decode * _S_PER_MS,
        # On an H100, the memory ratio is closer to the cost of sequences than the compute ratio.
        decode_s_per_sequence=sequence * memory * slices["prefill"] / tensor_parallel**arithmetic,
        decode_s_per_context_token=context * longer_reading,
        basis=worst(own, board_basis, slice_basis),
    )
