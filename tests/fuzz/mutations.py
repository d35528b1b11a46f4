"""Damaged and hostile variants of a folder of files, the same for the same random generator.

Each variant differs from the original in one file. What is done to it depends on what it holds:
bytes can be cut, flipped and exchanged, JSON gets values that no reader expects, pickles get
payloads, and any file can turn into something that is no file.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

# what a payload that was run leaves behind, in the variant's own folder
CANARY = "CODE-WAS-RUN"

# no JSON value stands for these: they are put in as text
_RAW = {
    "nested 100,000 deep": "[" * 100_000 + "]" * 100_000,
    "an object nested 100,000 deep": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "a number of 400 digits": "9" * 400,
    "a number of 5,000 digits": "9" * 5_000,
    "1e999": "1e999",
    "NaN": "NaN",
    "minus infinity": "-Infinity",
}
_VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "an empty text": "",
    "an empty list": [],
    "an empty object": {},
    "a list of lists": [[[]]],
    "zero": 0,
    "minus one": -1,
    "a fraction": 0.5,
    "10^9": 10**9,
    "2^63": 2**63,
    "a text of control characters": "a\x1b[31m\x07\u202eb\nc",
    "a text of 10,000 characters": "n" * 10_000,
    "a lone surrogate": "\ud800",
    "a formula": '=HYPERLINK("x")',
    "markup": "<script>alert(1)</script> $x_1$ | `y`",
}
_MARK = "@@raw@@"
_PICKLES = (
    *("a payload", "a bare payload", "10^12 bytes", "meta", "sparse", "CSR", "integers", "NaN"),
    *("nested", "other names", "a zip bomb", "a pickle cut short", "a list"),
)
_HEADERS = (
    *("a header of 2^60 bytes", "a header of no bytes", "overlapping", "negative"),
    *("a huge shape", "an unknown dtype", "integers", "other names", "NaN", "nested 100,000 deep"),
)


def mutate(folder: Path, rng: random.Random, *, values_only: bool = False) -> str:
    """Changes one file of the folder; what was done, in words.

    Args:
        values_only: the files are JSON, and stay that.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = rng.choice(files)
    kinds: list[Callable[[Path, random.Random], str]] = []
    if not values_only:
        kinds += [_no_file, _damaged]
    if path.suffix in (".json", ".jsonl"):
        kinds += [_other_value] * 4
    if path.suffix == ".pth":
        kinds += [_other_pickle] * 2
    if path.suffix == ".safetensors":
        kinds += [_other_header] * 2
    if path.name == "tokenizer_config.json":
        kinds += [_code_beside]
    done = rng.choice(kinds)(path, rng)
    return f"{path.name}: {done}"


def _no_file(path: Path, rng: random.Random) -> str:
    """Something else stands where the file was."""
    kind = rng.choice(
        ["removed", "a folder", "a FIFO", "a link to itself", "/dev/zero", "/dev/urandom"]
    )
    path.unlink()
    match kind:
        case "a folder":
            path.mkdir()
        case "a FIFO":
            os.mkfifo(path)
        case "a link to itself":
            path.symlink_to(path.name)
        case "/dev/zero" | "/dev/urandom":
            path.symlink_to(kind)
    return kind


def _damaged(path: Path, rng: random.Random) -> str:
    """The same file with some of its bytes changed."""
    content = bytearray(path.read_bytes())
    place = rng.randrange(len(content)) if content else 0
    kind = rng.choice(
        ["emptied", "cut short", "bits flipped", "zeros", "noise within", "noise", "as UTF-16"]
    )
    match kind:
        case "emptied":
            content = bytearray()
        case "cut short":
            del content[place:]
        case "bits flipped":
            for _ in range(rng.choice([1, 8, 64])):
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        case "zeros":
            length = min(64, len(content) - place)
            content[place : place + length] = bytes(length)
        case "noise within":
            content[place:place] = rng.randbytes(64)
        case "noise":
            content = bytearray(rng.randbytes(len(content) or 64))
        case "as UTF-16":
            content = bytearray(content.decode("latin-1").encode("utf-16"))
    path.write_bytes(content)
    return kind


def _other_value(path: Path, rng: random.Random) -> str:
    """A value of the JSON, any of them, replaced, left out or renamed."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else None
    number = rng.randrange(len(lines)) if lines else 0
    root = [json.loads(lines[number] if lines else path.read_text(encoding="utf-8"))]
    places = list(_places(root))
    holder, key = rng.choice(places[: rng.choice([20, len(places)])])
    kind = rng.choice([*_RAW, *_VALUES, "left out", "renamed"])
    if kind == "left out":
        del holder[key]
    elif kind == "renamed" and isinstance(holder, dict):
        holder[f"{key}s"] = holder.pop(key)
    else:
        holder[key] = _MARK if kind in _RAW else _VALUES.get(kind)
    text = json.dumps(root[0] if root else None)
    text = text.replace(json.dumps(_MARK), _RAW.get(kind, ""))
    if lines:
        lines[number] = text
        text = "\n".join(lines) + "\n"
    path.write_text(text, encoding="utf-8")
    return f"{kind} for {key!r}"


def _places(holder: Any) -> Any:
    keys = list(holder) if isinstance(holder, dict) else range(len(holder))
    for key in keys:
        yield holder, key
        if isinstance(holder[key], dict | list):
            yield from _places(holder[key])


class _Payload:
    """Makes a pickle that leaves the canary when it is loaded as Python's pickle would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder / CANARY),)


class _Huge:
    def __reduce__(self) -> Any:
        return bytearray, (10**12,)


def _other_pickle(path: Path, rng: random.Random) -> str:
    """A torch file of something else, or with one tensor that is none."""
    kind = rng.choice(_PICKLES)
    if kind == "a zip bomb":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/data.pkl", bytes(1 << 28))
        return kind
    if kind == "a bare payload":
        path.write_bytes(pickle.dumps(_Payload(path.parent)))
        return kind
    tensors = torch.load(path, weights_only=True)
    name = rng.choice(sorted(tensors))
    tensor = tensors[name]
    replacement: dict[str, Callable[[], Any]] = {
        "a payload": lambda: _Payload(path.parent),
        "10^12 bytes": _Huge,
        "meta": lambda: tensor.to("meta"),
        "sparse": tensor.to_sparse,
        "CSR": lambda: tensor.reshape(1, -1).to_sparse_csr(),
        "integers": tensor.int,
        "NaN": lambda: tensor * float("nan"),
        "nested": lambda: {"weight": tensor},
    }
    if kind in replacement:
        tensors[name] = replacement[kind]()
    elif kind == "other names":
        tensors["\x1b[2J" + "n" * 10_000] = tensors.pop(name)
    elif kind == "a list":
        tensors = list(tensors.values())
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    content = buffer.getvalue()
    path.write_bytes(content[: len(content) // 2] if kind == "a pickle cut short" else content)
    return kind


def _other_header(path: Path, rng: random.Random) -> str:
    """A safetensors file whose header says something else than the file holds."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    name = rng.choice([name for name in header if name != "__metadata__"])
    kind = rng.choice(_HEADERS)
    match kind:
        case "a header of 2^60 bytes":
            path.write_bytes((1 << 60).to_bytes(8, "little") + content[8:])
            return kind
        case "a header of no bytes":
            path.write_bytes(bytes(8) + content[8:])
            return kind
        case "overlapping":
            header[name]["data_offsets"] = [0, len(data)]
        case "negative":
            header[name]["data_offsets"] = [-8, 8]
        case "a huge shape":
            header[name]["shape"] = [1 << 40, 1 << 40]
        case "an unknown dtype":
            header[name]["dtype"] = "F3"
        case "integers":
            header[name]["dtype"] = "I32"
        case "other names":
            header["\x1b[2J" + "n" * 10_000] = header.pop(name)
        case "NaN":
            begin, end = header[name]["data_offsets"]
            data = data[:begin] + b"\xff" * (end - begin) + data[end:]
        case _:
            header[name] = _MARK
    text = json.dumps(header).replace(json.dumps(_MARK), _RAW["nested 100,000 deep"]).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return kind


def _code_beside(path: Path, rng: random.Random) -> str:
    """A class of the folder's own, which only runs for somebody who trusts it."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config |= {"tokenizer_class": "T", "auto_map": {"AutoTokenizer": ["tok.T", "tok.T"]}}
    path.write_text(json.dumps(config), encoding="utf-8")
    code = f"import os\nos.mkdir({str(path.parent / CANARY)!r})\nclass T: pass\n"
    (path.parent / "tok.py").write_text(code, encoding="utf-8")
    if rng.random() < 0.5 and (path.parent / "config.json").is_file():
        other = json.loads((path.parent / "config.json").read_text(encoding="utf-8"))
        other["auto_map"] = config["auto_map"]
        (path.parent / "config.json").write_text(json.dumps(other), encoding="utf-8")
    return "code of its own"


def copy_of(original: Path, folder: Path) -> None:
    """A fresh copy of the original files."""
    shutil.copytree(original, folder)
