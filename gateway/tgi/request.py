"""An OpenAI request as TGI's `/generate` takes it. Pure: a parsed body in, plain data out.

What TGI has no counterpart for is refused by name where leaving it out would change the answer;
fields that only describe the call (`user`, `metadata`, ...) are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.tgi import fields, tools
from gateway.tgi.errors import Refused
from gateway.tgi.fields import Body
from gateway.tgi.messages import Conversation, read_conversation

# TGI's own default for --max-stop-sequences.
MOST_STOPS = 4
# Each choice is a generation of its own.
MOST_CHOICES = 16
MOST_LOGPROBS = 20

_NO_COUNTERPART = {
    "logit_bias": "bias on single tokens",
    "functions": "`functions`; send `tools`",
    "function_call": "`function_call`; send `tool_choice`",
    "audio": "audio",
    "suffix": "`suffix`",
    "web_search_options": "web search",
}
# Parameters of TGI that OpenAI's API lacks: (name, reader).
_TGI_OWN = ("top_k", "typical_p", "repetition_penalty", "truncate", "watermark", "adapter_id")


@dataclass(frozen=True)
class Asked:
    """One request. `parameters` are TGI's, without seed; `stops` is what is cut off the end.

    A chat has a `conversation`, a completion has `prompts`; each prompt gives `n` choices.
    """

    chat: bool
    stream: bool
    include_usage: bool
    n: int
    parameters: dict[str, Any]
    stops: tuple[str, ...]
    seed: int | None = None
    logprobs: bool = False
    conversation: Conversation | None = None
    prompts: tuple[str, ...] = ()
    echo: bool = False
    tools: tools.Offered | None = field(default=None)

    def parameters_of(self, choice: int) -> dict[str, Any]:
        """Return the parameters of one choice: seeds must differ."""
        if self.seed is None:
            return self.parameters
        return {**self.parameters, "seed": (self.seed + choice) % 2**63 or 2**63 - 1}


def read_chat(body: Body, *, eos_token: str | None) -> Asked:
    """Read the body of `/chat/completions`; raises Refused."""
    _refuse_strangers(body)
    offered = tools.read(body)
    grammar = tools.grammar(body, offered)
    wants = fields.flag(body, "logprobs") or False
    top = fields.whole(body, "top_logprobs", low=0, high=MOST_LOGPROBS)
    if top and not wants:
        raise Refused("top_logprobs needs `logprobs: true`.", param="top_logprobs")
    limit = "max_tokens" if body.get("max_completion_tokens") is None else "max_completion_tokens"
    return Asked(
        chat=True,
        conversation=read_conversation(body, offered),
        tools=offered,
        logprobs=wants,
        **_common(body, eos_token, limit=limit, top=top, grammar=grammar),
    )


def read_completion(body: Body, *, eos_token: str | None) -> Asked:
    """Read the body of `/completions`; raises Refused."""
    _refuse_strangers(body)
    top = fields.whole(body, "logprobs", low=0, high=MOST_LOGPROBS)
    best_of = fields.whole(body, "best_of", low=1)
    if best_of is not None and best_of != (body.get("n") or 1):
        raise Refused("best_of other than n has no counterpart in TGI.", param="best_of")
    return Asked(
        chat=False,
        prompts=_prompts(body.get("prompt")),
        echo=fields.flag(body, "echo") or False,
        logprobs=top is not None,
        **_common(body, eos_token, limit="max_tokens", top=top, grammar=tools.grammar(body, None)),
    )


def _refuse_strangers(body: Body) -> None:
    for name, what in _NO_COUNTERPART.items():
        if body.get(name):
            raise Refused(f"TGI has no counterpart for {what}.", param=name)


def _common(
    body: Body, eos_token: str | None, *, limit: str, top: int | None, grammar: Any
) -> dict[str, Any]:
    stream = fields.flag(body, "stream") or False
    options = fields.mapping(body, "stream_options")
    asked_stops = _stops(body.get("stop"))
    stops = asked_stops
    # The end token rarely reaches the text; it is among the stops where there is room.
    if eos_token and eos_token not in stops and len(stops) < MOST_STOPS:
        stops = (*stops, eos_token)
    parameters = {"details": True, **_sampling(body), **_own(body)}
    if stops:
        parameters["stop"] = list(stops)
    if (most := fields.whole(body, limit, low=1)) is not None:
        parameters["max_new_tokens"] = most
    if top:
        parameters["top_n_tokens"] = top
    if grammar is not None:
        parameters["grammar"] = grammar
    return {
        "stream": stream,
        "include_usage": bool(fields.flag(options, "include_usage")),
        "n": fields.whole(body, "n", low=1, high=MOST_CHOICES) or 1,
        "parameters": parameters,
        "stops": (*asked_stops, eos_token) if eos_token else asked_stops,
        "seed": fields.whole(body, "seed", low=-(2**63)),
    }


def _sampling(body: Body) -> dict[str, Any]:
    temperature = fields.number(body, "temperature", low=0, high=2)
    top_p = fields.number(body, "top_p", low=0, high=1)
    found: dict[str, Any] = {}
    # TGI refuses 0 for both: it calls the same thing not sampling.
    if temperature == 0 or top_p == 0:
        found["do_sample"] = False
    else:
        found["do_sample"] = True
        if temperature is not None:
            found["temperature"] = temperature
        if top_p is not None and top_p < 1:
            found["top_p"] = top_p
    if frequency := fields.number(body, "frequency_penalty", low=-2, high=2):
        found["frequency_penalty"] = frequency
    if presence := fields.number(body, "presence_penalty", low=-2, high=2):
        # What TGI has for tokens that are there already: 1 is none, 2 is strong.
        found["repetition_penalty"] = 2 ** (presence / 2)
    return found


def _own(body: Body) -> dict[str, Any]:
    return {name: body[name] for name in _TGI_OWN if body.get(name) is not None}


def _stops(value: Any) -> tuple[str, ...]:
    stops = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise Refused("stop must be a string or a list of strings.", param="stop")
    if len(stops) > MOST_STOPS:
        raise Refused(f"stop takes at most {MOST_STOPS} strings.", param="stop")
    return tuple(dict.fromkeys(stops))


def _prompts(value: Any) -> tuple[str, ...]:
    prompts = [value] if isinstance(value, str) else value
    texts = isinstance(prompts, list) and all(isinstance(prompt, str) for prompt in prompts)
    if not texts or not 1 <= len(prompts) <= MOST_CHOICES:
        raise Refused(
            f"prompt must be a string or a list of 1 to {MOST_CHOICES} strings "
            "(TGI takes no token ids).",
            param="prompt",
        )
    return tuple(prompts)
