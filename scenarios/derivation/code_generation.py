"""Tables of code generation: Qwen2.5-Coder writes programs, tests pick one that passes."""

from collections.abc import Callable
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from scenarios.applications.accuracy_rules import best_of
from scenarios.derivation import _shared
from scenarios.derivation._shared import figure, raw, sourced

Floats = NDArray[np.float64]

MODELS = {
    "Qwen2.5-Coder-32B-Instruct": 32.0,
    "Qwen2.5-Coder-14B-Instruct": 14.0,
    "Qwen2.5-Coder-7B-Instruct": 7.0,
    "Qwen2.5-Coder-3B-Instruct": 3.0,
    "Qwen2.5-Coder-1.5B-Instruct": 1.5,
}
"""Billions of parameters, as the models' names say."""
PRECISIONS = ("BF16", "GPTQ-Int8", "GPTQ-Int4", "AWQ")
DATASETS = ("HumanEval", "MBPP")
PASSES = (0, 1, 2)
FITTED = {
    "HumanEval": ("How Many Tries", 5),
    "MBPP": ("Code Llama", 10),
}
"""By data set: start or part of the source of the rows that are fitted, and the k of pass@k."""

REPORT = "Qwen2.5-Coder Technical Report, Table 16", "https://arxiv.org/html/2409.12186v3"
REPAIR = (
    "J. J. Arimbur, How Many Tries Does It Take? Iterative Self-Repair in LLM Code Generation",
    "https://arxiv.org/abs/2604.10508",
)
CODE_LLAMA = "Code Llama: Open Foundation Models for Code", "https://arxiv.org/abs/2308.12950"


def derive() -> dict[str, pl.DataFrame]:
    """Work out the tables of the application."""
    return {
        "models": _models(),
        "precisions": _precisions(),
        "samples": _samples(),
        "refinements": _refinements(),
        "concentrations": _concentrations(),
        "fit_errors": _fit_errors(),
        "problems": _problems(),
        "prompts": _prompts(),
        "work": _work(),
    }


def _models() -> pl.DataFrame:
    table = raw("code_accuracy", value=pl.Float64)
    rows = (
        {
            "model": model,
            "dataset": dataset,
            "pass_at_1": table.filter(
                (pl.col("model") == model) & (pl.col("benchmark") == f"{dataset} (EvalPlus)")
            )["value"].item()
            / 100,
        }
        for model in MODELS
        for dataset in DATASETS
    )
    note = "published percentage / 100; greedy decoding, BF16, tests of the original benchmark"
    return sourced(rows, "fraction of problems solved", *REPORT, note)


def _precisions() -> pl.DataFrame:
    rows = (
        {
            "model": model,
            "precision": precision,
            "accuracy_ratio": _shared.qwen2_ratio(precision, size),
        }
        for model, size in MODELS.items()
        for precision in PRECISIONS
    )
    note = (
        "mean score of MMLU, C-Eval and IFEval of Qwen2 models over that in BF16, linear in the "
        "logarithm of parameters between 1.5B, 7B and 72B; that code suffers alike is an assumption"
    )
    return sourced(rows, "ratio", *_shared.qwen2_provenance(), note)


def _samples() -> pl.DataFrame:
    rows = ({"samples": count, "sequences": count} for count in (8, 4, 2, 1))
    return sourced(rows, "sequences", *CODE_LLAMA, "every sample is a sequence of its own")


@cache
def _pass_at_k(dataset: str) -> tuple[Floats, Floats]:
    """Return pass@1 and pass@k of the models that the concentration is fitted to, each (n,)."""
    source, k = FITTED[dataset]
    rows = raw("pass_at_k", k=pl.Int64, pass_at_k=pl.Float64).filter(
        (pl.col("dataset") == dataset) & pl.col("source").str.contains(source, literal=True)
    )
    wide = rows.pivot("k", index="model", values="pass_at_k")
    return wide["1"].to_numpy() / 100, wide[str(k)].to_numpy() / 100


def fit_concentration(one: Floats, several: Floats, k: int) -> float:
    """Return the concentration of rule ``best_of`` by which pass@1 tells pass@k best.

    Args:
        one: pass@1 of models, shape (n,).
        several: their pass@k, shape (n,).
        k: attempts.
    """
    return _least_squares(
        lambda c: best_of(one, np.array(float(k)), np.array(c)) - several, 0.01, 50.0
    )


def fit_attempts(one: Floats, repaired: Floats, concentration: float) -> float:
    """Return the attempts of rule ``best_of`` that are worth what repair passes are.

    Args:
        one: share of problems that models solve at once, shape (n,).
        repaired: share that they solve within those passes, shape (n,).
        concentration: of the rule.
    """
    return _least_squares(
        lambda k: best_of(one, np.array(k), np.array(concentration)) - repaired, 1.0, 50.0
    )


def _least_squares(residuals: Callable[[float], Floats], low: float, high: float) -> float:
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 -- only a derivation needs it

    def loss(value: float) -> float:
        return float(np.sum(residuals(value) ** 2))

    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-9})
    return float(found.x)


@cache
def _concentration(dataset: str) -> float:
    return fit_concentration(*_pass_at_k(dataset), FITTED[dataset][1])


@cache
def _repaired(passes: int) -> tuple[Floats, Floats]:
    rows = raw("self_repair", passes=pl.Int64, solved=pl.Float64)
    wide = rows.pivot("passes", index="model", values="solved")
    return wide["0"].to_numpy() / 100, wide[str(passes)].to_numpy() / 100


def _attempts(passes: int) -> float:
    return fit_attempts(*_repaired(passes), _concentration("HumanEval")) if passes else 1.0


def _refinements() -> pl.DataFrame:
    rows = (
        {"refinement": passes, "rounds": 1 + passes, "attempts": _attempts(passes)}
        for passes in PASSES
    )
    note = (
        "attempts k by which rule best_of, with HumanEval's concentration, tells the share solved "
        "within so many repair passes from that solved at once; least squares over five open "
        "models on HumanEval; taken for MBPP too, whose repair runs mostly revealed the name of "
        "the function; see fit_errors"
    )
    return sourced(rows, "rounds; attempts", *REPAIR, note)


def _concentrations() -> pl.DataFrame:
    rows = [
        {
            "dataset": "HumanEval",
            "concentration": _concentration("HumanEval"),
            "note": "rule best_of fitted to pass@1 and pass@5 (temperature 0.8) of four models of "
            "2024-25, by least squares; see fit_errors",
        },
        {
            "dataset": "MBPP",
            "concentration": _concentration("MBPP"),
            "note": "rule best_of fitted to pass@1 and pass@10 (temperature 0.8) of the 13 models "
            "of the Code Llama paper, by least squares; see fit_errors",
        },
    ]
    return sourced(rows, "1", f"{REPAIR[0]}; {CODE_LLAMA[0]}", CODE_LLAMA[1])


def _fit_errors() -> pl.DataFrame:
    rows: list[dict[str, object]] = []
    for dataset, (_, k) in FITTED.items():
        one, several = _pass_at_k(dataset)
        errors = _left_out(
            one,
            several,
            lambda x, y, k=k: fit_concentration(x, y, k),  # type: ignore[misc]
            lambda x, c, k=k: best_of(x, np.array(float(k)), np.array(c)),  # type: ignore[misc]
        )
        rows.append(_summary(f"pass@{k} on {dataset} from pass@1", errors))
    c = _concentration("HumanEval")
    for passes in PASSES[1:]:
        one, repaired = _repaired(passes)
        errors = _left_out(
            one,
            repaired,
            lambda x, y: fit_attempts(x, y, c),
            lambda x, k: best_of(x, np.array(k), np.array(c)),
        )
        rows.append(_summary(f"share solved within {passes} repair passes on HumanEval", errors))
    table = raw("pass_at_k", k=pl.Int64, pass_at_k=pl.Float64)
    for source, k in (("Code Llama", 10), ("Neural Magic", 10)):
        known = table.filter(
            (pl.col("dataset") == "HumanEval")
            & pl.col("source").str.contains(source, literal=True)
            & pl.col("k").is_in([1, k])
        ).pivot("k", index="model", values="pass_at_k")
        told = best_of(known["1"].to_numpy() / 100, np.array(float(k)), np.array(c))
        errors = told - known[str(k)].to_numpy() / 100
        rows.append(_summary(f"pass@{k} on HumanEval of models not fitted ({source})", errors))
    note = (
        "leave one model out, unless the models were not fitted: predicted less published, in "
        "points of 100; mean of errors, median and largest of their absolute values"
    )
    return sourced(rows, "percentage points", f"{REPAIR[0]}; {CODE_LLAMA[0]}", CODE_LLAMA[1], note)


def _left_out(
    x: Floats,
    y: Floats,
    fit: Callable[[Floats, Floats], float],
    predict: Callable[[Floats, float], Floats],
) -> Floats:
    """Return predicted less known of every model, by a fit to the others, shape (n,)."""
    errors = np.empty(len(x))
    for i in range(len(x)):
        others = np.arange(len(x)) != i
        errors[i] = predict(x[i : i + 1], fit(x[others], y[others]))[0] - y[i]
    return errors


def _summary(target: str, errors: Floats) -> dict[str, object]:
    points = 100 * errors
    return {
        "target": target,
        "models": len(points),
        "mean_error": float(points.mean()),
        "median_absolute_error": float(np.median(np.abs(points))),
        "largest_absolute_error": float(np.abs(points).max()),
    }


@cache
def _tokens(dataset: str) -> pl.DataFrame:
    return raw(
        "solution_tokens",
        prompt_tokens=pl.Float64,
        output_tokens=pl.Float64,
        feedback_tokens=pl.Float64,
    ).filter(pl.col("dataset") == dataset)


def _mean(dataset: str, column: str) -> float:
    return float(np.mean(_tokens(dataset)[column].drop_nulls().to_numpy()))


def _variation(dataset: str, column: str) -> float:
    values = _tokens(dataset)[column].to_numpy()
    return float(values.std() / values.mean())


def _problems() -> pl.DataFrame:
    byte = figure("coding_assumptions", "bytes_per_token")
    rows = (
        {
            "dataset": dataset,
            "output_tokens": _mean(dataset, "output_tokens"),
            "output_length_cv": _variation(dataset, "output_tokens"),
            "request_size_cv": _variation(dataset, "prompt_tokens"),
            "problem_bytes": byte * _mean(dataset, "prompt_tokens"),
            "program_bytes": byte * _mean(dataset, "output_tokens"),
        }
        for dataset in DATASETS
    )
    note = (
        "mean and coefficient of variation over problems of the tokens of Qwen3 32B's first prompt "
        f"and first answer, code alone; tokens x {byte:g} bytes; that Qwen2.5-Coder writes as much "
        "is an assumption"
    )
    return sourced(rows, "tokens; 1; 1; bytes; bytes", *_shared.origin(_tokens(DATASETS[0])), note)


def _prompts() -> pl.DataFrame:
    rows = (
        {
            "dataset": dataset,
            "refinement": passes,
            "prompt_tokens": _mean(dataset, "prompt_tokens")
            + passes * _mean(dataset, "feedback_tokens"),
        }
        for dataset in DATASETS
        for passes in PASSES
    )
    note = (
        "mean first prompt + passes x mean feedback (the error and the wish for a correction); "
        "earlier answers stay in the KV cache and are not read again"
    )
    return sourced(rows, "tokens", *_shared.origin(_tokens(DATASETS[0])), note)


def _work() -> pl.DataFrame:
    rows = [
        {
            "build_s": figure("coding_assumptions", "build_s"),
            "execute_s": figure("coding_assumptions", "execute_s"),
            "kind": "assumption",
        }
    ]
    note = (
        "one prompt filled in, no retrieval; a sandboxed Python started and one program tested: "
        "the start of the interpreter dominates, tests of these data sets take milliseconds"
    )
    return sourced(rows, "seconds", "EvalPlus", "https://github.com/evalplus/evalplus", note)
