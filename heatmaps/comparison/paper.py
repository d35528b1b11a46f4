"""The paper's published rows, to stand beside ours.

Source: Sun et al., You Only Cache Once: Decoder-Decoder Architectures for Language Models
(arXiv 2405.05254): its tables of zero-shot results and of multi-needle retrieval.
"""

from collections.abc import Mapping

from heatmaps.comparison.metrics import PAPER_METRICS
from heatmaps.comparison.scores import Comparison, TaskComparison

SOURCE = "arXiv 2405.05254"
PAPER_TASKS = tuple(PAPER_METRICS)
MULTI_NEEDLE_LENGTH_TOKENS = 131_072
# Needles in the haystack, one asked for -> the task of the same protocol.
MULTI_NEEDLE_TASKS = {n: f"yoco_multi_needle_128k_n{n}" for n in (1, 2, 4, 8)}

# In the order of PAPER_TASKS, then the mean as printed.
_ZERO_SHOT = {
    "OpenLLaMA-3B-v2, 1T": (0.339, 0.676, 0.657, 0.700, 0.260, 0.767, 0.629, 0.924, 0.619),
    "StableLM-base-alpha-3B-v2, 1T": (
        *(0.324, 0.673, 0.646, 0.686, 0.264, 0.760, 0.621, 0.921, 0.612),
    ),
    "YOCO-3B, 1T": (0.379, 0.731, 0.645, 0.689, 0.298, 0.763, 0.639, 0.924, 0.634),
    "YOCO-3B, 1.6T": (0.396, 0.733, 0.644, 0.698, 0.300, 0.764, 0.631, 0.921, 0.636),
    "YOCO-3B-1M": (0.413, 0.747, 0.638, 0.705, 0.300, 0.773, 0.651, 0.932, 0.645),
}
# In the order of MULTI_NEEDLE_TASKS.
_MULTI_NEEDLE = {
    "YOCO-3B-1M": (0.98, 0.98, 0.84, 0.56),
    "LWM-1M-text": (1.00, 0.90, 0.76, 0.62),
    "MiniCPM-128K": (1.00, 1.00, 0.54, 0.56),
    "ChatGLM3-128K": (0.94, 0.72, 0.52, 0.44),
    "GPT-4-128K": (1.00, 1.00, 0.98, 1.00),
}

# Of one model: for each column its score, None where it has none.
PaperRow = dict[str, float | None]


def zero_shot_rows(comparison: Comparison) -> dict[str, PaperRow]:
    """The paper's rows, then ours, by `PAPER_TASKS` and "mean"; empty without one task in common.

    Ours are zero-shot runs only, and the mean is one of all eight tasks or None.
    """
    tasks = {
        task.task: task
        for task in comparison.tasks
        if task.task in PAPER_TASKS and _shots(task) in (0, None)
    }
    ours = _own_rows(comparison, {name: tasks[name] for name in PAPER_TASKS if name in tasks})
    if not any(ours.values()):
        return {}
    columns = (*PAPER_TASKS, "mean")
    rows: dict[str, PaperRow] = {
        model: dict(zip(columns, scores, strict=True)) for model, scores in _ZERO_SHOT.items()
    }
    for label, own in ours.items():
        row: PaperRow = {name: own.get(name) for name in PAPER_TASKS}
        scores = [score for score in row.values() if score is not None]
        row["mean"] = sum(scores) / len(scores) if len(scores) == len(PAPER_TASKS) else None
        rows[label] = row
    return rows


def multi_needle_rows(comparison: Comparison) -> dict[str, PaperRow]:
    """The paper's rows, then ours, by "N = 1" and so on; empty without one task in common.

    Ours are runs at 128K alone: another length under the task's name is another protocol.
    """
    tasks = {
        f"N = {n}": task
        for n, name in MULTI_NEEDLE_TASKS.items()
        for task in comparison.tasks
        if task.task == name and _lengths(task) == {MULTI_NEEDLE_LENGTH_TOKENS}
    }
    ours = _own_rows(comparison, tasks)
    if not any(ours.values()):
        return {}
    columns = [f"N = {n}" for n in MULTI_NEEDLE_TASKS]
    rows: dict[str, PaperRow] = {
        model: dict(zip(columns, scores, strict=True)) for model, scores in _MULTI_NEEDLE.items()
    }
    return rows | {label: {name: own.get(name) for name in columns} for label, own in ours.items()}


def _own_rows(comparison: Comparison, tasks: Mapping[str, TaskComparison]) -> dict[str, PaperRow]:
    return {
        label: {
            column: own.score
            for column, task in tasks.items()
            if (own := task.scores[number]) is not None
        }
        for number, label in enumerate(comparison.models)
    }


def _shots(task: TaskComparison) -> int | None:
    return next(own.result.settings.num_fewshot for own in task.scores if own is not None)


def _lengths(task: TaskComparison) -> set[int]:
    return {length for own in task.scores if own is not None for length, _ in own.result.cells}
