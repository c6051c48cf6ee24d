"""Tables of code generation: Qwen2.5-Coder writes programs, and tests select one that passes."""

from collections.abc import Callable
from functools import cache

import numpy as np
import polars as pl

from scenarios.applications.accuracy_rules import best_of
from scenarios.derivation import _shared
from scenarios.derivation._shared import figure, raw, sourced
from scenarios.numerics import Floats

MODELS = {
    "Qwen2.5-Coder-32B-Instruct": 32.0,
    "Qwen2.5-Coder-14B-Instruct": 14.0,
    "Qwen2.5-Coder-7B-Instruct": 7.0,
    "Qwen2.5-Coder-3B-Instruct": 3.0,
    "Qwen2.5-Coder-1.5B-Instruct": 1.5,
}
"""Billions of parameters of each model, according to its name."""
PRECISIONS = ("BF16", "GPTQ-Int8", "GPTQ-Int4", "AWQ")
DATASETS = ("HumanEval", "MBPP")
PASSES = (0, 1, 2)
FITTED = {
    "HumanEval": ("How Many Tries", 5, "four models of 2024-25"),
    "MBPP": ("Code Llama", 10, "the 13 models of the Code Llama paper"),
}
"""The rows to which each data set's concentration is fitted.

They are given by a part of their source's name, the k of pass@k, and the models.
"""


def derive() -> dict[str, pl.DataFrame]:
    """Return the tables of the application, by name."""
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
    return sourced("code_generation.models", rows)


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
    return sourced("code_generation.precisions", rows, _shared.qwen2_provenance())


def _samples() -> pl.DataFrame:
    rows = ({"samples": count, "sequences": count} for count in (8, 4, 2, 1))
    return sourced("code_generation.samples", rows)


@cache
def _pass_at_k(dataset: str) -> tuple[Floats, Floats]:
    """Return pass@1 and pass@k of the n models to which the concentration is fitted."""
    source, k, _ = FITTED[dataset]
    rows = raw("pass_at_k", k=pl.Int64, pass_at_k=pl.Float64).filter(
        (pl.col("dataset") == dataset) & pl.col("source").str.contains(source, literal=True)
    )
    wide = rows.pivot("k", index="model", values="pass_at_k")
    return wide["1"].to_numpy() / 100, wide[str(k)].to_numpy() / 100


def fit_concentration(one: Floats, several: Floats, k: int) -> float:
    """Return the concentration with which rule ``best_of`` best predicts pass@k from pass@1.

    Args:
        one: pass@1 of models, shape (n,).
        several: pass@k of the same models, shape (n,).
        k: number of attempts.
    """
    return _least_squares(
        lambda c: best_of(one, np.array(float(k)), np.array(c)) - several, 0.01, 50.0
    )


def fit_attempts(one: Floats, repaired: Floats, concentration: float) -> float:
    """Return the number of attempts that, by rule ``best_of``, gain as much as repair passes.

    Args:
        one: share of problems that each model solves at the first attempt, shape (n,).
        repaired: share of problems that it solves within the repair passes, shape (n,).
        concentration: concentration of the rule.
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
    return sourced("code_generation.refinements", rows)


def _concentrations() -> pl.DataFrame:
    rows = (
        {
            "dataset": dataset,
            "concentration": _concentration(dataset),
            "note": f"rule best_of fitted to pass@1 and pass@{k} (temperature 0.8) of {models}, by "
            "least squares; see fit_errors",
        }
        for dataset, (_, k, models) in FITTED.items()
    )
    return sourced("code_generation.concentrations", rows)


def _fit_errors() -> pl.DataFrame:
    rows: list[dict[str, object]] = []
    for dataset, (_, k, _) in FITTED.items():
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
    return sourced("code_generation.fit_errors", rows)


def _left_out(
    x: Floats,
    y: Floats,
    fit: Callable[[Floats, Floats], float],
    predict: Callable[[Floats, float], Floats],
) -> Floats:
    """Return each model's prediction error after a fit to all other models, shape (n,)."""
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
    return sourced(
        "code_generation.problems", rows, _shared.origin(_tokens(DATASETS[0])), byte=byte
    )


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
    return sourced("code_generation.prompts", rows, _shared.origin(_tokens(DATASETS[0])))


def _work() -> pl.DataFrame:
    rows = [
        {
            "build_s": figure("coding_assumptions", "build_s"),
            "execute_s": figure("coding_assumptions", "execute_s"),
            "kind": "assumption",
        }
    ]
    return sourced("code_generation.work", rows)
