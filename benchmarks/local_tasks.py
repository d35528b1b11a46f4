"""Writes lm-eval task files for benchmarks that lie in a local folder.

    python benchmarks/local_tasks.py DATA FOLDER
    lm_eval --model yoco --model_args pretrained=demo --include_path FOLDER --tasks local_gsm8k

DATA holds arc_easy.jsonl, piqa.jsonl, winogrande.jsonl and boolq.jsonl as MosaicML's llm-foundry
lays them out (`query`, `choices`, `gold`; winogrande `context_options`, `continuation`, `gold`),
and gsm8k_test.jsonl (`question`, `answer`).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

COMMON = {"dataset_path": "json", "test_split": "test"}
CHOICE = {
    **COMMON,
    "output_type": "multiple_choice",
    "doc_to_target": "gold",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
MULTIPLE_CHOICE: dict[str, dict[str, Any]] = {
    "arc_easy": {**CHOICE, "doc_to_text": "{{query}}\nAnswer:", "doc_to_choice": "choices"},
    "piqa": {**CHOICE, "doc_to_text": "{{query.strip()}}\nAnswer:", "doc_to_choice": "choices"},
    # the continuation is the same and the context differs: lm-eval scores each pair
    "winogrande": {
        **CHOICE,
        "doc_to_text": "gold",
        "doc_to_choice": "context_options",
        "doc_to_target": "continuation",
    },
    "boolq": {**CHOICE, "doc_to_text": "{{query}}\nAnswer:", "doc_to_choice": "choices"},
}
GENERATION: dict[str, dict[str, Any]] = {
    "gsm8k": {
        **COMMON,
        "output_type": "generate_until",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_target": "{{answer.split('#### ')[-1]}}",
        "generation_kwargs": {"until": ["Question:"], "max_gen_toks": 64, "do_sample": False},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
}


def write_tasks(folder: Path, data: Path) -> None:
    """Writes `local_NAME.yaml` for each benchmark whose data file is there."""
    for name, fields in {**MULTIPLE_CHOICE, **GENERATION}.items():
        file = data / (f"{name}_test.jsonl" if name in GENERATION else f"{name}.jsonl")
        if file.exists():
            source = {"dataset_kwargs": {"data_files": {"test": str(file)}}}
            task = {"task": f"local_{name}", **fields, **source}
            (folder / f"local_{name}.yaml").write_text(yaml.safe_dump(task))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    write_tasks(options.folder, options.data.resolve())
