"""What torchrun starts several times in ``slow/test_several.py``; the same is done in one process, and compared."""

import json
import os
import signal
import sys
from pathlib import Path

import tiny
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import kdkit
from kdkit import losses, models, training
from kdkit.cli import distill
from kdkit.cli.main import main
from kdkit.training import distributed


def plain(seed, width=16):
    """A network without BatchNorm."""
    with models.seeded(seed):
        return nn.Sequential(nn.Flatten(), nn.Linear(300, width), nn.ReLU(), nn.Linear(width, 3))


def images(student=None, teacher=None, seed=0, **settings):
    """Batches of 25, of which two processes get 12 and 13."""
    settings = {"epochs": 4, "batch_size": 25, "lr": 0.02, "seed": seed, "progress": False} | settings
    data = settings.pop("data", None) or tiny.splits(train=75)
    return kdkit.train(student or plain(1), data, teacher=teacher or plain(7, 32), **settings)


class Hint(nn.Module):
    """A loss that has weights of its own."""

    def __init__(self):
        super().__init__()
        with models.seeded(3):
            self.projector = nn.Linear(3, 3)

    def forward(self, student, teacher, batch):
        return losses.hint(self.projector(student["logits"]), teacher["logits"])


def loader():
    """Batches of 30, 30 and 15, shuffled, and a loss with weights: nothing here knows of several processes."""
    inputs = torch.randn(75, 300, generator=torch.Generator().manual_seed(0))
    data = DataLoader(TensorDataset(inputs, (inputs[:, 0] > 0).long()), batch_size=30, shuffle=True)
    student, hint = plain(1), Hint()
    optimizer = torch.optim.SGD([*student.parameters(), *hint.parameters()], lr=0.02, momentum=0.9)
    run = training.fit(student, data, hint, optimizer, epochs=3, teacher=plain(7), progress=False)
    return run.history, weights(hint)


def weights(network):
    return [round(weight.double().sum().item(), 5) for weight in network.state_dict().values()]


def everything(folder):
    """Histories of trainings of several kinds, and how often each process asked the teacher: a dict."""
    data, teacher = tiny.splits(train=75), plain(7, 32)
    found, asked = {}, []
    with training.ViewCache(teacher, data, folder / "cache") as cache:
        for seed in range(2):
            found[f"cached {seed}"] = images(teacher=teacher, data=data, cache=cache, seed=seed).history
            if distributed.world() > 1:
                torch.distributed.barrier()  # what the others have written is there
            asked.append(cache.teacher_images)
    found["in parts"] = images(accumulate=3).history
    found["validated student"] = weights(images(checkpoint=folder / "c").student)
    found["loader"], found["projector"] = loader()
    with_norms = images(tiny.net(1), tiny.net(7, 4))
    found["batchnorm"], found["statistics"] = with_norms.history, weights(with_norms.student)
    return {**found, "asked": asked}


def resumable(options):
    """In the place of ``distill``: a training that a process may not survive."""
    student, steps = plain(1), []

    def doomed(module, inputs):
        steps.append(1)
        if os.environ.get("DOOMED") == os.environ.get("RANK") and len(steps) == 20:  # in the second epoch
            os.kill(os.getpid(), signal.SIGKILL)

    student.register_forward_pre_hook(doomed)
    runs = Path(options.runs)
    (runs / f"pid{distributed.rank()}").write_text(str(os.getpid()))
    history = images(student, checkpoint=runs / "c", epochs=12, batch_size=10).history
    if distributed.first():
        (runs / "history.json").write_text(json.dumps(history))
    print("done", distributed.rank())
    return 0


if __name__ == "__main__":
    what, folder = sys.argv[1], Path(sys.argv[2])
    if what == "everything":
        found = everything(folder)
        (folder / f"rank{distributed.rank()}.json").write_text(json.dumps(found))
    else:
        distill.run = resumable
        sys.exit(main(["distill", "--runs", str(folder)]))
