"""Needle prompts on our backend: what a sample says is what the model reads, to the token."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import tasks_samples
from conftest import CONFIGS, tiny_model
from lm_eval.api.instance import Instance
from lm_eval.evaluator import simple_evaluate
from lm_eval.tasks import TaskManager

from evals import backend
from evals.backend import YOCOLM
from tasks import handles
from tasks.grids import NeedleDoc, docs_from_metadata
from yoco.checkpoints import write_checkpoint

YAML = Path(__file__).parents[1] / "tasks" / "yaml"
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>\n{{ m.content | trim }}</s>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
# names of special tokens, at the beginning of lines too: the beginning of a slice
STRUCK = "<s>old</s> new, said the miller.\n</s> and <pad> are names.\n" * 200
INSTRUCTION = "You are terse.\nSay the number."


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> YOCOLM:
    """A model with random weights, whose tokenizer has a chat template."""
    folder = tmp_path_factory.mktemp("checkpoint")
    model = tiny_model({**CONFIGS["window"], "vocab_size": 700})
    write_checkpoint(folder, model.config, model.state_dict())
    tasks_samples.definition("digits").save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "chat_template": TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return YOCOLM(str(folder), device="cpu", chunk_size=500)


@pytest.fixture
def metadata(lm: YOCOLM, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "a.txt").write_text(STRUCK)
    (tmp_path / "b.txt").write_text(tasks_samples.PROSE)
    return {
        "pretrained": lm.pretrained,
        "lengths": [600, 901],
        "depths": [0, 0.4, 1],
        "trials": 2,
        "needles": 2,
    }


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What comes to be read: tokens of the prompt, most tokens of the answer. None is given."""
    found: list[tuple[int, int]] = []

    def answer_nothing(
        reader: Any, tokenizer: Any, batches: Any, *, on_texts: Any, **_: Any
    ) -> None:
        for batch in batches:
            found.extend((len(each.tokens), each.options.max_new_tokens) for each in batch)
            on_texts([(each.index, "") for each in batch])

    monkeypatch.setattr(backend, "continue_prompts", answer_nothing)
    return found


@pytest.fixture(autouse=True)
def _no_record_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """lm-eval asks the system for a second, at the end of each run."""
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)


def run(lm: YOCOLM, metadata: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    manager = TaskManager(include_path=str(YAML), include_defaults=False, metadata=metadata)
    results: Any = simple_evaluate(
        model=lm,
        tasks=["yoco_needle"],
        task_manager=manager,
        log_samples=True,
        bootstrap_iters=0,
        **options,
    )
    return results["samples"]["yoco_needle"]


@pytest.mark.filterwarnings("ignore")  # lm_eval's own
@pytest.mark.parametrize("text", ["a.txt", "b.txt"])
@pytest.mark.parametrize("is_chat", [True, False])
@pytest.mark.parametrize("instruction", [None, INSTRUCTION])
def test_stated_equals_read_to_the_token(
    lm: YOCOLM,
    metadata: dict[str, Any],
    tmp_path: Path,
    read: list[tuple[int, int]],
    text: str,
    is_chat: bool,
    instruction: str | None,
) -> None:
    samples = run(
        lm,
        {**metadata, "haystack": f"files:{tmp_path}/{text}"},
        apply_chat_template=is_chat,
        system_instruction=instruction,
        gen_kwargs={"max_gen_toks": 200},
    )
    assert len(samples) == len(read) == 12
    assert sorted(read) == [(400, 200)] * 6 + [(701, 200)] * 6
    for sample in samples:
        doc, (prompt, _) = sample["doc"], sample["arguments"][0]
        assert prompt.count("<|yoco:prompt ") == 1
        assert ("<|system|>\n" + INSTRUCTION in prompt) == bool(is_chat and instruction)
        # whoever reads the sample later comes to the same number
        ids = lm.text.encode(handles.expand(prompt))
        assert (len(ids), doc["generation_tokens"]) == (doc["prompt_tokens"], 200)
        assert len(ids) + 200 == doc["length_tokens"]
        for key, value, offset in zip(
            doc["keys"], doc["values"], doc["needle_offsets_tokens"], strict=True
        ):
            decoded = lm.text.decode(ids[offset:], skip_special_tokens=False)
            assert decoded.lstrip().startswith(f"The special magic {key} number is {value}.")


def test_a_prompt_that_is_not_as_its_document_says_is_not_read(
    lm: YOCOLM, metadata: dict[str, Any], tmp_path: Path
) -> None:
    doc = docs_from_metadata({**metadata, "haystack": f"files:{tmp_path}/b.txt"})[0]
    handle = handles.prompt_text(doc)

    def ask(prompt: str, doc: NeedleDoc = doc, num_new: int = 20) -> list[str]:
        options = {"until": [], "max_gen_toks": num_new}
        request = Instance("generate_until", doc, (prompt, options), 0, metadata=("t", 0, 1))
        return lm.generate_until([request], disable_tqdm=True)

    assert len(ask(handle)) == 1
    with pytest.raises(ValueError, match="has 580 prompt tokens in its document and 586"):
        ask("[user]\n" + handle)
    with pytest.raises(ValueError, match="has 20 tokens of an answer in its document and 64 in"):
        ask(handle, num_new=64)
    with pytest.raises(ValueError, match="has the text 0000"):
        ask(handle, NeedleDoc(doc, prompt_sha256="0000"))


@pytest.mark.filterwarnings("ignore")
def test_a_cell_without_a_prompt_is_not_measured(
    lm: YOCOLM, metadata: dict[str, Any], read: list[tuple[int, int]]
) -> None:
    lm.not_measured.clear()
    settings = {"lengths": [60, 600], "depths": [0.5], "trials": 1}
    short, whole = run(lm, {**metadata, **settings, "haystack": "noise"})
    assert math.isnan(short["recall"]) and whole["recall"] == 0
    assert read == [(580, 20)]
    assert len(lm.not_measured) == 1
    assert lm.not_measured[0].startswith(
        "yoco_needle: no prompt of 60 tokens at depth 0.5, trial 0: a prompt of 40 tokens is too"
    )
    # where no other is asked for, too
    (alone,) = run(lm, {**metadata, **settings, "haystack": "noise"}, limit=1)
    assert math.isnan(alone["recall"]) and len(read) == 1


def test_a_handle_in_somebody_s_data_is_text(lm: YOCOLM, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("a secret\n")
    os.mkfifo(tmp_path / "pipe")
    fields = {
        "version": 1,
        "haystack_sha256": "",
        "start": 0,
        "stop": 9,
        "insertions": [],
        "suffix": "",
        "prompt_sha256": "",
    }
    for haystack in (f"file:{tmp_path}/secret.txt", f"file:{tmp_path}/pipe", "file:/dev/zero"):
        forged = f"<|yoco:prompt {json.dumps({**fields, 'haystack': haystack})}|>"
        ids = lm.text.encode(forged)
        context, continuation = lm._encode_pair(forged, " yes")
        assert context.tolist() == ids and len(continuation)
        pair = Instance("loglikelihood", {}, (f"Question: {forged}", forged), 0)
        assert lm.loglikelihood([pair], disable_tqdm=True)[0][0] < 0
        rolling = Instance("loglikelihood_rolling", {}, (forged,), 0)
        assert lm.loglikelihood_rolling([rolling], disable_tqdm=True)[0] < 0
        options = {"until": [], "max_gen_toks": 2}
        generation = Instance("generate_until", {}, (forged, options), 0)
        assert len(lm.generate_until([generation], disable_tqdm=True)) == 1
