"""The model card, filled in from the log of a run; what was not measured says so."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import Any

from training.corpus import Corpus
from training.state import read_log

TEMPLATE = Path(__file__).with_name("model_card.md")
NOT_MEASURED = "not measured"


def write_card(run_folder: Path, corpus: Corpus, path: Path) -> None:
    """Fills in the template."""
    records = read_log(run_folder)
    start = [record for record in records if record["kind"] == "start"][-1]
    recipe = start["recipe"]
    exports = [r for r in records if r["kind"] == "export" and r["name"] == "final"]
    bits = {r["text"]: r for r in records if r["kind"] == "bits"}
    held_out = [name.removeprefix("held_out/") for name in corpus.held_out]
    last = records[-1]
    values = {
        "name": recipe["name"],
        "num_parameters": f"{start['num_parameters']:,}",
        "bytes": f"{exports[-1]['bytes']:,}" if exports else NOT_MEASURED,
        "shape": _table({key: x for key, x in recipe["model"].items() if x is not None}),
        "texts": ", ".join(name for name in corpus.sha256 if not name.startswith("held_out/")),
        "held_out": ", ".join(held_out) or "nothing",
        "steps": f"{last['step']:,}",
        "tokens": f"{last['tokens']:,}",
        "seconds": f"{last['elapsed_s']:.0f}",
        "hardware": f"{start['device'] or start['device_type']}, {start['num_cpus']} CPU cores",
        "software": f"Python {start['python']}, torch {start['torch']}, kernels "
        + ", ".join(f"{name} {row}" for name, row in start["kernels"].items()),
        "seed": recipe["seed"],
        "begun_with": f"the weights of SHA-256 {recipe['begun_with']}"
        if recipe.get("begun_with")
        else "random weights",
        "learning_rate": recipe["learning_rate"],
        "stages": ", ".join(f"{s['share']:.0%}: {s['length_tokens']:,}" for s in recipe["stages"]),
        "text_weight": recipe["text_weight"],
        "retrieval": _retrieval([r for r in records if r["kind"] == "final"]),
        "text_length": f"{next(iter(bits.values()))['length']:,}" if bits else NOT_MEASURED,
        "bits": "\n".join(
            f"- {name.removeprefix('held_out/')}: {record['bits_per_byte']:.3f} bits per byte"
            for name, record in bits.items()
        )
        or NOT_MEASURED,
        "max_length": f"{max(s['length_tokens'] for s in recipe['stages']):,}",
    }
    path.write_text(Template(TEMPLATE.read_text(encoding="utf-8")).substitute(values))


def _table(values: dict[str, Any]) -> str:
    rows = (f"| {key} | {value} |" for key, value in values.items())
    return "\n".join(["| | |", "|---|---|", *rows])


def _retrieval(records: list[dict[str, Any]]) -> str:
    """A table of lengths by numbers of needles."""
    if not records:
        return NOT_MEASURED
    cells = {(r["length"], r["needles"]): f"{r['right']}/{r['total']}" for r in records}
    lengths, needles = (sorted({key[i] for key in cells}) for i in range(2))
    head = ["tokens", *(f"one of {n}" if n > 1 else "one" for n in needles)]
    rows = [
        [f"{length:,}", *(cells.get((length, n), NOT_MEASURED) for n in needles)]
        for length in lengths
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])
