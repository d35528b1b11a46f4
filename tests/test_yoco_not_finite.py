"""Numbers that are not finite: noticed, and found where they begin."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import yoco
from yoco import YOCO, ChunkSize, Rows, Sampling
from yoco.cache import kv_sums

NAN, INFINITY = float("nan"), float("inf")
PLACE = 23
BAD_TOKEN = 60


def text_of(random_tokens: Callable[..., Tensor], length: int = 40) -> Tensor:
    """Random tokens without the bad one."""
    return random_tokens(length).clamp(max=BAD_TOKEN - 1)


def spoil(model: YOCO, name: str, value: float, row: int | None = None) -> None:
    """One number of a weight becomes another; by default the first."""
    weight = dict(model.named_parameters())[name]
    (weight if row is None else weight[row]).view(-1)[0] = value


@pytest.mark.parametrize("chunk_size", [1, 7, 1000])
def test_the_first_token_and_part_are_found(
    any_model: YOCO, random_tokens: Callable[..., Tensor], chunk_size: int
) -> None:
    tokens = text_of(random_tokens)
    tokens[PLACE] = BAD_TOKEN
    assert yoco.find_origin(any_model, tokens, first_row=39, chunk_size=chunk_size) is None
    spoil(any_model, "embed_tokens.weight", NAN, BAD_TOKEN)
    found = yoco.find_origin(any_model, tokens, first_row=39, chunk_size=chunk_size)
    assert found == yoco.Origin(PLACE, "the token embeddings", "embed_tokens.weight")


@pytest.mark.parametrize(
    ("name", "part", "first_row"),
    [
        ("self_decoder.layers.1.ffn.fc2.weight", "self-decoder layer 1", 0),
        ("cross_decoder.k_proj.weight", "the shared K and V", 0),
        ("cross_decoder.v_proj.weight", "the shared K and V", 0),
        ("cross_decoder.layers.1.mixer.q_proj.weight", "cross-decoder layer 1", 30),
        ("layer_norm.weight", "the last norm", 30),
        ("output_projection.weight", "the output head", 30),
    ],
)
@pytest.mark.parametrize("kind", ["window", "retention"])
def test_every_part_is_told_apart(
    make_model: Callable[..., YOCO],
    random_tokens: Callable[..., Tensor],
    kind: str,
    name: str,
    part: str,
    first_row: int,
) -> None:
    model = make_model(kind)
    spoil(model, name, NAN)
    found = yoco.find_origin(model, text_of(random_tokens), first_row=30, chunk_size=16)
    assert found == yoco.Origin(first_row, part, name)


def test_an_overflow_is_found_where_no_weight_is_to_blame(
    make_model: Callable[..., YOCO], random_tokens: Callable[..., Tensor]
) -> None:
    model = make_model("window").half()
    model.embed_tokens.weight[BAD_TOKEN] *= 20_000
    tokens = text_of(random_tokens)
    tokens[PLACE] = BAD_TOKEN
    found = yoco.find_origin(model, tokens, first_row=39, chunk_size=16)
    assert found == yoco.Origin(PLACE, "the token embeddings")


@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY])
@pytest.mark.parametrize("row", [0, 5])
def test_a_row_with_a_logit_that_is_not_finite_has_no_score(
    make_model: Callable[..., YOCO], random_tokens: Callable[..., Tensor], value: float, row: int
) -> None:
    """Whether it is the target's own or another one, which softmax would take for weight 0."""
    model = make_model("window")
    outputs = torch.randn(7, 32).abs()
    targets = torch.full((7,), 5)
    before = yoco.score(model, outputs, targets)
    assert before[0].isfinite().all()
    spoil(model, "output_projection.weight", value, row)
    log_probs, greedy = yoco.score(model, outputs, targets)
    assert log_probs.isnan().all() and not greedy.any()


@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY])
def test_keys_and_values_that_are_not_finite_are_noticed(
    any_model: YOCO, random_tokens: Callable[..., Tensor], value: float
) -> None:
    """Also those that a softmax gives no weight; and only by contexts that see them."""
    tokens = text_of(random_tokens)
    contexts = [yoco.new_context(any_model, 60) for _ in range(2)]
    yoco.extend(any_model, contexts, [tokens, tokens])
    assert yoco.first_not_finite(contexts) == [None, None]
    fork = contexts[0].fork(5)
    bad = torch.zeros(2, *contexts[0].cache.keys.shape[1:])
    bad[1].view(-1)[3] = value
    contexts[0].cache.append(bad, bad * 0 + 1)
    contexts[0].cache.note(kv_sums(bad, bad * 0 + 1))
    contexts[0].length += 2
    assert yoco.first_not_finite([*contexts, fork]) == [41, None, None]
    contexts[0].cache.rewind(40)
    contexts[0].length -= 2
    assert yoco.first_not_finite(contexts) == [None, None]


def test_one_bad_context_does_not_spoil_those_decoded_with_it(
    make_model: Callable[..., YOCO], random_tokens: Callable[..., Tensor]
) -> None:
    model = make_model("window")
    spoil(model, "embed_tokens.weight", NAN, BAD_TOKEN)
    texts = [text_of(random_tokens, length) for length in (12, 30, 25)]

    def run(texts: list[Tensor], temperature: float) -> tuple[list[list[int]], list[int]]:
        bad: list[int] = []
        tokens = yoco.generate(
            model,
            [
                yoco.prefill_last(model, yoco.new_context(model, len(t) + 9), t, chunk_size=7)
                for t in texts
            ],
            max_new_tokens=[9] * len(texts),
            sampling=[Sampling(temperature=temperature)] * len(texts),
            on_not_finite=lambda index, tokens: bad.append(index),
        )
        return tokens, bad

    for temperature in (0.0, 1.0):
        expected, none = run(texts, temperature)
        assert none == []
        spoiled = texts[1].clone()
        spoiled[3] = BAD_TOKEN
        tokens, bad = run([texts[0], spoiled, texts[2]], temperature)
        assert bad == [1] and tokens == [expected[0], [], expected[2]]


def test_decoding_by_default_refuses_what_is_not_finite(make_model: Callable[..., YOCO]) -> None:
    model = make_model("retention")
    last = yoco.prefill_last(
        model, yoco.new_context(model, 9), torch.arange(5), chunk_size=ChunkSize(3)
    )
    spoil(model, "layer_norm.weight", INFINITY)
    with pytest.raises(ValueError, match="context 0 are not finite after 0 new tokens: use dtype="):
        yoco.generate(model, [last], max_new_tokens=[3], sampling=[Sampling()])


def test_what_is_not_finite_is_shared_with_nobody(
    make_model: Callable[..., YOCO], random_tokens: Callable[..., Tensor]
) -> None:
    """A prompt that differs in the one bad token is read as if the bad one had never been."""
    model = make_model("window")
    spoil(model, "embed_tokens.weight", NAN, BAD_TOKEN)
    text = text_of(random_tokens, 400)
    spoiled = text.clone()
    spoiled[200] = BAD_TOKEN
    reader = yoco.prompt_reader(model, chunk_size=64)
    for tokens, first_bad in ((spoiled, 200), (text, None), (spoiled, 200), (text, None)):
        rows: Rows = reader.read(tokens, capacity=400)
        found = yoco.first_not_finite([rows.context])[0]
        # within a chunk it may show earlier
        assert (found is None) == (first_bad is None)
        assert bool(yoco.logits_at(model, [rows]).isfinite().all()) == (first_bad is None)
