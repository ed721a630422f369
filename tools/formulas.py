"""Formulas as MathML, which browsers set by themselves: no script, and nothing to fetch."""

import re

from latex2mathml.converter import convert


def mathml(formula, display="inline"):
    """A formula as MathML; a name of several letters is one name, and ``log s`` is not ``logs``.

    A brace below is a border, for a stretched one needs a font for formulas, which not every machine has.
    """
    found = convert(formula, display=display).replace(r"\_", "_")
    found = re.sub(r"<munder>(<mrow>.*?)<mo>&#x23DF;</mo></munder>", r'<mrow class="braced">\1</mrow>', found)
    upright = re.compile(r'(?:<mi mathvariant="normal">\w</mi>){2,}')
    found = upright.sub(lambda letters: f"<mi>{re.sub('<.*?>', '', letters[0])}</mi>", found)
    return re.sub(r"<mi>(log|ln|exp|max|min)</mi>(?!<mo)", r'<mi>\1</mi><mspace width="0.167em" />', found)
