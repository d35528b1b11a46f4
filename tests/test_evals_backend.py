"""The lm-eval backend against full forwards, on the embedded checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_samples import write_model
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from safetensors.torch import load_file, save_file

from evals.backend import YOCOLM
from evals.generation import GenerationOptions, _before, _stop_ids
from yoco import YOCO, Sampling
from yoco.checkpoints import checkpoint_sha256
from yoco.loading import EMBEDDED

# of a log-likelihood in nats, summed over tens of tokens
TOLERANCE = 2e-3
# the same where only the KV cache was used again: 1.6e-5 was measured
SHARED_TOLERANCE = 1e-4
TEXT = "The road follows the river. The wind moves the barley, and the light goes down."


@pytest.fixture(scope="module")
def lm() -> YOCOLM:
    return YOCOLM("demo", device="cpu")


def requests(kind: str, *arguments: tuple[Any, ...]) -> list[Instance]:
    return [
        Instance(kind, {}, args, index)  # pyright: ignore[reportArgumentType]
        for index, args in enumerate(arguments)
    ]


def log_probs(lm: YOCOLM, tokens: list[int]) -> torch.Tensor:
    """(T, V), of what follows each token, by the reference."""
    return lm.model(torch.tensor([tokens]))[0].log_softmax(-1)


def brute_force(lm: YOCOLM, context: list[int], continuation: list[int]) -> tuple[float, bool]:
    rows = log_probs(lm, [*context, *continuation][:-1])[len(context) - 1 :]
    targets = torch.tensor(continuation)
    return (
        float(rows.gather(1, targets[:, None]).sum()),
        bool((rows.argmax(-1) == targets).all()),
    )


@pytest.mark.parametrize("batch_size", [1, 2, None])
def test_loglikelihoods(lm: YOCOLM, batch_size: int | None) -> None:
    pairs = [
        (TEXT, " It was like this yesterday."),
        (TEXT, " It"),
        (TEXT + " ", "white space in front belongs to the continuation"),
        (TEXT, " The"),
        (TEXT, " The"),
        ("Where?", " Here"),
    ]
    lm.batch_size = batch_size
    results = lm.loglikelihood(requests("loglikelihood", *pairs), disable_tqdm=True)
    lm.batch_size = None
    for pair, result in zip(pairs, results, strict=True):
        expected, greedy = brute_force(lm, *map(list, TemplateLM._encode_pair(lm, *pair)))
        assert result[0] == pytest.approx(expected, abs=TOLERANCE)
        assert result[1] == greedy


def test_a_continuation_that_merges_into_its_context_is_scored(lm: YOCOLM) -> None:
    pair = ("The ro", "ad")
    whole = lm.tok_encode("".join(pair))
    assert len(whole) <= len(lm.tok_encode(pair[0]))
    result = lm.loglikelihood(requests("loglikelihood", pair, ("", "")), disable_tqdm=True)
    expected, greedy = brute_force(lm, whole[:-1], whole[-1:])
    assert result == [(pytest.approx(expected, abs=TOLERANCE), greedy), (0.0, True)]


def test_a_stop_that_is_a_special_token_stops(lm: YOCOLM) -> None:
    first = lm.generate_until(
        requests("generate_until", (TEXT, {"max_gen_toks": 3})), disable_tqdm=True
    )[0]
    token = lm.tok_encode(first, add_special_tokens=False)[0]
    options = GenerationOptions(("<pad>",), 5, Sampling())
    stops = _stop_ids(lm.text, options)
    assert stops == {lm.eot_token_id, lm.text.pad_token_id}
    assert _before([token, lm.text.pad_token_id or 0, token], stops) == [token]


def test_loglikelihood_without_a_context_stands_behind_bos(lm: YOCOLM) -> None:
    result = lm.loglikelihood(requests("loglikelihood", ("", TEXT)), disable_tqdm=True)[0]
    tokens = lm.tok_encode(TEXT, add_special_tokens=False)
    assert lm.tok_encode(TEXT) == [lm.prefix_token_id, *tokens]
    assert result[0] == pytest.approx(brute_force(lm, [0], tokens)[0], abs=TOLERANCE)


@pytest.mark.parametrize("max_length", [1000, 7])
def test_rolling_scores_every_token_once(lm: YOCOLM, max_length: int) -> None:
    model = YOCOLM("demo", device="cpu", max_length=max_length, chunk_size=5)
    tokens = lm.tok_encode(TEXT, add_special_tokens=False)
    result = model.loglikelihood_rolling(
        requests("loglikelihood_rolling", (TEXT,)), disable_tqdm=True
    )
    expected, start = 0.0, 0
    while start < len(tokens):
        # lm-eval's windows: the last is as long as the others, and scores what is left
        stop = min(start + max_length, len(tokens))
        window = [lm.prefix_token_id, *tokens][max(0, stop - max_length) : stop]
        rows = log_probs(lm, window)[-(stop - start) :]
        expected += float(rows.gather(1, torch.tensor(tokens[start:stop])[:, None]).sum())
        start = stop
    assert result == [pytest.approx(expected, abs=TOLERANCE)]
    # the form of later releases: a pair in, a pair out
    pair = model.loglikelihood_rolling(
        requests("loglikelihood_rolling", ("", TEXT)), disable_tqdm=True
    )
    assert pair == [(result[0], False)]


@pytest.mark.parametrize("batch_size", [1, None])
def test_generation_is_that_of_full_recomputation(lm: YOCOLM, batch_size: int | None) -> None:
    prompts = [TEXT, "Once upon a time", TEXT + " And then"]
    kwargs = [
        {"max_gen_toks": 12, "until": []},
        {"max_gen_toks": 5, "until": []},
        {"max_gen_toks": 12, "until": [" the", "\n"]},
    ]
    lm.batch_size = batch_size
    results = lm.generate_until(
        requests("generate_until", *zip(prompts, kwargs, strict=True)), disable_tqdm=True
    )
    lm.batch_size = None
    for prompt, options, result in zip(prompts, kwargs, results, strict=True):
        tokens = lm.tok_encode(prompt)
        length = len(tokens)
        for _ in range(options["max_gen_toks"]):
            tokens.append(int(log_probs(lm, tokens)[-1].argmax()))
        text = lm.tok_decode(tokens[length:])
        for stop in options["until"]:
            text = text.split(stop)[0]
        assert result == text


def test_repeats_of_a_sampled_prompt_differ_and_can_be_repeated(lm: YOCOLM) -> None:
    options = {"do_sample": True, "temperature": 1.5, "max_gen_toks": 8}
    twice = requests("generate_until", (TEXT, options), (TEXT, options))
    first = lm.generate_until(twice, disable_tqdm=True)
    assert first[0] != first[1]
    assert lm.generate_until(twice, disable_tqdm=True) == first


def test_what_does_not_fit_is_an_error_that_says_what_to_do() -> None:
    lm = YOCOLM("demo", device="cpu", max_length=10)
    message = (
        r"prompt is 2\d tokens and 4 more are to be generated, but the model holds 10: "
        "raise max_length, drop that length, or give truncation=left"
    )
    with pytest.raises(ValueError, match=message):
        lm.generate_until(requests("generate_until", (TEXT, {"max_gen_toks": 4})))
    with pytest.raises(ValueError, match="more are to be scored, but the model holds 10"):
        lm.loglikelihood(requests("loglikelihood", (TEXT, " It was")), disable_tqdm=True)


def test_truncation_drops_the_beginning_when_asked_for(lm: YOCOLM) -> None:
    short = YOCOLM("demo", device="cpu", max_length=10, truncation="left")
    pair = (TEXT, " It was like this")
    result = short.loglikelihood(requests("loglikelihood", pair), disable_tqdm=True)[0]
    context, continuation = map(list, TemplateLM._encode_pair(lm, *pair))
    kept = context[len(context) - (10 - len(continuation) + 1) :]
    assert result[0] == pytest.approx(brute_force(lm, kept, continuation)[0], abs=TOLERANCE)


def test_every_request_reaches_the_cache_under_its_own_arguments(lm: YOCOLM) -> None:
    seen: list[tuple[str, Any, Any]] = []

    class Hook:
        def add_partial(self, kind: str, arguments: Any, result: Any) -> None:
            seen.append((kind, arguments, result))

    before, lm.cache_hook = lm.cache_hook, Hook()  # pyright: ignore[reportAttributeAccessIssue]
    pair, prompt = (TEXT + " ", "x"), (TEXT, {"max_gen_toks": 2, "until": ["."]})
    lm.loglikelihood(requests("loglikelihood", pair), disable_tqdm=True)
    lm.loglikelihood_rolling(requests("loglikelihood_rolling", (TEXT,)), disable_tqdm=True)
    lm.generate_until(requests("generate_until", prompt), disable_tqdm=True)
    lm.cache_hook = before
    assert [(kind, arguments) for kind, arguments, _ in seen] == [
        ("loglikelihood", pair),
        ("loglikelihood_rolling", (TEXT,)),
        ("generate_until", prompt),
    ]
    assert all(result is not None for _, _, result in seen)


@pytest.mark.parametrize("name", ["demo", "demo-gret"])
def test_prompts_that_share_text_are_answered_as_each_by_itself(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two texts, each in several prompts: every text is read once, or from a needle on."""
    texts = [" ".join(f"{i * seed} is {TEXT}" for i in range(200)) for seed in (7, 11)]
    prompts = [
        f"{text[:place]} The special magic {city} number is {place}.{text[place:stop]}"
        f"\nWhat is the special magic {city} number? The special magic {city} number is"
        for stop in (18_000, 15_000)
        for place, city in ((9_000, "Lima"), (12_000, "Oslo"))
        for text in texts
    ]
    generate = [(prompt, {"until": ["\n"], "max_gen_toks": 8}) for prompt in prompts]
    score = [(prompt, end) for prompt in prompts[:4] for end in (" 9000.", " 12")]
    num_read, answers = [], []
    read = YOCO.read

    def counting(model: YOCO, tokens: torch.Tensor, *args: Any) -> Any:
        num_read[-1] += len(tokens)
        return read(model, tokens, *args)

    monkeypatch.setattr(YOCO, "read", counting)
    cached: dict[str, str] = {}

    class Hook:
        def add_partial(self, kind: str, arguments: Any, result: Any) -> None:
            if kind == "generate_until":
                cached[arguments[0]] = result

    for share in (True, False):
        lm = YOCOLM(name, device="cpu", share=share)
        lm.cache_hook = Hook()  # pyright: ignore[reportAttributeAccessIssue]
        num_read.append(0)
        answers.append(
            (
                lm.generate_until(requests("generate_until", *generate), disable_tqdm=True),
                lm.loglikelihood(requests("loglikelihood", *score), disable_tqdm=True),
            )
        )
    (texts_shared, scores_shared), (texts_alone, scores_alone) = answers
    assert texts_shared == texts_alone == [cached[prompt] for prompt in prompts]
    assert len(set(texts_shared)) > 1
    for shared, alone in zip(scores_shared, scores_alone, strict=True):
        assert shared == (pytest.approx(alone[0], abs=SHARED_TOLERANCE), alone[1])
    assert num_read[0] < {"demo": 0.6, "demo-gret": 0.8}[name] * num_read[1]


def test_model_args_win_over_the_command_line() -> None:
    lm = YOCOLM.create_from_arg_obj(
        {"pretrained": "demo", "batch_size": 3, "device": "cpu"},
        {"batch_size": 1, "max_batch_size": None, "device": "cuda:0"},
    )
    assert (lm.batch_size, lm.device.type) == (3, "cpu")
    lm = YOCOLM.create_from_arg_string("pretrained=demo,device=cpu", {"batch_size": "auto:4"})
    assert lm.batch_size is None


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    vocab = {f"w{i}": i for i in range(5000)}
    Tokenizer(models.WordLevel(vocab, unk_token="w0")).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match="has 5,000 ids but the checkpoint demo only 4,096"):
        YOCOLM("demo", device="cpu", tokenizer=str(tmp_path / "tokenizer.json"))


def test_chat_templates(lm: YOCOLM, monkeypatch: pytest.MonkeyPatch) -> None:
    history = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    with pytest.raises(ValueError, match="has no chat template: leave out --apply_chat_template"):
        lm.apply_chat_template(history)
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}"
        "{% endif %}[{{ m.role }}]{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    monkeypatch.setattr(lm.tokenizer, "chat_template", template)
    assert lm.apply_chat_template(history[1:]) == "[user]U[assistant]"
    assert lm.apply_chat_template(history) == "[user]U[assistant]"
    assert lm.chat_template(True) == template


def test_the_record_of_a_run_names_the_checkpoint(lm: YOCOLM) -> None:
    info = lm.get_model_info()
    assert len(info["model_sha"]) == len(info["tokenizer_sha"]) == 64
    assert info["model_num_parameters"] == sum(p.numel() for p in lm.model.parameters())
    assert info["kernels"]["window_attention"] == "sdpa"
    assert info["model_sha"] == checkpoint_sha256(EMBEDDED / "demo")
    assert (lm.rank, lm.world_size) == (0, 1)


def test_the_record_is_of_the_weights_that_were_loaded(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    expected = checkpoint_sha256(folder)
    lm = YOCOLM(str(folder), device="cpu")
    shutil.rmtree(folder)
    assert lm.get_model_info()["model_sha"] == expected


def test_weights_that_are_not_finite_are_loaded_only_if_asked_for(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    weights["layer_norm.weight"][0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"NaN or Inf in 1 tensor \(layer_norm.weight: 1\)"):
        YOCOLM(str(folder), device="cpu")
    assert YOCOLM(str(folder), device="cpu", allow_nonfinite=True).model.dtype == torch.float32
    with pytest.raises(ValueError, match="allow_nonfinite is 'yes': it must be True or Fal"):
        YOCOLM(str(folder), device="cpu", allow_nonfinite="yes")  # pyright: ignore[reportArgumentType]
