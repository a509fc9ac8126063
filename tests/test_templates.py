"""The environment of all templates."""

from __future__ import annotations

import jinja2
import pytest
from markupsafe import Markup

from hf_model.templates import data_uri, environment


def test_html_is_escaped_and_figures_are_written_by_wording(tmp_path) -> None:
    (tmp_path / "a.html.jinja").write_text("{{ name }} {{ safe }} {{ auc | ratio }} {{ share | percent }}\n")
    auc = {"value": 0.9769, "interval": [0.965, 0.985]}
    text = environment(tmp_path).get_template("a.html.jinja").render(name="<b>", safe=Markup("<i>"), auc=auc, share=0.5)
    assert text == "&lt;b&gt; <i> 0.977 (0.965 to 0.985) 50.0 %\n"


def test_markdown_is_left_alone(tmp_path) -> None:
    (tmp_path / "a.md.jinja").write_text("{{ name }}\n")
    assert environment(tmp_path).get_template("a.md.jinja").render(name="a < b") == "a < b\n"


def test_a_name_that_nobody_gave_is_an_error(tmp_path) -> None:
    (tmp_path / "a.md.jinja").write_text("{{ missing }}")
    with pytest.raises(jinja2.UndefinedError, match="missing"):
        environment(tmp_path).get_template("a.md.jinja").render()


def test_data_uri() -> None:
    assert data_uri(b"\x00\xff") == "data:image/png;base64,AP8="
