"""Plans of needle runs, as their authors wrote them."""

import pytest

from evals.planned_grids import read_plan
from heatmaps.needles.planned import PlannedGrid, planned_grid


def test_a_plan_is_read_as_the_task_reads_it():
    metadata = {"lengths": "1K..4K", "depths": ["1/4", 1], "trials": 3, "pretrained": "demo"}
    plan = PlannedGrid(lengths=(1024, 2048, 4096), depths=(0.25, 1.0), trials=3)
    assert read_plan(metadata) == plan
    content = {"configs": {"yoco_needle": {"metadata": metadata}}}
    assert planned_grid(content, "yoco_needle", read_plan) == plan
    assert planned_grid(content, "piqa", read_plan) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"trials": "3"},
        {"trials": True},
        {"trials": 10**400},
        {"lengths": None},
        {"lengths": {"a": 1}},
        {"lengths": [[1]]},
        {"lengths": 10**400},
        {"lengths": "1K..1000000K/1000000000"},
        {"depths": 10**9},
        {"depths": "1e999999999"},
        {"depths": [None]},
        {"depths": {}},
        {"depth_spacing": ["linear"]},
    ],
    ids=str,
)
def test_what_is_no_plan_is_refused_at_once(changes):
    metadata = {"lengths": ["1K"], "depths": 3, "trials": 1, **changes}
    with pytest.raises(ValueError) as error:
        planned_grid({"configs": {"t": {"metadata": metadata}}}, "t", read_plan)
    assert len(str(error.value)) < 400
