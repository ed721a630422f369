"""A network that reads, with the tokenizer it learnt with: it answers about texts, its classes by name."""

import hashlib
import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from kdkit.data.files import expanded
from kdkit.data.tokens import MAX_LENGTH
from kdkit.losses.arguments import whole
from kdkit.models.class_names import ClassMap, gathered, groups
from kdkit.models.networks import check_network
from kdkit.models.outputs import logits

if TYPE_CHECKING:  # it takes seconds to import
    from transformers import PreTrainedTokenizerBase

POSITIONS = ("position_embeddings", "embed_positions", "wpe")  # what tables of learnt positions are called
UNNAMED = re.compile(r"LABEL_\d+")  # what Hugging Face calls a class that nobody named


class ForTexts(nn.Module):
    """A network that classifies texts, and the tokenizer that makes of them what it reads.

    Teacher and student are one each, so that each reads the same texts in its own tokens.

    Parameters:
        network: takes ``input_ids`` and ``attention_mask``, int64 ``[N, L]``, by name, such as any sequence classifier
            of Hugging Face's, and answers as ``models.logits`` says.
        tokenizer: one of Hugging Face's with a token for padding.
        max_length: how many tokens of a text are read; never more than network and tokenizer can. (A network like
            RoBERTa can read fewer than its ``max_position_embeddings``: its first positions are for padding.)
        classes: the names of its classes, in the order of its logits; None where that is the order of the data.
        wanted, class_map: as for ``ForImages``.

    Raises ``ValueError`` for a network that takes no ``attention_mask``, to which padding would be text; for a
    tokenizer without padding, or with more tokens than the network knows; and as ``ForImages`` for classes.
    """

    def __init__(
        self,
        network: nn.Module,
        tokenizer: "PreTrainedTokenizerBase",
        *,
        max_length: int = MAX_LENGTH,
        classes: Sequence[str] | None = None,
        wanted: Sequence[str] | None = None,
        class_map: ClassMap | None = None,
    ) -> None:
        super().__init__()
        check_network("network", network)
        self.network, self.tokenizer, self.class_map = network, tokenizer, class_map
        self._takes = _taken(network)
        _check_tokenizer(tokenizer, network)
        self.max_length = min(whole(max_length, "max_length", 3), *_limits(network, tokenizer))
        self.classes = None if classes is None else tuple(map(str, classes))
        if class_map and classes is None:
            raise ValueError("class_map needs classes: the names of the network's classes, in the order of its logits.")
        self.groups = None if wanted is None or self.classes is None else groups(self.classes, wanted, class_map or {})

    def extra_repr(self) -> str:
        """What it prints of itself: all that decides its answers beside the network."""
        vocabulary = repr(sorted(self.tokenizer.get_vocab().items()))
        digest = hashlib.sha256(vocabulary.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return f"max_length={self.max_length}, groups={self.groups}, vocabulary={digest}"

    def encode(self, texts: Iterable[str]) -> dict[str, Tensor]:
        """``texts`` as this network is given them: tensors by name, int64 ``[N, L]``, L the longest's tokens.

        Cut to ``max_length``; padded at the end, where ``attention_mask`` is 0.
        """
        found = self.tokenizer(
            list(texts),
            truncation=True,
            max_length=self.max_length,
            padding=True,
            padding_side="right",
            return_attention_mask=True,
            return_tensors="pt",
        )
        return {name: tensor for name, tensor in found.items() if self._takes is None or name in self._takes}

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **others: Tensor) -> Tensor:
        """Logits ``[N, classes]`` of texts as ``encode`` gives them. Padding that none of them needs is cut off."""
        length = int(attention_mask.sum(1).max())
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, **others}
        answer = logits(self.network, {name: tensor[:, :length] for name, tensor in inputs.items()})
        return gathered(answer, self.classes, self.groups)

    def for_classes(self, wanted: Sequence[str], class_map: ClassMap | None = None) -> "ForTexts":
        """The same network for data of the classes ``wanted``, with its own class map or another.

        Raises ``ValueError`` as the class does.
        """
        mapped = self.class_map if class_map is None else class_map
        about: dict[str, Any] = {"max_length": self.max_length, "classes": self.classes}
        return ForTexts(self.network, self.tokenizer, wanted=wanted, class_map=mapped, **about)


def text_classifier(folder: str | Path, *, max_length: int = MAX_LENGTH) -> ForTexts:
    """A sequence classifier of Hugging Face's from the ``folder`` that it lies in, with its tokenizer, in eval mode.
    Nothing is fetched.

    Nothing but data is read: a folder that wants code of its own run is refused. Raises ``ValueError`` where there is
    no classifier.
    """
    import transformers

    transformers.utils.logging.disable_progress_bar()
    path = expanded(folder)
    safely: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        network = transformers.AutoModelForSequenceClassification.from_pretrained(path, **safely)
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, **safely)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ValueError(
            f"{folder} cannot be read as a text classifier of Hugging Face's: {str(error).strip().splitlines()[0]}"
        ) from error
    names = network.config.id2label
    classes = [names[number] for number in sorted(names)]
    unnamed = all(UNNAMED.fullmatch(name) for name in classes)
    return ForTexts(network, tokenizer, max_length=max_length, classes=None if unnamed else classes).eval()


def _taken(network: nn.Module) -> set[str] | None:
    """The names that ``network`` takes its inputs by; None for whatever it is given."""
    parameters = inspect.signature(network.forward).parameters
    if (
        any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
        and "input_ids" not in parameters
    ):
        return None
    missing = {"input_ids", "attention_mask"} - set(parameters)
    if missing:
        raise ValueError(
            f"{type(network).__name__} takes no {' and no '.join(sorted(missing))}: a network that reads texts of "
            "several lengths has to be told by attention_mask what is padding."
        )
    return set(parameters)


def _check_tokenizer(tokenizer: Any, network: nn.Module) -> None:
    if not callable(tokenizer) or not hasattr(tokenizer, "pad_token_id"):
        raise ValueError(f"tokenizer must be one of Hugging Face's; got {type(tokenizer).__name__}.")
    if tokenizer.pad_token_id is None:
        raise ValueError(
            "this tokenizer has no token for padding: tokenizer.pad_token = tokenizer.eos_token gives one."
        )
    known = getattr(_settings(network), "vocab_size", None)
    if known is not None and len(tokenizer) > known:
        raise ValueError(
            f"the tokenizer knows {len(tokenizer)} tokens, the network {known}: they do not belong together. Take the "
            "tokenizer that the network learnt with."
        )


def _limits(network: nn.Module, tokenizer: Any) -> list[int]:
    """How many tokens at most tokenizer and network can read, as far as they say."""
    said = tokenizer.model_max_length, getattr(_settings(network), "max_position_embeddings", None), *_places(network)
    return [int(limit) for limit in said if isinstance(limit, int) and limit > 0] or [2**20]


def _places(network: nn.Module) -> Iterator[int]:
    """For how many tokens each table of positions in ``network`` has a place.

    Of RoBERTa and its like the places up to that of padding are no token's, of BART and its like the first ``offset``.
    """
    for name, module in network.named_modules():
        if name.rpartition(".")[2] in POSITIONS and isinstance(module, nn.Embedding):
            unused = getattr(module, "offset", 0) if module.padding_idx is None else module.padding_idx + 1
            yield module.num_embeddings - unused


def _settings(network: nn.Module) -> Any:
    return getattr(network, "config", None)
