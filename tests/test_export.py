"""An exported network answers as the original, in any number of images at once, where neither torch nor kdkit is."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny
import torch
from packaging.version import Version

import kdkit
from kdkit import export, models
from kdkit.cli import main as cli
from kdkit.export import networks, report
from kdkit.measure import metrics, profiling
from kdkit.measure.profiling import Latency

pytestmark = pytest.mark.skipif(
    Version(torch.__version__) < Version(networks.TESTED), reason=f"ONNX files take torch {networks.TESTED} or newer"
)
DATA = tiny.splits()
CARD = {"name": "small", "sha256": "abc", "limits": "made by a test"}


@pytest.fixture(scope="module")
def network():
    """A trained network that answers as Hugging Face's do, in train mode: it is to be left so."""
    inner = tiny.net()
    kdkit.train(inner, DATA, epochs=4, batch_size=16, progress=False)
    return tiny.HuggingFaceLike(inner).train()


@pytest.fixture(scope="module")
def paths(network, tmp_path_factory):
    """All formats, written once."""
    before = models.fingerprint(network)
    stem = tmp_path_factory.mktemp("exported") / "small"
    paths = export.write(network, export.ENDINGS, stem, DATA.val, export.about(DATA.test, CARD))
    assert models.fingerprint(network) == before and all(module.training for module in network.modules())
    return paths


@pytest.fixture(scope="module")
def logits(network):
    return metrics.predict(network, DATA.test.images)


def test_files_are_named_after_the_network_and_say_what_they_know_and_want(paths):
    assert [path.name for path in paths.values()] == ["small.pt2", "small.onnx", "small-int8.onnx"]
    for path in paths.values():
        note = export.Exported(path).note
        assert tuple(json.loads(note["classes"])) == DATA.test.classes and note["sha256"] == "abc"
        wanted = json.loads(note["preprocessing"])
        assert (wanted["height"], wanted["width"], wanted["divide_by"], wanted["channels"]) == (10, 10, 255, "RGB")
        assert note["kdkit"] == kdkit.__version__ and note["limits"] == "made by a test"


@pytest.mark.parametrize("name", ["pt2", "onnx"])
@pytest.mark.parametrize("count", [1, 2, 7, 32])
def test_any_number_of_images_gets_the_answers_of_the_original(name, count, paths, logits):
    answers = metrics.predict(export.Exported(paths[name]), DATA.test.images[:count])
    assert torch.allclose(answers, logits[:count], atol=1e-4) and logits.std() > 0.5


def test_integers_answer_nearly_as_the_original_from_weights_of_8_bits(paths, logits):
    answers = metrics.predict(export.Exported(paths["onnx-int8"]), DATA.test.images)
    assert metrics.agreement(answers, logits) > 0.9
    assert 1e-3 < (answers - logits).abs().mean() < 0.2 * logits.abs().mean()
    kinds = {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
    convolutions = [node for node in onnx.load(paths["onnx-int8"]).graph.node if node.op_type == "Conv"]
    weights = {value.name: value.data_type for value in onnx.load(paths["onnx-int8"]).graph.initializer}
    assert len(convolutions) == 4 and [kind in kinds for kind in weights.values()].count(True) > 4


def test_no_file_tells_of_a_folder_of_this_machine(paths):
    here = str(Path(kdkit.__file__).parents[1]).encode()
    assert not [path for path in paths.values() if here in path.read_bytes() or b"site-packages" in path.read_bytes()]


def test_what_is_measured_is_what_the_files_answer_and_all_take_turns(network, paths, logits, monkeypatch):
    seconds = {"torch": 0.004, "pt2": 0.003, "onnx": 0.002, "onnx-int8": 0.001, profiling.AGAIN: 0.004}
    monkeypatch.setattr(
        profiling, "latency", lambda calls, rounds: {name: Latency((seconds[name],) * 3) for name in calls}
    )
    found = export.measured(network, paths, DATA.test)
    assert list(found) == ["torch", *paths] and found["torch"]["accuracy"] == metrics.accuracy(logits, DATA.test.labels)
    assert found["onnx"]["bytes"] == paths["onnx"].stat().st_size and found["onnx"]["file"] == "small.onnx"
    assert found["onnx"]["milliseconds"] == {"1": 2.0, "64": 2.0}
    assert found["onnx-int8"]["times_as_long"]["1"].startswith("0.25 times as long")
    assert found["onnx"]["agreement"] == 1.0 and found["onnx"]["largest_difference"] < 1e-4
    assert found["onnx-int8"]["largest_difference"] > 1e-3


# ------------------------------------------------------------------------- where neither torch nor kdkit is

REFUSING = "import sys\nfor name in 'torch', 'kdkit', 'onnx', 'PIL':\n    sys.modules[name] = None  # an import fails\n"


def test_the_card_s_own_lines_run_the_file_with_onnxruntime_and_numpy_alone(paths, logits, tmp_path):
    result = {"images": {"size": [3, 10, 10]}}
    _, code = report.snippets(result, {"exports": {"onnx": {"file": paths["onnx"].name}}})
    np.save(tmp_path / "images.npy", DATA.test.images.numpy())
    (tmp_path / "small.onnx").write_bytes(paths["onnx"].read_bytes())
    command = [sys.executable, "-I", "-c", REFUSING + code.text]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str([DATA.test.classes[answer] for answer in logits.argmax(1)])


def test_a_process_that_refuses_torch_does_refuse_it():
    done = subprocess.run([sys.executable, "-I", "-c", REFUSING + "import torch"], capture_output=True, text=True)
    assert done.returncode == 1 and "ModuleNotFoundError" in done.stderr


# ---------------------------------------------------------------------------------------------- refusals


def test_another_s_file_is_not_overwritten_and_one_s_own_is(network, tmp_path):
    (tmp_path / "small.pt2").write_text("a letter")
    note = export.about(DATA.test, CARD)
    with pytest.raises(ValueError, match=r"small.pt2 is there already, and nothing that kdkit has exported"):
        export.write(network, ["pt2"], tmp_path / "small", DATA.val, note)
    assert (tmp_path / "small.pt2").read_text() == "a letter"
    for _ in range(2):
        export.write(network, ["pt2"], tmp_path / "mine", DATA.val, note)


def test_an_onnx_file_of_another_program_is_told_from_the_kit_s_own(paths, tmp_path):
    foreign = onnx.load(paths["onnx"])
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(ValueError, match="was exported by another program than kdkit"):
        export.Exported(tmp_path / "foreign.onnx")
    (tmp_path / "noise.onnx").write_bytes(b"noise")
    with pytest.raises(ValueError, match=r"noise.onnx is damaged, or no exported network"):
        export.Exported(tmp_path / "noise.onnx")
    with pytest.raises(FileNotFoundError):
        export.Exported(tmp_path / "gone.onnx")


def test_an_unknown_format_is_refused(network, tmp_path):
    with pytest.raises(ValueError, match=r"formats must be some of pt2, onnx, onnx-int8; got 'tflite'"):
        export.write(network, ["tflite"], tmp_path / "small", DATA.val, {})


def test_without_the_packages_a_sentence_says_what_to_install(network, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match="Install them: pip install onnx onnxruntime onnxscript"):
        export.write(network, ["onnx"], tmp_path / "small", DATA.val, {})
    monkeypatch.setattr(export, "write", lambda *arguments: export.check_installed())
    assert cli.main(["export", "things-teacher", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.endswith("pip install onnx onnxruntime onnxscript\n") and "doctor" not in said


def test_an_older_torch_that_cannot_write_onnx_says_which_can(network, tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(torch.onnx, "export", broken)
    write = functools.partial(export.write, network, ["onnx"], tmp_path / "a", DATA.val, {})
    with pytest.raises(RuntimeError, match="no such operator"):
        write()
    monkeypatch.setattr(torch, "__version__", "2.6.0+cpu")
    with pytest.raises(ImportError, match=r"torch 2\.6\.0\+cpu could not write .* torch 2\.14 can: pip install"):
        write()
    assert not list(tmp_path.iterdir())
