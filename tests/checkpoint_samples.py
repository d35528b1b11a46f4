"""Tiny checkpoints, and benchmark rows in two layouts, that tests share."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from yoco import YOCO, RopeConfig, YOCOConfig
from yoco.checkpoints import write_checkpoint
from yoco.loading import EMBEDDED

# by hand, with the columns of the datasets that lm-eval's own tasks load
HUB_ROWS: dict[str, list[dict[str, Any]]] = {
    "arc_easy": [
        {
            "id": "a",
            "question": "Which of these floats?",
            "choices": {"text": ["a stone", "a cork", "a nail"], "label": ["A", "B", "C"]},
            "answerKey": "B",
        },
        {
            "id": "b",
            "question": "What does a plant need?\nQuestion: really?",
            "choices": {"text": ["light", "a hat"], "label": ["A", "B"]},
            "answerKey": "A",
        },
    ],
    "boolq": [
        {
            "question": "is water wet",
            "passage": "Water -- It is a liquid.",
            "idx": 0,
            "label": 1,
        },
        {
            "question": "do stones swim",
            "passage": "A stone sinks.\nQuestion: why? It is heavy.",
            "idx": 1,
            "label": 0,
        },
    ],
    "piqa": [
        {"goal": "open a jar", "sol1": "turn the lid", "sol2": "turn the table", "label": 0},
        {"goal": "cook rice: ", "sol1": "in oil", "sol2": "in water ", "label": 1},
    ],
    "winogrande": [
        {
            "sentence": "The cup fell on the plate and the _ broke.",
            "option1": "red cup",
            "option2": "red plate",
            "answer": "2",
        },
        {"sentence": "_ was better than Ann.", "option1": "Mia", "option2": "Bo", "answer": "1"},
    ],
}


def foundry_row(task: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """A hub row as llm-foundry lays it out."""
    match task:
        case "arc_easy":
            labels, texts = row["choices"]["label"], row["choices"]["text"]
            query = f"Question: {row['question']}"
            return {"query": query, "choices": texts, "gold": labels.index(row["answerKey"])}
        case "boolq":
            query = f"Passage: {row['passage']}\nQuestion: {row['question']}?"
            return {"query": query, "choices": ["no", "yes"], "gold": row["label"]}
        case "piqa":
            choices = [row["sol1"], row["sol2"]]
            query = f"Question: {row['goal']}\n"
            return {"query": query, "choices": choices, "gold": row["label"]}
    before, behind = row["sentence"].split("_")
    return {
        "context_options": [before + row["option1"], before + row["option2"]],
        "continuation": behind.strip(),
        "gold": int(row["answer"]) - 1,
    }


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """One JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_data(folder: Path, *, num_documents: int = 6) -> Path:
    """A folder of local data for arc_easy and piqa, their rows repeated with numbers."""
    for task, column in (("arc_easy", "question"), ("piqa", "goal")):
        rows = HUB_ROWS[task]
        write_jsonl(
            folder / f"{task}.jsonl",
            [
                {**rows[n % len(rows)], column: f"{n}. {rows[n % len(rows)][column]}"}
                for n in range(num_documents)
            ],
        )
    return folder


def write_model(folder: Path, *, seed: int = 0) -> Path:
    """A checkpoint of 1 + 1 layers with random weights, and the embedded tokenizer."""
    config = YOCOConfig(
        vocab_size=4096,
        dim=16,
        hidden_dim=24,
        n_self_layers=1,
        n_cross_layers=1,
        n_self_heads=2,
        n_self_kv_heads=2,
        n_attn_heads=2,
        n_attn_kv_heads=1,
        mixer="sliding_window",
        sliding_window=8,
        norm_eps=1e-5,
        self_rope=RopeConfig(theta=1e4),
        cross_rope=RopeConfig(theta=1e4),
    )
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        name: torch.randn(tensor.shape, generator=generator) * 0.3
        for name, tensor in YOCO(config).state_dict().items()
    }
    write_checkpoint(folder, config, tensors)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(EMBEDDED / "demo" / name, folder)
    return folder
