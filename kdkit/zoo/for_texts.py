"""Text classifiers in folders, as Hugging Face keeps them, each with a card of the kit's.

``AutoModelForSequenceClassification.from_pretrained`` opens such a folder without kdkit: configuration, tokenizer and
weights (safetensors) lie in it. The card, ``kdkit.json``, says what it was trained on and by which command, how good
it is, where its limits are, and the SHA-256 of the other files.
"""

import copy
import json
import shutil
from pathlib import Path
from typing import Any, cast

from kdkit.data import files
from kdkit.models.for_texts import ForTexts, text_classifier
from kdkit.zoo import card_text

CARD, WEIGHTS = "kdkit.json", "model.safetensors"
NEEDED = ("files", "sha256", "classes", "max_length")  # on each card


def is_one(folder: str | Path) -> bool:
    """Whether ``folder`` holds a classifier that ``save`` wrote."""
    return (files.expanded(folder) / CARD).is_file()


def save(network: ForTexts, folder: str | Path, card: dict) -> None:
    """Write a text classifier, its tokenizer and its ``card``, a dict for people, to ``folder``, whole or not at all.

    The configuration gets the names of the classes, the tokenizer the length to which texts are cut. Other files that
    ``folder`` holds already stay. Raises ``ValueError`` for a network that is not of Hugging Face's, or whose classes
    have no names, and for a card that is no JSON.
    """
    path, model = files.expanded(folder), cast(Any, network.network)
    if network.classes is None or not hasattr(model, "save_pretrained"):
        raise ValueError(
            "a text classifier of Hugging Face's is kept, in a ForTexts with the names of its classes; got "
            f"{type(model).__name__}, classes {network.classes}."
        )
    import transformers

    transformers.utils.logging.disable_progress_bar()
    model.config.id2label = dict(enumerate(network.classes))
    model.config.label2id = {name: number for number, name in model.config.id2label.items()}
    tokenizer = copy.deepcopy(network.tokenizer)
    tokenizer.model_max_length, tokenizer.padding_side = network.max_length, "right"
    with files.replacing_folder(path) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        shutil.copymode(temporary / "config.json", temporary / WEIGHTS)  # safetensors lets the owner alone read it
        written = {file.name: files.sha256(file) for file in sorted(temporary.iterdir()) if file.is_file()}
        built: dict[str, Any] = {"classes": list(network.classes), "max_length": network.max_length}
        (temporary / CARD).write_bytes(card_text({**card, **built, "sha256": written[WEIGHTS], "files": written}))


def read(folder: str | Path) -> ForTexts:
    """The classifier that ``save`` wrote to ``folder``, in eval mode, with its classes by name. No code in it is run.

    Raises ``FileNotFoundError`` where there is none, ``ValueError`` where a file is not the one that the card tells of.
    """
    path, about = files.expanded(folder), read_card(folder)
    for name, told in about["files"].items():
        file = path / Path(name).name
        if not file.is_file() or files.sha256(file) != told:
            raise ValueError(
                f"{path} is damaged: {name} is missing, or not the file that the card {CARD} tells of. Make or "
                "download it again."
            )
    found = text_classifier(path, max_length=about["max_length"])
    about = {name: about[name] for name in ("max_length", "classes")}
    return ForTexts(found.network, found.tokenizer, **about).eval()


def read_card(folder: str | Path) -> dict:
    """The card in ``folder``. Raises ``FileNotFoundError`` where there is none, ``ValueError`` for what is no card."""
    path = files.expanded(folder) / CARD
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: it is the card of a text classifier that kdkit has kept.")
    with files.explained(path, "read"):
        content = path.read_bytes()
    try:
        about = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: it is no JSON. Make or download it again.") from error
    missing = [name for name in NEEDED if not isinstance(about, dict) or name not in about]
    if missing or not isinstance(about["files"], dict) or WEIGHTS not in about["files"]:
        raise ValueError(f"{path} is no card of a text classifier: it tells of no {', '.join(missing) or WEIGHTS}.")
    return about
