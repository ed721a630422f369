"""A trained network as a file that runs without kdkit: torch's own, ONNX, and ONNX with 8-bit integers."""

from __future__ import annotations

import copy
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from packaging.version import Version
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from kdkit import __version__, models
from kdkit.data import files

if TYPE_CHECKING:
    from onnx import ModelProto

    from kdkit.data import ImageSet

ENDINGS = {"pt2": ".pt2", "onnx": ".onnx", "onnx-int8": "-int8.onnx"}  # what is put behind a network's name
INPUT, OUTPUT = "images", "logits"  # names in the file
NOTE = "kdkit.json"  # inside a .pt2 file
CALIBRATION = 256  # images whose activations set the ranges of the integers
CALIBRATION_BATCH = 32
TESTED = "2.14"  # the oldest torch whose ONNX exporter is known to do; that of 2.6 does not


def check_installed() -> None:
    """``ImportError``, with what to install, unless all is there that writes and runs ONNX."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401  torch's exporter calls it
    except ImportError as missing:
        raise ImportError(
            f"ONNX files are written and run by packages that kdkit does without otherwise ({missing}). "
            "Install them: pip install onnx onnxruntime onnxscript"
        ) from missing


def about(data: ImageSet, card: Mapping[str, Any]) -> dict[str, str]:
    """What a file says of itself, all of it text: its classes, what it wants to be given, and what its ``card`` says.

    ``classes`` and ``preprocessing`` are JSON: the names in the order of the logits, and what was done to the images.
    """
    channels, height, width = data.images.shape[1:]
    preprocessing = {
        "resize": "turned upright, the square in the middle, scaled (bicubic)",
        "channels": "RGB" if channels == 3 else "grey",
        "height": height,
        "width": width,
        "divide_by": 255,
        "layout": "NCHW",
        "dtype": "float32",
    }
    said = {"kdkit": __version__, "classes": json.dumps(data.classes), "preprocessing": json.dumps(preprocessing)}
    return said | {key: str(card[key]) for key in ("name", "sha256", "limits") if card.get(key)}


def write(
    network: nn.Module, formats: Iterable[str], stem: str | Path, images: ImageSet, note: Mapping[str, str]
) -> dict[str, Path]:
    """Write ``network`` in each of ``formats`` ("pt2", "onnx", "onnx-int8"): format to file, all named after ``stem``.

    Parameters:
        network: takes float32 images ``[N, C, H, W]`` in [0, 1], and answers as ``models.logits`` says. It is left as
            it is; a copy in eval mode on the CPU is traced.
        images: of the size that the file is for. Those to validate with will do: integers get their ranges from a
            sample of them, and test images must not be met before they judge.
        note: what ``about`` gave, kept in the file.

    The number of images at once stays free. Raises ``ValueError`` for another format, and before anything is written
    for a place where something else lies than such a file; ``ImportError`` as ``check_installed``.
    """
    wanted, paths = list(dict.fromkeys(formats)), {}
    for name in wanted:
        if name not in ENDINGS:
            raise ValueError(f"formats must be some of {', '.join(ENDINGS)}; got {name!r}.")
        paths[name] = files.expanded(f"{stem}{ENDINGS[name]}")
        _check_place(paths[name])
    if set(wanted) != {"pt2"}:
        check_installed()
    program = _traced(network, images)
    contents: dict[str, Callable[[], bytes]] = {"pt2": lambda: _torch_bytes(program, note)}
    if set(wanted) != {"pt2"}:
        plain = _onnx(program)
        contents["onnx"] = lambda: _onnx_bytes(plain, note)
        contents["onnx-int8"] = lambda: _onnx_bytes(_integers(plain, images), note)
    for name, path in paths.items():
        content = contents[name]()
        with files.replacing(path, needed=len(content)) as temporary:
            temporary.write_bytes(content)
    return paths


def read_note(path: str | Path) -> dict[str, str]:
    """What a file that ``write`` made says of itself. Raises ``ValueError`` for any other file."""
    path = files.expanded(path)
    try:
        if path.suffix == ".pt2":
            kept = {NOTE: ""}
            torch.export.load(io.BytesIO(path.read_bytes()), extra_files=kept)
            note = json.loads(kept[NOTE])
        else:
            import onnx

            note = {each.key: each.value for each in onnx.load_from_string(path.read_bytes()).metadata_props}
    except (ImportError, MemoryError, FileNotFoundError):
        raise
    except Exception as error:  # whatever torch or onnx say about a file of another kind
        raise ValueError(f"{path} is damaged, or no exported network.") from error
    if "kdkit" not in note:
        raise ValueError(f"{path} was exported by another program than kdkit.")
    return note


def _check_place(path):
    if not path.exists():
        return
    try:
        read_note(path)
    except (ValueError, OSError) as error:
        raise ValueError(
            f"{path} is there already, and nothing that kdkit has exported. It is not overwritten: move it away, or "
            "choose another folder."
        ) from error


class _LogitsOnly(nn.Module):
    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return models.logits(self.network, images)


def _traced(network: nn.Module, images: ImageSet) -> ExportedProgram:
    """A copy of ``network``, traced on two images (torch takes the size of a batch of one for a constant)."""
    alone = copy.deepcopy(network).cpu().to(memory_format=torch.contiguous_format)  # as files keep weights
    models.eval_mode(alone)
    example = models.as_input(images.images[[0, 0]]).contiguous()
    free = {INPUT: {0: Dim("batch")}}
    program = torch.export.export(_LogitsOnly(alone).eval(), (example,), dynamic_shapes=free, strict=False)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    return program


def _torch_bytes(program: ExportedProgram, note: Mapping[str, str]) -> bytes:
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={NOTE: json.dumps(dict(note))})
    return content.getvalue()


def _onnx(program: ExportedProgram) -> ModelProto:
    try:
        exported = torch.onnx.export(program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False)
    except Exception as error:
        if Version(torch.__version__) >= Version(TESTED):
            raise
        raise ImportError(
            f"torch {torch.__version__} could not write this network as ONNX ({type(error).__name__}); torch {TESTED} "
            "can: pip install --upgrade torch torchvision"
        ) from error
    if exported is None:
        raise RuntimeError("torch.onnx.export gave no program, although dynamo=True")
    return exported.model_proto


def _onnx_bytes(model: ModelProto, note: Mapping[str, str]) -> bytes:
    import onnx

    model.producer_name = "kdkit"
    onnx.helper.set_model_props(model, dict(note))
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _integers(model: ModelProto, images: ImageSet) -> ModelProto:
    """``model`` with weights and activations of 8 bits, whose ranges are those met on a sample of ``images``.

    Quantised after the export: graphs that torch has quantised do not pass its exporter (pytorch#167063). What gives
    the logits stays in float: in integers it would cut off all beyond the largest logit of the sample. So does
    BatchNorm, whose few numbers integers would make coarse and not quicker.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.batches = _batches(images.sample(CALIBRATION).images)

        def get_next(self):
            return next(self.batches, None)

    with tempfile.TemporaryDirectory() as folder:
        plain, ready, after = (str(Path(folder) / f"{name}.onnx") for name in ("plain", "ready", "after"))
        onnx.save(model, plain)
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        nodes = onnx.load(ready).graph.node
        quantize_static(
            ready,
            after,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,  # a channel of small weights keeps its precision beside one of large ones
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[n.name for n in nodes if OUTPUT in n.output or n.op_type == "BatchNormalization"],
        )
        return onnx.load(after)


def _batches(images: Tensor) -> Iterator[dict[str, Any]]:
    for part in images.split(CALIBRATION_BATCH):
        yield {INPUT: models.as_input(part).contiguous().numpy()}
