"""Renders chats with transformers itself: cases as JSON on stdin, prompts as JSON on stdout.

Runs in the virtual environment of the model server (`tests.e2e.model.tools`).
"""

from __future__ import annotations

import json
import sys
from typing import Any

import jinja2
from tokenizers import Tokenizer, models  # type: ignore[import-not-found]
from transformers import PreTrainedTokenizerFast  # type: ignore[import-not-found]


def rendered(case: dict[str, Any]) -> dict[str, Any]:
    inner = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    tokenizer.chat_template = case["template"]
    try:
        text = tokenizer.apply_chat_template(case["messages"], tokenize=False, **case["options"])
    except (jinja2.TemplateError, ValueError, TypeError) as error:
        return {"error": str(error)}
    return {"text": text}


if __name__ == "__main__":
    json.dump([rendered(case) for case in json.load(sys.stdin)], sys.stdout)
