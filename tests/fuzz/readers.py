"""What is swept: for each reader its sound files, and the function that a command calls on them.

official, fla, native    checkpoints of the three formats
tokenizer                a tokenizer.json with its configuration
needles, likelihood      result files of our tasks, as `yoco heatmap` and `yoco nll` read them
comparison               result files of benchmarks, as `yoco compare` reads them
metadata                 settings of our tasks, as `--metadata` gives them
benchmarks               local benchmark data: JSON lines, CSV, Parquet
haystack                 text files and data sets
runs                     the folder that `yoco compare` resumes from
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import Reader

TESTS = Path(__file__).parents[1]
GOLDEN = TESTS / "data" / "golden"
sys.path[:0] = [str(TESTS.parent), str(TESTS.parent / "packaging"), str(TESTS)]


@dataclass(frozen=True, kw_only=True)
class Target:
    """One reader of files.

    Attributes:
        write: writes its sound files into a folder.
        read: reads such a folder; the second argument is where it may write.
        values_only: the files stand for what a user types, so they are sound JSON.
    """

    write: Callable[[Path], object]
    read: Reader
    values_only: bool = False


def _golden(name: str, *files: str) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        folder.mkdir(parents=True)
        for file in files:
            shutil.copy(GOLDEN / name / file, folder)

    return write


def _load(folder: Path, output: Path) -> None:
    import yoco

    model = yoco.load(folder, device="cpu")
    context = yoco.new_context(model, 4)
    yoco.prefill_last(model, context, model.embed_tokens.weight.new_zeros(4).long(), chunk_size=4)


def _write_native(folder: Path) -> None:
    from yoco.checkpoints import convert

    convert(GOLDEN / "official_swa", folder)


def _write_tokenizer(folder: Path) -> None:
    from yoco.loading import EMBEDDED

    folder.mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copy(EMBEDDED / "demo" / name, folder)


def _read_tokenizer(folder: Path, output: Path) -> None:
    from tasks.tokenizers import load_tokenizer

    tokenizer = load_tokenizer(folder)
    ids = tokenizer.encode("The special magic Oslo number is 123.\n")
    tokenizer.char_starts("a b")
    tokenizer.decode(ids)


def _write_needles(folder: Path) -> None:
    from comparison_samples import needles
    from result_samples import write_run

    write_run(folder, {"yoco_needle": needles(0.5)})


def _read_needles(folder: Path, output: Path) -> None:
    from heatmaps.report import write_heatmap

    print(write_heatmap([folder], output / "heatmap.svg", output / "cells.csv"))


def _write_likelihood(folder: Path) -> None:
    from result_samples import position_sample, write_positions

    write_positions(folder, [position_sample(n, f"{n}.txt") for n in range(3)])


def _read_likelihood(folder: Path, output: Path) -> None:
    from heatmaps.likelihood.report import write_nll

    print(write_nll([("mine", [folder])], output / "nll.svg", output / "nll.csv"))


def _write_comparison(folder: Path) -> None:
    from comparison_samples import write_models

    write_models(folder, {"one": 0.5, "two": 0.7})


def _read_comparison(folder: Path, output: Path) -> None:
    from heatmaps.comparison.report import write_comparison

    models = [(name, [folder / name]) for name in ("one", "two")]
    print(write_comparison(models, output / "comparison", resamples=100))


def _write_metadata(folder: Path) -> None:
    folder.mkdir(parents=True)
    settings: dict[str, Any] = {
        "lengths": ["512", "1K..2K/2", 600],
        "depths": [0, 0.5, "1/3"],
        "depth_spacing": "linear",
        "trials": 1,
        "needles": 2,
        "ask": "one",
        "haystack": "noise",
        "seed": 0,
        "repeat": True,
        "generation_tokens": 20,
        "tokenizer": "demo",
        "max_length": 4096,
        "documents": "stdlib",
        "num_documents": 1,
        "bins_per_octave": 2,
    }
    (folder / "metadata.json").write_text(json.dumps(settings), encoding="utf-8")


def _read_metadata(folder: Path, output: Path) -> None:
    from evals.cli import _json_object
    from tasks.grids import docs_from_metadata
    from tasks.nll import DocumentSettings
    from yoco.loading import EMBEDDED

    metadata = _json_object("--metadata", (folder / "metadata.json").read_text(encoding="utf-8"))
    if metadata.get("tokenizer") == "demo":
        metadata["tokenizer"] = str(EMBEDDED / "demo")
    DocumentSettings.from_metadata(metadata)
    docs = docs_from_metadata(metadata)
    for number in (0, len(docs) - 1):
        docs[number]


def _write_benchmarks(folder: Path) -> None:
    import pandas as pd
    from checkpoint_samples import HUB_ROWS, foundry_row, write_jsonl

    write_jsonl(folder / "arc_easy.jsonl", HUB_ROWS["arc_easy"])
    write_jsonl(folder / "boolq.jsonl", [foundry_row("boolq", row) for row in HUB_ROWS["boolq"]])
    pd.DataFrame(HUB_ROWS["piqa"]).to_csv(folder / "piqa.csv", index=False)
    pd.DataFrame(HUB_ROWS["winogrande"]).to_parquet(folder / "winogrande.parquet")


# the parts of lm-eval's own task files that local data depend on
_TASKS = {
    "arc_easy": ("allenai/ai2_arc", "test"),
    "boolq": ("super_glue", "validation"),
    "piqa": ("baber/piqa", "validation"),
    "winogrande": ("winogrande", "validation"),
}


def _read_benchmarks(folder: Path, output: Path) -> None:
    from tasks import local_data

    for task, (dataset, split) in _TASKS.items():
        config = {"task": task, "dataset_path": dataset, "test_split": split}
        local_data.overrides(config, folder)


def _write_haystack(folder: Path) -> None:
    import pandas as pd

    rows = [{"text": f"Line {n} of a text that is long enough.\n"} for n in range(50)]
    (folder / "texts").mkdir(parents=True)
    (folder / "texts" / "a.txt").write_text("".join(row["text"] for row in rows), encoding="utf-8")
    for name in ("lines", "columns"):
        (folder / name).mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "lines" / "train.jsonl").write_text(lines, encoding="utf-8")
    pd.DataFrame(rows).to_parquet(folder / "columns" / "train.parquet")


def _read_haystack(folder: Path, output: Path) -> None:
    from tasks.haystacks import load_haystack

    for spec in (f"files:{folder}/texts/*", f"hf:{folder}/lines", f"hf:{folder}/columns"):
        load_haystack(spec)


TARGETS = {
    "official": Target(write=_golden("official_swa", "params.json", "checkpoint.pth"), read=_load),
    "fla": Target(write=_golden("fla_swa", "config.json", "model.safetensors"), read=_load),
    "native": Target(write=_write_native, read=_load),
    "tokenizer": Target(write=_write_tokenizer, read=_read_tokenizer),
    "needles": Target(write=_write_needles, read=_read_needles),
    "likelihood": Target(write=_write_likelihood, read=_read_likelihood),
    "comparison": Target(write=_write_comparison, read=_read_comparison),
    "metadata": Target(write=_write_metadata, read=_read_metadata, values_only=True),
    "benchmarks": Target(write=_write_benchmarks, read=_read_benchmarks),
    "haystack": Target(write=_write_haystack, read=_read_haystack),
}
