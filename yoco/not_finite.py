"""Where a model's numbers stop being finite: the slow way, layer by layer.

Legend: T tokens, N tokens of one pass, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from yoco.cache import Context, first_not_finite
from yoco.chunk_size import ChunkSize
from yoco.model import YOCO
from yoco.prefill import LOGIT_ROWS, extend, finite_rows, logits_at, new_context
from yoco.rows import Rows


@dataclass(frozen=True)
class Origin:
    """The first thing that is not finite while a prompt is read.

    Attributes:
        position: of the token, counted from 0.
        part: of the model: "self-decoder layer 2".
        parameter: a weight of the model that is not finite itself, by its name; or None.
    """

    position: int
    part: str
    parameter: str | None = None


def packs_spoil_each_other(model: YOCO) -> bool:
    """Whether what is not finite in one packed sequence may show in the others.

    Attention runs sequence by sequence; the scan over the memories of retention multiplies those
    of other sequences by zero, which a NaN survives.
    """
    is_retention = model.config.sliding_window is None
    return is_retention and model.kernels.names["retention"] not in ("reference", "chunked")


@torch.inference_mode()
def find_origin(
    model: YOCO, tokens: Tensor, *, first_row: int, chunk_size: int | ChunkSize
) -> Origin | None:
    """Reads a prompt once more and looks at the numbers after every layer.

    Masked attention multiplies what a row may not see by zero, which a NaN survives, so within a
    chunk it also shows before the token that it comes from: such a chunk is read in halves.

    Args:
        tokens: (T,) int64.
        first_row: position of the first row whose logits were formed.
        chunk_size: as the prompt was read.

    Returns:
        Where it begins; None if this time all is finite.
    """
    context = new_context(model, len(tokens))
    for begin in range(0, len(tokens), ChunkSize.of(chunk_size).tokens):
        chunk = tokens[begin : begin + ChunkSize.of(chunk_size).tokens].to(model.device)
        found = _read(model, context, chunk, first_row)
        if found is not None:
            name = next((name for name, p in model.named_parameters() if not _is_finite(p)), None)
            return Origin(*found, parameter=name)
    return None


def _read(model: YOCO, context: Context, tokens: Tensor, first_row: int) -> tuple[int, str] | None:
    """Reads tokens into the context; or says where of all of them it begins."""
    start, state = context.length, context.state.fork(len(tokens))
    with _watched(model) as bad_parts:
        hidden = extend(model, [context], [tokens])
        is_bad = bool(bad_parts) or first_not_finite([context])[0] is not None
    if not is_bad:
        return _first_bad_row(model, context, hidden, start, first_row)
    if len(tokens) == 1:
        return start, bad_parts[0] if bad_parts else "the shared K and V"
    context.cache.rewind(context.cache.length - len(tokens))
    context.state, context.length = state, start
    for half in tokens.tensor_split(2):
        found = _read(model, context, half, first_row)
        if found is not None:
            return found
    return None


def _first_bad_row(
    model: YOCO, context: Context, hidden: Tensor, start: int, first_row: int
) -> tuple[int, str] | None:
    """The first of the rows from `first_row` on whose logits are not finite, and the part."""
    rows = range(max(start, first_row), start + len(hidden))
    for begin in range(rows.start, rows.stop, LOGIT_ROWS):
        positions = range(begin, min(begin + LOGIT_ROWS, rows.stop))
        wanted = Rows(context, hidden[positions.start - start :][: len(positions)], positions)
        is_finite = finite_rows(logits_at(model, [wanted])).tolist()
        if not all(is_finite):
            row = is_finite.index(False)
            one = Rows(context, wanted.hidden[row : row + 1], positions[row : row + 1])
            with _watched(model) as bad_parts:
                logits_at(model, [one])
            return positions[row], bad_parts[0] if bad_parts else "the output head"
    return None


@contextmanager
def _watched(model: YOCO) -> Iterator[list[str]]:
    """Within it, the names of parts whose output was not finite are added to the list."""
    bad_parts: list[str] = []
    parts: list[tuple[nn.Module, str]] = [
        *_numbered(model.self_decoder.layers, "self-decoder"),
        *_numbered(model.cross_decoder.layers, "cross-decoder"),
        (model.layer_norm, "the last norm"),
    ]

    def watch(part: nn.Module, name: str) -> torch.utils.hooks.RemovableHandle:
        def look(_: nn.Module, __: object, output: Tensor) -> None:
            if not _is_finite(output):
                bad_parts.append(name)

        return part.register_forward_hook(look)

    def look_at_input(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if not _is_finite(inputs[0]):
            bad_parts.append("the token embeddings")

    handles = [watch(part, name) for part, name in parts]
    # the embeddings are scaled on their way
    handles.append(model.self_decoder.layers[0].register_forward_pre_hook(look_at_input))
    try:
        yield bad_parts
    finally:
        for handle in handles:
            handle.remove()


def _numbered(layers: nn.ModuleList, name: str) -> Sequence[tuple[nn.Module, str]]:
    return [(layer, f"{name} layer {number}") for number, layer in enumerate(layers)]


def _is_finite(tensor: Tensor) -> bool:
    return bool(tensor.isfinite().all())
