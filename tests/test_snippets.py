"""The loops of others that notebook 10 shows: each distils, where its library is installed."""

import warnings

import pytest
import tiny
import torch

from kdkit import losses
from kdkit.course.snippets import plain


def batches(count=6):
    """Pairs of eight images and labels."""
    data = tiny.splits().train
    images, labels = data.images[: 8 * count].float() / 255, data.labels[: 8 * count]
    return list(zip(images.split(8), labels.split(8), strict=True))


def loss_of(student, teacher):
    student.eval()
    with torch.no_grad():
        return sum(losses.kd_loss(student(x), teacher(x), y, temperature=4.0).item() for x, y in batches())


def falls(train):
    """Whether the loss of a student falls, and its teacher stays as it was, while ``train(teacher, student)``."""
    teacher, student = tiny.net(0).eval(), tiny.net(1)
    kept = [tensor.clone() for tensor in teacher.state_dict().values()]
    before = loss_of(student, teacher)
    train(teacher, student)
    assert all(torch.equal(a, b) for a, b in zip(kept, teacher.state_dict().values(), strict=True))
    return loss_of(student, teacher) < 0.9 * before


def test_a_plain_loop_adds_up_batches_cuts_gradients_and_computes_in_bfloat16():
    assert falls(lambda teacher, student: plain.distil(teacher, student, batches(), epochs=10, parts=4, lr=1e-2))


def test_the_last_batches_of_a_plain_loop_are_not_lost():
    teacher, student = tiny.net(0), tiny.net(1)
    before = [weight.clone() for weight in student.parameters()]
    plain.distil(teacher, student, batches(count=2), parts=4)
    assert any(not torch.equal(a, b) for a, b in zip(before, student.parameters(), strict=True))


def test_hugging_faces_trainer_distils(tmp_path):
    pytest.importorskip("accelerate", reason="accelerate is no dependency of the kit (Trainer needs it)")
    import transformers

    from kdkit.course.snippets.hugging_face import DistillationTrainer

    class Named(torch.nn.Module):  # inputs and labels by name, as the Trainer hands them over
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, pixel_values):
            return {"logits": self.network(pixel_values)}

    def train(teacher, student):
        rows = [{"pixel_values": x, "labels": y} for pair in batches() for x, y in zip(*pair, strict=True)]
        settings = {"per_device_train_batch_size": 8, "num_train_epochs": 10, "learning_rate": 1e-2, "report_to": []}
        settings |= {"remove_unused_columns": False, "use_cpu": True, "save_strategy": "no", "disable_tqdm": True}
        arguments = transformers.TrainingArguments(str(tmp_path), gradient_accumulation_steps=2, **settings)
        trainer = DistillationTrainer(model=Named(student), args=arguments, train_dataset=rows, teacher=Named(teacher))
        with warnings.catch_warnings(action="ignore"):
            trainer.train()

    assert falls(train)


def test_lightning_distils(tmp_path):
    lightning = pytest.importorskip("lightning", reason="Lightning is no dependency of the kit")
    from kdkit.course.snippets.with_lightning import Distilling

    def train(teacher, student):
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = lightning.Trainer(max_epochs=10, accelerator="cpu", default_root_dir=tmp_path, **quiet)
        with warnings.catch_warnings(action="ignore"):
            module = Distilling(student, teacher, lr=1e-2)
            trainer.fit(module, torch.utils.data.DataLoader(batches(), batch_size=None))
        assert not any(name.startswith("beside") for name in module.state_dict())

    assert falls(train)
