"""Whether logged generations are those of full recomputation, sample by sample.

    python benchmarks/full_recomputation.py samples_yoco_needle_TIME.jsonl --pretrained demo

Each prompt is decoded again for its token ids, whose text must be the logged one; then prompt and
ids are read as one sequence, without a cache that was filled before: by the model's own reference
forward up to --reference tokens, above that in one chunk with the cross-decoder by the reference op
(the reference self-decoder needs T x T scores). Greedy decoding with full recomputation gives these
ids if, and only if, each is the most probable one behind all before it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from lm_eval.models.utils import postprocess_generated_text

import yoco
from tasks import handles
from tasks.tokenizers import load_tokenizer
from yoco import YOCO, Rows
from yoco.kernels import TABLE, Kernels
from yoco.loading import resolve_path


def with_reference_rows(model: YOCO) -> Kernels:
    """The model's kernels, but the cross-decoder reads by the reference op."""
    names = {**model.kernels.names, "segment_attention": "reference"}
    return Kernels(**{name: TABLE[name][row][0] for name, row in names.items()}, names=names)


def rows_behind(model: YOCO, tokens: list[int], first: int, reference_tokens: int) -> torch.Tensor:
    """Logits (R, V) of the positions from `first` on, nothing reused."""
    sequence = torch.tensor(tokens, device=model.device)
    if len(tokens) <= reference_tokens:
        return model(sequence[None])[0, first:]
    context = yoco.new_context(model, len(tokens))
    hidden = yoco.extend(model, [context], [sequence])[first:].clone()
    fast, model.kernels = model.kernels, with_reference_rows(model)
    logits = yoco.logits_at(model, [Rows(context, hidden, range(first, len(tokens)))])
    model.kernels = fast
    return logits


def decoded(model: YOCO, prompt: list[int], max_new_tokens: int) -> list[int]:
    """The greedy continuation by the engine."""
    context = yoco.new_context(model, len(prompt) + max_new_tokens)
    last = yoco.prefill_last(model, context, torch.tensor(prompt), chunk_size=2048)
    return yoco.generate(
        model, [last], max_new_tokens=[max_new_tokens], sampling=[yoco.Sampling()]
    )[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("samples", type=Path, nargs="+")
    parser.add_argument("--pretrained", default="demo")
    parser.add_argument("--reference", type=int, default=4096, help="tokens of the T x T forward")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    path = resolve_path(options.pretrained)
    model, tokenizer = yoco.load(path, device=options.device), load_tokenizer(str(path))
    num_equal = num_samples = 0
    started = time.perf_counter()
    for samples in options.samples:
        for line in samples.read_text().splitlines():
            sample = json.loads(line)
            arguments = sample["arguments"]["gen_args_0"]
            prompt = tokenizer.encode(handles.expand(arguments["arg_0"]))
            stated = sample["doc"].get("prompt_tokens", len(prompt))
            assert len(prompt) == stated, f"{len(prompt)} tokens, stated {stated}"
            ids = decoded(model, prompt, arguments["arg_1"]["max_gen_toks"])
            with torch.inference_mode():
                logits = rows_behind(
                    model, [*prompt, *ids[:-1]], len(prompt) - 1, options.reference
                )
            num_samples += 1
            text = postprocess_generated_text(
                tokenizer.decode(ids), arguments["arg_1"]["until"], None
            )
            as_logged = text == sample["resps"][0][0]
            recomputed = logits.argmax(-1).tolist() == ids
            num_equal += as_logged and recomputed
            if not (as_logged and recomputed):
                lead = -logits.topk(2).values.diff().max().item()
                print(
                    f"doc {sample['doc_id']}: {as_logged=} {recomputed=}, smallest lead {lead:.1e}"
                )
    seconds = time.perf_counter() - started
    print(f"{num_equal} of {num_samples} texts are those of full recomputation, {seconds:.0f} s")


if __name__ == "__main__":
    main()
