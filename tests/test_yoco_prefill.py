"""Chunked prefill, forks, packs and splices against the whole sequence at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import yoco
from yoco import YOCO, Context, Rows, Segment

T = 50
TOLERANCE = 2e-4


def logits_in_chunks(model: YOCO, tokens: Tensor, chunk_size: int) -> Tensor:
    """Logits of every position, asked for chunk by chunk."""
    context = yoco.new_context(model, len(tokens))
    poison(context)
    logits = []
    for start, hidden in yoco.prefill(model, context, tokens, chunk_size=chunk_size):
        rows = Rows(context, hidden, range(start, start + len(hidden)))
        logits.append(yoco.logits_at(model, [rows]))
    return torch.cat(logits)


def poison(context: Context) -> None:
    """Whatever is read before it is written becomes NaN."""
    context.cache.keys.fill_(float("nan"))
    context.cache.values.fill_(float("nan"))


@pytest.mark.parametrize("chunk_size", [1, 7, 8, 9, 64])
def test_chunks_give_the_logits_of_the_whole(
    any_model: YOCO, random_tokens: Callable[..., Tensor], chunk_size: int
) -> None:
    tokens = random_tokens(T)
    expected = any_model(tokens[None])[0]
    assert (logits_in_chunks(any_model, tokens, chunk_size) - expected).abs().max() < TOLERANCE
    # negative control: the logits do depend on the first token, through the KV cache at least
    tokens[0] = (tokens[0] + 1) % 61
    assert (any_model(tokens[None])[0, -1] - expected[-1]).abs().max() > 10 * TOLERANCE


def test_a_batch_is_its_sequences(any_model: YOCO, random_tokens: Callable[..., Tensor]) -> None:
    both = torch.stack([random_tokens(20, seed=1), random_tokens(20, seed=2)])
    logits = any_model(both)
    assert (logits[1] - any_model(both[1:])[0]).abs().max() < TOLERANCE


def test_a_pack_of_contexts_of_any_lengths(
    any_model: YOCO, random_tokens: Callable[..., Tensor]
) -> None:
    texts = [random_tokens(length, seed=length) for length in (1, 30, 9)]
    contexts = [yoco.new_context(any_model, 64) for _ in texts]
    for part in (slice(0, 1), slice(1, None)):
        chosen = [i for i, text in enumerate(texts) if len(text[part])]
        hidden = yoco.extend(
            any_model, [contexts[i] for i in chosen], [texts[i][part] for i in chosen]
        )
    lengths = [len(texts[i]) - 1 for i in chosen]
    rows = [
        Rows(contexts[i], x, range(1, len(texts[i])))
        for i, x in zip(chosen, hidden.split(lengths), strict=True)
    ]
    logits = yoco.logits_at(any_model, rows).split(lengths)
    for i, result in zip(chosen, logits, strict=True):
        expected = any_model(texts[i][None])[0, 1:]
        assert (result - expected).abs().max() < TOLERANCE


def test_forks_go_their_own_ways(any_model: YOCO, random_tokens: Callable[..., Tensor]) -> None:
    stem, ends = random_tokens(23), [random_tokens(n, seed=n) for n in (4, 1, 13)]
    context = yoco.new_context(any_model, len(stem))
    yoco.prefill_last(any_model, context, stem, chunk_size=10)
    forks = [context.fork(len(end)) for end in ends]
    second = forks[2].fork(5)
    yoco.extend(any_model, forks, ends)
    for fork, end in zip(forks, ends, strict=True):
        last = yoco.extend(any_model, [again := fork.fork(1)], [stem[:1]])
        logits = yoco.logits_at(any_model, [Rows(again, last, [again.length - 1])])
        whole = torch.cat((stem, end, stem[:1]))
        assert (logits[0] - any_model(whole[None])[0, -1]).abs().max() < TOLERANCE
    hidden = yoco.extend(any_model, [second], [ends[0]])
    logits = yoco.logits_at(any_model, [Rows(second, hidden, range(23, 27))])
    expected = any_model(torch.cat((stem, ends[0]))[None])[0, 23:]
    assert (logits - expected).abs().max() < TOLERANCE


@pytest.mark.parametrize("name", ["window", "window, grouped, biased, half-split"])
def test_a_needle_is_spliced_into_what_was_read_before(
    make_model: Callable[..., YOCO], random_tokens: Callable[..., Tensor], name: str
) -> None:
    """K and V behind a needle are the old ones, shifted, from the receptive field on."""
    model = make_model(name)
    haystack, needle, question = random_tokens(90), random_tokens(6, 1), random_tokens(5, 2)
    reach = model.config.receptive_field_tokens
    assert reach == 16
    insertion, shift = 30, len(needle)
    read = yoco.new_context(model, len(haystack))
    yoco.prefill_last(model, read, haystack, chunk_size=32)

    def spliced(recomputed: int) -> Tensor:
        """Logits of the question behind prefix + needle + patch + old rest."""
        prefix = yoco.new_context(model, insertion)
        yoco.prefill_last(model, prefix, haystack[:insertion], chunk_size=32)
        patch = prefix.fork(shift + recomputed)
        behind = insertion + recomputed
        patch_tokens = torch.cat((needle, haystack[insertion:behind]))
        yoco.prefill_last(model, patch, patch_tokens, chunk_size=32)
        rest = Segment(read.cache, behind, len(haystack), position=behind, shift=shift)
        # the state behind the rest is that of its last window
        whole = Context(
            model.config,
            yoco.new_context(model, len(question)).cache,
            read.state.fork(len(question)),
            len(haystack) + shift,
            [*patch.segments, rest],
        )
        # its keys carry unshifted positions; so does a question that is read at those
        whole.length -= shift
        hidden = yoco.extend(model, [whole], [question])
        own = Segment(whole.cache, 0, len(question), position=len(haystack), shift=shift)
        asked = Context(
            model.config,
            yoco.new_context(model, 1).cache,
            whole.state,
            len(haystack) + shift + len(question),
            [*whole.shared, own],
        )
        first = len(haystack) + shift
        rows = Rows(asked, hidden, range(first, first + len(question)))
        return yoco.logits_at(model, [rows])

    whole = torch.cat((haystack[:insertion], needle, haystack[insertion:], question))
    expected = model(whole[None])[0, -len(question) :]
    assert (spliced(reach) - expected).abs().max() < TOLERANCE
    # negative control: a patch that stops short of the receptive field is wrong
    assert (spliced(0) - expected).abs().max() > 10 * TOLERANCE


def test_rows_of_contexts_are_asked_together(
    any_model: YOCO, random_tokens: Callable[..., Tensor]
) -> None:
    rows, expected = [], []
    for length in (12, 31):
        text = random_tokens(length, seed=length)
        context = yoco.new_context(any_model, length)
        hidden = yoco.extend(any_model, [context], [text])
        positions = [0, length // 2, length - 1]
        rows.append(Rows(context, hidden[positions], positions))
        expected.append(any_model(text[None])[0, positions])
    assert (yoco.logits_at(any_model, rows) - torch.cat(expected)).abs().max() < TOLERANCE


def test_scores_are_log_softmax(any_model: YOCO, random_tokens: Callable[..., Tensor]) -> None:
    text = random_tokens(40)
    context = yoco.new_context(any_model, 40)
    hidden = yoco.extend(any_model, [context], [text])
    outputs = yoco.outputs_at(any_model, [Rows(context, hidden, range(40))])
    targets = random_tokens(40, seed=9)
    reference = any_model(text[None])[0]
    targets[:20] = reference[:20].argmax(dim=-1)
    log_probs, greedy = yoco.score(any_model, outputs, targets)
    expected = reference.log_softmax(-1).gather(1, targets[:, None])[:, 0]
    assert (log_probs - expected).abs().max() < TOLERANCE
    assert torch.equal(greedy, reference.argmax(-1) == targets)


def test_a_context_that_is_full_says_so_and_loses_nothing(
    make_model: Callable[..., YOCO], random_tokens: Callable[..., Tensor]
) -> None:
    model, text = make_model("window"), random_tokens(11)
    context = yoco.new_context(model, 10)
    yoco.extend(model, [context], [text[:8]])
    with pytest.raises(ValueError, match="11 tokens do not fit the KV cache of 10"):
        yoco.extend(model, [context], [text[8:]])
    hidden = yoco.extend(model, [context], [text[8:10]])
    logits = yoco.logits_at(model, [Rows(context, hidden, [8, 9])])
    assert (logits - model(text[None, :10])[0, 8:]).abs().max() < TOLERANCE


def test_an_empty_prompt_is_refused(make_model: Callable[..., YOCO]) -> None:
    model = make_model("window")
    with pytest.raises(ValueError, match="the prompt is empty"):
        yoco.prefill_last(
            model, yoco.new_context(model, 1), torch.empty(0, dtype=torch.long), chunk_size=4
        )
