"""Is there something to learn, and is it learnt: the checks of teacher, temperature and data; and then of symptoms."""

import itertools
import math

import torch
from torch import Tensor

from kdkit import models
from kdkit.losses.arguments import IGNORE_INDEX
from kdkit.measure import metrics
from kdkit.studies.diagnosis.evidence import Evidence
from kdkit.studies.diagnosis.outcome import Outcome
from kdkit.studies.diagnosis.part import Unchecked, check_table, copied, labels_of
from kdkit.training.batch import Batch
from kdkit.training.step import Distillation, step

BY_HEART = 0.25  # train minus val accuracy. Of teachers of 30 images a class it is 0.1, and they teach well
ALL, BARE = 0.98, 0.15  # right on train; and bits of a target that says hardly more than the label
GOOD = 0.95  # of the training data: a teacher that is right less often may be unsure for good reason
UNSURE = 0.05  # accuracy minus confidence on it. A smoothing of 0.05 makes 0.06; without, large teachers have 0.02
HAVE, LEAST = 3, 0.01  # samples of a class, and bits beyond it, below which label smoothing cannot be told
HOT, KEPT = 4.0, 0.65  # what T = 4 leaves of the bits at T = 1: 0.2 to 0.6 of smoothed teachers, 0.9 to 7 of others
ONE_HOT = 0.003  # what the target leaves to all other classes; the shipped teachers leave 0.004 to 0.013 at T = 1
UNIFORM = 0.98  # share of the entropy of a uniform target
MANY = 100  # classes, among which a target that teaches well may look uniform, and pull faintly at first
LOPSIDED = 0.6  # share of one class, beside which accuracy says little
FAINT = 0.2  # how hard the soft term pulls at first, in shares of the hard term's pull
MISSED = 10  # of so many validation samples of a class one would turn up among as many training samples
COMMON = 0.05  # share of the teacher's answers; of thousands of words, many are never said by a small student
STEPS, RATE, LEARNT = 20, 3e-3, 0.1  # of Adam; and the agreement that they may add to a finished student
OTHER_TARGETS = " Or it learnt from targets that are not this teacher's: give cache=."
ROSE, STEADY = 1.1, 2 / 3  # a loss of so many times the first; share of the epochs in which it fell
UNDER, OVER = 0.2, 0.4  # accuracy and confidence apart. A student of 2,000 photographs is sure by 0.3 too much


def memorised(e: Evidence) -> Outcome:
    """How much more often the teacher is right about training data than about validation data."""
    seen, unseen = (metrics.accuracy(part.teacher, part.labels) for part in (e.train, e.val))
    figure = f"{seen:.1%} of train, {unseen:.1%} of val"
    if seen - unseen < BY_HEART:
        return Outcome(figure, "The teacher is right about as often on data that it may not know.")
    bits = {part.name: metrics.entropy(e.targets(part)).mean().item() for part in (e.train, e.val)}
    said = f"at T = {e.temperature:g} its targets hold {bits['train']:.2f} bits there and {bits['val']:.2f} on new data"
    if seen < ALL or bits["train"] > BARE:
        return Outcome(figure, f"The teacher knows its training data best; {said}.")
    return Outcome(
        figure,
        f"The teacher knows its training data by heart: {said}. It says there hardly more than the labels.",
        "Distil on data that the teacher has not learnt from (no labels are needed), raise T, or take a teacher that "
        "was trained on more, or with clean labels.",
        "notebook 08, noisy labels",
    )


def smoothed(e: Evidence) -> Outcome:
    """Whether the teacher is less sure than it is right where it learnt, and temperature takes away what it knows."""
    right, sure = _right_and_sure(e.train.teacher, e.train.labels)
    if right < GOOD:
        raise Unchecked(f"the teacher is right on {right:.1%} of train only: too seldom for label smoothing to show")
    check_table(e.train.teacher)
    if e.train.of_each < HAVE:
        raise Unchecked(f"a class has {e.train.of_each:.1f} samples of train: too few for label smoothing to show")
    cold, hot = (metrics.beyond_class(e.train.teacher, e.train.labels, T) for T in (1.0, HOT))
    figure = f"{sure:.1%} sure, {right:.1%} right"
    said = f"Beyond its class, a target says {cold:.3f} bits at T = 1 and {hot:.3f} at T = {HOT:g}"
    if right - sure < UNSURE or hot > KEPT * cold or e.temperature < 2:
        return Outcome(figure, f"{said}.")
    if cold < LEAST:
        raise Unchecked(f"at T = 1 a target says {cold:.3f} bits beyond its class: too few to compare")
    return Outcome(
        figure,
        f"The teacher is less sure of its training data than it is right, as one trained with label smoothing. {said}: "
        "temperature takes away what it should bring out.",
        "Train the teacher without label smoothing; or try T = 1, and measure.",
        "notebook 08, a smoothed teacher",
    )


def _right_and_sure(logits, labels):
    return metrics.accuracy(logits, labels), logits.double().softmax(1).amax(1).mean().item()


def temperature(e: Evidence) -> Outcome:
    """Whether the temperature suits the spread of the teacher's logits."""
    targets = e.targets(e.train)
    left, bits = 1 - targets.amax(1).mean().item(), metrics.entropy(targets).mean().item()
    most = math.log2(targets.shape[1])
    spread = e.train.teacher.std(1).mean().item()
    figure = f"{bits:.2f} of {most:.2f} bits"
    said = f"At T = {e.temperature:g}, for logits that spread by {spread:.1f}, a soft target holds {bits:.2f} bits"
    if left < ONE_HOT:
        return Outcome(
            figure,
            f"{said}: it leaves {left:.2%} to all other classes, and is a label in all but name.",
            f"Raise T: {spread / 2:.2g} to {spread:.2g} would be near the spread of the logits.",
            "notebook 02",
        )
    if bits > UNIFORM * most:
        if targets.shape[1] > MANY:
            raise Unchecked(f"{figure}: of {targets.shape[1]} classes a target may teach well that looks uniform")
        return Outcome(
            figure,
            f"{said}, nearly those of a uniform one: each class gets about as much.",
            f"Lower T: {spread / 2:.2g} to {spread:.2g} would be near the spread of the logits.",
            "notebook 02",
        )
    return Outcome(figure, f"{said}: neither a label nor uniform.")


def pull(e: Evidence) -> Outcome:
    """How hard the soft and the hard term pull at a student that knows nothing yet."""
    if e.soft_weight == 0:
        raise Unchecked("soft_weight is 0: nothing is distilled")
    if e.hard_weight == 0:
        return Outcome("soft term alone", "The hard term has no weight.")
    targets, classes = e.targets(e.train), e.train.teacher.shape[1]
    soft = e.soft_weight * e.temperature * (1 / classes - targets).norm(dim=1).mean().item()
    hard = e.hard_weight * math.sqrt(1 - 1 / classes)  # the length of 1 / C less a one-hot label
    figure = f"{soft / hard:.2g} to 1"
    if soft / hard > FAINT:
        return Outcome(figure, "So much harder the soft term pulls at first than the hard one.")
    if classes > MANY:
        raise Unchecked(f"{figure}: of {classes} classes the soft term pulls faintly at first, and may teach well")
    return Outcome(
        figure,
        f"With soft_weight {e.soft_weight:g} and hard_weight {e.hard_weight:g} at T = {e.temperature:g} the soft term "
        f"pulls {soft:.2g} at first, the hard one {hard:.2g}: the teacher is hardly heard.",
        "Give the soft term 0.9 and the hard one 0.1, with the factor T^2, and KL divided by the batch alone "
        "(reduction='batchmean').",
        "notebook 03b, quiet_teacher",
    )


def missing_class(e: Evidence) -> Outcome:
    """Whether a class of the validation data is missing among the training data."""
    seen = e.splits.train.labels if e.splits else e.train.labels
    train, val = (labels[labels >= 0].bincount() for labels in (seen, e.val.labels))
    size = max(len(train), len(val), len(e.classes))
    train, val = (torch.nn.functional.pad(counts, (0, size - len(counts))) for counts in (train, val))
    lost = (train == 0) & ((val >= MISSED) | bool(e.splits))  # of loaders, only a sample was looked at
    figure = f"{int((train > 0).sum())} of {size} classes"
    if not lost.any():
        return Outcome(figure, "All classes that were looked for are among the training data.")
    names = [e.name_of(number) for number in lost.nonzero().flatten().tolist()]
    said = e.targets(e.train)[:, lost].sum(1).mean().item()
    return Outcome(
        figure,
        f"No training data of {', '.join(names[:5])}{' …' * (len(names) > 5)}: the student learns of them only what "
        f"the teacher says beside other answers, {said:.2%} of a soft target.",
        "Add some, without labels if need be (hard_weight=0); or keep T high and correct the bias afterwards: "
        "kdkit.metrics.bias_for_prior.",
        "notebook 01, the class that the student never saw",
    )


def padding(e: Evidence) -> Outcome:
    """Whether tokens without a label, or padding, count in the soft term."""
    rows = labels_of(e.train.batches[0]).ndim == 2
    labelled = (e.train.all_labels != IGNORE_INDEX).double().mean().item()
    if not rows:
        return Outcome(f"{labelled:.0%} have a label", "One label a sample: there is no padding.")
    given = [batch.inputs.get("attention_mask") for batch in e.train.batches if isinstance(batch.inputs, dict)]
    padded = [mask for mask in given if isinstance(mask, Tensor)]
    filler = 1 - torch.cat([mask.flatten().float() for mask in padded]).mean().item() if padded else 0.0
    figure = f"{filler:.0%} padding, {labelled:.0%} with a label"
    if all(batch.mask is not None for batch in e.train.batches):
        return Outcome(figure, "A mask says which tokens count in the soft term.")
    if not filler:
        return Outcome(figure, "There is no padding; without a mask, all tokens count in the soft term.")
    return Outcome(
        figure,
        f"No mask comes with the batches, and {filler:.0%} of the tokens are padding: they would count in the soft "
        "term.",
        "Give mask=attention_mask to kd_loss or kd_step, or batches of kdkit.training.Batch with a mask.",
        "notebook 03, sequence_kl",
    )


# ------------------------------------------------------------------------------------------ symptoms


def teacher_knows(e: Evidence) -> Outcome:
    """Whether the teacher knows anything of the validation data."""
    right, students = (metrics.accuracy(logits, e.val.labels) for logits in (e.val.teacher, e.val.student))
    figure = f"{right:.1%} right, the student {students:.1%}"
    if right > e.luck:
        return Outcome(figure, f"The teacher knows more of the validation data than who guesses ({e.luck:.1%}).")
    if _commonest(e.val.labels) > LOPSIDED:
        raise Unchecked(f"{_commonest(e.val.labels):.0%} of val are of one class: accuracy says little beside that")
    swapped = "Look whether the two are swapped, diagnose(student, teacher, …). " if students > e.luck else ""
    return Outcome(
        figure,
        f"The teacher knows no more than who names the commonest class always ({e.luck:.1%}).",
        f"{swapped}Look at what it was trained on, whether its weights were loaded, and at its inputs.",
        "notebook 03b, frozen_student",
    )


def _commonest(answers):
    return answers.bincount().max().item() / len(answers)


def learnt(e: Evidence) -> Outcome:
    """Whether the student had come to its end: what a few more steps add to its agreement with the teacher."""
    theirs = e.val.teacher.argmax(1)
    before, luck = e.agreement, metrics.guessing(theirs)
    gained = _after_more_steps(e) - before
    if gained < -LEARNT:
        raise Unchecked(
            f"{STEPS} steps of Adam at rate {RATE:g} take {-gained:.0%} from the agreement, and tell nothing"
        )
    figure = f"{before:.1%}, {gained * 100:+.1f} points by {STEPS} more steps"
    if gained < LEARNT and before > luck:
        return Outcome(figure, "More steps add little to the student's agreement with its teacher: it had learnt.")
    if gained < LEARNT and _commonest(theirs) > LOPSIDED:
        raise Unchecked(f"{_commonest(theirs):.0%} of the teacher's answers are one class: agreement says little then")
    what = "it was not at its end" if before > luck else f"and who guesses has {luck:.1%}: it has learnt nothing"
    return Outcome(
        figure,
        f"{STEPS} more steps of Adam take the student's agreement with its teacher from {before:.1%} to "
        f"{before + gained:.1%}; {what}. {_of_history(e)}",
        "Too small a rate or too few steps: try three times the rate, or more epochs. Too large a rate: a third of it, "
        "with a warm-up, and gradients cut to a length (kdkit.train does both)."
        f"{OTHER_TARGETS * (e.cache is None)}",
        "notebook 04",
    )


def _of_history(e):
    """What the losses of a run say about its rate, in a sentence."""
    if e.run is None or len(e.run.history) < 3:
        return "No history of losses was given that would say whether the rate was too small or too large."
    seen = [entry["loss"] for entry in e.run.history]
    fell = sum(after < before for before, after in itertools.pairwise(seen))
    rate = e.run.settings.get("lr")
    told = f"The loss went from {seen[0]:.3g} to {seen[-1]:.3g}{f' (lr {rate:.3g})' if rate else ''}, by way of "
    told += f"{max(seen):.3g} at most, and fell in {fell} of {len(seen) - 1} epochs"
    if not all(loss <= ROSE * seen[0] for loss in seen):  # NaN is not
        told += ": the rate is too large"
    elif fell >= STEADY * (len(seen) - 1) and seen[-1] == min(seen):
        told += ": the rate is too small, or the training too short"
    return f"{told}."


def _after_more_steps(e):
    student = copied(e.student).float()  # Adam's smallest numbers are 0 in half precision
    optimizer = torch.optim.Adam(student.parameters(), lr=RATE)
    loss = Distillation(e.temperature, e.soft_weight, e.hard_weight)
    with models.evaluating(e.teacher), torch.enable_grad():
        for number in range(STEPS):
            batch = e.train.batches[number % len(e.train.batches)]
            try:
                step(student, _with_mask(batch), loss, optimizer, teacher=e.teacher)
            except ValueError as error:
                raise Unchecked(f"no step could be tried: {error}") from error
    logits = e.val.asked(student)
    return metrics.agreement(logits, e.val.teacher) if logits.isfinite().all() else 0.0


def _with_mask(batch):
    if batch.mask is not None or batch.labels.ndim == 1:
        return batch
    return Batch(batch.inputs, batch.labels, batch.labels != IGNORE_INDEX)


def agreement(e: Evidence) -> Outcome:
    """How often the student gives its teacher's answer, and in which class least."""
    same, (ours, theirs) = e.agreement, (e.val.student.argmax(1), e.val.teacher.argmax(1))
    parted = theirs[ours != theirs] * e.val.teacher.shape[1] + ours[ours != theirs]  # teacher's answer, student's
    figure = f"{same:.1%} of val"
    said = "The student gives its teacher's answer"
    if len(parted):
        pair = divmod(int(parted.mode().values), e.val.teacher.shape[1])
        said += f"; they part most where the teacher says {e.name_of(pair[0])} and the student {e.name_of(pair[1])}"
    often = max(MISSED, COMMON * len(theirs))
    silent = [k for k in range(e.val.teacher.shape[1]) if (theirs == k).sum() >= often and not (ours == k).any()]
    if not silent:
        return Outcome(figure, f"{said}.")
    return Outcome(
        figure,
        f"The student never says {', '.join(e.name_of(k) for k in silent[:5])}, which its teacher says of "
        f"{sum(int((theirs == k).sum()) for k in silent)} of {len(theirs)} validation samples.",
        "Look at the training data of these classes, and at the loss: a student that knows few classes has hardly "
        "begun.",
        "notebook 08, fidelity",
    )


def calibration(e: Evidence) -> Outcome:
    """Whether the networks are as sure as they are right."""
    figures, told, off = [], [], False
    for name, logits in ("teacher", e.val.teacher), ("student", e.val.student):
        right, sure = _right_and_sure(logits, e.val.labels)
        figures.append(f"{name} {metrics.expected_calibration_error(logits, e.val.labels):.3f}")
        told.append(f"the {name} is {sure:.0%} sure on the mean and right {right:.0%} of the time")
        off |= not -OVER < right - sure < UNDER
    figure, said = ", ".join(figures), f"Expected calibration errors: {'; '.join(told)}."
    if not off:
        return Outcome(figure, said)
    return Outcome(
        figure,
        said,
        "Fit one temperature on validation data before you use the probabilities. A student that is far too unsure "
        "learnt from targets that were softened twice, or is asked at another temperature.",
        "notebook 08, overconfidence",
    )
