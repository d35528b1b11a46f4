"""What one model reached on each task, document by document, read from lm-eval's result files."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from heatmaps.document_scores import DocumentScores
from heatmaps.metrics import choose_metric
from heatmaps.models import ModelRun, model_run
from heatmaps.result_files import (
    SamplesFile,
    counted,
    find_sample_files,
    read_results,
    sample_lines,
)

# In whose tokens a document was measured; names of files differ though the tokens are the same.
_TOKENIZER_FIELDS = ("tokenizer", "tokenizer_sha256")


@dataclass(frozen=True, kw_only=True)
class Document:
    """What identifies one document of a task, and what was asked of the model about it.

    Attributes:
        doc_id: lm-eval's number of it.
        identity: hash of the document: lm-eval's own or, where its lengths are counted in tokens,
            of all but the tokenizer's name.
        prompt: hash of the prompt. "" where the identity holds it.
        target: hash of the right answer.
        cell: (length_tokens, depth_frac) of a needle prompt, else None.
        fields: of a document whose lengths are counted in tokens, what it says of itself.
    """

    doc_id: int
    identity: str
    prompt: str
    target: str
    cell: tuple[int, float] | None
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
        scores: of `documents`, in their order.
        num_available: documents that the task has, of which these may be some; None if unknown.
        reported_stderr: what lm-eval says beside the score; the score itself is `scores.score`.
        model_sha: hash of the checkpoint, "" if the backend gives none.
    """

    label: str
    task: str
    metric: str
    scores: DocumentScores
    documents: tuple[Document, ...]
    settings: RunSettings
    num_available: int | None
    reported_stderr: float | None
    run: ModelRun
    model_sha: str
    samples_file: Path
    results_file: Path | None

    @cached_property
    def is_needle(self) -> bool:
        return self.documents[0].cell is not None

    @cached_property
    def cells(self) -> frozenset[tuple[int, float]]:
        """The cells of a needle grid that were measured."""
        return frozenset(document.cell for document in self.documents if document.cell)


def read_task_results(
    label: str, paths: Iterable[str | PathLike[str]]
) -> tuple[dict[str, TaskResult], list[str]]:
    """One result a task, the newest where a task was run several times, and notes for the user.

    Args:
        label: the model.
        paths: files and folders as `find_sample_files` takes them.

    Raises:
        FileNotFoundError: a path does not exist or has no samples.
        ValueError: a broken file, a task without a metric to compare, or files of several models.
    """
    files, notes = find_sample_files(paths)
    notes = [f"{label}: {note}" for note in notes]
    newest: dict[str, SamplesFile] = {}
    for file in files:
        if file.task in newest:
            notes.append(
                f"{label}: {file.task} was run several times; {newest[file.task].path.name} "
                "left out, the newest counts"
            )
        newest[file.task] = file
    results = {task: _read(label, file) for task, file in newest.items()}
    _refuse_several_models(label, list(results.values()))
    return results, notes


def _refuse_several_models(label: str, results: list[TaskResult]) -> None:
    first = results[0]
    for other in results[1:]:
        if other.run.identity != first.run.identity:
            raise ValueError(
                f"{label}: its results are of two models, {_named(first.run)} "
                f"({first.samples_file.name}) and {_named(other.run)} "
                f"({other.samples_file.name}): give the folder of one"
            )
        if first.model_sha and other.model_sha and other.model_sha != first.model_sha:
            raise ValueError(
                f"{label}: its results are of two checkpoints, {first.model_sha[:12]} "
                f"({first.samples_file.name}) and {other.model_sha[:12]} "
                f"({other.samples_file.name}): give the files of one, or run again what is older"
            )


def _named(run: ModelRun) -> str:
    return f"{run.name} ({run.source})" if run.source else run.name


def _read(label: str, file: SamplesFile) -> TaskResult:
    content = read_results(file.results) if file.results else {}
    documents: list[Document] = []
    logged: dict[str, list[Any]] = {}
    settings = RunSettings()
    for where, sample in sample_lines(file.path):
        if not documents:
            settings = _settings(content, file.task, sample)
            logged = {str(name): [] for name in sample.get("metrics") or []}
        # lm-eval writes a document once for each filter; the first is the task's own.
        if str(sample.get("filter", "")) != settings.filter:
            continue
        documents.append(_document(sample, where))
        for name, values in logged.items():
            if name not in sample:
                raise ValueError(f"{where}: no {name}, though the lines above have it: run again")
            values.append(sample[name])
    if not documents:
        raise ValueError(f"{file.path}: no samples in it, as in a half-written file: run again")
    counts = _of_task(content, "n-samples", file.task) or {}
    expected = counts.get("effective")
    if expected is not None and expected != len(documents):
        raise ValueError(
            f"{file.path}: {counted(len(documents), 'document')}, but its results file speaks of "
            f"{expected:,}, as after a broken write: run {file.task} again"
        )
    reported = _of_task(content, "results", file.task) or {}
    metric, scores = choose_metric(
        file.task,
        logged,
        {
            name: reported[key]
            for name in logged
            if (key := f"{name},{settings.filter}") in reported
        },
        _of_task(content, "higher_is_better", file.task) or {},
    )
    stderr = reported.get(f"{metric}_stderr,{settings.filter}")
    order = sorted(range(len(documents)), key=lambda i: documents[i].doc_id)
    return TaskResult(
        label=label,
        task=file.task,
        metric=metric,
        scores=scores.select(np.array(order)),
        documents=tuple(documents[i] for i in order),
        settings=settings,
        num_available=counts.get("original"),
        reported_stderr=stderr if isinstance(stderr, int | float) else None,
        run=model_run(file.results, file.path),
        model_sha=str(content.get("config", {}).get("model_sha") or ""),
        samples_file=file.path,
        results_file=file.results,
    )


def _of_task(content: Mapping[str, Any], section: str, task: str) -> Any:
    """What a section of the results file says of the task; lm-eval 0.5 may call it group::task."""
    entries = content.get(section) or {}
    return next(
        (entry for name, entry in entries.items() if name.rpartition("::")[2] == task), None
    )


def _settings(content: Mapping[str, Any], task: str, sample: Mapping[str, Any]) -> RunSettings:
    first = RunSettings(filter=str(sample.get("filter", "")), generation_kwargs=_generation(sample))
    if not content:
        return first
    return replace(
        first,
        version=_of_task(content, "versions", task),
        num_fewshot=_of_task(content, "n-shot", task),
        chat_template_sha=content.get("chat_template_sha"),
        system_instruction_sha=content.get("system_instruction_sha"),
        # It says nothing of a run without a chat template, and lm-eval's commands set it unlike.
        fewshot_as_multiturn=(
            bool(content.get("fewshot_as_multiturn")) if content.get("chat_template_sha") else None
        ),
    )


def _generation(sample: Mapping[str, Any]) -> str | None:
    """The generation settings that went with the sample's first request, if it generates."""
    request = (sample.get("arguments") or {}).get("gen_args_0") or {}
    kwargs = request.get("arg_1") if isinstance(request, dict) else None
    return json.dumps(kwargs, sort_keys=True) if isinstance(kwargs, dict) else None


def _document(sample: Mapping[str, Any], where: str) -> Document:
    doc = sample.get("doc")
    missing = [
        key for key in ("doc_id", "doc_hash", "prompt_hash", "target_hash") if key not in sample
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
        content = {name: value for name, value in fields.items() if name not in _TOKENIZER_FIELDS}
        identity = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return Document(
        doc_id=int(sample["doc_id"]),
        identity=identity,
        prompt=prompt,
        target=str(sample["target_hash"]),
        cell=_cell(doc),
        # The plan says over again, at length, what the rest says.
        fields={name: value for name, value in fields.items() if name != "plan"},
    )


def _cell(doc: Any) -> tuple[int, float] | None:
    if isinstance(doc, dict) and "length_tokens" in doc and "depth_frac" in doc:
        return int(doc["length_tokens"]), round(float(doc["depth_frac"]), 6)
    return None
