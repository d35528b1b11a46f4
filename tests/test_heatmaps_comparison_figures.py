"""The artists of a comparison's figures and what they say."""

from __future__ import annotations

import numpy as np
import pytest
from comparison_samples import compare, needles, write_models
from figure_checks import assert_text_fits
from matplotlib.collections import QuadMesh
from result_samples import write_run

from heatmaps.comparison.figures import draw_differences, draw_needle_grids, draw_steps

LONG = "a-label-that-goes-on-and-on-and-on-until-it-costs-$5-or-$6-and-ends-at-last"


@pytest.fixture
def comparison(tmp_path):
    models = write_models(tmp_path, {"A": 0.5, "B": 0.75, LONG: 1.0})
    return compare(models, seed=0, resamples=200)


def test_each_difference_is_where_it_is(comparison):
    figure = draw_differences(comparison)
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["arc_easy (acc)", "piqa (acc)", "yoco_needle (recall)", "mean of 2 tasks"]
    # The first task is on top.
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    for number in (1, 2):
        (line,) = [line for line in axes.lines if line.get_label() == comparison.models[number]]
        x = np.asarray(line.get_xdata(), dtype=float)
        own = [task.scores[number] for task in comparison.tasks]
        expected = [100 * score.difference.difference for score in own]
        np.testing.assert_allclose(x[:3], expected)
        assert x[3] == pytest.approx(100 * comparison.means[number].difference)
        bars = axes.collections[number - 1].get_segments()  # pyright: ignore
        low, high = (100 * v for v in (own[0].difference.low, own[0].difference.high))
        np.testing.assert_allclose(bars[0][:, 0], [low, high])
    assert axes.get_xlabel() == "difference in points"
    texts = [text.get_text() for text in figure.texts]
    assert texts[0] == "Difference to A, with 95% intervals"
    assert_text_fits(figure)


def test_grids_and_their_differences_side_by_side(comparison):
    task = comparison.tasks[2]
    figure = draw_needle_grids(comparison, task)
    panels = [axes for axes in figure.axes if axes.get_ylabel().startswith("depth")]
    meshes = [next(c for c in axes.collections if isinstance(c, QuadMesh)) for axes in panels]
    assert [mesh.get_clim() for mesh in meshes] == [(0, 1)] * 3 + [(-1, 1)] * 2
    difference = np.asarray(meshes[3].get_array())
    np.testing.assert_allclose(difference, [[0.25] * 3, [0] * 3, [0] * 3])
    assert [text.get_text() for text in panels[3].texts[:4]] == ["+25", "+25", "+25", "0"]
    text = "\n".join(text.get_text() for text in figure.texts)
    for part in (
        "\N{GREEK CAPITAL LETTER DELTA} B",
        "difference to A",
        "+8.3 points",
        "18 prompts",
    ):
        assert part in text
    bars = [axes.get_xlabel() for axes in figure.axes if not axes.get_ylabel()]
    assert bars == ["needles found", "difference in points"]
    assert not figure.legends
    assert_text_fits(figure)


def test_two_models_stand_in_one_row_and_what_either_lacks_is_masked(tmp_path):
    lines = {"A": needles(0.5), "B": needles(1.0, lengths=(1024, 2048))}
    models = [
        (label, [write_run(tmp_path / label, {"yoco_needle": own})]) for label, own in lines.items()
    ]
    comparison = compare(models, seed=0, resamples=200)
    figure = draw_needle_grids(comparison, comparison.tasks[0])
    panels = [axes for axes in figure.axes if axes.get_ylabel().startswith("depth")]
    assert len({axes.get_position().y0 for axes in panels}) == 1
    (mesh,) = [c for c in panels[2].collections if isinstance(c, QuadMesh)]
    masked = np.ma.getmaskarray(np.ma.asarray(mesh.get_array()))
    np.testing.assert_array_equal(masked, [[False, False, True]] * 3)
    (hatched,) = [patch for patch in panels[2].patches if patch.get_hatch()]
    # one path of three squares
    assert np.shape(hatched.get_path().vertices) == (3 * 4, 2)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["not measured"]
    assert_text_fits(figure)


def test_curves_go_by_step_whatever_the_order_of_models(comparison):
    figure = draw_steps(comparison, [3000, 1000, 2000])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:4] == [
        "arc_easy (acc)",
        "piqa (acc)",
        "yoco_needle (recall)",
        "mean of 2 tasks",
    ]
    line = figure.axes[2].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), [1000, 2000, 3000])
    np.testing.assert_allclose(np.asarray(line.get_ydata()), [100 * 11 / 12, 100, 100 * 5 / 6])
    # Bars are the intervals of the scores.
    (segments,) = [c.get_segments() for c in figure.axes[0].collections]  # pyright: ignore
    score = comparison.tasks[0].scores[1]
    np.testing.assert_allclose(segments[0][:, 1], 100 * np.array(score.interval))
    assert_text_fits(figure)
