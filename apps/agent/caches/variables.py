"""How programs are told where model files are kept: the variables of the Hugging Face libraries."""

from __future__ import annotations

import typing

HOME = "HF_HOME"
# The old name and the new one of the same: images set either, and each of them wins over HF_HOME.
FILES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")


def variables(folder: str, said: typing.Container[str]) -> dict[str, str]:
    """Return what to set so that models are kept below a folder; `said` are the variables that the
    person has set, who knows better."""
    if HOME in said:
        return {}
    home = f"{folder}/huggingface"
    set_by_them = any(name in said for name in FILES)
    return {HOME: home, **({} if set_by_them else dict.fromkeys(FILES, f"{home}/hub"))}
