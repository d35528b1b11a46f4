"""Lines of samples files, and fields that cannot be what they say."""

from __future__ import annotations

import json

import pytest

from heatmaps.sample_lines import (
    finite_number,
    fraction,
    generation_kwargs,
    sample_lines,
    shortened,
    whole_number,
)


def test_lines_come_with_their_place(tmp_path):
    path = tmp_path / "samples.jsonl"
    path.write_text('{"a": 1}\n\n{"a": 2}\n[2]\n{"a": ')
    lines = sample_lines(path)
    assert [next(lines), next(lines)] == [(f"{path}:1", {"a": 1}), (f"{path}:3", {"a": 2})]
    with pytest.raises(ValueError, match=r"samples\.jsonl:4: \[2\] is no sample"):
        next(lines)
    path.write_text('{"a": ')
    with pytest.raises(ValueError, match=r"samples\.jsonl:1: not a whole line of JSON"):
        next(sample_lines(path))


def test_only_lines_under_the_first_filter_are_documents(tmp_path):
    path = tmp_path / "samples.jsonl"
    samples = [{"n": n, "filter": name} for n in range(2) for name in ("strict", "flexible")]
    path.write_text("".join(f"{json.dumps(sample)}\n" for sample in samples))
    assert [sample for _, sample in sample_lines(path)] == [samples[0], samples[2]]


@pytest.mark.parametrize("value", [None, True, 1.0, "4K", 0])
def test_what_is_no_whole_number_is_named(value):
    with pytest.raises(ValueError, match=r"here: length is .*; it must be a whole number >= 1"):
        whole_number(value, "here: length", least=1)
    assert whole_number(1, "here: length", least=1) == 1


@pytest.mark.parametrize("value", [None, "0.5", True, float("nan"), -0.1, 1.5, 10**400])
def test_what_is_no_fraction_is_named(value):
    with pytest.raises(ValueError, match=r"here: depth is .*; it must be a number from 0 to 1"):
        fraction(value, "here: depth")
    assert fraction(1, "here: depth") == 1.0


def test_numbers_that_no_file_of_ours_holds_are_named():
    with pytest.raises(ValueError, match=r"length is 10000.*; it must be a whole number <= 9,007,"):
        whole_number(10**400, "here: length")
    # a seed may be any
    assert whole_number(10**400, "here: seed", most=None) == 10**400


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[" * 100_000, "nested more than 100 deep, which lm-eval never writes"),
        ('{"doc": ' + "[" * 200 + "]" * 200 + "}", "nested more than 100 deep"),
        ('{"doc": ' + "1" * 5000 + "}", "not a whole line of JSON"),
        ("[" + "[]," * 1_000_001 + "[]]", "more than 1,000,000 lists and objects"),
        (b'{"doc": "\xff"}', "not a whole line of JSON"),
    ],
    ids=["unclosed", "deep", "digits", "lists", "bytes"],
)
def test_lines_that_lm_eval_never_writes(tmp_path, line, message):
    path = tmp_path / "samples.jsonl"
    path.write_bytes(line if isinstance(line, bytes) else line.encode())
    with pytest.raises(ValueError, match=rf"samples\.jsonl:1: {message}"):
        next(sample_lines(path))


def test_a_line_without_end_is_not_read_whole(tmp_path, monkeypatch):
    path = tmp_path / "samples.jsonl"
    path.write_text('{"doc": 1}\n' + " " * 100 + '{"doc": 1}')
    assert len(list(sample_lines(path))) == 2
    for module in ("json_text", "sample_lines"):
        monkeypatch.setattr(f"heatmaps.{module}.MOST_BYTES", 50)
    with pytest.raises(ValueError, match=r"jsonl:2: more than 0 MB, which lm-eval never writes"):
        list(sample_lines(path))


def test_values_are_shown_short_whatever_they_hold():
    assert shortened([1, "a"]) == "[1, 'a']"
    nested: list = []
    for _ in range(5000):
        nested = [nested]
    for value in (nested, "a" * 10**6, list(range(10**6)), "\x1b[2J", "\ud800"):
        text = shortened(value)
        assert len(text) <= 40 and text.isprintable() and text.isascii()


def test_generation_settings_of_every_release():
    kwargs = {"max_gen_toks": 20}
    for arguments in ({"gen_args_0": {"arg_0": "p", "arg_1": kwargs}}, [["p", kwargs]]):
        assert generation_kwargs({"arguments": arguments}) == kwargs
    for arguments in (None, 5, [], [["p"]], {"gen_args_0": 3}, [[1, 2]]):
        assert generation_kwargs({"arguments": arguments}) is None


def test_no_number_is_none_and_what_cannot_be_counted_with_is_named():
    assert [finite_number(value, "n") for value in (None, float("nan"), 3, 0.5)] == [
        None,
        None,
        3.0,
        0.5,
    ]
    for value in (float("inf"), 10**400, -(10**400), 1e300, True, "1", [1]):
        with pytest.raises(ValueError, match=r"here: nats is .*; it must be a finite number"):
            finite_number(value, "here: nats")
