"""Lengths of answers in a public trace of conversations with a language model."""

import numpy as np
from numpy.typing import NDArray

from hardware_models.tables import read_file
from scenarios.derivation import DATA

SOURCE = "Azure LLM inference 2023 conversation trace"
SOURCE_URL = "https://github.com/Azure/AzurePublicDataset"


def generated_tokens() -> NDArray[np.float64]:
    """Return the tokens that each answer has, shape (n,)."""
    path = DATA.parent / "traces" / "azure_llm_2023_conversation.csv"
    return read_file(path)["GeneratedTokens"].cast(float).to_numpy()


def variation() -> float:
    """Return the coefficient of variation of the answers' lengths."""
    tokens = generated_tokens()
    return float(tokens.std() / tokens.mean())
