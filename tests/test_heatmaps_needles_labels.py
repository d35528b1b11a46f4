"""What is said of grids that have a flaw."""

import numpy as np
from grid_samples import make_grid

from heatmaps.needles.grids import NOT_FINITE, NOT_RUN
from heatmaps.needles.labels import facts_of, notes_on


def test_prompts_without_a_score_are_counted_by_reason():
    grid = make_grid(
        np.ones((3, 5)),
        [1024 * n for n in range(1, 6)],
        [0, 0.5, 1],
        not_measured={NOT_FINITE: 2, "not built: no \x1b[2J end": 1, NOT_RUN: 1200},
    )
    assert notes_on(grid) == [
        "2 of 1,233 prompts not measured (logits not finite)",
        "1 of 1,233 prompts not built: no \\x1b[2J end",
        "1,200 of 1,233 prompts planned and not run (--limit, or a run that was cut short)",
    ]
    reasons = {f"not built: {n}": 1 for n in range(1000)}
    notes = notes_on(make_grid([[1.0]], [1024], [0.5], not_measured=reasons))
    assert len(notes) == 6
    assert notes[-1] == "other prompts without a score for 995 other reasons"


def test_depths_that_were_missed_are_said_with_the_farthest():
    grid = make_grid(
        np.ones((3, 2)),
        [1024, 2048],
        [0, 0.5, 1],
        depth_achieved=np.array([[0, 0], [0.5, 0.1], [0.7, 1]]),
        depth_error=np.array([[0, 0], [0, 0.4], [0.3, 0]]),
    )
    assert notes_on(grid) == [
        "the needle is more than half a depth step from the depth asked for in 2 cells, farthest "
        "at 2K tokens: depth 50% asked, 10.0% achieved"
    ]


def test_a_sound_grid_has_no_notes():
    """Negative control."""
    grid = make_grid([[1.0]], [1024], [0.5], depth_error=np.array([[0.01]]))
    assert notes_on(grid) == []
    assert facts_of(grid) == ["yoco_needle", "1 needle", "haystack stdlib"]
