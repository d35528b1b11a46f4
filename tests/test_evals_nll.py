"""Likelihood by position on our backend: exact by the full forward, and one pass a document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tasks_samples
import torch
from conftest import CONFIGS, tiny_model

from evals import backend
from evals.backend import YOCOLM
from tasks.nll import DocumentDocs, document_docs, process_results, request_texts
from yoco.checkpoints import write_checkpoint

# of the nats of one bin, of up to hundreds of tokens
TOLERANCE = 2e-3


@pytest.fixture(scope="module", params=["window", "retention"])
def lm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> YOCOLM:
    """A model with random weights and a tokenizer, in float32."""
    folder = tmp_path_factory.mktemp("checkpoint")
    model = tiny_model({**CONFIGS[request.param], "vocab_size": 700})
    write_checkpoint(folder, model.config, model.state_dict())
    tasks_samples.definition("digits").save(str(folder / "tokenizer.json"))
    return YOCOLM(str(folder), device="cpu", chunk_size=100)


@pytest.fixture
def docs(lm: YOCOLM, tmp_path: Path) -> DocumentDocs:
    (tmp_path / "a.txt").write_text(tasks_samples.PROSE)
    (tmp_path / "b.txt").write_text(tasks_samples.ACCENTS[:400])
    metadata = {
        "pretrained": lm.pretrained,
        "documents": f"files:{tmp_path}/*.txt",
        "lengths": 700,
    }
    return document_docs(**metadata)["test"]


def ask(
    lm: YOCOLM, doc: Any, pairs: list[tuple[str, str]], first: int = 0
) -> list[tuple[float, bool]]:
    from lm_eval.api.instance import Instance

    requests = [
        Instance("loglikelihood", doc, arguments, number)
        for number, arguments in enumerate(pairs, first)
    ]
    return lm.loglikelihood(requests, disable_tqdm=True)


def nats_by_token(lm: YOCOLM, doc: Any) -> torch.Tensor:
    """Of each token of the document behind those before it, by the reference."""
    haystack = Path(doc.haystack.removeprefix("file:")).read_text()
    tokens = torch.tensor(lm.tok_encode(haystack[: doc["edges_chars"][-1]]))
    log_probs = lm.model(tokens[None, :-1])[0].log_softmax(-1)
    return -log_probs.gather(1, tokens[1:, None])[:, 0].double()


def test_every_bin_equals_the_full_forward(lm: YOCOLM, docs: DocumentDocs) -> None:
    for doc in docs:
        found = process_results(doc, ask(lm, doc, request_texts(doc)))["nats_by_position"]
        expected = nats_by_token(lm, doc)
        assert len(expected) == doc["edges"][-1] - 1
        spans = expected.split([size for size, _ in found])
        assert [nats for _, nats in found] == pytest.approx(
            [float(span.sum()) for span in spans], abs=TOLERANCE
        )
        # negative control: bins that begin one token later have other nats
        late = expected[1 : len(spans[0]) + 1].sum()
        assert float(late) != pytest.approx(found[0][1], abs=TOLERANCE)


def test_a_document_is_one_pass_whatever_its_bins(
    lm: YOCOLM, docs: DocumentDocs, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, encoded = [], []
    model_read, encode = lm.model.read, lm.text.encode

    def count_tokens(tokens: torch.Tensor, *rest: Any) -> Any:
        read.append(len(tokens))
        return model_read(tokens, *rest)

    def count_chars(text: str, **options: Any) -> list[int]:
        encoded.append(len(text))
        return encode(text, **options)

    # the task has its own use of the tokenizer
    doc = docs[0]
    monkeypatch.setattr(lm.model, "read", count_tokens)
    monkeypatch.setattr(lm.text, "encode", count_chars)
    together = ask(lm, doc, request_texts(doc))
    assert sum(read) == doc["edges"][-1] - 1 and max(read) == lm.chunk_size
    # each beginning of the text once, though it ends one bin and begins another; the first also
    # without a context
    assert encoded == [0, doc["edges_chars"][1], *doc["edges_chars"][1:]]
    # negative control: one by one the document is read again for every bin
    read.clear()
    alone = [ask(lm, doc, [pair], number)[0] for number, pair in enumerate(request_texts(doc))]
    assert sum(read) > 2 * (doc["edges"][-1] - 1)
    assert [nats for nats, _ in together] == pytest.approx(
        [nats for nats, _ in alone], abs=TOLERANCE
    )


def test_handles_and_full_text_are_scored_alike(lm: YOCOLM, docs: DocumentDocs) -> None:
    for doc in docs:
        handles = request_texts(doc)
        doc.pretrained = None
        texts = request_texts(doc)
        assert texts != handles and texts[1][1] == doc_text(doc, 1)
        assert ask(lm, doc, texts) == ask(lm, doc, handles)


def doc_text(doc: Any, number: int) -> str:
    chars = doc["edges_chars"]
    text = Path(doc.haystack.removeprefix("file:")).read_text()
    return text[chars[number] : chars[number + 1]]


def test_a_single_long_continuation_is_read_in_chunks(
    lm: YOCOLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    outputs_at = backend.yoco.outputs_at

    def record(model: Any, wanted: Any) -> torch.Tensor:
        sizes.append(sum(len(rows.hidden) for rows in wanted))
        return outputs_at(model, wanted)

    monkeypatch.setattr(backend.yoco, "outputs_at", record)
    text = tasks_samples.PROSE[:1500]
    ((nats, _),) = ask(lm, {}, [("Chapter", text)])
    assert max(sizes) <= lm.chunk_size and len(sizes) > 2
    context, continuation = lm._encode_pair("Chapter", text)
    tokens = torch.tensor([*context, *continuation]).long()
    log_probs = lm.model(tokens[None, :-1])[0].log_softmax(-1).gather(1, tokens[1:, None])
    assert nats == pytest.approx(float(log_probs[len(context) - 1 :].sum()), abs=TOLERANCE)
