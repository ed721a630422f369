"""Is everything connected as one thinks: the checks of networks, inputs, labels and kept answers.

Each takes the ``Evidence`` and gives an ``Outcome``, or raises ``Unchecked`` where there is nothing to look at.
"""

import contextlib

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from kdkit import models
from kdkit.losses.arguments import IGNORE_INDEX
from kdkit.measure import metrics
from kdkit.studies.diagnosis.evidence import GAIN, NETWORKS, Evidence
from kdkit.studies.diagnosis.outcome import Outcome
from kdkit.studies.diagnosis.part import BATCH, Unchecked, check_table, copied
from kdkit.studies.diagnosis.remedies import AS_GIVEN, BY_THE_BATCH, FRAMES
from kdkit.training.cache import ViewCache

FEW = 5  # samples of a class that may all have been put into another column by mistake
HALF = 0.5  # of a class's images, in another column: a class that is only hard is dealt over several
ROUNDING = 1e-3  # relative to the largest logit: no batch size, thread count or TF32 makes more of a difference


def numbers(e: Evidence) -> Outcome:
    """NaN or inf in weights or answers; and labels that the teacher rules out."""
    bad = [f"{name}'s {what}" for name in NETWORKS for what in _not_finite(getattr(e, name))]
    for name in NETWORKS:
        with contextlib.suppress(Unchecked):
            logits = e.val.answers(name)
            lost = int((~logits.amax(1).isfinite()).sum())
            bad += [f"{name}'s answers to {lost} of {len(logits)} samples"] if lost else []
            kept = e.val.labels < logits.shape[1]
            ruled_out = logits[kept].gather(1, e.val.labels[kept, None].clamp(min=0)) == -torch.inf
            bad += [f"{name}'s logits of {int(ruled_out.sum())} right classes (-inf)"] if ruled_out.any() else []
    if not bad:
        return Outcome("all finite", "Weights and answers are numbers, and no right class is ruled out.")
    return Outcome(
        f"{len(bad)} not finite",
        f"NaN or infinite: {', '.join(bad)}.",
        "Look at what gave them: a training that diverged (lower the rate), a log of 0, a mask of -inf over a class "
        "that occurs. Load the last good checkpoint.",
        "notebook 03b, healthy_loss",
    )


def _not_finite(network):
    weights = [f"weights {name}" for name, tensor in network.named_parameters() if not tensor.isfinite().all()]
    for name, tensor in network.named_buffers():  # the inf of a mask is as it should be
        bad = not tensor.isfinite().all() if name.endswith(("running_mean", "running_var")) else tensor.isnan().any()
        weights += [f"buffer {name}"] if bad else []
    return weights[:3]


def width(e: Evidence) -> Outcome:
    """How many classes each network names, and the labels."""
    part = e.val.smaller(1)
    widths = {name: part.asked(getattr(e, name)).shape[-1] for name in NETWORKS}
    labels = torch.cat([e.train.all_labels, e.val.all_labels])
    labels = labels[labels != IGNORE_INDEX]
    known = len(e.classes) or (int(labels.max()) + 1 if len(labels) else 0)
    figure = f"teacher {widths['teacher']}, student {widths['student']}, labels {known}"
    low, high = (int(labels.min()), int(labels.max())) if len(labels) else (0, 0)
    if low < 0 or high >= min(widths.values()):
        return Outcome(
            figure,
            f"Labels go from {low} to {high}, and {min(widths.values())} classes are 0 to {min(widths.values()) - 1}.",
            "Count classes from 0; give samples without a label the label -100, which no loss counts.",
            "kdkit.losses.kd_loss",
        )
    if len(set(widths.values())) > 1 or (e.classes and known != widths["student"]):
        return Outcome(
            figure,
            "The networks do not name the same classes: there is no soft target for each of the student's outputs.",
            "Give the student the teacher's width. Of a teacher that knows more classes, keep the logits of those that "
            "you have, by name: teacher(x)[:, columns].",
            "README, your own training loop",
        )
    return Outcome(figure, "Both networks name the same classes, and the labels are among them.")


def shared(e: Evidence) -> Outcome:
    """Whether the two networks have weights in common that learn."""
    own = {weight.data_ptr() for weight in e.teacher.parameters() if weight.numel()}
    both = sum(weight.data_ptr() in own for weight in e.student.parameters() if weight.numel() and weight.requires_grad)
    if not both:
        return Outcome("none", "Student and teacher share no weights that learn.")
    return Outcome(
        f"{both} weights",
        "Student and teacher share weights: the teacher changes as the student learns.",
        "Copy first: copy.deepcopy(teacher) for a student that begins as the teacher.",
        "notebook 06",
    )


def probabilities(e: Evidence) -> Outcome:
    """Whether a network ends in a softmax of its own."""
    sure = {name: getattr(e.val, name) for name in NETWORKS}
    given = [name for name, logits in sure.items() if _are_probabilities(logits)]
    if not given:
        return Outcome("logits", "Both networks answer with logits, not with probabilities.")
    most = sure[given[0]].div(e.temperature).softmax(1).amax(1).mean().item()
    return Outcome(
        f"{most:.2f} for the likeliest class",
        f"The {given[0]} answers with probabilities in place of logits. A softmax of them at T = {e.temperature:g} is "
        f"nearly uniform: its largest number is {most:.2f} on the mean.",
        "Take the softmax out of the network, or give its logarithm: log of a probability is a logit.",
        "notebook 03b, pale_targets",
    )


def _are_probabilities(rows):
    return bool((rows >= 0).all() and (rows.sum(1) - 1).abs().max() < 1e-3)


def same_teacher(e: Evidence) -> Outcome:
    """Whether this is the teacher that the run names."""
    if e.run is None:
        raise Unchecked("no run was given (run=)")
    named = e.run.settings.get("teacher")
    if named is None:
        raise Unchecked("the run had no teacher")
    here = models.fingerprint(e.teacher)
    if here == named:
        return Outcome(here, "It is the teacher of the run, unchanged.")
    if len({_fingerprint_after(e.teacher, part) for part in (e.train, e.val)}) > 1:
        raise Unchecked("the teacher keeps something of what it was last asked: its fingerprint changes with each call")
    return Outcome(
        f"{here}, in the run {named}",
        "This is not the teacher that the run began with: another network, or its weights or BatchNorm statistics "
        "have moved since.",
        "Compare kdkit.models.fingerprint(teacher) before and after. A teacher in train mode changes whenever it is "
        "asked, even under no_grad.",
        "notebook 03b, sinking_teacher",
    )


def _fingerprint_after(teacher, part):
    part.smaller(1).asked(teacher)
    return models.fingerprint(teacher)


def mode(e: Evidence) -> Outcome:
    """Whether the teacher was handed over in train mode, and what that does to its answers."""
    left = sum(getattr(module, "training", False) for module in models.every_module(e.teacher))
    if not left:
        return Outcome("eval", "The teacher's BatchNorm, dropout and all else are in eval mode.")
    asleep, awake = e.val.teacher, e.val.said(copied(e.teacher))
    if _apart(asleep, awake) <= ROUNDING:
        return Outcome(f"{left} modules in train mode", "In train mode the teacher says the same as in eval mode.")
    same = (asleep.argmax(1) == awake.argmax(1)).double().mean().item()
    return Outcome(
        f"{left} modules in train mode",
        f"The teacher was handed over with {left} modules in train mode. As it stands it answers {same:.1%} of the "
        "validation data as it does in eval mode, and not with the same logits.",
        "teacher.eval() before it is asked, each time: a parent's .train() puts it back. kdkit's own steps do so.",
        "notebook 03b, sinking_teacher",
    )


def _apart(first, second):
    """The largest difference of logits, in shares of the largest logit."""
    return (first - second).abs().max().item() / max(1.0, first.abs().max().item())


def repeats(e: Evidence) -> Outcome:
    """Whether each network, in eval mode, gives the same answer twice."""
    part, restless = e.val.smaller(1), {}
    for name in NETWORKS:
        off = _apart(*(part.asked(getattr(e, name)) for _ in range(2)))
        if not off <= ROUNDING:
            restless[name] = off
    if not restless:
        return Outcome("the same twice", "Asked twice in eval mode, both networks say the same.")
    name, off = max(restless.items(), key=lambda item: item[1])
    return Outcome(
        f"{off:.1%} apart",
        f"Asked twice in eval mode, the {name} gives answers that are {off:.1%} of the largest logit apart: dropout or "
        "another draw is on.",
        "F.dropout(x) draws whatever the mode: write F.dropout(x, training=self.training), or nn.Dropout. Put random "
        "crops and resizes before the networks, not into them.",
        "notebook 03b, never_zero",
    )


def statistics(e: Evidence) -> Outcome:
    """Whether BatchNorm's running statistics fit the data: answers by them, and by those of the batch."""
    fresh = [name for name in NETWORKS if BY_THE_BATCH in e.remedies[name]]
    if not fresh:
        raise Unchecked("no network here has BatchNorm")
    figure = "; ".join(
        f"{name} {e.right(name, AS_GIVEN):.1%}, by the batch {e.right(name, BY_THE_BATCH):.1%}" for name in fresh
    )
    stale = [name for name in fresh if e.remedy(name) == BY_THE_BATCH]
    if not stale:
        return Outcome(figure, "BatchNorm's running statistics serve as well as those of the batch.")
    return Outcome(
        figure,
        f"With the statistics of the batch in place of the running ones the {' and the '.join(stale)} would be right "
        "far more often: either the running ones are not those of its training (moved by a pass in train mode over "
        "other data, of too few steps, of weights that have moved on), or these inputs are not of the kind that it "
        "learnt from (another crop, resolution or scale).",
        "To tell them apart, ask it about samples that it learnt from, prepared as they were then. If it is wrong "
        "there, too, its statistics are to blame: compute them anew, the network in train mode, under no_grad, over "
        "some hundred training samples; and find what moved them. If it is right there, these inputs are to blame: "
        "prepare them as it learnt.",
        "notebook 03b, sinking_teacher",
    )


def class_order(e: Evidence) -> Outcome:
    """Whether the teacher is right under other numbers of the classes."""
    check_table(e.val.teacher)
    table = metrics.confusion(e.val.teacher, e.val.labels)  # [C, C]
    rows, columns = linear_sum_assignment(-table.numpy())
    total = int(table.sum())
    right = table.diagonal().sum().item() / total
    turned = table[torch.from_numpy(rows), torch.from_numpy(columns)].sum().item() / total
    counts = table.sum(1).tolist()
    moved = [
        (row, column)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if row != column and table[row, column] > HALF * counts[row] and counts[row] >= FEW
    ]
    figure = f"{right:.1%} right, {turned:.1%} in another order"
    if turned - right < GAIN:
        return Outcome(figure, "No other order of the classes makes the teacher right much more often.")
    if e.val.of_each < FEW:
        raise Unchecked(f"{figure}, but of {e.val.of_each:.1f} samples a class that proves nothing")
    if len(moved) < 2:
        return Outcome(figure, "No two classes are taken for another one each, more than half of the time.")
    told = ", ".join(f"{e.name_of(a)} as {e.name_of(b)}" for a, b in moved[:3])
    return Outcome(
        figure,
        f"The teacher's classes stand in another order than the labels': it names {told}{' …' * (len(moved) > 3)}.",
        "Map by name, not by number: teacher_logits[:, [teacher_classes.index(name) for name in classes]]. Folders are "
        "sorted by the alphabet.",
        "notebook 08, class order",
    )


def inputs(e: Evidence) -> Outcome:
    """Whether a network is right far more often on inputs of another scale, colour order, size or crop."""
    x = e.val.batches[0].inputs
    if not isinstance(x, Tensor) or x.ndim != 4 or not x.is_floating_point():
        raise Unchecked("inputs are no images [B, C, H, W] of floating-point numbers")
    figure = ", ".join(f"{name} {e.right(name, AS_GIVEN):.1%} right" for name in NETWORKS)
    other = {name: way for name in NETWORKS if (way := e.remedy(name)) not in (AS_GIVEN, BY_THE_BATCH)}
    if not other:
        return Outcome(figure, "No other scale, colour order, size or crop would make them right far more often.")
    [(name, way), *_] = other.items()
    figure = f"{e.right(name, AS_GIVEN):.1%} right, {e.right(name, way):.1%} on images {way}"
    if way in FRAMES:
        return Outcome(
            figure,
            f"The {name} is right far more often on images {way}: those that it is given {FRAMES[way]}.",
            f"Look for a crop or a resize on the way to the {name}, in its loader or inside it, and prepare its images "
            "as they were when it learnt; both networks are to see the same view.",
            "notebook 08, class order, normalisation, size",
        )
    return Outcome(
        figure,
        f"The {name} expects other images than it is given: on images {way} it is right far more often.",
        f"Normalise for each network on its own, inside it: the {name} gets images {way}, the other what it was made "
        "for.",
        "notebook 03b, short_sighted",
    )


def kept_answers(e: Evidence) -> Outcome:
    """Whether kept answers are this teacher's, on these samples, in this order."""
    if e.cache is None:
        raise Unchecked("no kept answers were given (cache=)")
    return _of_view_cache(e) if isinstance(e.cache, ViewCache) else _of_rows(e)


def _of_view_cache(e):
    as_teacher_sees = e.splits is None or e.splits is e.cache.seen
    try:
        with models.evaluating(e.teacher):  # a cache asks in eval mode, and leaves it at that
            e.cache.check_belongs(e.teacher, e.cache.data if as_teacher_sees else e.splits)
            if not e.cache.filled:
                raise Unchecked("the cache is still empty")
            off = e.cache.check(tolerance=ROUNDING)
    except Unchecked:  # a ValueError too
        raise
    except ValueError as error:
        return Outcome("not the teacher's", str(error), "Delete the file and let it be filled again.", "notebook 04")
    return Outcome(f"{off:.0e} apart", "Asked again about 256 kept views, the teacher says what the cache has.")


def _of_rows(e):
    kept, fresh = _kept_rows(e), e.train.teacher
    mine = kept[e.train.image]
    if _are_probabilities(kept) and not _are_probabilities(fresh):
        return Outcome(
            "probabilities",
            "Probabilities were kept, not logits: a softmax of them is nearly uniform at any temperature.",
            "Keep logits, and take the softmax of logits / T in the loss.",
            "notebook 03b, pale_targets",
        )
    near = 10 * ROUNDING * fresh.abs().max()
    differ = ((mine - fresh).abs().amax(1) > near).double().mean().item()
    if differ <= GAIN:
        return Outcome(f"{differ:.1%} of the rows differ", "Kept answers are what the teacher says now, row by row.")
    elsewhere = (torch.cdist(fresh[:BATCH], kept, p=torch.inf).amin(1) <= near).double().mean().item()
    found = f"Of the teacher's answers {elsewhere:.0%} stand in some row or other"
    if elsewhere > HALF:
        what, advice = "they were kept in another order.", "Fill the cache without shuffling"
    else:
        what, advice = "another teacher, or other views, gave what was kept.", "Keep the answers of this teacher"
    right = [metrics.accuracy(rows, e.train.labels) for rows in (mine, fresh)]
    return Outcome(
        f"{differ:.0%} of the rows differ",
        f"Row by row the kept answers are right in {right[0]:.1%}, the teacher in {right[1]:.1%}. {found}: {what}",
        f"{advice}, on the images as the student will see them, each with its number (kdkit.training.ViewCache).",
        "notebook 03b, coin_tosser",
    )


def _kept_rows(e):
    if e.train.batches[0].labels.ndim != 1:
        raise Unchecked("kept answers are compared for one label a sample, not for tokens")
    if not isinstance(e.cache, Tensor) or e.cache.ndim != 2 or e.cache.shape[1] != e.train.teacher.shape[1]:
        raise Unchecked("kept answers must be a ViewCache or logits [N, C], a row for each training sample in order")
    last = int(e.train.image.max())
    if last >= len(e.cache):
        raise Unchecked(f"{len(e.cache)} rows were kept, and training samples have numbers up to {last}")
    return e.cache.float().cpu()
