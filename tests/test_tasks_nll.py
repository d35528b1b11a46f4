"""Likelihood by position through lm-eval: what is asked, of whom, and what comes of it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import tasks_samples

from tasks import handles, nll
from tasks.nll import (
    DocumentDoc,
    DocumentDocs,
    DocumentSettings,
    document_docs,
    mean_nats,
    process_results,
    ratio_of_sums,
    request_texts,
)
from tasks.not_measured import allows_not_measured

ROOT = Path(__file__).parents[1]
YAML = ROOT / "tasks" / "yaml"


@pytest.fixture
def metadata(tmp_path: Path) -> dict[str, Any]:
    tasks_samples.definition("digits").save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "a.txt").write_text(tasks_samples.PROSE + tasks_samples.CHINESE)
    (tmp_path / "b.txt").write_text(tasks_samples.CODE[:500])
    return {
        "max_length": 4096,
        "tokenizer": str(tmp_path),
        "documents": f"files:{tmp_path}/*.txt",
        "lengths": [300, 900],
        "bins_per_octave": 1,
    }


def docs_of(metadata: dict[str, Any]) -> DocumentDocs:
    return document_docs(**metadata)["test"]


def test_the_task_file_holds_every_default() -> None:
    from lm_eval.tasks._yaml_loader import load_yaml

    config = load_yaml(YAML / "yoco_nll.yaml")
    assert config["class"] is nll.DocumentTask
    assert DocumentSettings.from_metadata(config["metadata"]) == DocumentSettings()
    names = asdict(DocumentSettings()).keys() - {"tokenizer"}
    assert config["metadata"].keys() - {"version"} == names


def test_the_bins_of_a_document_are_the_whole_document(metadata: dict[str, Any]) -> None:
    docs = docs_of(metadata)
    tokenizer = tasks_samples.tokenizer("digits", Path(metadata["tokenizer"]))
    assert [doc["document"] for doc in docs] == ["a.txt", "b.txt"] and len(docs) == 2
    for doc in docs:
        pairs = request_texts(doc)
        assert pairs[0][0] == ""
        whole = "".join(continuation for _, continuation in pairs)
        for number, (context, continuation) in enumerate(pairs):
            assert context == "".join(each for _, each in pairs[:number])
            assert len(continuation.encode()) == doc["num_bytes"][number]
            behind = tokenizer.encode(context + continuation)
            assert behind == tokenizer.encode(whole)[: doc["edges"][number + 1]]
        text = Path(metadata["tokenizer"], doc["document"]).read_text()
        assert text.startswith(whole)
        assert doc["length_tokens"] == len(tokenizer.encode(whole)) <= 900
        assert whole == text or doc["length_tokens"] > 890
    # what is logged does not say where the text lies, nor does it hold the text
    assert str(metadata["tokenizer"]) not in json.dumps(docs[0])
    assert len(json.dumps(docs[0])) < 1000


def test_handles_stand_for_the_same_texts(metadata: dict[str, Any]) -> None:
    class Owner:
        """Stands for a backend object."""

    tokenizer = tasks_samples.tokenizer("digits", Path(metadata["tokenizer"]))
    full = [request_texts(doc) for doc in docs_of(metadata)]
    owner = Owner()
    handles.announce(owner, pretrained="me", tokenizer=tokenizer, max_length=900)
    docs = docs_of({**metadata, "pretrained": "me"})
    short = [request_texts(doc) for doc in docs]
    assert list(docs) == list(docs_of(metadata))
    for pairs, expanded in zip(short, full, strict=True):
        assert max(len(text) for pair in pairs for text in pair) < 600
        assert [(handles.expand(a), handles.expand(b)) for a, b in pairs] == expanded
    with pytest.raises(ValueError, match=r"documents of 901 tokens are beyond .* of 900 tokens"):
        docs_of({**metadata, "pretrained": "me", "lengths": 901})
    # the text is another by the time a handle is read
    (Path(metadata["tokenizer"]) / "b.txt").write_text("something else")
    with pytest.raises(ValueError, match="has changed since"):
        handles.expand(short[1][0][1])


def test_figures_of_a_document() -> None:
    doc = {"edges": [1, 4, 9], "num_bytes": [10, 30]}
    found = nll.process_results(doc, [(-3.0, False), (-4.0, True)])
    assert found["nats_by_position"] == ((3, 3.0), (5, 4.0))
    assert found["bits_per_token"] == (pytest.approx(7 / math.log(2)), 8)
    assert found["bits_per_byte"] == (pytest.approx(7 / math.log(2)), 40)
    other = nll.process_results(doc, [(-6.0, False), (-11.0, False)])
    # weighted by tokens, not by documents or bins
    documents = [found["nats_by_position"], other["nats_by_position"][:1]]
    assert nll.mean_nats(documents) == pytest.approx((3 + 4 + 6) / (3 + 5 + 3))
    assert nll.ratio_of_sums([(1.0, 2), (5.0, 10)]) == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": 64}, "unknown setting 'length': did you mean 'lengths'"),
        ({"lengths": "4Q"}, "length '4Q' is not a positive whole number"),
        ({"lengths": [8, 63]}, "lengths 8, 63 do not fill the first bin of 64 tokens"),
        ({"bins_per_octave": 0}, "bins_per_octave=0 is not a whole number of at least 1"),
        ({"bins_per_octave": 10**9}, "bins_per_octave=1000000000 is too many: at most 1,000"),
        ({"num_documents": 10**400}, "num_documents=a number of 1,329 bits is too many"),
        ({"num_documents": 0}, "num_documents=0 is not a whole number of at least 1"),
        ({"documents": "books"}, "documents 'books' are unknown"),
        ({"tokenizer": None}, "no tokenizer to measure lengths with"),
        ({"max_length": 800}, "documents of 900 tokens are beyond the model's max_length"),
    ],
)
def test_refusals(change: dict[str, Any], message: str, metadata: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=message):
        docs_of({**metadata, **change})


def test_a_document_that_cannot_be_cut_is_named(metadata: dict[str, Any]) -> None:
    (Path(metadata["tokenizer"]) / "b.txt").write_text("<s>once")
    with pytest.raises(ValueError, match=r"document b\.txt: a document begins with '<s>'"):
        list(docs_of(metadata))


@pytest.mark.filterwarnings("ignore")  # lm_eval's own
def test_another_model_answers(metadata: dict[str, Any]) -> None:
    from lm_eval.api.model import LM
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    asked: list[tuple[str, str]] = []

    class ByCharacters(LM):
        """Gives every character of the continuation one nat."""

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            asked.extend(request.args for request in requests)
            return [(-float(len(request.args[1])), False) for request in requests]

        def loglikelihood_rolling(self, requests: list[Any]) -> Any:
            raise NotImplementedError

        def generate_until(self, requests: list[Any]) -> Any:
            raise NotImplementedError

    manager = TaskManager(include_path=str(YAML), include_defaults=False, metadata=metadata)
    assert "yoco_nll" in manager.all_tasks
    results: Any = simple_evaluate(
        model=ByCharacters(), tasks=["yoco_nll"], task_manager=manager, bootstrap_iters=0
    )
    docs = docs_of(metadata)
    assert asked == [pair for doc in docs for pair in request_texts(doc)]
    num_chars = sum(doc["edges_chars"][-1] for doc in docs)
    num_tokens = sum(doc["edges"][-1] - doc["edges"][0] for doc in docs)
    num_bytes = sum(sum(doc["num_bytes"]) for doc in docs)
    scores = results["results"]["yoco_nll"]
    assert scores["nats_by_position,none"] == pytest.approx(num_chars / num_tokens)
    assert scores["bits_per_token,none"] == pytest.approx(num_chars / num_tokens / math.log(2))
    assert scores["bits_per_byte,none"] == pytest.approx(num_chars / num_bytes / math.log(2))
    samples = results["samples"]["yoco_nll"]
    assert [sample["doc"]["document"] for sample in samples] == ["a.txt", "b.txt"]
    for sample in samples:
        sizes = [size for size, _ in sample["nats_by_position"]]
        assert sum(sizes) == sample["doc"]["length_tokens"] - 1


def test_a_likelihood_that_was_not_measured_gives_no_figures() -> None:
    doc = {"edges": [1, 64, 128], "num_bytes": [100, 90]}
    found = process_results(doc, [(-10.0, False), (math.nan, False)])
    assert found["nats_by_position"][0] == (63, 10.0)
    assert math.isnan(found["nats_by_position"][1][1])
    assert math.isnan(found["bits_per_token"][0]) and math.isnan(found["bits_per_byte"][0])
    fine = process_results(doc, [(-10.0, False), (-5.0, False)])
    for name, mean in (("bits_per_token", ratio_of_sums), ("nats_by_position", mean_nats)):
        assert math.isnan(mean([fine[name], found[name]]))
    assert allows_not_measured(DocumentDoc(doc))


@pytest.mark.filterwarnings("ignore")  # lm_eval's own
def test_what_has_no_say_is_said_and_examples_are_refused(
    metadata: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(YAML), include_defaults=False, metadata=metadata)
    (task,) = manager.load(["yoco_nll"])["tasks"].values()
    task.build_all_requests()
    plain = [instance.args for instance in task.instances]
    assert caplog.text.count("yoco_nll: documents are read as they are") == 0
    task.build_all_requests(
        system_instruction="Be good.", apply_chat_template=True, cache_requests=True
    )
    assert [instance.args for instance in task.instances] == plain
    assert "yoco_nll: documents are read as they are, without instructions" in caplog.text
    assert "yoco_nll: lm-eval's cache of requests is not used" in caplog.text
    task.set_fewshot_seed(7)
    assert "yoco_nll: --seed 7 changes none of its texts" in caplog.text
    task.set_config("num_fewshot", 1)
    with pytest.raises(ValueError, match="num_fewshot=1 is not for yoco_nll"):
        task.build_all_requests()
