"""Answers to the exercises of notebook 09."""

import torch
import torch.nn.functional as F

# ------------------------------------------------------------------------------------- shifted by one, and masked


def with_cumsum(logits, tokens, prompt, end):
    ends = (tokens[:, prompt:] == end).long()
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    mask[:, prompt:] = ends.cumsum(1) - ends == 0
    mask = mask[:, 1:]
    return F.cross_entropy(logits[:, :-1][mask], tokens[:, 1:][mask])


def with_loops(logits, tokens, prompt, end):
    found = []
    for says, text in zip(logits, tokens.tolist(), strict=True):
        for i in range(prompt, len(text)):
            found.append(-says[i - 1].log_softmax(-1)[text[i]])
            if text[i] == end:
                break
    return torch.stack(found).mean()


def labelled(logits, tokens, prompt, end):
    labels = tokens.clone()
    labels[:, :prompt] = -100
    for row in labels:
        stops = (row == end).nonzero().flatten()
        row[stops[1:]] = -100
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:])


def answers_of(tokens, prompt, end):
    ends = (tokens == end).long()
    return (torch.arange(tokens.shape[1]) >= prompt) & (ends.cumsum(1) - ends == 0)


def nll(logits, labels):
    return -logits.log_softmax(-1).gather(-1, labels[..., None])[..., 0]


def ends_masked(logits, tokens, prompt, end):
    labels = tokens.masked_fill(tokens == end, -100)
    labels[:, :prompt] = -100
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def shifted(by, logits, tokens, prompt, end):
    m = answers_of(tokens, prompt, end)[:, by:]
    return nll(logits[:, : tokens.shape[1] - by], tokens[:, by:])[m].mean()


def backwards(logits, tokens, prompt, end):
    m = answers_of(tokens, prompt, end)[:, :-1]
    return nll(logits[:, 1:], tokens[:, :-1])[m].mean()


def of_all(reduce):
    return lambda z, x, p, e: reduce(nll(z[:, :-1], x[:, 1:]), answers_of(x, p, e)[:, 1:])


SHIFT = (
    [with_cumsum, with_loops, labelled, lambda *case: shifted(1, *case)],
    {
        "nothing is shifted": lambda *case: shifted(0, *case),
        "it is shifted twice": lambda *case: shifted(2, *case),
        "the wrong way": backwards,
        "mask is not shifted with the labels": lambda z, x, p, e: nll(z[:, :-1], x[:, 1:])[
            answers_of(x, p, e)[:, :-1]
        ].mean(),
        "the prompt counts in yours": lambda z, x, p, e: shifted(1, z, x, 0, e),
        "the end is masked away with the padding": ends_masked,
        "the padding counts in yours": lambda z, x, p, e: nll(z[:, p - 1 : -1], x[:, p:]).mean(),
        "all tokens count in yours": lambda z, x, p, e: nll(z[:, :-1], x[:, 1:]).mean(),
        "the first token of the answer": lambda z, x, p, e: shifted(1, z, x, p + 1, e),
        "but not out of the mean": of_all(lambda each, m: (each * m).mean()),
        "you divided twice": of_all(lambda each, m: (each * m).sum() / m.sum() / len(m)),
        "you divided by the sentences": of_all(lambda each, m: (each * m).sum() / len(m)),
        "you added and did not divide": of_all(lambda each, m: (each * m).sum()),
        "averaged each sentence first": of_all(lambda each, m: ((each * m).sum(1) / m.sum(1)).mean()),
        "one number is wanted": of_all(lambda each, m: each[m]),
        "softmax before F.cross_entropy": lambda z, x, p, e: with_cumsum(z.softmax(-1), x, p, e),
        "the minus is missing": lambda *case: -with_cumsum(*case),
        "nothing is shifted.*Second, the end is masked": lambda z, x, p, e: nll(z, x)[
            (torch.arange(x.shape[1]) >= p) & (x != e)
        ].mean(),
    },
)

# ------------------------------------------------------------------------------------- reverse KL


def logs(s, z, t):
    return (s / t).log_softmax(-1), (z.detach() / t).log_softmax(-1)


def by_kl_div(s, z, m, t):
    log_s, log_t = logs(s, z, t)
    return F.kl_div(log_t[m], log_s[m], reduction="batchmean", log_target=True)


def by_formula(s, z, m, t):
    log_s, log_t = logs(s, z, t)
    return ((log_s.exp() * (log_s - log_t)).sum(-1) * m).sum() / m.sum()


def each_of(s, z, m, t):
    log_s, log_t = logs(s, z, t)
    return log_s.exp() * (log_s - log_t)


def cut_weights(s, z, m, t):
    log_s, log_t = logs(s, z, t)
    return (log_s.exp().detach() * (log_s - log_t)).sum(-1)[m].mean()


REVERSE = (
    [
        by_kl_div,
        by_formula,
        lambda *case: torch.stack([each.sum() for each in each_of(*case)[case[2]]]).mean(),
    ],
    {
        r"this is KL\(teacher \|\| student\)": lambda s, z, m, t: F.kl_div(
            *logs(s[m], z[m], t), reduction="batchmean", log_target=True
        ),
        "the factor T\\^2 is in it": lambda s, z, m, t: t**2 * by_kl_div(s, z, m, t),
        "temperature makes no difference": lambda s, z, m, t: by_kl_div(s, z, m, 1.0),
        "subtract the student's entropy": lambda s, z, m, t: (
            -((logs(s, z, t)[0].exp() * logs(s, z, t)[1]).sum(-1)[m].mean())
        ),
        "yours is t_i \\(log s_i - log t_i\\)": lambda s, z, m, t: (
            (logs(s, z, t)[1].exp() * (logs(s, z, t)[0] - logs(s, z, t)[1])).sum(-1)[m].mean()
        ),
        "LOGARITHM in first place": lambda s, z, m, t: F.kl_div(
            (z[m] / t).softmax(-1), (s[m] / t).softmax(-1), reduction="batchmean"
        ),
        "the padding counts in yours": lambda *case: each_of(*case).sum(-1).mean(),
        "left the padding out of the sum": lambda s, z, m, t: (each_of(s, z, m, t).sum(-1) * m).mean(),
        "you divided by the sentences": lambda s, z, m, t: (each_of(s, z, m, t).sum(-1) * m).sum() / len(m),
        "you divided twice": lambda s, z, m, t: by_formula(s, z, m, t) / len(m),
        "averaged over the words of the vocabulary too": lambda s, z, m, t: each_of(s, z, m, t)[m].mean(),
        "averaged each sentence first": lambda s, z, m, t: ((each_of(s, z, m, t).sum(-1) * m).sum(1) / m.sum(1)).mean(),
        "only the teacher is softened": lambda s, z, m, t: F.kl_div(
            (z[m] / t).log_softmax(-1), s[m].log_softmax(-1), reduction="batchmean", log_target=True
        ),
        "cut off where they weigh": cut_weights,
        "a gradient flows into the teacher": lambda s, z, m, t: F.kl_div(
            (z[m] / t).log_softmax(-1), (s[m] / t).log_softmax(-1), reduction="batchmean", log_target=True
        ),
        "no gradient reaches the student": lambda s, z, m, t: by_kl_div(s, z, m, t).item(),
        "two logits lie 1,000 apart": lambda s, z, m, t: (
            ((s[m] / t).softmax(-1) * ((s[m] / t).softmax(-1).log() - (z[m].detach() / t).softmax(-1).log()))
            .sum(-1)
            .mean()
        ),
    },
)

# ------------------------------------------------------------------------------------- one step of on-policy


def drawn(s, z, x):
    return (y.log_softmax(-1).gather(-1, x[..., None])[..., 0] for y in (s, z.detach()))


def weighted(s, z, x, m):
    log_s, log_t = drawn(s, z, x)
    return ((log_s - log_t).detach() * log_s)[m].mean()


def of_drawn(each):
    def answer(s, z, x, m):
        return each(*drawn(s, z, x))[m].mean()

    return answer


def by_cross_entropy(s, z, x, m):
    log_s, log_t = (-F.cross_entropy(y.transpose(1, 2), x, reduction="none") for y in (s, z))
    advantage = (log_t - log_s).detach()
    return -(advantage * log_s * m).sum() / m.sum()


def own_words(s, z, x, m):
    log_s, log_t = s.log_softmax(-1), z.log_softmax(-1)
    return (log_s.exp() * (log_s - log_t)).sum(-1)[m].mean()


def teacher_too(s, z, x, m):
    return weighted(s, z, x, m) + z.square().mean() - z.square().mean().detach()


ON_POLICY = (
    [weighted, by_cross_entropy, lambda s, z, x, m: weighted(s[m][None], z[m][None], x[m][None], m[m][None])],
    {
        "its gradient is 0 on average": of_drawn(lambda s, t: s - t),
        "As a loss it follows the FORWARD KL": of_drawn(lambda s, t: (t - s).exp() - 1 - (t - s)),
        "half the square": of_drawn(lambda s, t: (s - t) ** 2 / 2),
        "it makes likelier what the teacher finds unlikely": of_drawn(lambda s, t: (t - s).detach() * s),
        "with the student's own text": of_drawn(lambda s, t: -s),
        "drawn to one sentence": of_drawn(lambda s, t: -t * s),
        "the full reverse KL": own_words,
        "the padding counts in yours": lambda s, z, x, m: weighted(s, z, x, torch.ones_like(m)),
        "you divided twice": lambda s, z, x, m: weighted(s, z, x, m) / len(s),
        "you divided by the sentences": lambda s, z, x, m: weighted(s, z, x, m) * m.sum() / len(s),
        "student and teacher are swapped": lambda s, z, x, m: weighted(z, s, x, m),
        "you added and did not divide": lambda s, z, x, m: weighted(s, z, x, m) * m.sum(),
        "a gradient flows through the weight": of_drawn(lambda s, t: (s - t) * s),
        "no gradient reaches the student": of_drawn(lambda s, t: ((s - t) * s).detach()),
        "a gradient flows into the teacher": teacher_too,
    },
)


# ------------------------------------------------------------------------------------- the k likeliest and a tail


def with_a_tail(s, z, k):
    s, t = s.softmax(-1), z.detach().softmax(-1)
    top, first = t.topk(k, -1)
    found = s.gather(-1, first)
    inside = (top * (top / found).log()).sum(-1)
    rest = 1 - top.sum(-1)
    outside = rest * (rest / (1 - found.sum(-1))).log()
    return (inside + outside).mean()


def sorted_by_the_teacher(s, z, k):
    order = z.detach().argsort(-1, descending=True)
    log_s, log_t = (x.log_softmax(-1).gather(-1, order) for x in (s, z.detach()))
    log_s, log_t = (torch.cat([x[:, :k], x[:, k:].logsumexp(-1, keepdim=True)], -1) for x in (log_s, log_t))
    return F.kl_div(log_s, log_t, reduction="batchmean", log_target=True)


def at_the_top(s, z, k):
    first = z.topk(k, -1).indices
    return s.gather(-1, first), z.detach().gather(-1, first)


def partial(s, z, k):
    log_s, log_t = at_the_top(s.log_softmax(-1), z.log_softmax(-1), k)
    return (log_t.exp() * (log_t - log_s)).sum(-1).mean()


def half_renormalised(s, z, k):
    log_s, log_t = at_the_top(s.log_softmax(-1), z.log_softmax(-1), k)
    return F.kl_div(log_s, log_t.softmax(-1), reduction="batchmean")


def merged(x, order, k):
    x = x.log_softmax(-1).gather(-1, order)
    return torch.cat([x[:, :k], x[:, k:].logsumexp(-1, keepdim=True)], -1)


def sorted_of_student(s, z, k):
    order = s.argsort(-1, descending=True)
    return F.kl_div(merged(s, order, k), merged(z, order, k), reduction="batchmean", log_target=True)


def sorted_swapped(s, z, k):
    order = z.argsort(-1, descending=True)
    return F.kl_div(merged(z, order, k), merged(s, order, k), reduction="batchmean", log_target=True)


def attached(s, z, k):
    order = z.argsort(-1, descending=True)
    return F.kl_div(merged(s, order, k), merged(z, order, k), reduction="batchmean", log_target=True)


def each_its_own(s, z, k):
    orders = [x.argsort(-1, descending=True) for x in (s, z)]
    log_s, log_t = merged(s, orders[0], k), merged(z, orders[1], k)
    return F.kl_div(log_s, log_t, reduction="batchmean", log_target=True)


TOP_K = (
    [
        with_a_tail,
        sorted_by_the_teacher,
        lambda s, z, k: sorted_by_the_teacher(s - s.mean(), z + 3, k),
    ],
    {
        "the tail is missing": partial,
        "you renormalised": lambda s, z, k: F.kl_div(
            at_the_top(s, z, k)[0].log_softmax(-1), at_the_top(s, z, k)[1].softmax(-1), reduction="batchmean"
        ),
        "the student's are not": half_renormalised,
        "the student's k likeliest words": sorted_of_student,
        "different words are compared": each_its_own,
        "this is the full KL": lambda s, z, k: F.kl_div(s.log_softmax(-1), z.softmax(-1), reduction="batchmean"),
        "you added over the batch": lambda s, z, k: with_a_tail(s, z, k) * len(s),
        "one number is wanted": lambda s, z, k: torch.stack(
            [with_a_tail(a[None], b[None], k) for a, b in zip(s, z, strict=True)]
        ),
        "student and teacher are swapped": sorted_swapped,
        "a gradient flows into the teacher": attached,
        "no gradient reaches the student": lambda s, z, k: with_a_tail(s, z, k).item(),
    },
)

EXERCISES = {"shift_and_mask": SHIFT, "reverse_kl": REVERSE, "on_policy": ON_POLICY, "top_k_tail": TOP_K}
