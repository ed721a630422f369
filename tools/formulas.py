"""Formulas as MathML, which browsers set by themselves: no script, and nothing to fetch."""

import re

from latex2mathml.converter import convert


def mathml(formula, display="inline"):
    """A formula as MathML; a name of several letters is one name, and ``log s`` is not ``logs``."""
    found = convert(formula, display=display).replace(r"\_", "_")
    upright = re.compile(r'(?:<mi mathvariant="normal">\w</mi>){2,}')
    found = upright.sub(lambda letters: f"<mi>{re.sub('<.*?>', '', letters[0])}</mi>", found)
    return re.sub(r"<mi>(log|ln|exp|max|min)</mi>(?!<mo)", r'<mi>\1</mi><mspace width="0.167em" />', found)
