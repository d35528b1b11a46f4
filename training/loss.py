"""The loss of a batch, through the package's own model: the path that is differentiated.

Legend: N packed tokens, R rows, E model width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.samples import TEXT, Batch
from yoco import YOCO
from yoco.devices import send
from yoco.kernels import Kernels
from yoco.layers import Suffixes


@dataclass(frozen=True)
class Outcome:
    """What a model makes of a batch; scalars on its device.

    Attributes:
        answer_loss, text_loss: mean negative log-likelihood, in nats, of the answers' tokens and
            of ordinary text.
        exact: (A,) 1 where every token of the answer is the most probable one, else 0: where
            greedy decoding says it.
    """

    answer_loss: Tensor
    text_loss: Tensor
    exact: Tensor


def suffix_logits(
    model: YOCO, tokens: Tensor, lengths: list[int], row_lengths: list[int], kernels: Kernels
) -> Tensor:
    """Logits (R, V) float32 of the last rows of packed sequences, with a gradient.

    Args:
        tokens: (N,) int64, on the model's device.
        lengths: tokens of each sequence.
        row_lengths: rows wanted of each, at least 1.
    """
    hidden, k, v = model.read(tokens, [0] * len(lengths), lengths, None, kernels)
    sizes = list(zip(accumulate(lengths), lengths, row_lengths, strict=True))
    rows = np.concatenate([np.arange(stop - wanted, stop) for stop, _, wanted in sizes])
    positions = np.concatenate([np.arange(length - wanted, length) for _, length, wanted in sizes])
    table = model.row_table(send(torch.from_numpy(positions), tokens.device))
    suffixes = Suffixes(k, v, row_lengths, lengths, table)
    x = hidden.index_select(0, send(torch.from_numpy(rows), tokens.device))  # (R, E)
    return model.head(model.answer(x, suffixes, kernels))


def outcome(model: YOCO, batch: Batch, kernels: Kernels) -> Outcome:
    """The losses of a batch and which answers are right."""
    device = model.device
    tokens, targets, marks = (
        send(torch.from_numpy(values.astype(np.int64)), device)
        for values in (batch.tokens, batch.targets, batch.marks)
    )
    logits = suffix_logits(model, tokens, batch.lengths, batch.row_lengths, kernels)
    losses = F.cross_entropy(logits, targets, reduction="none")  # (R,)
    of_answer, of_text = (marks >= 0).float(), (marks == TEXT).float()
    wrong = of_answer * (logits.argmax(dim=1) != targets)
    num_wrong = wrong.new_zeros(batch.num_answers + 1)
    # what belongs to no answer is counted in a last place that is dropped
    num_wrong.index_add_(0, marks.where(marks >= 0, batch.num_answers), wrong)
    return Outcome(
        answer_loss=(losses * of_answer).sum() / of_answer.sum().clamp(min=1),
        text_loss=(losses * of_text).sum() / of_text.sum().clamp(min=1),
        exact=(num_wrong[:-1] == 0).float(),
    )


def initialise(model: YOCO, seed: int) -> None:
    """Random weights that training starts from.

    Embeddings are such that the stream begins with variance 1; what is added to it is small.
    """
    generator = torch.Generator().manual_seed(seed)
    config = model.config
    num_additions = 2 * (config.n_self_layers + config.n_cross_layers)
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding):
            std = config.dim**-0.5
        elif isinstance(module, nn.Linear):
            std = module.in_features**-0.5
            if name.endswith(("out_proj", "fc2")):
                std *= num_additions**-0.5
            elif name == "output_projection":
                std *= 0.25
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        else:
            continue
        values = torch.randn(module.weight.shape, generator=generator) * std
        module.weight.data.copy_(values)
