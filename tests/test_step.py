"""``kd_step`` in a user's world: whatever networks are wrapped in, what they take and give, and what is refused."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdkit import kd_step, losses, models
from kdkit.measure import metrics

INPUTS = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(8) % 3


def net(seed=0, width=12):
    """A small network with BatchNorm, whose statistics move where it is not in eval mode."""
    with models.seeded(seed):
        return nn.Sequential(nn.Linear(6, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 3))


def sgd(student, lr=0.1):
    return torch.optim.SGD([weight for weight in student.parameters() if weight.requires_grad], lr)


def step(teacher, student, inputs=INPUTS, labels=LABELS, **settings):
    return kd_step(teacher, student, 3.0, inputs, sgd(student), labels, **settings)


def weights(network):
    return [tensor.clone() for tensor in network.state_dict().values()]


def same(first, second):
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def expected(teacher, inputs=INPUTS):
    """The losses and weights of a step of plain modules on a plain tensor."""
    student = net(1)
    return step(teacher, student, inputs), weights(student)


# --------------------------------------------------------------------------------------- teachers and wrappers


class Ensemble(nn.Module):
    def __init__(self, networks):
        super().__init__()
        self.networks = networks

    def forward(self, inputs):
        return sum(network(inputs) for network in self.networks) / len(self.networks)


def in_a_plain_list(network):
    return Ensemble([network.train()])  # in train mode, where ``.eval()`` does not reach it


def in_a_module_list(network):
    return Ensemble(nn.ModuleList([network.train()]))


def traced(network):
    return torch.jit.trace(network.eval(), INPUTS)


def frozen_script(network):
    return torch.jit.freeze(traced(network).eval())


def compiled(network):
    return torch.compile(network, backend="eager")


TEACHERS = [compiled, nn.DataParallel, traced, frozen_script, in_a_plain_list, in_a_module_list]


@pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:.*TorchScript")
@pytest.mark.parametrize("wrap", TEACHERS)
def test_a_step_from_a_wrapped_teacher_is_that_from_the_teacher_itself(wrap):
    teacher, student = net(), net(1)
    seen, moved = expected(teacher)
    before = weights(teacher)
    assert step(wrap(teacher), student) == pytest.approx(seen, rel=1e-6)
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(weights(student), moved, strict=True))
    assert same(weights(teacher), before), "the statistics of the teacher have not moved"


@pytest.mark.filterwarnings("ignore")  # torch.ao is on its way out
def test_a_quantised_teacher_teaches():
    quantised = torch.ao.quantization.quantize_dynamic(net().eval(), {nn.Linear}, dtype=torch.qint8)
    student = net(1)
    before = weights(student)
    assert step(quantised, student) == pytest.approx(expected(net())[0], rel=0.05)
    assert not same(weights(student), before)


@pytest.mark.parametrize("wrap", [compiled, nn.DataParallel])
def test_a_wrapped_student_learns_what_the_student_itself_learns(wrap):
    seen, moved = expected(net())
    student = net(1)
    wrapped = wrap(student)
    assert step(net(), wrapped) == pytest.approx(seen, rel=1e-6)
    assert same(weights(student), moved) and student.training
    kd_step(net(), wrapped, 3.0, INPUTS, sgd(student), LABELS)  # an optimizer over what is wrapped does as well


def test_a_distributed_student_learns_what_the_student_itself_learns(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        seen, moved = expected(net())
        student = net(1)
        assert step(net(), nn.parallel.DistributedDataParallel(student)) == pytest.approx(seen, rel=1e-6)
        assert same(weights(student), moved)
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:.*TorchScript")
@pytest.mark.parametrize("wrap", TEACHERS)
def test_predict_asks_wrapped_networks_in_eval_mode_and_puts_each_mode_back(wrap):
    images = torch.randint(256, (5, 1, 1, 6), dtype=torch.uint8)
    with models.seeded(0):
        network = nn.Sequential(nn.Flatten(), net())
    network.eval()
    wanted = metrics.predict(network, images)
    if wrap in (traced, frozen_script):
        wrapped = torch.jit.trace(network, images.float())
        wrapped = torch.jit.freeze(wrapped) if wrap is frozen_script else wrapped
    else:
        wrapped = wrap(network)
    network.train()
    network[1][1].eval()
    before, modes = weights(network), [module.training for module in network.modules()]
    assert torch.allclose(metrics.predict(wrapped, images), wanted, atol=1e-6)
    assert same(weights(network), before) and [module.training for module in network.modules()] == modes


# --------------------------------------------------------------------------------------- inputs and outputs


class Answers(nn.Module):
    """``net`` with its logits packed by ``pack``."""

    def __init__(self, network, pack):
        super().__init__()
        self.network, self.pack = network, pack

    def forward(self, inputs):
        return self.pack(self.network(inputs))


class HasLogits:
    def __init__(self, logits):
        self.logits = logits


@pytest.mark.parametrize(
    "pack", [lambda z: (z, "state"), lambda z: [z], lambda z: {"loss": None, "logits": z}, HasLogits]
)
def test_logits_are_found_in_a_tuple_a_mapping_and_an_object(pack):
    (seen, moved), student = expected(net()), Answers(net(1), pack)
    assert step(Answers(net(), pack), student) == seen and same(weights(student), moved)


class TwoInputs(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, first, second=None):
        return self.network(first if second is None else torch.cat([first, second], 1))


@pytest.mark.parametrize(
    "inputs",
    [
        (INPUTS[:, :2], INPUTS[:, 2:]),
        [INPUTS[:, :2], INPUTS[:, 2:]],
        {"second": INPUTS[:, 2:], "first": INPUTS[:, :2]},
    ],
)
def test_a_tuple_is_handed_over_in_order_and_a_mapping_by_name(inputs):
    seen, moved = expected(net())
    student = TwoInputs(net(1))
    assert step(TwoInputs(net()), student, inputs) == seen and same(weights(student), moved)


def test_the_batch_of_a_tokenizer_reaches_both_networks_with_its_mask():
    transformers = pytest.importorskip("transformers")
    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_labels": 3}
    sizes |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    with models.seeded(0):
        make = transformers.BertForSequenceClassification
        teacher, student = (make(transformers.BertConfig(**sizes, intermediate_size=32)) for _ in range(2))
    ids = torch.randint(1, 50, (4, 9))
    attention_mask = (torch.arange(9) < 5).expand(4, 9).long()
    batch = transformers.BatchEncoding({"input_ids": ids, "attention_mask": attention_mask})
    seen = kd_step(teacher, student, 2.0, batch, sgd(student, 0.0), LABELS[:4], hard_weight=0)
    ids[:, 5:] = 0  # what is not attended to does not count
    again = kd_step(teacher, student, 2.0, {**batch, "input_ids": ids}, sgd(student, 0.0), LABELS[:4], hard_weight=0)
    assert again.soft == pytest.approx(seen.soft, rel=1e-4) and seen.soft > 0


def test_argmax_hands_on_whatever_its_teacher_is_asked():
    student = TwoInputs(net(1))
    by_name = {"first": INPUTS[:, :2], "second": INPUTS[:, 2:]}
    seen = step(models.Argmax(TwoInputs(net())), student, by_name, soft_weight=1.0, hard_weight=0.0)
    assert seen == step(models.Argmax(net()), net(1), soft_weight=1.0, hard_weight=0.0)


# --------------------------------------------------------------------------------------- precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_teacher_of_another_precision_is_asked_in_its_own(dtype):
    teacher = net().to(dtype)
    assert step(teacher, net(1)) == pytest.approx(expected(net())[0], rel=0.05)
    assert all(weight.dtype == dtype for weight in teacher.parameters())


def test_a_step_under_autocast_is_the_step_up_to_rounding_and_its_losses_are_taken_in_float32():
    (seen, moved), student = expected(net()), net(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = step(net(), student)
    assert found == pytest.approx(seen, rel=0.05) and found != seen
    assert all(torch.allclose(a, b, atol=0.02) for a, b in zip(weights(student), moved, strict=True))
    assert all(weight.dtype == torch.float32 for weight in student.parameters())


# --------------------------------------------------------------------------------------- what the user froze


class Residual(nn.Module):
    """BatchNorm at several depths, as in a ResNet."""

    def __init__(self):
        super().__init__()
        self.stem, self.drop = net(1), nn.Dropout(0.5)
        self.block = nn.Sequential(nn.Sequential(nn.BatchNorm1d(3)), nn.Linear(3, 3))

    def forward(self, inputs):
        return self.block(self.drop(self.stem(inputs)))


def norms(network):
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm1d)]


def statistics(network):
    return [norm.running_mean.clone() for norm in norms(network)]


@pytest.mark.parametrize("wrap", [lambda student: student, nn.DataParallel, compiled])
def test_batchnorm_that_the_user_put_into_eval_mode_stays_there(wrap):
    student = Residual()
    for norm in norms(student):
        norm.eval()
    before = statistics(student)
    for _ in range(2):
        step(net(), wrap(student))
    assert same(statistics(student), before) and student.training and student.drop.training


def test_one_frozen_batchnorm_leaves_the_others_free():
    student = Residual()
    norms(student)[1].eval()
    before = statistics(student)
    step(net(), student)
    assert [torch.equal(*pair) for pair in zip(statistics(student), before, strict=True)] == [False, True]


def test_batchnorm_with_frozen_weights_stays_frozen_even_after_a_validation():
    student = Residual()
    for norm in norms(student):
        norm.eval().requires_grad_(False)
    before = statistics(student)
    student.eval()  # as a validation does
    step(net(), student)
    assert same(statistics(student), before) and student.drop.training


def test_a_student_that_comes_out_of_a_validation_trains_again_as_a_whole():
    for student in Residual().eval(), nn.DataParallel(Residual().eval()):
        before = statistics(student)
        step(net(), student)
        assert all(module.training for module in student.modules())
        assert not any(torch.equal(*pair) for pair in zip(statistics(student), before, strict=True))


def test_evaluating_puts_back_what_a_network_of_its_own_train_method_had():
    class Merging(nn.Linear):  # as LoRA: what ``train`` does is more than a flag
        merged = False

        def train(self, mode=True):
            self.merged = not mode
            return super().train(mode)

    network = nn.Sequential(Merging(2, 2), nn.Dropout())
    network[1].eval()
    with models.evaluating(network):
        assert network[0].merged and not network.training
    assert not network[0].merged and [module.training for module in network.modules()] == [True, True, False]


# --------------------------------------------------------------------------------------- tokens and padding


def readers():
    with models.seeded(0):
        return [nn.Sequential(nn.Embedding(20, 8), nn.Linear(8, 20)) for _ in range(2)]


IDS = torch.randint(1, 20, (4, 6), generator=torch.Generator().manual_seed(1))
IDS[:, 4:] = 0
WORDS = IDS.masked_fill(IDS == 0, -100)


def test_with_a_mask_the_soft_term_counts_the_words_alone():
    teacher, student = readers()
    wanted = losses.kd_terms(student(IDS), teacher(IDS), WORDS, temperature=2.0, mask=IDS > 0)
    seen = kd_step(teacher, student, 2.0, IDS, sgd(student), WORDS, mask=IDS > 0)
    assert seen == pytest.approx([term.item() for term in wanted], rel=1e-6)


def test_padding_without_a_mask_is_refused_and_every_way_out_works():
    teacher, student = readers()
    before = weights(student)
    with pytest.raises(ValueError, match=r"labels are -100.*Give mask=, \[B, L\] with 1 where a token counts"):
        kd_step(teacher, student, 2.0, IDS, sgd(student), WORDS)
    assert same(weights(student), before)
    for mask in WORDS != -100, (IDS > 0).long(), torch.ones_like(WORDS):
        kd_step(teacher, student, 2.0, IDS, sgd(student), WORDS, mask=mask)
    kd_step(teacher, student, 2.0, IDS, sgd(student), WORDS, soft_weight=0)  # no soft term, nothing to ask


def test_an_attention_mask_with_zeros_asks_for_a_mask_too():
    class Reader(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, input_ids, attention_mask):
            return self.network(input_ids)

    teacher, student = (Reader(network) for network in readers())
    batch = {"input_ids": IDS, "attention_mask": (IDS > 0).long()}
    with pytest.raises(ValueError, match=r"inputs\['attention_mask'\] has zeros.*Give mask="):
        kd_step(teacher, student, 2.0, batch, sgd(student))
    kd_step(teacher, student, 2.0, batch, sgd(student), mask=batch["attention_mask"])
    kd_step(teacher, student, 2.0, batch | {"attention_mask": torch.ones_like(IDS)}, sgd(student))


def test_samples_without_a_label_still_learn_from_the_teacher():
    unlabelled = LABELS.masked_fill(LABELS == 2, -100)
    assert step(net(), net(1), labels=unlabelled).soft == expected(net())[0].soft


# --------------------------------------------------------------------------------------- what is refused


def refused(message, call, student=None):
    """``call`` ends in a ``ValueError``, and leaves the weights of ``student`` alone."""
    before = [weight.clone() for weight in student.parameters()] if student is not None else []
    with pytest.raises(ValueError, match=message):
        call()
    assert student is None or same(student.parameters(), before)


@pytest.mark.parametrize("wrap", [lambda network: network, compiled, nn.DataParallel])
def test_an_optimizer_of_a_student_that_was_built_anew_is_refused(wrap):
    stale, student = sgd(net(1)), net(1)
    refused(
        "holds none of the student's weights.*Build the optimizer again",
        lambda: kd_step(net(), wrap(student), 3.0, INPUTS, stale, LABELS),
        student,
    )


@pytest.mark.parametrize("wrap", [lambda network: network, compiled, nn.DataParallel, in_a_plain_list])
def test_swapped_networks_are_refused(wrap):
    teacher, student = net(), net(1)
    before = weights(teacher)
    refused(
        "holds weights of the teacher.*are the two swapped",
        lambda: kd_step(wrap(student), teacher, 3.0, INPUTS, sgd(student), LABELS),
        student,
    )
    assert same(weights(teacher), before)


def test_an_optimizer_over_both_networks_is_refused_and_one_with_a_projector_is_not():
    teacher, student, projector = net(), net(1), nn.Linear(3, 3)
    both = torch.optim.SGD([*student.parameters(), *teacher.parameters()], 0.1, weight_decay=0.1)
    refused("holds weights of the teacher", lambda: kd_step(teacher, student, 3.0, INPUTS, both, LABELS), student)
    with_projector = torch.optim.SGD([*student.parameters(), *projector.parameters()], 0.1)
    assert kd_step(teacher, student, 3.0, INPUTS, with_projector, LABELS) == expected(teacher)[0]


def test_gradients_of_weights_that_the_optimizer_does_not_hold_are_cleared_too():
    student = net(1)
    kd_step(net(), student, 3.0, INPUTS, torch.optim.SGD(student[3].parameters(), 0.1), LABELS)
    assert all(weight.grad is None for weight in student.parameters())


class Says(nn.Module):
    """A teacher with one logit of its answer changed."""

    def __init__(self, value, where=(0, 1)):
        super().__init__()
        self.network, self.value, self.where = net(), value, where

    def forward(self, inputs):
        logits = self.network(inputs).clone()
        logits[self.where] = self.value
        return logits


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (Says(torch.nan), "loss is nan, and no weight was changed: teacher_logits hold NaN in 1 of 8 rows"),
        (Says(torch.inf), r"no weight was changed: teacher_logits hold \+inf in 1 of 8 rows"),
        (Says(-torch.inf, 0), "no weight was changed: teacher_logits hold a row of only -inf"),
    ],
)
def test_a_loss_that_is_no_number_is_refused_before_any_weight_moves(teacher, message):
    student = net(1)
    refused(message, lambda: step(teacher, student), student)
    step(Says(-torch.inf), student)  # a class that is ruled out is an answer


def test_a_student_that_rules_out_what_its_teacher_says_is_told_so():
    class Ruled(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = net(1)

        def forward(self, inputs):
            return torch.cat([self.network(inputs)[:, :2], torch.full((len(inputs), 1), -torch.inf)], 1)

    student = Ruled()
    refused(
        "loss is inf, .*rules a class out.*Rule out the same classes in both",
        lambda: step(net(), student, labels=None),
        student,
    )


def one_logit():
    return nn.Linear(6, 1)


REFUSED = {
    "one logit": (lambda: step(one_logit(), one_logit(), labels=None), r"a single class.*give \[0, z\].*sigmoid loss"),
    "a batch of one": (
        lambda: step(net(), net(1), INPUTS[:1], LABELS[:1]),
        "the student has BatchNorm in train mode.*",
    ),
    "all frozen": (lambda: step(net(), net(1).requires_grad_(False)), "every weight of the student is frozen"),
    "no optimizer": (
        lambda: kd_step(net(), net(1), 3.0, INPUTS, 0.1),
        "optimizer must be a torch.optim.Optimizer; got float",
    ),
    "a list": (lambda: step([net()], net(1)), "teacher must be a torch.nn.Module; got list"),
    "a function": (lambda: step(net(), F.relu), "student must be a torch.nn.Module; got builtin_function|got function"),
    "other inputs": (
        lambda: step(net(), net(1), INPUTS[:, :5]),
        r"the teacher \(Sequential\) does not take inputs \[8, 5\]",
    ),
    "inputs that it asserts are others": (
        lambda: step(net(), Answers(net(1), lambda z: torch._assert(False, "48 pixels"))),
        r"the student \(Answers\) does not take inputs \[8, 6\].*AssertionError: 48 pixels",
    ),
    "a student of other inputs": (
        lambda: step(net(), nn.Linear(5, 3)),
        r"the student \(Linear\) does not take inputs \[8, 6\] of torch.float32 on cpu: RuntimeError: .*mat1 and mat2",
    ),
    "names that it has not": (
        lambda: step(TwoInputs(net()), net(1), {"third": INPUTS}),
        "the teacher .TwoInputs. does not take inputs named third: TypeError: .*A mapping is handed over by name",
    ),
    "an answer without logits": (
        lambda: step(Answers(net(), lambda z: {"out": z}), net(1)),
        "the teacher must answer with logits.*got dict with out",
    ),
    "nothing": (lambda: step(net(), Answers(net(1), lambda z: None)), "the student must answer with logits.*NoneType"),
}


def sgd_of_anything(student, lr=0.1):
    weights = list(student.parameters()) if isinstance(student, nn.Module) else [nn.Parameter(torch.zeros(1))]
    return torch.optim.SGD(weights, lr)


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused_in_a_sentence(what, monkeypatch):
    monkeypatch.setitem(globals(), "sgd", sgd_of_anything)
    call, message = REFUSED[what]
    refused(message, call)


def test_a_step_without_gradients_is_refused():
    student = net(1)
    with torch.no_grad():
        refused("no gradient reaches the student: is the step made inside", lambda: step(net(), student), student)


def test_a_batch_of_one_trains_a_student_whose_batchnorm_is_frozen():
    student = copy.deepcopy(net(1))
    for norm in norms(student):
        norm.eval()
    assert step(net(), student, INPUTS[:1], LABELS[:1]).total > 0


def test_batchnorm_without_weights_trains_again_after_an_evaluation():
    student = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8, affine=False), nn.Linear(8, 3))
    student.eval()
    before = student[1].running_mean.clone()
    kd_step(nn.Linear(6, 3), student, 4.0, torch.rand(8, 6), torch.optim.SGD(student.parameters(), 0.1))
    assert student[1].training and not torch.equal(student[1].running_mean, before)


def test_what_was_frozen_in_a_students_only_part_stays_frozen():
    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))

        def forward(self, inputs):
            return self.net(inputs)

    student = Whole()
    student.net[1].eval()
    kd_step(nn.Linear(6, 3), student, 4.0, torch.rand(8, 6), torch.optim.SGD(student.parameters(), 0.1))
    assert not student.net[1].training and student.net[0].training


def test_a_frozen_layer_that_both_networks_share_is_no_weight_that_the_optimizer_moves():
    head = nn.Linear(8, 3).requires_grad_(False)
    teacher, student = (nn.Sequential(nn.Linear(6, 8), head) for _ in range(2))
    kept = head.weight.clone()
    assert kd_step(teacher, student, 4.0, torch.rand(8, 6), torch.optim.SGD(student.parameters(), 0.1)).total > 0
    assert torch.equal(head.weight, kept)


def test_an_optimizer_that_asks_for_the_loss_itself_is_refused():
    student = nn.Linear(6, 3)
    with pytest.raises(ValueError, match="LBFGS asks for the loss several times a step"):
        kd_step(nn.Linear(6, 3), student, 4.0, torch.rand(8, 6), torch.optim.LBFGS(student.parameters()))
