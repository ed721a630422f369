"""What is wrong with a distillation: ``diagnose`` looks at student, teacher and data, and says what it looked at.

To add a check, write a function of the ``Evidence`` that gives an ``Outcome``, and name it in one of the tables below.
"""

import html
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from kdkit import models
from kdkit.data.images import Splits
from kdkit.studies.diagnosis import teaching, wiring
from kdkit.studies.diagnosis.evidence import Evidence, gather
from kdkit.studies.diagnosis.outcome import Outcome
from kdkit.training.state import Run

# In this order, causes before what follows from them. A hand that is raised in one group keeps the later groups down:
# where a teacher sees the wrong images, what it says proves nothing about how it was trained, and that its student is
# bad is no news. Among the first and the last, where one fault looks like several, only the first hand counts.
WIRING = {
    "numbers": wiring.numbers,
    "output width": wiring.width,
    "shared weights": wiring.shared,
    "probabilities": wiring.probabilities,
    "another teacher": wiring.same_teacher,
    "dropout": wiring.repeats,
    "train mode": wiring.mode,
    "stale statistics": wiring.statistics,
    "class order": wiring.class_order,
    "other inputs": wiring.inputs,
    "kept answers": wiring.kept_answers,
}
TEACHING = {
    "memorised": teaching.memorised,
    "smoothed": teaching.smoothed,
    "temperature": teaching.temperature,
    "faint teacher": teaching.pull,
    "missing class": teaching.missing_class,
    "padding": teaching.padding,
}
SYMPTOMS = {
    "ignorant teacher": teaching.teacher_knows,
    "learning rate": teaching.learnt,
    "agreement": teaching.agreement,
    "calibration": teaching.calibration,
}
CHECKS = WIRING | TEACHING | SYMPTOMS


@dataclass
class Diagnosis:
    """What was looked at, and what was found. ``print`` it; in a notebook it shows as a table.

    ``checks``: a dict of name to ``Outcome`` (figure, sentence; advice and see where something is wrong), of all checks
    that could be made. ``unchecked``: a dict of name to why it could not. ``findings``: the names of the checks that
    raise a hand, in a list. ``looked_at`` says how much of the data was looked at.
    """

    looked_at: str
    checks: dict[str, Outcome] = field(default_factory=dict)
    unchecked: dict[str, str] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        count = f"{len(self.findings)} finding{'s' * (len(self.findings) != 1)}" if self.findings else "Nothing found"
        lines = [f"{count} in {len(self.checks)} checks of {self.looked_at}."]
        for name in self.findings:
            found = self.checks[name]
            lines += ["", f"✗ {name}: {found.figure}", f"  {found.sentence}", f"  To do: {found.advice}"]
            lines += [f"  See: {found.see}."]
        lines += ["", *(f"{mark} {name}: {figure}. {said}" for mark, name, figure, said in self._others())]
        return "\n".join(lines)

    __repr__ = __str__

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON has it: each ``Outcome`` a dict, too."""
        return {**vars(self), "checks": {name: one._asdict() for name, one in self.checks.items()}}

    def _others(self):
        """(mark, name, figure, sentence) of each check that raises no hand, and of those that were not made."""
        for name, one in self.checks.items():
            if name not in self.findings:
                later = " (Look again when the findings above are mended.)" * one.wrong
                yield "✓" if not one.wrong else "?", name, one.figure, one.sentence + later
        for name, why in self.unchecked.items():
            yield "○", name, "not checked", f"{why[:1].upper()}{why[1:]}."

    def _repr_html_(self) -> str:
        rows = [("✗", name, self.checks[name].figure, _advised(self.checks[name])) for name in self.findings]
        rows += [(mark, name, figure, html.escape(said)) for mark, name, figure, said in self._others()]
        body = "".join(
            f'<tr><td>{mark}</td><th scope="row" style="text-align:left">{name}</th><td>{html.escape(figure)}</td>'
            f'<td style="text-align:left">{said}</td></tr>'
            for mark, name, figure, said in rows
        )
        columns = "".join(f'<th scope="col">{name}</th>' for name in ("", "check", "figure", "what it says"))
        return (
            f"<p>{html.escape(str(self).splitlines()[0])}</p>"
            f"<table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>"
        )


def _advised(found):
    sentences = (
        html.escape(found.sentence),
        f"<b>To do:</b> {html.escape(found.advice)}",
        f"<b>See:</b> {html.escape(found.see)}",
    )
    return "<br>".join(sentences)


def diagnose(
    student: nn.Module,
    teacher: nn.Module,
    data: Splits | tuple,
    *,
    run: Run | None = None,
    cache: Any = None,
    temperature: float | None = None,
    soft_weight: float | None = None,
    hard_weight: float | None = None,
) -> Diagnosis:
    """Look for what commonly goes wrong when ``student`` is distilled from ``teacher``. Nothing of yours is changed.

    Parameters:
        student: the network as the training left it. Both answer as ``models.logits`` says.
        teacher: the network that it learnt from, as the training used it: in the mode that it was in.
        data: ``Splits``; or a pair of loaders (train, val), of batches (inputs, labels), mappings with "labels" or
            ``training.Batch``. At most 500 samples of each are looked at, drawn from a ``DataLoader``'s data set or
            from ``Splits`` (of images above 128x128 fewer), else the first.
        run: a ``Run``, for its history and settings.
        cache: a ``ViewCache``; or kept logits, a tensor ``[N, C]`` with a row for each sample of train, in order.
        temperature, soft_weight, hard_weight: as for ``kd_loss``; None for those of the run, else 4, 0.9 and 0.1. For a
            loss without T^2, give soft_weight / T^2.

    Where labels are ``[B, L]``, tokens of label -100 and those that a ``Batch``'s mask leaves out are not looked at.

    Returns a ``Diagnosis``: what was checked, with figures; what was found, and what to do; what could not be checked,
    and why. Raises ``ValueError`` for what are no networks, no data, no class numbers, no temperature or no weights.
    """
    for name, network in ("student", student), ("teacher", teacher):
        models.check_network(name, network)
    with models.seeded(0, models.device_of(student)):  # dropout, loaders and data sets draw: not from the user's state
        return _report(gather(student, teacher, data, run, cache, temperature, soft_weight, hard_weight))


def _report(evidence: Evidence) -> Diagnosis:
    report = Diagnosis(_said(evidence))
    for group in (WIRING, TEACHING, SYMPTOMS):
        before = bool(report.findings)
        for name, check in group.items():
            try:
                report.checks[name] = outcome = check(evidence)
            except ValueError as why:  # ``Unchecked``, or what the labels or logits are no good for
                report.unchecked[name] = str(why).rstrip(".")
            else:
                found = [name] if outcome.wrong and not before else []
                report.findings += found
                before |= bool(found) and group is not TEACHING
    return report


def _said(e: Evidence) -> str:
    """How much was looked at, in words."""
    return f"{e.train.samples} training and {e.val.samples} validation samples, at T = {e.temperature:g}"
