"""The shell of report and audit, and the parts that their sections are made of."""

from __future__ import annotations

from pathlib import Path

from jinja2 import ChoiceLoader, DictLoader
from markupsafe import Markup

from hf_model import evaluation, templates

CHILD = """{% extends "page.html.jinja" %}
{% import "parts.html.jinja" as html %}
{% block title %}Report of {{ name }}{% endblock %}
{% block sections %}
{% call html.section(outline, "first", "First & foremost") %}
{% call html.table(["Point", "Sensitivity", "AUC"], "Caption") %}
{{ html.row([name, html.rate(figure), html.ratio(figure, 2)]) }}
{{ html.row([trusted, html.rate(none), html.ratio({"value": none})]) }}
{% endcall %}
{% endcall %}
{% if absent %}{% call html.section(outline, "second", "Second") %}{% endcall %}{% endif %}
{% call html.section(outline, "third", "Third") %}
{{ html.listing([name], "One") }}{{ html.listing([], "None") }}
{% endcall %}
{% endblock %}
"""


def page(name: str) -> str:
    made = templates.environment(Path(evaluation.__file__).parent)
    made.loader = ChoiceLoader([DictLoader({"child.html.jinja": CHILD}), made.loader])
    figure = {"value": 0.9385, "interval": [0.91, 0.9995]}
    child = made.get_template("child.html.jinja")
    return child.render(name=name, figure=figure, trusted=Markup("<b>bold</b>"), absent=False)


def test_sections_are_listed_at_the_top_and_text_is_escaped() -> None:
    html = page("<a & b>")
    assert html.startswith("<!DOCTYPE html>")
    assert html.count("Report of &lt;a &amp; b&gt;") == 2
    assert '<li><a href="#first">First &amp; foremost</a></li>\n<li><a href="#third">Third</a></li>' in html
    assert html.index('href="#third"') < html.index('<h2 id="first">')
    assert "#second" not in html
    assert "<a & b>" not in html
    assert "--ink: #1b2430" in html
    assert html.count("<details>") == 1


def test_a_figure_has_its_interval_below() -> None:
    html = page("x")
    assert (
        '<th scope="row">x</th><td>93.8 %<small>91.0 to &gt;99.9 %</small></td><td>0.94<small>0.91 to 1.00</small></td>'
    ) in html
    assert '<th scope="row"><b>bold</b></th><td>–</td><td>–</td>' in html
