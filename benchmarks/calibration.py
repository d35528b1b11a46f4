"""Are the paired statistics right: false positives, coverage and power over simulated comparisons.

    python benchmarks/calibration.py --comparisons 1000 --documents 100 500

Each comparison draws documents of unlike difficulty from one population and two models' results on
them, independently. Where the models are equal in skill, a test at 5% should find a difference in
at most 5% of comparisons, and a 95% interval should hold the true difference in 95%. With a planted
difference the same tests show their power, beside that of a test that does not pair documents.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from heatmaps.comparison.document_scores import DocumentScores
from heatmaps.comparison.paired_statistics import holm, paired_difference

# Of document difficulty, in logits: models of one kind fail on the same documents.
SPREAD = 2.0
# Draws that stand for the whole population when its true difference is worked out.
POPULATION = 1_000_000

Results = tuple[DocumentScores, DocumentScores]


@dataclass(frozen=True)
class Calibration:
    """Fractions of the simulated comparisons.

    Attributes:
        rejected: p < 0.05.
        excluding_zero: the 95% interval does not hold 0.
        covering: it holds the true difference.
        unpaired: a z-test that takes the two models' documents for different ones finds p < 0.05.
    """

    rejected: float
    excluding_zero: float
    covering: float
    unpaired: float


def right_or_wrong(rng: np.random.Generator, num_documents: int, gain: float) -> Results:
    """Accuracies; the second model is `gain` logits better on every document."""
    skill = rng.normal(0.5, SPREAD, num_documents)
    chances = [1 / (1 + np.exp(-(skill + shift))) for shift in (0.0, gain)]
    first, second = (rng.random(num_documents) < chance for chance in chances)
    return _scores(first), _scores(second)


def fractions(rng: np.random.Generator, num_documents: int, gain: float) -> Results:
    """Four needles asked for at once: each document's score is the fraction that was found."""
    skill = rng.normal(0.5, SPREAD, num_documents)
    chances = [1 / (1 + np.exp(-(skill + shift))) for shift in (0.0, gain)]
    first, second = (rng.binomial(4, chance) / 4 for chance in chances)
    return _scores(first), _scores(second)


def bits_per_byte(rng: np.random.Generator, num_documents: int, gain: float) -> Results:
    """Log-likelihoods and bytes, as lm-eval logs them, of documents of very unlike lengths."""
    num_bytes = np.ceil(rng.lognormal(8, 1, num_documents))
    level = rng.normal(1.0, 0.25, num_documents)
    noise = rng.normal(0, 0.05, (2, num_documents))
    first, second = (
        DocumentScores(
            values=-np.log(2) * num_bytes * (level - shift + own),
            weights=num_bytes,
            aggregation="-mean/ln(2)",
            higher_is_better=False,
        )
        for shift, own in zip((0.0, gain), noise, strict=True)
    )
    return first, second


# What is simulated, and the gain that is planted: what 500 documents find in most comparisons.
KINDS: dict[str, tuple[Callable[[np.random.Generator, int, float], Results], float]] = {
    "accuracy": (right_or_wrong, 0.5),
    "fraction": (fractions, 0.25),
    "bits per byte": (bits_per_byte, 0.01),
}


def _scores(values: np.ndarray) -> DocumentScores:
    return DocumentScores(
        values=values.astype(np.float64),
        weights=np.ones(len(values)),
        aggregation="mean",
        higher_is_better=True,
    )


def calibrate(
    kind: str, *, num_documents: int, planted: bool, comparisons: int, resamples: int, seed: int
) -> Calibration:
    """Simulates comparisons of one kind and counts what the statistics say of them."""
    simulate, gain = KINDS[kind]
    gain = gain if planted else 0.0
    first, second = simulate(np.random.default_rng([seed, 1]), POPULATION, gain)
    true_difference = second.score - first.score if planted else 0.0
    counts = np.zeros(4)
    for number in range(comparisons):
        rng = np.random.default_rng([seed, 2, number])
        first, second = simulate(rng, num_documents, gain)
        found = paired_difference(first, second, rng=rng, resamples=resamples)
        error = np.hypot(first.standard_error, second.standard_error)
        counts += (
            found.p_value < 0.05,
            not found.low <= 0 <= found.high,
            found.low <= true_difference <= found.high,
            abs(found.difference) > 1.96 * error,
        )
    return Calibration(*(counts / comparisons))


def familywise_errors(*, tasks: int, num_documents: int, comparisons: int, seed: int) -> float:
    """How often equal models differ on at least one of several tasks after Holm's correction."""
    errors = 0
    for number in range(comparisons):
        rng = np.random.default_rng([seed, 3, number])
        p_values = [
            paired_difference(
                *right_or_wrong(rng, num_documents, 0.0), rng=rng, resamples=100
            ).p_value
            for _ in range(tasks)
        ]
        errors += min(holm(p_values)) < 0.05
    return errors / comparisons


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comparisons", type=int, default=1000)
    parser.add_argument("--documents", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    print(
        f"{options.comparisons:,} comparisons a row, {options.resamples:,} resamples, "
        f"seed {options.seed}; % of comparisons\n"
    )
    print("| metric | documents | models | p < 0.05 | interval without 0 | covers | unpaired |")
    print("|---|--:|---|--:|--:|--:|--:|")
    for kind in KINDS:
        for planted in (False, True):
            for num_documents in options.documents:
                rates = calibrate(
                    kind,
                    num_documents=num_documents,
                    planted=planted,
                    comparisons=options.comparisons,
                    resamples=options.resamples,
                    seed=options.seed,
                )
                cells = (
                    rates.rejected,
                    rates.excluding_zero,
                    rates.covering,
                    rates.unpaired,
                )
                print(
                    f"| {kind} | {num_documents:,} | {'planted' if planted else 'equal'} | "
                    + " | ".join(f"{100 * cell:.1f}" for cell in cells)
                    + " |",
                    flush=True,
                )
    errors = familywise_errors(
        tasks=8, num_documents=200, comparisons=options.comparisons, seed=options.seed
    )
    print(f"\nEight tasks of equal models, Holm: {100 * errors:.1f}% with any p < 0.05")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
