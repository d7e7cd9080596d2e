"""Views: tables and sentences as a notebook shows them."""

import re

import numpy as np
import pandas as pd
import pytest

from lightlayers.suite.analysis import claims, verdicts, views


@pytest.mark.parametrize(
    "values, shown",
    [
        ([1863104, 72], ["1,863,104", "72"]),
        ([0.25, 12.5], ["0.25", "12.50"]),
        ([3.0, 4.0], ["3", "4"]),
        ([-0.0, -1.5], ["0.0", "-1.5"]),
        ([0.9444, np.nan], ["0.9444", "–"]),
        ([1 / 3, 0.5], ["0.3333", "0.5000"]),
        ([0.00008, 0.1617], ["0.00008", "0.16170"]),
        (pd.array([1200, None], "Int64"), ["1,200", "–"]),
        (["14%", None], ["14%", "–"]),
        ([True, False], ["True", "False"]),
    ],
)
def test_numbers_are_written_alike_in_a_column(values, shown):
    page = views.show_table(pd.DataFrame({"x": values}))._repr_html_()
    for text in shown:
        assert f">{text}</td>" in page


def test_numbers_stand_right_and_words_left():
    table = pd.DataFrame({"method": ["Conv2D"], "of it": ["100%"], "n": [5], "gain": [-0.5]})
    page = views.show_table(table)._repr_html_()
    for head, side in {"method": "left", "of it": "right", "n": "right", "gain": "right"}.items():
        (style,) = re.findall(f'<th style="([^"]*)">{head}</th>', page)
        assert f"text-align: {side}" in style


def test_texts_are_shown_as_they_are():
    page = views.show_table(pd.DataFrame({"<b>": ["a & b <script>"]}), caption="<i>")._repr_html_()
    assert "&lt;b&gt;" in page and "a &amp; b &lt;script&gt;" in page and "&lt;i&gt;" in page
    assert "<b>" not in page and "<script>" not in page


def test_an_index_is_shown_where_it_does_more_than_count():
    table = pd.DataFrame({"gain": [1, 2]}, index=pd.Index(["paper", "no-l2"], name="recipe"))
    assert "recipe" in repr(views.show_table(table)) and "no-l2" in repr(views.show_table(table))
    counted = repr(views.show_table(table.reset_index(drop=True)))
    assert counted.split() == ["gain", "1", "2"]


def test_two_rows_of_headings_become_one():
    keys = pd.MultiIndex.from_tuples([("a", "min"), ("a", "max")])
    page = views.show_table(pd.DataFrame([[1, 2]], columns=keys))._repr_html_()
    assert ">a min</th>" in page and ">a max</th>" in page


def test_the_rest_is_folded():
    table = pd.DataFrame({"method": ["Conv2D"], "n": [5], "sd": [0.1]})
    view = views.show_table(table, first=["method", "n", "not there"])
    above, _, folded = view._repr_html_().partition("<details>")
    assert "sd" not in above and "sd" in folded and "all 3 columns" in folded
    assert "sd" not in repr(view) and "Conv2D" in repr(view)
    assert "<details>" not in views.show_table(table)._repr_html_()


def test_what_is_the_same_in_all_rows_is_told_once():
    table = pd.DataFrame({"method": ["a", "b"], "on": ["CPU"] * 2, "by": ["CPU", "GPU"]})
    view = views.show_table(table, caption="Costs", once=["on", "by", "not there"])
    assert repr(view).splitlines()[0] == "Costs · on: CPU"
    assert "<p>Costs · on: CPU</p>" in view._repr_html_() and ">on</th>" not in view._repr_html_()
    assert ">by</th>" in view._repr_html_()


def test_a_group_is_named_once():
    table = pd.DataFrame({"data": ["a", "a", "b"], "n": [1, 1, 1]})
    assert repr(views.show_table(table, group="data")).split() == [
        "data",
        "n",
        "a",
        "1",
        "1",
        "b",
        "1",
    ]


def test_every_verdict_has_a_color():
    words = {*verdicts.VERDICTS, *claims.VERDICTS}
    assert words <= set(views.COLORS)
    page = views.show_table(pd.DataFrame({"verdict": ["FAILS", "fails"]}))._repr_html_()
    assert page.count("background-color") == 1


def test_the_same_table_gives_the_same_text():
    table = pd.DataFrame({"a": [0.5, 1], "b": ["x", "y"]})
    first, second = views.show_table(table, first=["a"]), views.show_table(table, first=["a"])
    assert first._repr_html_() == second._repr_html_() and repr(first) == repr(second)


def test_a_table_without_rows_says_so():
    assert "no rows" in repr(views.show_table(pd.DataFrame(columns=["a", "b"])))


def test_sentences_are_a_list():
    view = views.show_lines(line for line in ("a < b.", "c."))
    assert repr(view) == "- a < b.\n- c."
    assert view._repr_html_().count("<li>") == 2 and "a &lt; b." in view._repr_html_()


def test_a_claim_is_one_row_with_its_parts():
    parts = [("few", "HOLDS", "a < b"), ("fast", "FAILS", "c")]
    lines = [(2, "Table 2", *part) for part in parts]
    judged = pd.DataFrame(lines, columns=["claim", "place", "part", "verdict", "computation"])
    view = views.show_claims(judged)
    board, _, folded = view._repr_html_().partition("<details>")
    assert board.count("<tr>") == 2 and board.count("background-color") == 2
    assert "half of the parameters" in board and "a &lt; b" not in board and "a &lt; b" in folded
    said = [line.split() for line in repr(view).splitlines()[1:]]
    assert said == [["HOLDS", "few"], ["FAILS", "fast"]]


@pytest.mark.parametrize(
    "seeds, said",
    [
        ([5, 3], ""),
        ([5, 2], "y b has fewer than 3 seeds yet and is left out"),
        ([1, 2], "2 rows have fewer than 3 seeds yet and are left out"),
    ],
)
def test_rows_with_too_few_seeds_are_told(seeds, said):
    table = pd.DataFrame({"data": ["x", "y"], "row": ["a", "b"], "n": seeds})
    assert views.describe_few(table, ["data", "row"], "n", 3) == said
