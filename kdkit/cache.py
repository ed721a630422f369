"""Teacher logits, kept: what the teacher says about a view of an image is computed once.

An image has a fixed, finite list of views (``kdkit.data.Views``), and which view comes in which epoch does not
depend on a run's seed. So the first student fills the cache while it learns, and the teacher costs the second
student nothing.
"""

import json
import struct
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from kdkit import files, models

MAGIC = b"kdkit view cache 1\n"
HEADER_BYTES = 4096
ANOTHER_TEACHER = 1e-2  # a difference, relative to the largest logit, that no rounding explains (TF32 included)


class ViewCache:
    """The logits of one teacher on the views of one data set, keyed by (image, view).

    Parameters:
        teacher: the network; it is asked in eval mode and without gradient for what is missing.
        data: ``Splits``; the views of ``data.train`` and the plain images of ``data.val`` are kept.
        path: a file for them (created if there is none), or None to keep them in memory only.

    Each entry carries a check value. One that was half written when a program was killed, or damaged later, does not
    count, and is computed again. Two processes may use one file: they write the same values to the same places.

    Raises ``ValueError`` if the file is no cache, or that of another teacher, other images or other views. (Weights and
    layers are compared by hash, and a few kept entries with what the teacher says now.)
    ``teacher_images`` counts the images that went through the teacher.
    """

    def __init__(self, teacher, data, path=None):
        self.teacher, self.data, self.path = teacher, data, path and Path(path)
        self.teacher_images = 0
        self._header = _header(teacher, data)
        self._training = len(data.train) * data.views.count  # entries of data.val stand behind these
        shape = (self._training + len(data.val), len(data.train.classes) + 1)
        table = torch.zeros(shape, dtype=torch.int32) if path is None else torch.from_numpy(self._map(shape))
        self._bits, self._checks = table[:, :-1], table[:, -1]  # a row: logits as raw bits, check value
        self._multipliers = torch.arange(1, 2 * shape[1] - 2, 2) * 0x9E3779B1
        self._spot_check(teacher)

    def __repr__(self):
        where = self.path or "in memory"
        return f"ViewCache({where}: {self.filled:,} of {len(self._checks):,} entries)"

    @property
    def filled(self):
        """How many entries hold logits."""
        return int((self._checks != 0).sum())

    def logits(self, index, view, inputs):
        """The teacher's logits ``[B, C]`` on a batch: images ``index`` [B] of data.train in their views ``view`` [B].

        ``inputs`` is the same batch as the student sees it. If one entry is missing, the whole batch goes through
        the teacher, since the last bits of a forward depend on the size of the batch.
        """
        return self._look_up(index * self.data.views.count + view, lambda: inputs)

    def val_logits(self):
        """The teacher's logits ``[N, C]`` on ``data.val``."""
        parts = torch.arange(len(self.data.val)).split(models.EVALUATION_BATCH)
        images = self.data.val.images
        answers = [self._look_up(self._training + part, lambda p=part: models.as_input(images[p])) for part in parts]
        return torch.cat(answers)

    def argmax(self):
        """A cache in memory for ``models.Argmax(teacher)``: which class each kept entry is for, and nothing else."""
        answers = ViewCache(models.Argmax(self.teacher), self.data)
        for rows in torch.arange(len(self._checks)).split(100_000):
            kept = rows[self._checks[rows] == self._check_values(rows, self._bits[rows])]
            answers._store(kept, answers.teacher.of(self._bits[kept].view(torch.float32)))
        return answers

    def check_belongs(self, teacher, data):
        """``ValueError`` unless this is the cache of ``teacher`` on ``data``."""
        self._compare(_header(teacher, data), self._header, repr(self))
        if teacher is not self.teacher:
            self._spot_check(teacher)

    def check(self, sample=256, seed=0, tolerance=1e-5):
        """Compute ``sample`` of the kept entries again and compare.

        Raises ``ValueError`` that names the first entry that is off by more than ``tolerance`` (relative to the
        largest logit). Returns the largest difference seen.
        """
        chosen = self._sample(sample, seed)
        if len(chosen) == 0:
            raise ValueError(f"{self!r} holds nothing to check yet: train a student with it first.")
        return self._largest_difference(self.teacher, chosen, tolerance)

    def _spot_check(self, teacher):
        """Two networks can have the same layers and weights and still answer differently: ask, do not assume."""
        chosen = self._sample(8, seed=0)
        if len(chosen):
            self._largest_difference(teacher, chosen, ANOTHER_TEACHER)

    def _sample(self, sample, seed):
        """Rows of up to ``sample`` undamaged entries of data.train."""
        kept = (self._checks[: self._training] != 0).nonzero().squeeze(1)
        chosen = kept[torch.randperm(len(kept), generator=torch.Generator().manual_seed(seed))[:sample]]
        return chosen[self._checks[chosen] == self._check_values(chosen, self._bits[chosen])]

    def _largest_difference(self, teacher, chosen, tolerance):
        index, view = chosen // self.data.views.count, chosen % self.data.views.count
        views = self.data.views
        fresh = self._ask(teacher, views.take(views.pad(self.data.train.images[index]), torch.arange(len(index)), view))
        kept_logits = self._bits[chosen].view(torch.float32)
        differences = (kept_logits - fresh).abs().amax(1) / fresh.abs().max().clamp(min=1)
        worst = int(differences.nan_to_num(nan=torch.inf).argmax())
        if not differences[worst] <= tolerance:
            raise ValueError(
                f"{self!r}: the entry of image {int(index[worst])}, view {int(view[worst])} is not what the teacher "
                f"says (off by {float(differences[worst]):.2g}). Delete the file and let it be filled again."
            )
        return float(differences[worst])

    def _look_up(self, rows, inputs):
        bits = self._bits[rows]
        if torch.equal(self._checks[rows], self._check_values(rows, bits)):
            return bits.view(torch.float32)
        inputs = inputs()
        self.teacher_images += len(inputs)
        answer = self._ask(self.teacher, inputs)
        self._store(rows, answer)
        return answer

    @torch.no_grad()
    def _ask(self, teacher, inputs):
        teacher.eval()
        device = next(teacher.parameters()).device
        answer = models.logits(teacher, inputs.to(device)).float().cpu()
        if answer.shape != (len(inputs), self._bits.shape[1]):
            raise ValueError(
                f"the teacher answered with logits of shape {list(answer.shape)}; "
                f"expected [{len(inputs)}, {self._bits.shape[1]}], one for each class of {self.data!r}."
            )
        return answer

    def _store(self, rows, answer):
        """Write only what is missing: an entry that is there stays as it is. The check value goes last."""
        bits = answer.contiguous().view(torch.int32)
        missing = self._checks[rows] != self._check_values(rows, self._bits[rows])
        rows, bits = rows[missing], bits[missing]
        self._bits[rows] = bits
        self._checks[rows] = self._check_values(rows, bits)

    def _check_values(self, rows, bits):
        """A number for each row that no other content, nor the same content elsewhere, is likely to have; never 0."""
        total = (bits.long() * self._multipliers).sum(1) + (rows + 1) * 0x85EBCA77
        total = (total ^ (total >> 29)) * 0x1B873593  # wraps around, like any hash
        return (((total >> 32) & 0x7FFFFFFF) | 1).to(torch.int32)

    def _map(self, shape):
        with FileLock(f"{self.path}.lock"):  # two processes that begin at once must not both create the file
            if not self.path.exists():
                self._create(4 * shape[0] * shape[1])
        with open(self.path, "rb") as file:
            self._check_header(file.read(HEADER_BYTES))
        if self.path.stat().st_size != HEADER_BYTES + 4 * shape[0] * shape[1]:
            raise ValueError(f"{self.path} is truncated or damaged. Delete it: it will be filled again.")
        return np.memmap(self.path, np.int32, "r+", offset=HEADER_BYTES, shape=shape)

    def _create(self, size):
        content = json.dumps(self._header).encode()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(self.path) as temporary, open(temporary, "r+b") as file:
            file.write(MAGIC + struct.pack("<I", len(content)) + content)
            file.truncate(HEADER_BYTES + size)  # a sparse file: it takes up only what has been filled

    def _check_header(self, start):
        found = _read_header(start)
        if found is None:
            raise ValueError(
                f"{self.path} is no cache of teacher logits, or is damaged. Give another path, or delete it."
            )
        self._compare(self._header, found, self.path)

    @staticmethod
    def _compare(wanted, found, where):
        other = [name for name, value in wanted.items() if found.get(name) != value]
        if other:
            raise ValueError(
                f"{where} is the cache of another {' and another '.join(other)}. "
                "Give each teacher and data set a path of its own, or delete the file."
            )


def _header(teacher, data):
    return {
        "teacher": models.fingerprint(teacher),
        "data": f"{data.train.fingerprint}/{data.val.fingerprint}",
        "views": f"flip={data.views.flip}, shift={data.views.shift}",
        "number of classes": len(data.train.classes),
        "dtype": "float32",
    }


def _read_header(start):
    if not start.startswith(MAGIC):
        return None
    (length,) = struct.unpack_from("<I", start, len(MAGIC))
    begin = len(MAGIC) + 4
    try:
        return json.loads(start[begin : begin + length])
    except ValueError:
        return None
