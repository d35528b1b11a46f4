"""The catalogue of our task files, against lm-eval's own reading of the same files."""

from __future__ import annotations

from pathlib import Path

from tasks.catalogue import YAML_FOLDER, Entry, read_catalogue


def test_lm_eval_finds_the_same_tasks_and_groups() -> None:
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(YAML_FOLDER), include_defaults=False)
    entries = read_catalogue()
    tasks = [entry.name for entry in entries if entry.num_members is None]
    groups = [entry.name for entry in entries if entry.num_members is not None]
    assert sorted(manager.all_subtasks) == tasks
    assert sorted(manager.all_groups) == groups
    assert {"yoco_needle", "yoco_needle_1m"} <= set(tasks)
    assert "yoco_multi_needle_128k" in groups


def test_every_file_says_what_it_is() -> None:
    silent = [entry.name for entry in read_catalogue() if not entry.summary]
    assert not silent, f"begin these task files with a comment of one line: {', '.join(silent)}"


def test_files_become_entries_by_themselves(tmp_path: Path) -> None:
    files = {
        "_shared.yaml": "# Not a task.\noutput_type: generate_until\n",
        "b.yaml": "# Second of two.\n# More about it.\ninclude: _shared.yaml\ntask: b\n",
        "deep/a.yaml": "task: a\n# Not the first line.\nprocess: !function no.such.function\n",
        "c.yaml": "# All\ngroup: c\ntask:\n  - a\n  - task: b\n    num_fewshot: 5\n",
        "d.yaml": "#One\ngroup: d\ntask: a\n",
        "empty.yaml": "# Nothing.\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert read_catalogue(tmp_path) == [
        Entry(name="a", summary="", num_members=None),
        Entry(name="b", summary="Second of two", num_members=None),
        Entry(name="c", summary="All", num_members=2),
        Entry(name="d", summary="One", num_members=1),
    ]
