"""What samples of one grid have in common, and how grids that do not are told apart."""

from heatmaps.needles.conditions import completed, differences, run_conditions, sample_conditions


def test_what_files_do_not_say_is_not_guessed():
    assert set(sample_conditions({}, {}).values()) == {""}
    assert run_conditions({}, "") == {
        "chat_template_sha": "",
        "system_instruction_sha": "",
        "dtype": "",
        "rope_precision": "",
    }
    # null is a run without a template
    assert run_conditions({"config": {}, "chat_template_sha": None}, "")["chat_template_sha"] == (
        "none"
    )


def test_the_budget_that_was_used_goes_over_the_one_that_was_planned():
    sample = {"arguments": [["p", {"max_gen_toks": 40, "do_sample": False}]]}
    found = sample_conditions(sample, {"generation_tokens": 20})
    assert (found["generation_tokens"], found["decoding"]) == ("40", '{"do_sample": false}')


def test_a_sample_without_a_text_is_of_its_files_text():
    empty = sample_conditions({}, {})
    rows = [{**empty, "haystack_sha256": "a"}, dict(empty)]
    completed(rows)
    assert rows[1]["haystack_sha256"] == "a" and rows[1]["decoding"] == ""
    # Negative control: of two it is not known which.
    rows = [{**empty, "haystack_sha256": "a"}, {**empty, "haystack_sha256": "b"}, dict(empty)]
    completed(rows)
    assert rows[2]["haystack_sha256"] == ""


def test_only_what_differs_is_said():
    first = {"haystack_sha256": "a" * 64, "chat_template_sha": "none", "generation_tokens": "20"}
    assert differences([("m", first), ("m", first)]) == [(), ()]
    second = {"haystack_sha256": "a" * 64, "chat_template_sha": "c" * 64, "generation_tokens": ""}
    assert differences([("m", first), ("n", second)]) == [
        ("answer tokens 20", "no chat template"),
        ("answer tokens unknown", "chat template sha cccccc"),
    ]


def test_hashes_that_begin_alike_are_told_apart():
    one, other = ("m", {"haystack_sha256": "aaaaaa1"}), ("m", {"haystack_sha256": "aaaaaa2"})
    assert differences([one, other]) == [("text sha aaaaaa1",), ("text sha aaaaaa2",)]
