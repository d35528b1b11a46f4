"""An answer that is none keeps its reason on every way to the task."""

from __future__ import annotations

import copy
import pickle

import pytest

from tasks.not_measured import NotMeasured, allows_not_measured


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_keep_the_reason(copied) -> None:
    answer = copied(NotMeasured("its logits are not finite"))
    assert isinstance(answer, NotMeasured)
    assert answer == "" and answer.reason == "its logits are not finite"


def test_only_documents_that_say_so_allow_it() -> None:
    class Doc(dict):
        allows_not_measured = True

    assert allows_not_measured(Doc())
    assert not allows_not_measured({"allows_not_measured": True})
