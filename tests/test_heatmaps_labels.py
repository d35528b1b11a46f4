"""Labels say what is true, and do not touch each other."""

import numpy as np
import pytest

from heatmaps.labels import (
    depth_labels,
    difference_label,
    length_label,
    mean_label,
    percent_label,
    points_label,
    thinned,
)


@pytest.mark.parametrize(
    ("length", "label"),
    [
        (1, "1"),
        (1000, "1,000"),
        (1024, "1K"),
        (4096, "4K"),
        (131072, "128K"),
        (131073, "131,073"),
        (100_000, "100,000"),
        (1024 * 1000, "1000K"),
        (1024 * 1024, "1M"),
        (1024 * 1280, "1.25M"),
        (1024 * 1100, "1100K"),
        (10 * 1024 * 1024, "10M"),
        (1_000_000, "1,000,000"),
    ],
)
def test_length(length, label):
    assert length_label(length) == label


@pytest.mark.parametrize(
    ("depths", "labels"),
    [
        (np.linspace(0, 1, 11), ["0", "10", "20", "30", "40", "50", "60", "70", "80", "90", "100"]),
        ([0.0, 0.025, 1.0], ["0.0", "2.5", "100.0"]),
        ([0.5], ["50"]),
        ([0.333333], ["33.3"]),
        ([0.0012, 0.0014, 0.5], ["0.12", "0.14", "50.00"]),
        ([0.00001, 0.00002], ["0.001", "0.002"]),
    ],
)
def test_depths(depths, labels):
    assert depth_labels(depths) == labels


@pytest.mark.parametrize("count", [1, 2, 11, 35, 41, 101])
def test_depth_labels_are_unique_and_true(count):
    depths = np.linspace(0, 1, count).tolist()
    labels = depth_labels(depths)
    assert len(set(labels)) == count
    assert (
        max(abs(float(text) - 100 * depth) for text, depth in zip(labels, depths, strict=True))
        < 0.051
    )


def test_only_all_is_100_and_only_none_is_0():
    scores = [0, 0.001, 0.5, 0.333, 0.999, 1]
    assert [percent_label(score) for score in scores] == ["0", "1", "50", "33", "99", "100"]
    scores = [0, 0.0001, 0.5, 0.9999, 1]
    assert [mean_label(score) for score in scores] == ["0.0", "0.1", "50.0", "99.9", "100.0"]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 11, 35, 36, 37, 101])
@pytest.mark.parametrize("extent", [0.5, 1.0, 1.3, 2.5, 7.0, 200.0])
def test_thinned_keeps_both_ends_and_the_distance(count, extent):
    indices = thinned(count, 1.0, extent)
    assert indices == sorted(set(indices))
    assert (indices[0], indices[-1]) == (0, count - 1)
    gaps = np.diff(indices)
    assert len(indices) <= 2 or gaps.min() >= extent
    # Nothing is left out without need.
    assert extent > 1 or indices == list(range(count))


@pytest.mark.parametrize(
    ("difference", "cell", "points"),
    [
        (0.0, "0", "0.0"),
        (1.0, "+100", "+100.0"),
        (-1.0, "-100", "-100.0"),
        (0.031, "+3", "+3.1"),
        (-0.998, "-99", "-99.8"),
        (-0.0002, "-1", "-0.02"),
    ],
)
def test_only_no_difference_is_nought(difference, cell, points):
    assert difference_label(difference) == cell
    assert points_label(difference) == points


def test_points_that_are_not_known():
    assert points_label(float("nan")) == "n/a"
