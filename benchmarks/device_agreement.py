"""Whether two machines give the same answers: needle prompts here against those of a saved run.

    python benchmarks/device_agreement.py demo --haystack 'files:books/*.txt' --save gpu.pt
    python benchmarks/device_agreement.py demo --haystack 'files:books/*.txt' --compare gpu.pt

The first is run on one machine, the second on the other; the haystack must be the same text.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from tqdm import tqdm

import yoco
from tasks.grids import NeedleDocs
from tasks.lengths import parse_depths, parse_lengths
from tasks.needle_settings import NeedleSettings
from tasks.plans import Plan, render
from tasks.tokenizers import load_tokenizer
from yoco.loading import resolve_path


def answers(options: argparse.Namespace) -> dict[str, object]:
    """Logits (P, V) behind P prompts, their greedy answers, and what makes them comparable."""
    path = resolve_path(options.pretrained)
    tokenizer = load_tokenizer(str(path))
    model = yoco.load(path, dtype=options.dtype)
    settings = NeedleSettings(
        lengths=parse_lengths(options.lengths),
        depths=parse_depths(options.depths),
        trials=options.trials,
        haystack=options.haystack,
    )
    logits, texts, prompts = [], [], []
    for doc in tqdm(NeedleDocs(settings, tokenizer), mininterval=5):
        tokens = torch.tensor(tokenizer.encode(render(Plan.from_dict(doc["plan"]))))
        context = yoco.new_context(model, len(tokens) + settings.generation_tokens)
        last = yoco.prefill_last(model, context, tokens, chunk_size=options.chunk_size)
        logits.append(yoco.logits_at(model, [last])[0].cpu())
        ids = yoco.generate(
            model,
            [last],
            max_new_tokens=[settings.generation_tokens],
            sampling=[yoco.Sampling()],
            is_finished=lambda _, ids: ids[-1] == tokenizer.eos_token_id,
        )[0]
        texts.append(tokenizer.decode(ids))
        prompts.append(doc["prompt_sha256"])
    device = torch.cuda.get_device_name() if model.device.type == "cuda" else "CPU"
    return {
        "machine": f"{device}, {model.dtype}, torch {torch.__version__}, {model.kernels.names}",
        "prompts": prompts,
        "logits": torch.stack(logits),
        "texts": texts,
    }


def compare(here: dict[str, object], there: dict[str, object]) -> None:
    """Prints how far the two are apart."""
    if here["prompts"] != there["prompts"]:
        raise SystemExit("the prompts differ: give both runs the same settings and haystack")
    a, b = here["logits"], there["logits"]
    assert isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)
    same = sum(x == y for x, y in zip(here["texts"], there["texts"], strict=True))  # pyright: ignore
    print(f"here   {here['machine']}\nthere  {there['machine']}")
    print(f"{same} of {len(a)} answers are the same text")
    print(
        f"logits: largest difference {(a - b).abs().max():.3g}, root mean square "
        f"{(a - b).square().mean().sqrt():.3g}, of logits up to {a.abs().max():.3g}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pretrained")
    parser.add_argument("--haystack", default="stdlib")
    parser.add_argument("--lengths", default="4K,8K,16K,32K,64K")
    parser.add_argument("--depths", default="10")
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--chunk-size", type=int, default=2048)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--save", type=Path)
    what.add_argument("--compare", type=Path)
    options = parser.parse_args()
    here = answers(options)
    if options.save:
        torch.save(here, options.save)
        print(here["machine"])
    else:
        compare(here, torch.load(options.compare, weights_only=True))


if __name__ == "__main__":
    main()
