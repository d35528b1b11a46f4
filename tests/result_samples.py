"""Result files as lm-eval writes them, with the figures of a test, for the tests of heatmaps."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TIMESTAMP = "2026-01-05T09-00-00.123456"


def sha(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def benchmark_sample(number: int, **metrics: Any) -> dict[str, Any]:
    """One line of a multiple-choice task."""
    doc = {"query": f"Question {number}?", "gold": 0}
    return {
        "doc_id": number,
        "doc": doc,
        "target": "0",
        "arguments": {"gen_args_0": {"arg_0": f"Question {number}?\nAnswer:", "arg_1": " yes"}},
        "filter": "none",
        "metrics": list(metrics),
        "doc_hash": sha(doc),
        "prompt_hash": sha(f"Question {number}?\nAnswer:"),
        "target_hash": sha("0"),
    } | metrics


def needle_sample(
    number: int, length: int, depth: float, recall: float, *, trial: int = 0, **doc: Any
) -> dict[str, Any]:
    """One line of a needle task; `doc` goes over the fields of the document."""
    fields = {
        "length_tokens": length,
        "depth_frac": depth,
        "depth_frac_achieved": depth,
        "trial": trial,
        "num_needles": 1,
        "ask": "one",
        "haystack": "stdlib",
        "haystack_sha256": "h" * 64,
        "seed": 0,
        "tokenizer": "/somewhere/demo",
        "tokenizer_sha256": "t" * 64,
        "prompt_sha256": sha((length, depth, trial)),
    } | doc
    fields["plan"] = {"prompt_sha256": fields["prompt_sha256"]}
    kwargs = {"until": [], "max_gen_toks": 20, "do_sample": False}
    return {
        "doc_id": number,
        "doc": fields,
        "target": " 7",
        "arguments": {"gen_args_0": {"arg_0": "<|yoco:prompt ...|>", "arg_1": kwargs}},
        "filter": "none",
        "metrics": ["recall"],
        "doc_hash": sha(fields),
        "prompt_hash": sha(("logged", fields["tokenizer"])),
        "target_hash": sha(" 7"),
        "recall": recall,
    }


def position_sample(
    number: int = 0,
    name: str = "a.txt",
    nats: Sequence[float] = (200.0, 180.0, 300.0, 500.0),
    **doc: Any,
) -> dict[str, Any]:
    """One line of a document scored by position, with as many bins as nats; three bytes a token."""
    edges = [1, 64, 128, 256, 512][: len(nats) + 1]
    sizes = [stop - start for start, stop in itertools.pairwise(edges)]
    fields = {
        "document": name,
        "document_sha256": sha(name),
        "length_tokens": edges[-1],
        "edges": edges,
        "edges_asked": edges,
        "edges_chars": [3 * edge for edge in edges],
        "num_bytes": [3 * size for size in sizes],
        "tokenizer_sha256": "t" * 64,
    } | doc
    return {
        "doc_id": number,
        "doc": fields,
        "target": name,
        "arguments": {"gen_args_0": {"arg_0": "", "arg_1": "<|yoco:prompt ...|>"}},
        "filter": "none",
        "metrics": ["nats_by_position", "bits_per_token"],
        "doc_hash": sha(fields),
        "prompt_hash": sha(("logged", name)),
        "target_hash": sha(name),
        "nats_by_position": [list(pair) for pair in zip(sizes, nats, strict=True)],
        "bits_per_token": [sum(nats) / math.log(2), sum(sizes)],
    }


def write_positions(folder: Path, samples: Sequence[dict[str, Any]], **options: Any) -> Path:
    """Writes a run of yoco_nll, with the score that its samples add up to."""
    bits, sizes = zip(*(sample["bits_per_token"] for sample in samples), strict=True)
    return write_run(
        folder,
        {"yoco_nll": samples},
        reported={"yoco_nll": {"bits_per_token": sum(bits) / sum(sizes)}},
        lower_is_better=["nats_by_position", "bits_per_token"],
        **options,
    )


def write_run(
    folder: Path,
    tasks: Mapping[str, Sequence[dict[str, Any]]],
    *,
    model: str = "yoco",
    pretrained: str | None = None,
    timestamp: str = TIMESTAMP,
    reported: dict[str, dict[str, float]] | None = None,
    lower_is_better: Sequence[str] = (),
    model_sha: str = "",
    num_fewshot: int = 0,
    original: int | None = None,
    **content: Any,
) -> Path:
    """Writes a run's files; the reported scores are the means unless given.

    Args:
        folder: made if it is not there.
        tasks: for each task its lines.
        reported: for each task its scores by metric.
        original: documents that each task has, where the lines are some of them.
        content: further entries of the results file, over the usual ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, float]] = {}
    for task, samples in tasks.items():
        path = folder / f"samples_{task}_{timestamp}.jsonl"
        path.write_text("".join(f"{json.dumps(sample)}\n" for sample in samples))
        first = samples[0]
        scores = (reported or {}).get(task) or {
            name: sum(float(sample[name]) for sample in samples) / len(samples)
            for name in first["metrics"]
            if not isinstance(first[name], list)
        }
        results[task] = {f"{name},{first['filter']}": score for name, score in scores.items()}
    names = {task: list(samples[0]["metrics"]) for task, samples in tasks.items()}
    (folder / f"results_{timestamp}.json").write_text(
        json.dumps(
            {
                "results": results,
                "config": {
                    "model": model,
                    "model_args": {"pretrained": pretrained or f"/models/{folder.name}"},
                    "model_sha": model_sha,
                },
                "versions": dict.fromkeys(tasks, 1.0),
                "n-shot": dict.fromkeys(tasks, num_fewshot),
                "higher_is_better": {
                    task: {name: name not in lower_is_better for name in metrics}
                    for task, metrics in names.items()
                },
                "n-samples": {
                    task: {"original": original or len(samples), "effective": len(samples)}
                    for task, samples in tasks.items()
                },
                "chat_template_sha": None,
                "system_instruction_sha": None,
                "fewshot_as_multiturn": None,
            }
            | content
        )
    )
    return folder
