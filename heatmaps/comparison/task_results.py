"""What one model reached on each task, document by document, read from lm-eval's result files."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from heatmaps.comparison.document_scores import DocumentScores
from heatmaps.comparison.metrics import MISSING, choose_metric
from heatmaps.models import ModelRun
from heatmaps.printable import brief
from heatmaps.result_files import counted, of_task
from heatmaps.run_files import RunFile
from heatmaps.sample_lines import (
    filter_of,
    fraction,
    generation_kwargs,
    sample_lines,
    shortened,
    whole_number,
)

# In whose tokens a document was measured; names of files differ though the tokens are the same.
_TOKENIZER_FIELDS = {"tokenizer", "tokenizer_sha256"}
# Where a text lies and how it was put together, of which these hashes tell what came of it.
_SOURCE_FIELDS = {"haystack", "plan"}
_TEXT_HASHES = {"haystack_sha256", "prompt_sha256"}

# Length in tokens and depth 0..1 of a needle prompt.
Cell = tuple[int, float]


@dataclass(frozen=True, kw_only=True)
class Document:
    """What identifies one document of a task, and what was asked of the model about it.

    Attributes:
        doc_id: lm-eval's number of it.
        identity: hash of the document: lm-eval's own or, where its lengths are counted in tokens,
            of all but the names of tokenizer and haystack.
        prompt: hash of the prompt. "" where the identity holds it.
        target: hash of the right answer.
        cell: (length_tokens, depth_frac) of a needle prompt, else None.
        fields: of a document whose lengths are counted in tokens, what it says of itself.
    """

    doc_id: int
    identity: str
    prompt: str
    target: str
    cell: Cell | None
    fields: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How a task was run, as far as two runs must agree; None where the files do not say."""

    version: Any = None
    num_fewshot: Any = None
    filter: str | None = None
    generation_kwargs: str | None = None
    chat_template_sha: str | None = None
    system_instruction_sha: str | None = None
    fewshot_as_multiturn: bool | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskResult:
    """One model on one task, from one samples file.

    Attributes:
        label: the model, as the user reads it.
        scores: of `documents`, in their order; NaN of those that were not measured.
        num_available: documents that the task has, of which these may be some; None if unknown.
        reported_score, reported_stderr: lm-eval's own; None if the files do not say.
    """

    label: str
    task: str
    metric: str
    scores: DocumentScores
    documents: tuple[Document, ...]
    settings: RunSettings
    num_available: int | None
    reported_score: float | None
    reported_stderr: float | None
    run: ModelRun
    samples_file: Path
    results_file: Path | None

    @cached_property
    def is_needle(self) -> bool:
        return self.documents[0].cell is not None

    @cached_property
    def cells(self) -> frozenset[Cell]:
        """The cells of a needle grid that were measured."""
        return frozenset(document.cell for document in self.documents if document.cell)


def read_task_result(label: str, run: RunFile) -> TaskResult:
    """What the model reached on the file's task.

    Raises:
        ValueError: a broken file.
        NotComparableError: the task has no metric to compare by.
    """
    file, content = run.samples, run.content
    documents: list[Document] = []
    logged: dict[str, list[Any]] = {}
    settings = RunSettings()
    higher_is_better = _section(run, "higher_is_better")
    for where, sample in sample_lines(file.path):
        if not documents:
            settings = _settings(content, file.task, sample)
            # lm-eval before 0.4.8 does not list them.
            names = sample.get("metrics") or [name for name in higher_is_better if name in sample]
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ValueError(
                    f"{where}: metrics is {shortened(names)}; it must be a list of names"
                )
            logged = {name: [] for name in names}
        documents.append(_document(sample, where))
        for name, values in logged.items():
            # A task may leave a metric out for some documents, and it is then none to compare by.
            values.append(sample.get(name, MISSING))
    place = brief(str(file.path), 300)
    if not documents:
        raise ValueError(f"{place}: no samples in it, as in a half-written file: run again")
    counts = {
        name: whole_number(number, f"{_results_place(run)}: n-samples of {brief(file.task)}")
        for name, number in _section(run, "n-samples").items()
        if name in ("effective", "original")
    }
    expected = counts.get("effective")
    if expected is not None and expected != len(documents):
        raise ValueError(
            f"{place}: {counted(len(documents), 'document')}, but its results file speaks of "
            f"{expected:,}, as after a broken write: run {brief(file.task)} again"
        )
    reported = _section(run, "results")
    of_metric = {
        name: score
        for name in logged
        if (score := _reported(reported.get(f"{name},{settings.filter}"))) is not None
    }
    metric, scores = choose_metric(brief(file.task), logged, of_metric, higher_is_better)
    order = sorted(range(len(documents)), key=lambda i: documents[i].doc_id)
    return TaskResult(
        label=label,
        task=file.task,
        metric=metric,
        scores=scores.select(np.array(order)),
        documents=tuple(documents[i] for i in order),
        settings=settings,
        num_available=counts.get("original"),
        reported_score=of_metric.get(metric),
        reported_stderr=_reported(reported.get(f"{metric}_stderr,{settings.filter}")),
        run=run.model,
        samples_file=file.path,
        results_file=file.results,
    )


def _section(run: RunFile, name: str) -> Mapping[str, Any]:
    """What a section of the results file says of the task; empty where it has none."""
    found = of_task(run.content, name, run.samples.task)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ValueError(
            f"{_results_place(run)}: {name} of {brief(run.samples.task)} is {shortened(found)}, no "
            "object with names, as lm-eval writes it: run again"
        )
    return found


def _results_place(run: RunFile) -> str:
    return brief(str(run.samples.results), 300)


def _reported(value: Any) -> float | None:
    """A score as lm-eval's results file has it, NaN included; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return None if abs(value) > 1e300 else float(value)


def _settings(content: Mapping[str, Any], task: str, sample: Mapping[str, Any]) -> RunSettings:
    first = RunSettings(filter=filter_of(sample), generation_kwargs=_generation(sample))
    if not content:
        return first
    return replace(
        first,
        version=_plain(of_task(content, "versions", task)),
        num_fewshot=_plain(of_task(content, "n-shot", task)),
        chat_template_sha=_plain(content.get("chat_template_sha")),
        system_instruction_sha=_plain(content.get("system_instruction_sha")),
        # It says nothing of a run without a chat template, and lm-eval's commands set it unlike.
        fewshot_as_multiturn=(
            bool(content.get("fewshot_as_multiturn")) if content.get("chat_template_sha") else None
        ),
    )


def _plain(value: Any) -> Any:
    """The value where it is one that lm-eval writes there, else what it looks like."""
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    if isinstance(value, float) and isfinite(value):
        return value
    return value if value is None or isinstance(value, str) else repr(value)[:1000]


def _generation(sample: Mapping[str, Any]) -> str | None:
    """The generation settings that went with the sample's first request, if it generates."""
    kwargs = generation_kwargs(sample)
    return json.dumps(kwargs, sort_keys=True) if kwargs is not None else None


def _document(sample: Mapping[str, Any], where: str) -> Document:
    doc = sample.get("doc")
    missing = [
        key
        for key in ("doc_id", "doc_hash", "prompt_hash", "target_hash")
        if sample.get(key) is None
    ]
    if missing:
        raise ValueError(
            f"{where}: no {', '.join(missing)}, by which documents are paired: "
            "run again with lm-eval 0.4.3 or newer"
        )
    in_tokens = isinstance(doc, dict) and "tokenizer_sha256" in doc
    fields = doc if isinstance(doc, dict) and in_tokens else {}
    identity = str(sample["doc_hash"])
    # Our backend is given a short handle of these prompts, others the text: the document itself
    # has the hash of what both mean.
    prompt = "" if in_tokens else str(sample["prompt_hash"])
    if in_tokens:
        names = fields.keys() - _TOKENIZER_FIELDS
        if fields.keys() >= _TEXT_HASHES:
            names -= _SOURCE_FIELDS
        content = {name: fields[name] for name in names}
        identity = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return Document(
        doc_id=whole_number(sample["doc_id"], f"{where}: doc_id"),
        identity=identity,
        prompt=prompt,
        target=str(sample["target_hash"]),
        cell=_cell(doc, where),
        # The plan says over again, at length, what the rest says.
        fields={name: value for name, value in fields.items() if name != "plan"},
    )


def _cell(doc: Any, where: str) -> Cell | None:
    if not (isinstance(doc, dict) and "length_tokens" in doc and "depth_frac" in doc):
        return None
    length = whole_number(doc["length_tokens"], f"{where}: length_tokens", least=1)
    return length, round(fraction(doc["depth_frac"], f"{where}: depth_frac"), 6)
