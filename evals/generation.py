"""Generation: what a request asks for, and running a batch of requests."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from lm_eval.models.utils import normalize_gen_kwargs, postprocess_generated_text

import yoco
from evals.reading_order import LOOKED_AT, code_points, sharing_order
from evals.scoring import Tokens, read_prompts
from tasks import handles
from yoco import YOCO, NotEnoughMemory, OnRead, PromptReader, Rows, Sampling
from yoco.not_finite import packs_spoil_each_other
from yoco.prefill import untold

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

    from tasks.tokenizers import Tokenizer

# prompts that share a KV cache and are continued together: more of them hardly gain
SIDE_BY_SIDE = 16
# options that change nothing at these values; at others they would, and we do not have them
NEUTRAL = {
    "num_beams": 1,
    "num_return_sequences": 1,
    "repetition_penalty": 1.0,
    "n": 1,
    "top_k": 0,
    "min_p": 0.0,
    "length_penalty": 1.0,
    "early_stopping": False,
    "use_cache": True,
}


@dataclass(frozen=True)
class GenerationOptions:
    """How one request is continued.

    Attributes:
        until: the text ends before the first of these that occurs in it.
        max_new_tokens: limit of the continuation.
        sampling: greedy, or temperature, top_p and seed.
    """

    until: tuple[str, ...]
    max_new_tokens: int
    sampling: Sampling


def options_of(gen_kwargs: Mapping[str, Any], *, prompt: str, repeat: int) -> GenerationOptions:
    """Options of a request from lm-eval's generation kwargs.

    Args:
        prompt, repeat: a request's text and how often it was asked before in this call; with the
            kwarg `seed` they seed its draws, so that no other request changes them.

    Raises:
        ValueError: an option is not supported at the value that it has.
    """
    kwargs: dict[str, Any] = {**normalize_gen_kwargs(dict(gen_kwargs))}
    until = tuple(stop for stop in kwargs.pop("until") if stop)
    max_new_tokens = kwargs.pop("max_gen_toks")
    temperature = float(kwargs.pop("temperature", 0.0))
    do_sample = kwargs.pop("do_sample")
    top_p = float(kwargs.pop("top_p", 1.0))
    seed = kwargs.pop("seed", 0)
    for name, value in kwargs.items():
        if name not in NEUTRAL or value not in (NEUTRAL[name], None):
            raise ValueError(
                f"generation option {name}={value!r} is not supported: use until, max_gen_toks, "
                "do_sample, temperature, top_p, seed"
            )
    if do_sample and temperature == 0.0:
        raise ValueError("do_sample=True with temperature 0: give a temperature above 0")
    digest = hashlib.sha256(f"{seed}\n{repeat}\n{prompt}".encode()).digest()
    sampling = Sampling(
        temperature=temperature if do_sample else 0.0,
        top_p=top_p,
        seed=int.from_bytes(digest[:8], "big") >> 1,
    )
    return GenerationOptions(until, max_new_tokens, sampling)


def in_sharing_order(
    requests: Sequence[Instance], *, left_out: Container[int] = ()
) -> list[tuple[int, str, GenerationOptions]]:
    """Place, prompt and options of each request, in the order in which they are read.

    The longest come first: what does not fit the memory fails at once.

    Args:
        left_out: places of requests that are not read.
    """
    repeats: dict[tuple[str, str], int] = {}
    waiting: list[tuple[int, str, GenerationOptions]] = []
    for index, request in enumerate(requests):
        if index in left_out:
            continue
        arguments: tuple[Any, ...] = request.args
        prompt, gen_kwargs = arguments[:2]
        repeat = repeats.get((prompt, str(gen_kwargs)), 0)
        repeats[prompt, str(gen_kwargs)] = repeat + 1
        waiting.append((index, prompt, options_of(gen_kwargs, prompt=prompt, repeat=repeat)))
    order = sharing_order(
        [handles.expanded_chars(prompt) for _, prompt, _ in waiting],
        [code_points(handles.expanded_beginning(p, LOOKED_AT.stop)) for _, p, _ in waiting],
    )
    return [waiting[place] for place in order]


@dataclass(frozen=True)
class Prompt:
    """One request.

    Attributes:
        index: its place among the requests.
        tokens: at least one.
    """

    index: int
    tokens: Tokens
    options: GenerationOptions


def continue_prompts(
    reader: PromptReader,
    tokenizer: Tokenizer,
    batches: Iterable[Sequence[Prompt]],
    *,
    on_read: OnRead,
    on_texts: Callable[[list[tuple[int, str]]], object],
    on_not_finite: Callable[[int, Tokens, int], object],
) -> None:
    """Continues prompts, each up to its first stop string; those that share text side by side.

    Args:
        batches: prompts in the order in which they are read, several together only if they fit one
            chunk. If it raises ValueError, those before are continued first.
        on_read: told how many more tokens of the prompts are in their contexts.
        on_texts: told (index, text) of the prompts that were continued together, at once.
        on_not_finite: told the index of a prompt that has no text, since its logits are not
            finite, the tokens that were read for it, and the position of its first row.
    """
    waiting: list[tuple[Prompt, Rows]] = []

    def finish() -> None:
        if not waiting:
            return
        prompts, rows = zip(*waiting, strict=True)
        waiting.clear()
        ids, bad = _continue(reader.model, tokenizer, prompts, rows)
        if bad and len(prompts) > 1 and packs_spoil_each_other(reader.model):
            del rows
            for place in list(bad):
                alone, still_bad = _continue_alone(reader, tokenizer, prompts[place])
                ids[place] = alone
                if not still_bad:
                    bad.remove(place)
        for place in bad:
            tokens = prompts[place].tokens
            read = np.asarray([*tokens, *ids[place]], np.int32)
            on_not_finite(prompts[place].index, read, len(tokens) - 1)
        on_texts(
            [
                (prompt.index, _text_of(tokenizer, prompt.options, ids[place]))
                for place, prompt in enumerate(prompts)
                if place not in bad
            ]
        )

    def read(batch: Sequence[Prompt]) -> bool:
        try:
            # no name holds the rows, so that they go when they are finished
            waiting.extend(
                zip(
                    batch,
                    read_prompts(
                        reader,
                        [prompt.tokens for prompt in batch],
                        extra_capacity=[prompt.options.max_new_tokens for prompt in batch],
                        on_read=on_read,
                        before_release=finish,
                    ),
                    strict=True,
                )
            )
        except NotEnoughMemory:
            if len(batch) == 1:
                raise
            return False
        return True

    def read_and_finish(batch: Sequence[Prompt]) -> None:
        if read(batch):
            if len(batch) > 1 or len(waiting) >= SIDE_BY_SIDE:
                finish()
            return
        # what is kept for others goes before half of the prompts are tried
        finish()
        reader.release()
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            read_and_finish(half)
            finish()

    for batch in _until_error(batches, finish):
        read_and_finish(batch)
    finish()


def _continue_alone(
    reader: PromptReader, tokenizer: Tokenizer, prompt: Prompt
) -> tuple[list[int], bool]:
    """The new tokens of a prompt that has nothing beside it, and whether it is still bad."""
    alone = yoco.prompt_reader(reader.model, chunk_size=reader.chunk_size, share=False)
    rows = read_prompts(
        alone,
        [prompt.tokens],
        extra_capacity=[prompt.options.max_new_tokens],
        on_read=untold,
    )
    ids, bad = _continue(reader.model, tokenizer, [prompt], rows)
    return ids[0], bool(bad)


def _until_error(
    batches: Iterable[Sequence[Prompt]], finish: Callable[[], None]
) -> Iterator[Sequence[Prompt]]:
    """The batches; before a prompt is refused, those before it are finished."""
    try:
        yield from batches
    except ValueError:
        finish()
        raise


def _continue(
    model: YOCO, tokenizer: Tokenizer, prompts: Sequence[Prompt], rows: Sequence[Rows]
) -> tuple[list[list[int]], list[int]]:
    """The new tokens of each prompt, and the places of those whose logits are not finite."""
    options = [prompt.options for prompt in prompts]
    bad: list[int] = []
    ids = yoco.generate(
        model,
        rows,
        max_new_tokens=[option.max_new_tokens for option in options],
        sampling=[option.sampling for option in options],
        is_finished=_finisher(tokenizer, options),
        on_not_finite=lambda place, _: bad.append(place),
    )
    return ids, bad


def _text_of(tokenizer: Tokenizer, options: GenerationOptions, ids: list[int]) -> str:
    text = tokenizer.decode(_before(ids, _stop_ids(tokenizer, options)))
    return postprocess_generated_text(text, list(options.until), None)


def _stop_ids(tokenizer: Tokenizer, options: GenerationOptions) -> set[int]:
    """Every end, and the stop strings that are one special token: no decoded text shows those."""
    stops = set(tokenizer.end_ids)
    for stop in options.until:
        ids = tokenizer.encode(stop, add_special_tokens=False)
        if len(ids) == 1 and not tokenizer.decode(ids):
            stops.add(ids[0])
    return stops


def _before(ids: list[int], stops: set[int]) -> list[int]:
    return list(itertools.takewhile(lambda token: token not in stops, ids))


def _finisher(
    tokenizer: Tokenizer, options: Sequence[GenerationOptions]
) -> Callable[[int, list[int]], bool]:
    stop_ids = [_stop_ids(tokenizer, option) for option in options]

    def is_finished(index: int, ids: list[int]) -> bool:
        if ids[-1] in stop_ids[index]:
            return True
        if not options[index].until:
            return False
        text = tokenizer.decode(ids)
        return any(stop in text for stop in options[index].until)

    return is_finished
