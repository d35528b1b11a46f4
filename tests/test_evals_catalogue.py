"""Names of tasks, groups and tags, as lm-eval's own index has them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from evals.catalogue import Catalogue, UnknownTask
from yoco.loading import EMBEDDED

PAPER = ["arc_challenge", "arc_easy", "boolq", "hellaswag", "openbookqa", "piqa", "winogrande"]


def names(*given: str) -> list[str]:
    return [unit.name for unit in Catalogue(given).units]


def test_our_groups() -> None:
    assert names("yoco_paper") == [*PAPER, "sciq"]
    needles = [f"yoco_multi_needle_128k_n{n}" for n in (1, 2, 4, 8)]
    assert names("yoco_long") == ["yoco_needle", *needles, "yoco_nll"]


def test_the_papers_tasks_are_lm_evals_own_without_examples() -> None:
    catalogue = Catalogue(["yoco_paper"])
    for unit in catalogue.units:
        assert "lm_eval/tasks" in catalogue.file(unit).as_posix()
        assert unit.changes == {"num_fewshot": 0}
        assert not unit.takes_settings


def test_our_tasks_alone_need_no_index_of_lm_evals() -> None:
    assert len(Catalogue(["yoco_long"]).manager.all_tasks) < 100
    assert len(Catalogue(["yoco_long", "piqa"]).manager.all_tasks) > 1000


def test_tags_patterns_and_groups_of_groups() -> None:
    assert names("ai2_arc") == ["arc_challenge", "arc_easy"]
    assert names("arc_e?sy", "arc_easy") == ["arc_easy"]
    assert len(names("mmlu")) == 57


def test_a_group_with_tasks_of_its_own_is_one_unit() -> None:
    (unit,) = Catalogue(["flan_held_in"]).units
    assert unit.is_group and not unit.takes_settings


def test_unknown_names() -> None:
    with pytest.raises(UnknownTask, match=r"called 'yoco_papr': did you mean 'yoco_paper'\?"):
        Catalogue(["yoco_papr"])
    with pytest.raises(UnknownTask, match=re.escape("no task is called like 'yoco_x*'")):
        Catalogue(["yoco_x*"])


def test_one_task_with_two_settings_is_refused() -> None:
    with pytest.raises(ValueError, match=r"arc_easy is asked for twice, with different settings"):
        Catalogue(["yoco_paper", "arc_easy"])


def test_settings_go_over_the_tasks_own() -> None:
    (unit,) = Catalogue(["yoco_needle"]).units
    assert unit.takes_settings
    assert unit.settings({"trials": 3})["trials"] == 3
    assert unit.settings({})["trials"] == 1
    asked = {"lengths": [256], "depths": 2, "max_length": 256}
    settings = unit.settings({**asked, "tokenizer": str(EMBEDDED / "demo")})
    (task,) = Catalogue(["yoco_needle"]).load(unit, {"metadata": settings})
    assert [doc["length_tokens"] for doc in task.eval_docs] == [256, 256]


def test_fingerprints_tell_configurations_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = Catalogue(["arc_easy", "winogrande"])
    found = {unit.name: catalogue.fingerprint(unit) for unit in catalogue.units}
    assert len(set(found.values())) == 2
    (alone,) = Catalogue(["arc_easy"]).units
    assert catalogue.fingerprint(alone) == found["arc_easy"]
    # the paper's group only says how many examples to show, which keys hold by themselves
    (grouped,) = [unit for unit in Catalogue(["yoco_paper"]).units if unit.name == "arc_easy"]
    assert catalogue.fingerprint(grouped) == found["arc_easy"]
    # winogrande's file names functions, which are found where lm-eval is installed
    texts: list[str] = []
    import evals.catalogue as module

    def sha256(text: bytes) -> Any:
        texts.append(text.decode())
        return original(text)

    original = module.hashlib.sha256
    monkeypatch.setattr(module.hashlib, "sha256", sha256)
    catalogue.fingerprint(catalogue.units[1])
    assert "lm_eval.tasks/winogrande/preprocess_winogrande.doc_to_text" in texts[0]
