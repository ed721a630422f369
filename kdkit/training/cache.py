"""Teacher outputs, kept: what the teacher says about a view of an image is computed once.

An image has a fixed, finite list of views (``kdkit.data.Views``), and which view comes in which epoch does not
depend on a run's seed. So the first student fills the cache while it learns, and the teacher costs the second
student nothing.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from kdkit import models
from kdkit.data import files
from kdkit.data.images import Splits, check_splits, same_images
from kdkit.data.seeds import generator
from kdkit.losses.arguments import answered, check_dense, check_weight, described, whole
from kdkit.training import cache_files, entries, rows

ANOTHER_TEACHER = 1e-2  # a difference, relative to the largest logit, that no rounding explains (TF32 included)


class ViewCache:
    """The outputs of one teacher on the views of one data set, keyed by (image, view): logits, features, by name.

    Parameters:
        teacher: the network; it is asked in eval mode and without gradient for what is missing. All that it answers is
            kept (``models.outputs``): logits, and features where it is a ``models.Features``.
        data: ``Splits``; the views of ``data.train`` and the plain images of ``data.val`` are kept.
        path: a file for them (created if there is none), or None to keep them in memory only.
        teacher_data: the same images as the teacher is to see them, at another size; None where it sees what the
            student sees. ``kdkit.data.load(folder, size=224)`` and ``size=64`` give such a pair.
        k: how many of the logits are kept, the likeliest, in half precision, where there are many classes (``size``
            says what is saved); None for all, in float32. All of them, counted, is the same as None.
        temperature: with ``k``, that of the loss: all that was not kept is one class more, whose share is known at
            this temperature and no other (``losses.top_k_kl``).

    The space of all entries is claimed when the file is made, so that no training ends in a full disk half-way. Each
    entry carries a check value. One that was half written when a program was killed, or damaged later, does not count,
    and is computed again. Several processes may use one file: they write the same values to the same places, and each
    finds what the others have written. (Processes on several machines need a disk that all of them see at once, or each
    machine keeps a file of its own. In memory each process keeps its own.)

    ``close`` it, or use it in a ``with`` block, where the file is to be deleted afterwards (Windows deletes no open
    file). ``kept`` lists the caches in a folder, ``remove`` deletes one.

    Raises ``ValueError`` if the file is no cache, or that of another teacher, other images or other views (weights,
    layers and settings are compared by hash, and a few kept entries with what the teacher says now). ``OSError`` if
    there is not room for it, or no permission. ``teacher_images`` counts the images that went through the teacher.
    """

    def __init__(
        self,
        teacher: nn.Module,
        data: Splits,
        path: str | Path | None = None,
        *,
        teacher_data: Splits | None = None,
        k: int | None = None,
        temperature: float | None = None,
    ) -> None:
        models.check_network("teacher", teacher)
        check_splits(data)
        self.teacher, self.data, self.path = teacher, data, None if path is None else files.expanded(path)
        self.teacher_images = 0
        self.seen = data if teacher_data is None else same_images(teacher_data, data)
        own = self.seen is not data
        self._about_seen = f"{self.seen.train.fingerprint}/{self.seen.val.fingerprint}" if own else None
        self._shapes = self._shapes_of(teacher)
        self._layout = entries.layout(self._shapes, len(data.train.classes), k, temperature)
        self._header = self._header_of(teacher, data)
        self._training = len(data.train) * data.views.count  # entries of data.val stand behind these
        self._entries = self._training + len(data.val)
        self._width = self._layout.width  # words in an entry
        self._multipliers = torch.arange(1, 2 * self._width, 2) * 0x9E3779B1
        self._kept = rows.InMemory(self._entries, self._width) if path is None else self._open()
        self._spot_check(teacher)

    def __repr__(self):
        where = self.path or "in memory"
        if self._kept is None:
            return f"ViewCache({where}: closed)"
        size = files.in_words(self._kept.bytes)
        return f"ViewCache({where}: {self.filled:,} of {self._entries:,} entries, {size})"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self) -> None:
        """Let go of the file, or of the memory. What is kept in the file stays; the cache is of no more use."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    @property
    def _own(self):
        """The teacher's images, where they are others than the student's; None where it sees what the student sees."""
        return None if self.seen is self.data else self.seen

    @property
    def _rows(self):
        """The entries: numbers as raw bits, each with its check value."""
        self._check_open()
        return self._kept

    def _check_open(self):
        if self._kept is None:
            raise ValueError(f"{self!r}: open it again with ViewCache(teacher, data, path).")

    @property
    def filled(self) -> int:
        """How many entries are there."""
        return int((self._rows.checks() != 0).sum())

    def outputs(self, image: Tensor, view: Tensor, inputs: Tensor | None) -> dict[str, Tensor]:
        """The teacher's outputs on a batch, by name: of images ``image`` [B] of data.train in their views ``view`` [B].

        ``inputs`` ``[B, C, H, W]`` is the same batch as the student sees it (None will do where all are kept); the
        outputs ``[B, ...]`` come to its device. If one entry is missing, the whole batch goes through the teacher,
        since the last bits of a forward depend on the size of the batch.

        Raises ``ValueError`` for numbers of no image or view, for a batch of another size, and where the teacher
        answers with NaN or inf.
        """
        self._check_numbers("image", image, len(self.data.train))
        self._check_numbers("view", view, self.data.views.count)
        if len(view) != len(image):
            raise ValueError(f"a view for each of {len(image)} images is wanted; got {len(view)}.")
        places, own = image * self.data.views.count + view, self.seen is not self.data
        found = self._layout.outputs(
            self._look_up(places, lambda: self._views(image, view) if own else [self._checked(inputs, len(image))])
        )
        device = image.device if inputs is None else inputs.device
        return {name: output.to(device) if output.ndim else output for name, output in found.items()}

    def _views(self, image, view):
        """Images of data.train in their views, as the teacher sees them, a few at once."""
        images, views = self.seen.train.images, self.seen.views
        at_once = models.evaluation_batch(images)
        for some, view_of in zip(image.cpu().split(at_once), view.cpu().split(at_once), strict=True):
            yield views.take(views.pad(images[some]), torch.arange(len(some)), view_of)

    @staticmethod
    def _checked(inputs, count):
        if not isinstance(inputs, torch.Tensor) or inputs.ndim == 0 or len(inputs) != count:
            raise ValueError(f"an input for each of {count} images is wanted; got {described(inputs)}.")
        check_dense("inputs", inputs)
        return inputs

    @staticmethod
    def _check_numbers(name, numbers, count):
        if not isinstance(numbers, torch.Tensor) or numbers.dtype != torch.int64 or numbers.ndim != 1:
            raise ValueError(f"{name} must be an int64 tensor [B]; got {described(numbers)}.")
        check_dense(name, numbers)
        if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < count:
            raise ValueError(f"{name} must lie in 0..{count - 1}; got {int(numbers.min())}..{int(numbers.max())}.")

    def val_logits(self) -> Tensor:
        """The teacher's logits ``[N, C]`` on ``data.val``; with ``k``, as far as they were kept."""
        images = self.seen.val.images
        parts = torch.arange(len(images)).split(models.evaluation_batch(images))
        answers = [self._look_up(self._training + part, lambda p=part: [models.as_input(images[p])]) for part in parts]
        return self._layout.logits(torch.cat(answers))

    def argmax(self) -> "ViewCache":
        """A cache in memory for ``models.Argmax(teacher)``: which class each kept entry is for, and nothing else."""
        teacher = models.Argmax(self.teacher)
        return self._copied(ViewCache(teacher, self.data, teacher_data=self._own), teacher.of)

    def truncated(self, k: int, temperature: float, path: str | Path | None = None) -> "ViewCache":
        """What is kept here, cut down to the ``k`` likeliest classes: a cache in ``path``, without asking the teacher.

        Raises as ``ViewCache``; ``ValueError`` if this one does not keep all logits.
        """
        if not isinstance(self._layout, entries.Dense):
            raise ValueError(f"{self!r} does not keep all logits: ask the teacher again, ViewCache(..., k={k}).")
        other = ViewCache(self.teacher, self.data, path, teacher_data=self._own, k=k, temperature=temperature)
        return self._copied(other, lambda logits: logits)

    def _copied(self, other, change):
        """``other``, with the logits of every entry that is kept here, changed."""
        for some in torch.arange(self._entries).split(100_000):
            bits, good = self._read(some)
            if good.any():
                other._store(some[good], other._layout.packed({"logits": change(self._layout.logits(bits[good]))}))
        return other

    def check_belongs(self, teacher: nn.Module, data: Splits) -> None:
        """``ValueError`` unless this is the cache of ``teacher`` on ``data``, and open."""
        self._check_open()
        header = self._header_of(teacher, data)
        if teacher is self.teacher:  # one that keeps something of what it was last asked is still the same
            header["teacher"] = self._header["teacher"]
        self._compare(header, self._header, repr(self))
        self._spot_check(teacher)

    def check(self, sample: int = 256, *, seed: int = 0, tolerance: float = 1e-5) -> float:
        """Compute ``sample`` of the kept entries again and compare.

        Raises ``ValueError`` that names the first entry that is off by more than ``tolerance`` (relative to the
        largest logit). Returns the largest difference seen.
        """
        tolerance = check_weight("tolerance", tolerance)
        chosen = self._sample(whole(sample, "sample", 1), seed)
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
        kept = (self._rows.checks()[: self._training] != 0).nonzero().squeeze(1)
        chosen = kept[torch.randperm(len(kept), generator=generator(seed))[:sample]]
        return chosen[self._read(chosen)[1]]

    def _largest_difference(self, teacher, chosen, tolerance):
        index, view = chosen // self.data.views.count, chosen % self.data.views.count
        asked = [self._asked(teacher, some) for some in self._views(index, view)]
        fresh = {name: torch.cat([each[name] for each in asked]) for name in asked[0]}
        differences = self._layout.difference(self._read(chosen)[0], fresh)
        worst = int(differences.argmax())
        if not differences[worst] <= tolerance:
            raise ValueError(
                f"{self!r}: the entry of image {int(index[worst])}, view {int(view[worst])} is not what the teacher "
                f"says (off by {float(differences[worst]):.2g}). Delete the file and let it be filled again."
            )
        return float(differences[worst])

    def _look_up(self, places, inputs):
        bits, good = self._read(places)
        if good.all():
            return bits
        answer = torch.cat([self._packed(self.teacher, some) for some in inputs()])
        self.teacher_images += len(answer)
        self._store(places, answer)
        return answer

    def _read(self, places):
        """Their bits ``[N, C]``, and which of them are there and undamaged: bool ``[N]``."""
        bits = self._rows.read(places)
        return bits, self._rows.checks(places) == self._check_values(places, bits)

    def _packed(self, teacher, inputs):
        """What the teacher answers as entries: int32 ``[N, width]``."""
        return self._layout.packed(self._asked(teacher, inputs))

    def _asked(self, teacher, inputs):
        """What the teacher answers, by name: ``[N, ...]`` each. ``ValueError`` if that is not to be kept."""
        found = _outputs_of(teacher, inputs)
        for name, output in found.items():
            if output.shape[1:] != self._shapes.get(name) or len(output) != len(inputs):
                raise ValueError(
                    f"the teacher answered with {name} of shape {list(output.shape)}; expected "
                    f"{[len(inputs), *self._shapes.get(name, ())]}, as on the first image."
                )
            if not (answered(output) if name == "logits" else output.isfinite()).all():
                raise ValueError(
                    f"the teacher answered with NaN or inf in its {name}, which no student can learn from: nothing is "
                    "kept."
                )
        return found

    def _shapes_of(self, teacher):
        """Which outputs the teacher gives, and of what shape for one image: a dict."""
        part = next((part for part in (self.seen.train, self.seen.val) if len(part)), None)
        classes = (len(self.data.train.classes),)
        if part is None:
            return {"logits": classes}
        shapes = {
            name: tuple(output.shape[1:])
            for name, output in _outputs_of(teacher, models.as_input(part.images[:1])).items()
        }
        if shapes["logits"] != classes:
            raise ValueError(
                f"the teacher answered with logits of shape {[1, *shapes['logits']]}; expected {[1, *classes]}, one "
                f"for each class of {self.data!r}."
            )
        return shapes

    def _header_of(self, teacher, data):
        return {
            "teacher": models.fingerprint(teacher),
            "data": f"{data.train.fingerprint}/{data.val.fingerprint}",
            "views": str(data.views)[len("Views(") : -1],
            "teacher_data": self._about_seen,
            **self._layout.about,
        }

    def _store(self, places, bits):
        """Write only what is missing: an entry that is there stays as it is. The check value goes last."""
        missing = ~self._read(places)[1]
        places, bits = places[missing], bits[missing]
        self._rows.write(places, bits, self._check_values(places, bits))

    def _check_values(self, places, bits):
        """A number for each that no other content, nor the same content elsewhere, is likely to have; never 0."""
        total = (bits.long() * self._multipliers).sum(1) + (places + 1) * 0x85EBCA77
        total = (total ^ (total >> 29)) * 0x1B873593  # wraps around, like any hash
        return (((total >> 32) & 0x7FFFFFFF) | 1).to(torch.int32)

    def _open(self):
        shape = cache_files.HEADER_BYTES, self._entries, self._width
        with files.explained(self.path, "read"):
            if not self.path.exists():
                self._create(*shape)
            with open(self.path, "rb") as file:
                self._check_header(file.read(cache_files.HEADER_BYTES))
        if self.path.stat().st_size != rows.size(*shape):
            raise ValueError(f"{self.path} is truncated or damaged. Delete it: it will be filled again.")
        return rows.InFile(self.path, *shape)

    def _create(self, *shape):
        start = cache_files.header(self._header | {"name": self.data.name})
        with files.alone(self.path):  # two that begin at once must not both make it
            if not self.path.exists():
                rows.create(self.path, start, *shape)

    def _check_header(self, start):
        found = cache_files.read_header(self.path, start)
        self._compare(self._header, found, self.path)

    @staticmethod
    def _compare(wanted, found, where):
        other = [name for name, value in wanted.items() if found.get(name) != value]
        if other:
            raise ValueError(
                f"{where} is the cache of another {' and another '.join(other)}. "
                "Give each teacher and data set a path of its own, or delete the file."
            )


@torch.no_grad()
def _outputs_of(teacher, inputs):
    """What the teacher, in eval mode, answers: float32 on the CPU, by name, in the order of the names."""
    models.eval_mode(teacher)
    device = models.device_of(teacher)
    with torch.autocast(device.type, enabled=False):  # what is kept serves students of any precision
        found = models.outputs(teacher, inputs.to(device), "teacher")
    return {name: found[name].float().cpu() for name in sorted(found)}
