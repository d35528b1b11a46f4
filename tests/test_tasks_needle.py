"""The needle tasks through lm-eval."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import weakref
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2
import pytest
import tasks_samples
import yaml
from lm_eval.api.model import LM
from lm_eval.evaluator import simple_evaluate
from lm_eval.tasks import TaskManager

from tasks import handles, needle
from tasks.grids import NeedleDoc
from tasks.needle_settings import NeedleSettings, cells
from tasks.not_measured import NotMeasured, allows_not_measured
from tasks.plans import Plan, render, sha256_of

ROOT = Path(__file__).parents[1]
YAML = ROOT / "tasks" / "yaml"
NAMES = [
    "yoco_needle",
    "yoco_multi_needle",
    "yoco_multi_needle_all",
    "yoco_needle_1m",
    *(f"yoco_multi_needle_128k_n{num_needles}" for num_needles in (1, 2, 4, 8)),
]


def config_of(name: str) -> dict[str, Any]:
    from lm_eval.tasks._yaml_loader import load_yaml

    return load_yaml(YAML / f"{name}.yaml")


def settings_of(name: str) -> NeedleSettings:
    return NeedleSettings.from_metadata(config_of(name)["metadata"])


@pytest.fixture
def metadata(tmp_path: Path) -> dict[str, Any]:
    tasks_samples.definition("digits").save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "book.txt").write_text(tasks_samples.PROSE)
    return {
        "max_length": 4096,
        "tokenizer": str(tmp_path),
        "haystack": f"files:{tmp_path}/book.txt",
        "lengths": [600, 900],
        "depths": 2,
    }


def test_every_task_file_is_known() -> None:
    files = {path.stem for path in YAML.glob("*needle*.yaml")}
    assert files == {*NAMES, "_needle", "yoco_multi_needle_128k"}
    group = yaml.safe_load((YAML / "yoco_multi_needle_128k.yaml").read_text())
    assert group["task"] == NAMES[-4:]


@pytest.mark.parametrize("name", NAMES)
def test_task_files_hold_together(name: str) -> None:
    config = config_of(name)
    settings = settings_of(name)
    assert config["task"] == name
    assert config["generation_kwargs"]["max_gen_toks"] == settings.generation_tokens
    assert config["doc_to_text"] is needle.doc_to_text
    assert config["process_results"] is needle.process_results
    # every default can be read off the task file
    assert config["metadata"].keys() - {"version"} == asdict(settings).keys() - {"tokenizer"}


def test_the_plain_task_has_the_plain_settings() -> None:
    assert settings_of("yoco_needle") == NeedleSettings()
    assert settings_of("yoco_multi_needle") == NeedleSettings(needles=4)
    assert settings_of("yoco_multi_needle_all") == NeedleSettings(
        needles=4, ask="all", generation_tokens=160
    )


def test_the_paper_s_protocols() -> None:
    million = settings_of("yoco_needle_1m")
    assert million.lengths == tuple(131072 * step for step in range(1, 9))
    assert len(cells(million)) == 8 * 11 * 10
    for num_needles in (1, 2, 4, 8):
        settings = settings_of(f"yoco_multi_needle_128k_n{num_needles}")
        assert settings.needles == num_needles and settings.lengths == (131072,)
        assert settings.depths == pytest.approx([step / 11 for step in range(1, 11)], abs=1e-6)
        assert settings.trials == 10


def test_scoring_of_documents() -> None:
    doc = {"values": ["12", "345", "6"], "asked": [0]}
    assert needle.doc_to_target(doc) == " 12"
    assert needle.process_results(doc, [" 12.\n345"]) == {"recall": 1.0}
    assert needle.process_results(doc, [" 4123"]) == {"recall": 0.0}
    every = {**doc, "asked": [0, 1, 2]}
    assert needle.doc_to_target(every) == " 12, 345, 6"
    assert needle.process_results(every, ["12, 345 and 7"]) == {"recall": pytest.approx(2 / 3)}


def test_importing_the_package_is_cheap() -> None:
    code = "import sys, tasks; print([m for m in ('numpy', 'lm_eval') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.filterwarnings("ignore")  # lm_eval's own
@pytest.mark.parametrize("name", [*NAMES[:3], "yoco_multi_needle_128k"])
def test_another_model_answers(name: str, metadata: dict[str, Any]) -> None:
    prompts: list[tuple[str, dict[str, Any]]] = []

    class Oracle(LM):
        """Reads the first needle of the prompt."""

        def generate_until(self, requests: list[Any]) -> list[str]:
            answers = []
            for request in requests:
                prompt, options = request.args
                prompts.append((prompt, options))
                key = prompt.rsplit("special magic ", 1)[1].split(" ")[0].rstrip(",")
                answers.append(" " + prompt.split(f"magic {key} number is ")[1].split(".")[0])
            return answers

        def loglikelihood(self, requests: list[Any]) -> Any:
            raise NotImplementedError

        def loglikelihood_rolling(self, requests: list[Any]) -> Any:
            raise NotImplementedError

    manager = TaskManager(include_path=str(YAML), include_defaults=False, metadata=metadata)
    results: Any = simple_evaluate(
        model=Oracle(), tasks=[name], task_manager=manager, log_samples=True, bootstrap_iters=0
    )
    expected = 0.25 if name.endswith("all") else 1.0
    assert results["results"][name]["recall,none"] == expected
    tokenizer = tasks_samples.tokenizer("digits", Path(metadata["tokenizer"]))
    samples = [sample for task in results["samples"].values() for sample in task]
    assert len(samples) == len(prompts) == (160 if name.endswith("128k") else 4)
    for sample, (prompt, options) in zip(samples, prompts, strict=True):
        assert sample["recall"] == expected
        assert len(tokenizer.encode(prompt)) == sample["doc"]["prompt_tokens"]
        assert options["max_gen_toks"] == sample["doc"]["generation_tokens"]
        assert prompt not in json.dumps(sample["doc"])


def test_the_command_line(metadata: dict[str, Any]) -> None:
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "dummy", "--limit", "2"]
    command += ["--include_path", str(YAML), "--tasks", "yoco_needle"]
    done = subprocess.run(
        [*command, "--metadata", json.dumps(metadata)],
        cwd=ROOT,
        # the dummy model asks for a tokenizer that this test does not need
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "|yoco_needle|" in done.stdout and "recall" in done.stdout


TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>\n{{ m.content | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
# opens no turn of the assistant's; how its text begins is the template's to say
INSTRUCT = (
    "{% for m in messages %}{% if m.role == 'assistant' %} {{ m.content }}</s>{% else %}"
    "[INST] {{ m.content }} [/INST]{% endif %}{% endfor %}"
)
# knows no message of an assistant's at all
ONE_SIDED = (
    "{% for m in messages if m.role != 'assistant' %}[INST] {{ m.content }} [/INST]{% endfor %}"
)


class Chat(LM):
    """Answers nothing; renders conversations by a template of Jinja's, as `hf` does."""

    tokenizer_name = "chat"  # pyright: ignore[reportAssignmentType]

    def __init__(self, template: str) -> None:
        super().__init__()
        self._template = jinja2.Environment().from_string(template)
        self.requests: list[Any] = []

    def apply_chat_template(self, chat_history: Any, add_generation_prompt: bool = True) -> str:
        answer = None if add_generation_prompt else chat_history[-1]["content"]
        text = self._template.render(
            bos_token="<s>", messages=chat_history, add_generation_prompt=add_generation_prompt
        )
        if answer is None:
            return text
        if answer not in text:
            raise ValueError("the final message does not appear in the chat")
        return text[: text.rindex(answer) + len(answer)]

    def generate_until(self, requests: list[Any]) -> list[str]:
        self.requests += requests
        return [""] * len(requests)

    def loglikelihood(self, requests: list[Any]) -> Any:
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: list[Any]) -> Any:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def _no_record_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """lm-eval asks the system for a second, at the end of each run."""
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)


def run(
    lm: LM, metadata: dict[str, Any], *, name: str = "yoco_needle", **options: Any
) -> list[dict[str, Any]]:
    """The samples of a run."""
    manager = TaskManager(include_path=str(YAML), include_defaults=False, metadata=metadata)
    results: Any = simple_evaluate(
        model=lm,
        tasks=[name],
        task_manager=manager,
        log_samples=True,
        bootstrap_iters=0,
        **options,
    )
    return results["samples"][name]


@pytest.mark.filterwarnings("ignore")  # lm_eval's own
@pytest.mark.parametrize(
    ("template", "answer_turn"),
    [
        (TEMPLATE, "<|assistant|>\n"),
        (INSTRUCT, "[/INST] "),
        (ONE_SIDED, "[/INST]"),
        (None, " "),
    ],
)
def test_what_stands_around_a_prompt_is_part_of_its_length(
    metadata: dict[str, Any], template: str | None, answer_turn: str
) -> None:
    lm = Chat(template or "")
    instruction = "Say the number,\nand nothing else."
    samples = run(
        lm,
        {**metadata, "depths": 3, "needles": 2},
        apply_chat_template=template is not None,
        system_instruction=instruction,
        gen_kwargs={"max_gen_toks": 200},
    )
    tokenizer = tasks_samples.tokenizer("digits", Path(metadata["tokenizer"]))
    assert len(samples) == 6
    for sample in samples:
        doc, (prompt, options) = sample["doc"], sample["arguments"][0]
        ids = tokenizer.encode(prompt)
        assert len(ids) == doc["prompt_tokens"]
        assert options["max_gen_toks"] == doc["generation_tokens"] == 200
        assert len(ids) + options["max_gen_toks"] == doc["length_tokens"]
        around = doc["surroundings"]
        assert instruction in around["before"]
        inside = prompt.removeprefix(around["before"]).removesuffix(around["after"])
        assert sha256_of(inside) == doc["prompt_sha256"]
        key = doc["keys"][0]
        assert prompt.endswith(f"{answer_turn}The special magic {key} number is")
        assert prompt.count(f"What is the special magic {key} number?") == 1
        for name, offset in zip(doc["keys"], doc["needle_offsets_tokens"], strict=True):
            sentence = (
                f"The special magic {name} number is {doc['values'][doc['keys'].index(name)]}."
            )
            assert tokenizer.decode(ids[offset:]).lstrip().startswith(sentence)
        # a template that trims would have changed nothing
        assert template is None or inside == inside.strip()


@pytest.mark.filterwarnings("ignore")
def test_plain_runs_have_the_prompts_they_always_had(metadata: dict[str, Any]) -> None:
    samples = run(Chat(""), metadata)
    plain = needle.needle_docs(**metadata)["test"]
    assert [sample["doc"] for sample in samples] == list(plain)
    assert [sample["arguments"][0][0] for sample in samples] == [
        render(Plan.from_dict(doc["plan"])) for doc in plain
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ messages[-1].content | upper }}", "changes the text that it is given"),
        ("{{ messages[-1].content | e }}", "changes the text that it is given"),
        ("{{ messages[-1].content | truncate(900) }}", "changes the text that it is given"),
        ("{{ messages[0].content }}{{ messages[0].content }}", "changes the text that it is given"),
        ("always the same", "changes the text that it is given"),
        ("{{ messages.nothing.at_all }}", "the chat template cannot be rendered"),
        ("{{ 1 + 'a' }}", "the chat template cannot be rendered"),
    ],
)
def test_a_template_that_changes_prompts_is_refused(
    metadata: dict[str, Any], template: str, message: str
) -> None:
    lm = Chat(template)
    with pytest.raises(ValueError, match=message) as caught:
        run(lm, metadata, apply_chat_template=True)
    assert "\n" not in str(caught.value) and not lm.requests


@pytest.mark.filterwarnings("ignore")
def test_a_server_s_own_template_is_refused(
    metadata: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = Chat("")
    monkeypatch.setattr(lm, "apply_chat_template", lambda history, **options: [history])
    with pytest.raises(ValueError, match="server applies the chat template itself"):
        run(lm, metadata, apply_chat_template=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("told", "gen_kwargs", "expected"),
    [
        (None, None, 20),
        (None, {"max_gen_toks": 64}, 64),
        (None, {"max_new_tokens": 64}, 64),
        (64, None, 64),
        (64, {"max_gen_toks": 64, "temperature": 0.0}, 64),
        (64, {"max_gen_toks": 65}, "max_gen_toks=65 and generation_tokens=64 of yoco_needle"),
        (None, {"max_gen_toks": 64, "max_tokens": 65}, "max_gen_toks=64 and max_tokens=65 of"),
        (None, {"max_gen_toks": "many"}, "max_gen_toks='many' is not a whole number"),
        (None, {"max_gen_toks": 0}, "max_gen_toks=0 is not a whole number of at least 1"),
    ],
)
def test_documents_leave_the_room_that_an_answer_gets(
    metadata: dict[str, Any],
    told: int | None,
    gen_kwargs: dict[str, Any] | None,
    expected: int | str,
) -> None:
    lm = Chat("")
    metadata["generation_tokens"] = told
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=expected):
            run(lm, metadata, gen_kwargs=gen_kwargs)
        assert not lm.requests
        return
    for sample in run(lm, metadata, gen_kwargs=gen_kwargs):
        doc, options = sample["doc"], sample["arguments"][0][1]
        assert doc["generation_tokens"] == options["max_gen_toks"] == expected
        assert doc["length_tokens"] == doc["prompt_tokens"] + expected
        assert not options.keys() & {"max_new_tokens", "max_tokens"}


@pytest.mark.filterwarnings("ignore")
def test_examples_are_refused_and_none_is_none(metadata: dict[str, Any]) -> None:
    lm = Chat("")
    with pytest.raises(ValueError, match="num_fewshot=2 is not for yoco_needle"):
        run(lm, metadata, num_fewshot=2)
    assert not lm.requests
    assert len(run(lm, metadata, num_fewshot=0)) == 4


@pytest.mark.filterwarnings("ignore")
def test_lm_eval_s_cache_of_requests_has_no_say(
    metadata: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lm_eval.caching.cache.PATH", str(tmp_path / "cache"))
    for length in (600, 900):
        samples = run(Chat(""), {**metadata, "lengths": [length]}, cache_requests=True)
        for sample in samples:
            tokenizer = tasks_samples.tokenizer("digits", Path(metadata["tokenizer"]))
            assert len(tokenizer.encode(sample["arguments"][0][0])) == length - 20
    assert not (tmp_path / "cache").exists()


@pytest.mark.filterwarnings("ignore")
def test_lm_eval_s_seed_is_said_to_change_nothing(
    metadata: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    plain = run(Chat(""), metadata)
    assert "seed" not in caplog.text
    assert run(Chat(""), metadata, fewshot_random_seed=7) == plain
    assert "--seed 7 changes none of its texts: give the seed in --metadata" in caplog.text


@pytest.mark.filterwarnings("ignore")
def test_a_cell_without_a_prompt_has_no_score_and_the_others_run(
    metadata: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    lm = Chat("")
    samples = run(lm, {**metadata, "lengths": [60, 900]})
    assert [math.isnan(sample["recall"]) for sample in samples] == [True, True, False, False]
    for sample in samples[:2]:
        assert sample["doc"]["not_built"].startswith("a prompt of 40 tokens is too short")
        assert sample["arguments"][0][0] == needle.NO_PROMPT and sample["target"] == " "
    assert "yoco_needle: no prompt of 60 tokens at depth 0, trial 0: a prompt of" in caplog.text
    # a limit may leave only those
    assert len(run(Chat(""), {**metadata, "lengths": [60, 900]}, limit=1)) == 1
    lm = Chat("")
    with pytest.raises(ValueError, match="a prompt of 40 tokens is too short"):
        run(lm, {**metadata, "lengths": [60]})
    assert not lm.requests


def test_what_was_not_measured_has_no_score() -> None:
    doc = {"values": ["12"], "asked": [0]}
    assert math.isnan(needle.process_results(doc, [NotMeasured("NaN")])["recall"])
    assert needle.process_results(doc, [""]) == {"recall": 0.0}
    assert allows_not_measured(NeedleDoc(doc))


@pytest.mark.filterwarnings("ignore")
def test_a_loaded_model_needs_no_name_but_another_does(
    metadata: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handles, "_backends", weakref.WeakKeyDictionary())
    tokenizer = tasks_samples.tokenizer("digits", Path(metadata["tokenizer"]))
    unnamed = {name: metadata[name] for name in ("haystack", "lengths", "depths")}

    class Expanding(Chat):
        def generate_until(self, requests: list[Any]) -> list[str]:
            for request in requests:
                handles.expanded_pieces(request.args[0])
            return super().generate_until(requests)

    lm = Expanding("")
    handles.announce(lm, pretrained="a", tokenizer=tokenizer, max_length=1000)
    samples = run(lm, unnamed)
    assert all(sample["arguments"][0][0].startswith("<|yoco:prompt") for sample in samples)
    # it is not asked twice where lm-eval keeps its answers
    other = {**unnamed, "seed": 1}
    cache: Any = lm.cache_hook
    cache.dbdict = {}
    assert len(run(Chat(""), other)) == 4
    cache.dbdict = None
    with pytest.raises(ValueError, match="yoco_needle was planned for the YOCO model that is load"):
        run(Chat(""), other)
    assert len(run(Chat(""), {**metadata, "seed": 1})) == 4
