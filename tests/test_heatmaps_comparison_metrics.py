"""Which metric is compared, and what is passed over with its reason."""

from __future__ import annotations

from math import exp, log

import pytest

from heatmaps.comparison.metrics import PAPER_METRICS, choose_metric


def test_the_papers_tasks_take_the_papers_metric():
    logged = {"acc": [0, 1], "acc_norm": [1, 1]}
    reported, higher = {"acc": 0.5, "acc_norm": 1.0}, {"acc": True, "acc_norm": True}
    for task, metric in PAPER_METRICS.items():
        assert choose_metric(task, logged, reported, higher)[0] == metric
    assert choose_metric("hellaswag", logged, reported, higher)[1].score == 1.0


def test_elsewhere_favoured_ones_come_before_the_tasks_own_order():
    logged = {"perplexity": [-1.0, -2.0], "acc": [True, False]}
    reported = {"perplexity": exp(1.5), "acc": 0.5}
    higher = {"perplexity": False, "acc": True}
    assert choose_metric("lambada_openai", logged, reported, higher)[0] == "acc"
    del logged["acc"]
    name, scores = choose_metric("lambada_openai", logged, reported, higher)
    assert (name, scores.aggregation, scores.higher_is_better) == (
        "perplexity",
        "exp(-mean)",
        False,
    )


def test_sums_with_weights_add_up_to_what_was_reported():
    logged = {
        "nats_by_position": [[[64, 100.0], [64, 90.0]], [[64, 95.0]]],
        "bits_per_byte": [[-70.0, 100], [-30.0, 60]],
    }
    reported = {"nats_by_position": 1.4, "bits_per_byte": 100 / 160 / log(2)}
    name, scores = choose_metric(
        "yoco_nll", logged, reported, {"nats_by_position": False, "bits_per_byte": False}
    )
    assert (name, scores.aggregation) == ("bits_per_byte", "-mean/ln(2)")
    # The same name with bits for a numerator is a plain weighted mean.
    logged["bits_per_byte"] = [[70.0, 100], [30.0, 60]]
    reported["bits_per_byte"] = 100 / 160
    scores = choose_metric("yoco_nll", logged, reported, {"bits_per_byte": False})[1]
    assert (scores.aggregation, scores.score) == ("mean", 0.625)


def test_a_score_over_the_whole_set_is_passed_over():
    # Pairs of (gold, predicted), of which lm-eval makes one F1: no sum with its weight.
    logged = {"f1": [[1, 1], [1, 1], [0, 1], [1, 0]], "acc_norm": [1, 1, 0, 0]}
    reported = {"f1": 0.75, "acc_norm": 0.5}
    higher = {"f1": True, "acc_norm": True}
    assert choose_metric("mrpc", logged, reported, higher)[0] == "acc_norm"
    logged["f1"] = [[1, 1], [1, 1], [0, 1], [1, 1]]
    del logged["acc_norm"]
    with pytest.raises(ValueError, match=r"f1: its mean over the samples is 0\.75, but the result"):
        choose_metric("mrpc", logged, {"f1": 0.857}, higher)


@pytest.mark.parametrize(
    ("logged", "reported", "message"),
    [
        (
            {"acc": [1, 0]},
            {"acc": 0.6},
            r"acc: its mean over the samples is 0\.5, but .* says 0\.6",
        ),
        ({"bypass": [None]}, {"bypass": 999.0}, "bypass: not measured: no document has a score"),
        ({"acc": [float("nan")]}, {"acc": 0.5}, "acc: not measured: no document has a sc"),
        ({"bleu": [["a", "b"]]}, {"bleu": 12.0}, r"logged as \['a', 'b'\]"),
        ({"brier": [0.1]}, {}, "its meaning is not known"),
        ({"brier": [0.1]}, {"brier": 0.1}, "does not say whether higher is better"),
        ({}, {}, r"\(none logged\); run again with --log_samples"),
    ],
)
def test_what_cannot_be_compared_says_why(logged, reported, message):
    with pytest.raises(ValueError, match=message):
        choose_metric("task", logged, reported, {})


@pytest.mark.parametrize("worst", [[-8000.0, 10], [-800.0, 1]])
def test_a_score_beyond_any_number_is_passed_over(worst):
    """Of the whole set or of one document, of which a resample may hold nothing but copies."""
    logged = {"word_perplexity": [[-20.0, 40], worst], "bits_per_byte": [[-20.0, 160], worst]}
    words, nats = 40 + worst[1], 20 - worst[0]
    reported = {
        "word_perplexity": float("inf") if nats / words > 709 else exp(nats / words),
        "bits_per_byte": nats / (160 + worst[1]) / log(2),
    }
    higher = dict.fromkeys(logged, False)
    assert choose_metric("wikitext", logged, reported, higher)[0] == "bits_per_byte"
    del logged["bits_per_byte"]
    with pytest.raises(ValueError, match="word_perplexity: of a document alone it is beyond any"):
        choose_metric("wikitext", logged, reported, higher)


def test_a_paper_task_without_its_metric_is_no_other_metric():
    with pytest.raises(ValueError, match=r"hellaswag: .*acc_norm: not among the metrics .*\(acc\)"):
        choose_metric("hellaswag", {"acc": [1]}, {"acc": 1.0}, {"acc": True})


def test_without_a_results_file_plain_fractions_are_known():
    name, scores = choose_metric("task", {"acc": [True, False, True, True]}, {}, {})
    assert (name, scores.score, scores.is_binary) == ("acc", 0.75, True)
