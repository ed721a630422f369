"""Downloads: two sources, each of which can fail in its own way. A server on this machine plays both."""

import errno
import http.server
import shutil
import socket
import struct
import tarfile
import threading
import time
from dataclasses import replace
from hashlib import md5

import pytest
from PIL import Image
from small_copies import TEST, TRAIN

from kdkit.data import cifar10, download, files, mnist
from kdkit.data.download import Source

OFFICIAL, PICTURES = "cifar-10-python.tar.gz", "cifar10.tgz"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.files`` in the way that ``server.ways`` says for a path: right, or wrong in one way."""

    def do_GET(self):
        content = self.server.files.get(self.path.rsplit("/", 1)[-1])
        way = self.server.ways.get(self.path, "right")
        self.server.asked.append(self.path)
        if way == "missing" or content is None:
            return self.send_error(404)
        if way == "silent":
            return self.server.over.wait(5)
        content = content[::-1] if way == "other content" else content
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self._send(content, way)

    def _send(self, content, way):
        half = len(content) // 2
        self.wfile.write(content[:half])
        if way == "cut off":
            return
        if way == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return self.connection.close()
        if way == "slow":
            self.wfile.flush()
            time.sleep(0.3)
        self.wfile.write(content[half:])

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, address):
        pass  # a client that gave up is part of these tests


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with Server(("127.0.0.1", 0), Handler) as running:
        running.files, running.ways, running.asked, running.over = {}, {}, [], threading.Event()
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.over.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def cifar(server, tmp_path, no_data, batches, picture_folder, monkeypatch):
    """Both sources of CIFAR-10, small; gives the server."""
    made = tmp_path / "made"
    server.files[OFFICIAL] = _archive(batches(made / "cifar-10-batches-py"))
    server.files[PICTURES] = _archive(picture_folder(made / "cifar10"))
    checksum = md5(server.files[OFFICIAL]).hexdigest()
    first = Source(f"{server.url}/official/", ((OFFICIAL, checksum),), "cifar-10-batches-py")
    second = Source(f"{server.url}/pictures/", ((PICTURES, None),), "cifar10", (TRAIN, TEST))
    monkeypatch.setattr(download, "CIFAR10", (first, second))
    return server


@pytest.fixture
def digit_server(server, tmp_path, no_data, digit_files, monkeypatch):
    """Both sources of MNIST, small; gives the server."""
    files = sorted(digit_files(tmp_path / "made", zipped=True).iterdir())
    server.files.update({file.name: file.read_bytes() for file in files})
    checksums = tuple((name, md5(content).hexdigest()) for name, content in server.files.items())
    urls = (f"{server.url}/first/", f"{server.url}/second/")
    monkeypatch.setattr(download, "MNIST", tuple(Source(url, checksums, "MNIST/raw") for url in urls))
    return server


def _archive(folder, add=None):
    file = folder.with_suffix(".tar.gz")
    with tarfile.open(file, "w:gz", compresslevel=1) as tar:
        tar.add(folder, folder.name)
        if add:
            tar.addfile(add)
    return file.read_bytes()


def left_in(folder):
    return sorted(file.name for file in folder.iterdir() if file.name != ".kdkit.lock")


def test_the_addresses_are_those_of_the_real_data():
    from torchvision.datasets import CIFAR10, MNIST

    official = download.CIFAR10[0]
    assert official.url + official.files[0][0] == CIFAR10.url and official.files[0][1] == CIFAR10.tgz_md5
    for source in download.MNIST:
        assert dict(source.files) == dict(MNIST.resources)
    assert download.MNIST[0].url in MNIST.mirrors


def test_the_first_source_is_enough(cifar, no_data, capsys):
    splits = cifar10(download=True)
    assert splits.source == f"torchvision folder {no_data / 'cifar-10-batches-py'} (original pixels)"
    assert cifar.asked == [f"/official/{OFFICIAL}"] and left_in(no_data) == ["cifar-10-batches-py"]
    assert capsys.readouterr().out == ""


def test_what_is_there_is_not_fetched_again(cifar, no_data):
    cifar10(download=True)
    cifar10(download=True)
    assert len(cifar.asked) == 1


def test_data_go_to_the_root_if_it_is_given(cifar, no_data, tmp_path):
    cifar10(tmp_path / "new" / "root", download=True)
    assert left_in(tmp_path / "new" / "root") == ["cifar-10-batches-py"] and not no_data.exists()


FAILURES = {
    "missing": "the server answers 404 Not Found",
    "cut off": "the connection broke off",
    "reset": "the connection broke off",
    "other content": "what came is not the expected file (wrong MD5 checksum)",
    "silent": "no answer in time",
}


@pytest.mark.parametrize("way", FAILURES)
def test_when_the_first_source_fails_one_line_says_so_and_the_second_serves(way, cifar, no_data, capsys, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", (0.3, 0.3))
    cifar.ways[f"/official/{OFFICIAL}"] = way
    splits = cifar10(download=True)
    assert splits.source == f"image folder {no_data / 'cifar10'} (PNG)" and len(splits.test) == TEST
    expected = f"{cifar.url}/official/{OFFICIAL}: {FAILURES[way]}. Trying the next source.\n"
    assert capsys.readouterr().out == expected
    assert [name for name in left_in(no_data) if name != "decoded"] == ["cifar10"]


def test_when_both_fail_the_error_names_each_with_its_reason_and_the_ways_on(cifar, no_data):
    cifar.ways = {f"/official/{OFFICIAL}": "missing", f"/pictures/{PICTURES}": "cut off"}
    with pytest.raises(ConnectionError) as caught:
        cifar10(download=True)
    for words in (
        "CIFAR-10 could not be fetched. Tried:",
        f"/official/{OFFICIAL}: the server answers 404 Not Found",
        f"/pictures/{PICTURES}: the connection broke off",
        f"put it into {no_data}, as cifar-10-batches-py/",
        "Without any download: kdkit.data.things",
    ):
        assert words in str(caught.value)
    assert left_in(no_data) == []


def test_without_a_network_the_answer_comes_within_seconds(no_data, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.setattr(download, "CIFAR10", (Source(url, ((OFFICIAL, None),), "cifar-10-batches-py"),))
        begun = time.monotonic()
        with pytest.raises(ConnectionError, match=f"{OFFICIAL}: cannot be reached"):
            cifar10(download=True)
    assert time.monotonic() - begun < 3 and max(download.TIMEOUT) <= 30


def test_a_slow_source_comes_last_and_may_then_take_its_time(cifar, capsys, monkeypatch):
    monkeypatch.setattr(download, "TRIAL_SECONDS", -1)
    sources = [replace(source, patience=-1e9) for source in download.CIFAR10]
    monkeypatch.setattr(download, "CIFAR10", sources)
    assert "original pixels" in cifar10(download=True).source
    assert [path.split("/")[1] for path in cifar.asked] == ["official", "pictures", "official"]
    assert capsys.readouterr().out.count("it comes last. Trying the next source.") == 2


def test_a_second_program_waits_and_then_fetches_nothing(cifar, no_data, capsys):
    cifar.ways[f"/official/{OFFICIAL}"] = "slow"
    programs = [threading.Thread(target=cifar10, kwargs={"download": True}) for _ in range(2)]
    for program in programs:
        program.start()
    for program in programs:
        program.join()
    assert len(cifar.asked) == 1
    assert f"Another program is fetching or unpacking data in {no_data}: waiting" in capsys.readouterr().out


@pytest.mark.parametrize("unlockable", [NotImplementedError("no flock here"), OSError(errno.ENOSYS, "not here")])
def test_a_disk_that_cannot_be_locked_is_named(unlockable, cifar, no_data, monkeypatch):
    def acquire(*arguments, **keywords):
        raise unlockable

    monkeypatch.setattr(files.FileLock, "acquire", acquire)
    with pytest.raises(PermissionError, match=r"could not be locked \(.*here.* a disk of this machine.*yours as root"):
        cifar10(download=True)
    assert cifar.asked == []


def test_what_a_killed_program_left_is_cleared_away(cifar, no_data):
    left = no_data / f"{download.TEMPORARY}abc" / "unpacked"
    left.mkdir(parents=True)
    cifar10(download=True)
    assert left_in(no_data) == ["cifar-10-batches-py"]


def test_a_kill_while_unpacking_leaves_nothing_half(cifar, no_data, monkeypatch):
    def killed(tar, place, **options):
        (place / "cifar-10-batches-py").mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tarfile.TarFile, "extractall", killed)
        cifar10(download=True)
    assert left_in(no_data) == []


# An archive without a published checksum is looked at before it counts


def only_pictures(cifar, no_data, change):
    """Let the pictures' archive alone be there, changed; the reason why it was refused."""
    cifar.ways[f"/official/{OFFICIAL}"] = "missing"
    folder = no_data.parent / "made" / "cifar10"
    cifar.files[PICTURES] = change(folder)
    with pytest.raises(ConnectionError) as caught:
        cifar10(download=True)
    assert left_in(no_data) == []
    return str(caught.value)


def one_too_few(folder):
    (folder / "train" / "cat" / "003.png").unlink()
    return _archive(folder)


def another_class(folder):
    (folder / "test" / "cat").rename(folder / "test" / "tiger")
    return _archive(folder)


def another_size(folder):
    Image.new("RGB", (31, 32)).save(folder / "test" / "cat" / "003.png")
    return _archive(folder)


def no_test(folder):
    shutil.rmtree(folder / "test")
    return _archive(folder)


def another_folder(folder):
    return _archive(folder.rename(folder.with_name("cifar100")))


def way_out(folder):
    entry = tarfile.TarInfo("../../outside")
    return _archive(folder, add=entry)


def link_out(folder):
    entry = tarfile.TarInfo("cifar10/link")
    entry.type, entry.linkname = tarfile.SYMTYPE, "/etc"
    return _archive(folder, add=entry)


BAD_ARCHIVES = {
    "one too few": (one_too_few, "its train/ should hold 100 images; it holds 99"),
    "another class": (another_class, "its test/ should hold CIFAR-10's ten classes; it holds airplane, "),
    "another size": (another_size, "test/003.png is 31x32 pixels, not 32x32"),
    "no test": (no_test, "its test/ should hold CIFAR-10's ten classes; it holds none"),
    "another folder": (another_folder, "cifar10.tgz should hold cifar10/; it holds cifar100"),
    "no archive": (lambda folder: b"<html>Sign in to the wifi</html>", "cifar10.tgz cannot be unpacked"),
    "cut off, said to be whole": (lambda folder: _archive(folder)[:4000], "cifar10.tgz cannot be unpacked"),
    "path outside": (way_out, "cifar10.tgz cannot be unpacked ('../../outside' would be extracted"),
    "link outside": (link_out, "cifar10.tgz cannot be unpacked ('cifar10/link' is a link to an absolute path"),
}


@pytest.mark.parametrize("change, reason", BAD_ARCHIVES.values(), ids=BAD_ARCHIVES)
def test_an_archive_that_does_not_hold_what_it_should(change, reason, cifar, no_data):
    assert f"{PICTURES}: {reason}" in only_pictures(cifar, no_data, change)
    assert not (no_data.parent / "outside").exists() and not (no_data / "outside").exists()


def test_a_folder_in_the_way_is_not_overwritten(cifar, no_data):
    for name in ("cifar-10-batches-py", "cifar10"):
        (no_data / name).mkdir(parents=True)
        (no_data / name / "notes.txt").write_text("somebody's own")
    with pytest.raises(ConnectionError, match=r"cifar10 exists already, but is no whole copy: move it away"):
        cifar10(download=True)
    assert cifar.asked == [] and (no_data / "cifar10" / "notes.txt").exists()


@pytest.mark.parametrize("reader", [cifar10, mnist])
def test_a_place_that_cannot_be_written_is_named(reader, cifar, no_data):
    no_data.parent.joinpath("file").write_text("")
    with pytest.raises(PermissionError, match=r"file.below cannot be written to .*Give a folder of yours as root"):
        reader(no_data.parent / "file" / "below", download=True)


# MNIST: four files a source


def test_mnist_comes_from_its_first_source(digit_server, no_data):
    splits = mnist(download=True)
    assert splits.source == f"MNIST's files in {no_data / 'MNIST' / 'raw'} (original pixels)"
    assert {path.split("/")[1] for path in digit_server.asked} == {"first"} and len(digit_server.asked) == 4
    assert {file.stat().st_mode & 0o444 for file in (no_data / "MNIST" / "raw").iterdir()} == {0o444}


def test_half_a_source_of_mnist_is_no_source(digit_server, no_data, capsys):
    digit_server.ways["/first/train-images-idx3-ubyte.gz"] = "other content"
    (no_data / "MNIST" / "raw").mkdir(parents=True)
    (no_data / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"what an earlier attempt left")
    assert len(mnist(download=True).train) == 90
    assert "wrong MD5 checksum" in capsys.readouterr().out


def test_when_both_sources_of_mnist_fail_both_are_named(digit_server):
    name = "t10k-images-idx3-ubyte.gz"
    digit_server.ways = {f"/first/{name}": "missing", f"/second/{name}": "reset"}
    with pytest.raises(ConnectionError, match=r"(?s)MNIST could not.*/first/.* 404 .*/second/.* broke off"):
        mnist(download=True)
