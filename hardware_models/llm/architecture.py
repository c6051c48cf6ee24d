"""Language models: their architecture, their memory, and their names in measured tables.

Table ``llm_models`` is made from the models' published ``config.json`` files. Table ``llm_weights``
has the bytes of the weights by precision, computed from the same files. Unknown models and
precisions raise UnknownNameError.
"""

from dataclasses import dataclass

import polars as pl

from hardware_models.errors import pick
from hardware_models.tables import load_table, table_cache

_AS_GIVEN = (
    *("layers", "hidden_size", "heads", "kv_heads", "head_dim"),
    *("vision_parameters", "context_tokens"),
)
_BYTES_PER_VALUE = 2  # half precision, used for caches with any precision of weights


@dataclass(frozen=True, slots=True)
class TransformerDecoder:
    """A transformer decoder, with or without a vision tower.

    Attributes:
        name: Its name.
        layers: Number of transformer layers.
        hidden_size: Width of the residual stream.
        heads: Number of attention heads.
        kv_heads: Number of attention heads of keys and values.
        head_dim: Width of a head.
        layer_parameters: Parameters of the matrices of one layer.
        embedding_parameters: Parameters of the embedding, and of the output matrix if it is
            separate.
        output_parameters: Parameters of the output matrix, which is read to generate each token.
        vision_parameters: Parameters of the vision tower, which is not read to generate tokens.
        context_tokens: Longest context, in tokens.
    """

    name: str
    layers: int
    hidden_size: int
    heads: int
    kv_heads: int
    head_dim: int
    layer_parameters: int
    embedding_parameters: int
    output_parameters: int
    vision_parameters: int
    context_tokens: int

    @property
    def parameters(self) -> int:
        """The number of parameters of the model, without biases and norms."""
        return (
            self.layers * self.layer_parameters + self.embedding_parameters + self.vision_parameters
        )

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of keys and values that the cache stores for a token of context."""
        return 2 * self.layers * self.kv_heads * self.head_dim * _BYTES_PER_VALUE


@table_cache
def _models() -> dict[str, TransformerDecoder]:
    result = {}
    for row in load_table("llm_models").iter_rows(named=True):
        attention = 2 * row["hidden_size"] * (row["heads"] + row["kv_heads"]) * row["head_dim"]
        mlp = row["mlp_matrices"] * row["hidden_size"] * row["intermediate_size"]
        output = row["vocabulary"] * row["hidden_size"]
        result[row["model"]] = TransformerDecoder(
            name=row["model"],
            **{name: row[name] for name in _AS_GIVEN},
            layer_parameters=attention + mlp,
            embedding_parameters=output * row["embedding_matrices"],
            output_parameters=output,
        )
    return result


@table_cache
def _canonical() -> dict[str, str]:
    """Return model names by alias, which is from a measured table or of an identical model."""
    names = {name: name for name in _models()}
    for model, aliases in load_table("llm_models").select("model", "aliases").iter_rows():
        names |= dict.fromkeys((aliases or "").split(), model)
    return names


def models() -> tuple[str, ...]:
    """Return the names of the language models."""
    return tuple(_models())


def language_model(name: str) -> TransformerDecoder:
    """Return the model with this name, or with this alias in a measured table."""
    canonical = _canonical()
    if name not in canonical:
        pick("language model", name, _models())
    return _models()[canonical[name]]


def known_as(name: str) -> str | None:
    """Return the name of the model with this alias in a measured table, or None."""
    return _canonical().get(name)


@table_cache
def names_of(name: str) -> frozenset[str]:
    """Return all names that a model can have in measured tables: its own name, and its aliases."""
    model = language_model(name).name
    return frozenset(alias for alias, canonical in _canonical().items() if canonical == model)


@table_cache
def _weights() -> dict[str, dict[str, tuple[int, int]]]:
    """Return the bytes of all weights, and of the layers' matrices, by model and precision."""
    result: dict[str, dict[str, tuple[int, int]]] = {}
    rows = load_table("llm_weights").select("model", "precision", "weight_bytes", "layer_bytes")
    for model, precision, every, layers in rows.iter_rows():
        result.setdefault(model, {})[precision] = every, layers
    return result


def precisions(model: str) -> tuple[str, ...]:
    """Return the names of the precisions of a model's weights, such as ``"GPTQ-Int4"``."""
    return tuple(_weights().get(language_model(model).name, {}))


def _bytes(model: str, precision: str) -> tuple[int, int]:
    pick(f"precision of {model}", precision, precisions(model))
    return _weights()[language_model(model).name][precision]


def weight_bytes(model: str, precision: str) -> int:
    """Return the bytes of a model's weights, including its vision tower.

    The bytes are computed from the architecture. In quantised models, only the layers' matrices are
    quantised, in groups of 128 parameters that share a scale and a zero point. The memory that was
    measured for Qwen2.5 on one A100 is 0 to 13 % larger (table ``llm_speed``).
    """
    return _bytes(model, precision)[0]


def layer_bytes(model: str, precision: str) -> int:
    """Return the bytes of the matrices of a model's layers; a decoding iteration reads them all."""
    return _bytes(model, precision)[1]


def column(frame: pl.DataFrame, attribute: str) -> list[float]:
    """Return an attribute of each row's model, or nan if the model is not known."""
    values = {name: float(getattr(model, attribute)) for name, model in _models().items()}
    return [values.get(known_as(name) or "", float("nan")) for name in frame["model"]]
