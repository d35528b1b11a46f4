"""State dicts in torch's zip format, as `torch.save` writes them: nothing but tensors is made."""

from __future__ import annotations

import pickle
import pickletools
import struct
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from yoco.quoting import first_line, quoted, short_name

# What `torch.load`, `zipfile` and `pickletools` raise for damaged bytes.
FAULTS = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError),
    *(RuntimeError, TypeError, ValueError),
    *(pickle.UnpicklingError, struct.error, zipfile.BadZipFile),
)
# Of 10,000 tensors; every byte of it may be an instruction.
MAX_PICKLE_BYTES = 2 * 2**20
DICT = "collections OrderedDict"
SAVE_ANEW = "save it anew with torch.save(model.state_dict(), ...)"


def open_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU and memory-mapped: bytes are read when they are used.

    Raises:
        ValueError: the file is damaged, or holds something else than a dict of tensors.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(f"not a state dict in torch's zip format, or cut short: {SAVE_ANEW}")
    try:
        _refuse_other_than_tensors(path)
        values = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except _OtherThanTensors as error:
        raise ValueError(f"{error}: {SAVE_ANEW}") from error
    except FAULTS as error:
        reason = first_line(error)
        if isinstance(error, pickle.UnpicklingError) or "weights_only" in reason:
            # torch goes on to say how to run whatever the file holds
            reason = "its pickle is damaged, or holds something else than tensors"
        raise ValueError(f"cannot be read as a state dict, {reason}: {SAVE_ANEW}") from error
    if not isinstance(values, dict):
        raise ValueError(f"holds a {type(values).__name__}: it must be a bare state dict")
    for name, value in values.items():
        fault = _fault(name, value)
        if fault:
            raise ValueError(
                f"holds {fault} under {quoted(name)}: it must be a bare state dict, names and dense"
                " tensors"
            )
    return {name: value.detach() for name, value in values.items()}


class _OtherThanTensors(Exception):
    pass


def _refuse_other_than_tensors(path: Path) -> None:
    """Passes if the pickle names nothing but tensors, which `torch.load` would find out too late.

    It knows `bytearray` and more, which a few bytes can ask to be of any size.
    """
    with zipfile.ZipFile(path) as archive:
        pickles = [info for info in archive.infolist() if info.filename.endswith("data.pkl")]
        for info in pickles:
            if info.compress_type != zipfile.ZIP_STORED:
                raise _OtherThanTensors("holds a compressed pickle")
            if info.file_size > MAX_PICKLE_BYTES:
                raise _OtherThanTensors(
                    f"holds a pickle of {info.file_size:,} bytes, at most {MAX_PICKLE_BYTES:,} are"
                    " read"
                )
            for operation, argument, _ in pickletools.genops(archive.read(info)):
                # module and name, with a space between; what torch.load knows has no other form
                named = str(argument) if operation.name == "GLOBAL" else DICT
                if named != DICT and named.split(" ")[0].split(".")[0] != "torch":
                    name = short_name(named.replace(" ", "."))
                    raise _OtherThanTensors(f"holds {name}, which is no tensor")


def _fault(name: object, value: object) -> str:
    if not isinstance(name, str):
        return f"a {type(value).__name__}"
    if type(value) not in (Tensor, torch.nn.Parameter):
        return f"a {type(value).__name__}"
    assert isinstance(value, Tensor)
    if value.is_meta:
        return "a tensor without values (meta)"
    if value.is_quantized or value.is_nested or value.layout != torch.strided:
        return (
            "a quantized or nested tensor" if value.layout == torch.strided else "a sparse tensor"
        )
    if value.numel() * value.itemsize > value.untyped_storage().nbytes():
        return "a tensor of more elements than are stored"
    return ""
