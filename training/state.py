"""What a run leaves on disk: its state, its log, checkpoints of the model."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from training.tokenizer import TOKENIZER_FILES
from yoco import YOCO
from yoco.checkpoints import write_checkpoint
from yoco.loading import load

STATE_FILE = "state.pt"
LOG_FILE = "log.jsonl"


@dataclass
class Clock:
    """How far a run is: steps done, the tokens read and the seconds taken for them."""

    step: int = 0
    tokens: int = 0
    elapsed_s: float = 0.0


def save_state(
    folder: Path,
    identity: dict[str, Any],
    clock: Clock,
    model: YOCO,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Writes all that the run goes on from; the file is replaced whole."""
    state = {
        "identity": json.dumps(identity),
        "clock": asdict(clock),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{STATE_FILE}"
    torch.save(state, unfinished)
    os.replace(unfinished, folder / STATE_FILE)


def load_state(
    folder: Path, identity: dict[str, Any], model: YOCO, optimizer: torch.optim.Optimizer
) -> Clock:
    """Sets model and optimizer to the state of a run; its budget may be another now.

    Raises:
        ValueError: the run has another recipe or corpus.
    """
    state = torch.load(folder / STATE_FILE, map_location=model.device, weights_only=True)
    asked = json.loads(json.dumps(identity))
    begun = {**json.loads(state["identity"]), "budget": asked["budget"]}
    if differing := [key for key, value in begun.items() if value != asked.get(key)]:
        raise ValueError(
            f"{folder} holds another run (it differs in {', '.join(differing)}): "
            "choose another folder"
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return Clock(**state["clock"])


def weights_sha256(checkpoint: Path) -> str:
    """Hex SHA-256 of a checkpoint's weights.

    Raises:
        FileNotFoundError: the folder holds none.
    """
    return hashlib.sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()


def copy_weights(checkpoint: Path, model: YOCO) -> None:
    """Sets the model's weights to those of a checkpoint that `export` wrote.

    Raises:
        ValueError: it is of a model of another shape.
    """
    source = load(checkpoint, device="cpu", dtype=torch.float32)
    if source.config != model.config:
        raise ValueError(f"{checkpoint} is of another model: begin with one of the same shape")
    model.load_state_dict(source.state_dict())


def append_log(folder: Path, record: dict[str, Any]) -> None:
    """Adds a record to the log."""
    with open(folder / LOG_FILE, "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def read_log(folder: Path) -> list[dict[str, Any]]:
    """All records of the log."""
    path = folder / LOG_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def rewind_log(folder: Path, step: int) -> None:
    """Drops the records after a step: the run goes on from there."""
    kept = [record for record in read_log(folder) if record["step"] <= step]
    unfinished = folder / f".{LOG_FILE}"
    text = "".join(json.dumps(record) + "\n" for record in kept)
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, folder / LOG_FILE)


def export(folder: Path, model: YOCO, tokenizer_folder: Path) -> int:
    """Writes weights in bfloat16, config and tokenizer; the folder is replaced whole.

    Returns:
        Its bytes.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as unfinished:
        written = Path(unfinished, "checkpoint")
        weights = {name: x.to(torch.bfloat16) for name, x in model.state_dict().items()}
        write_checkpoint(written, model.config, weights)
        for name in TOKENIZER_FILES:
            shutil.copyfile(tokenizer_folder / name, written / name)
        if folder.exists():
            os.rename(folder, Path(unfinished, "replaced"))
        os.rename(written, folder)
    return sum(path.stat().st_size for path in folder.iterdir())
