import hashlib
import io
import stat
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from samref.cli.main import main
from samref.datasets.sources import download
from samref.datasets.sources.catalog import SOURCES, Archive, Source
from samref.datasets.sources.download import fetch, unpack
from samref.errors import DatasetError


@pytest.fixture
def server():
    """Serves `content`, in parts where requested; `stop_after` bytes it hangs up once."""
    state = SimpleNamespace(content=b"", stop_after=None, requested=[], ranges=True)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range")
            state.requested.append(wanted)
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
            if start >= len(state.content):
                self.send_response(416)
                self.end_headers()
                return
            body = state.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            stop, state.stop_after = state.stop_after, None
            self.wfile.write(body[:stop])

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    state.url = f"http://127.0.0.1:{http.server_port}/data/images.zip"
    yield state
    http.shutdown()
    http.server_close()


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def offered(server, content, **more):
    server.content = content
    return Archive(server.url, "images", **{"size": len(content), "md5": hashlib.md5(content).hexdigest(), **more})


CONTENT = zipped({"val/1.txt": b"one" * 1000, "val/2.txt": b"two"})


def test_an_archive_is_fetched_once(server, tmp_path):
    archive = offered(server, CONTENT)
    assert fetch(archive, tmp_path).read_bytes() == CONTENT
    fetch(archive, tmp_path)
    assert server.requested == [None]
    assert [path.name for path in tmp_path.iterdir()] == ["images.zip"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_was_cut_off_goes_on(server, tmp_path, ranges):
    content = bytes(range(256)) * 1000
    archive = offered(server, content)
    server.stop_after, server.ranges = 200_000, ranges
    with pytest.raises(DatasetError, match="goes on from there"):
        fetch(archive, tmp_path)
    assert not (tmp_path / "images.zip").exists()
    assert fetch(archive, tmp_path).read_bytes() == content
    assert server.requested == [None, f"bytes={3 * download.CHUNK}-"]


def test_a_part_that_is_whole_already_is_taken(server, tmp_path):
    archive = offered(server, CONTENT)
    (tmp_path / "images.zip.part").write_bytes(CONTENT)
    assert fetch(archive, tmp_path).read_bytes() == CONTENT


def test_a_wrong_hash_is_never_kept(server, tmp_path):
    archive = offered(server, CONTENT, md5="0" * 32)
    with pytest.raises(DatasetError, match="wrong hash"):
        fetch(archive, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_address_that_does_not_answer_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"http://127\.0\.0\.1:9/x\.zip"):
        fetch(Archive("http://127.0.0.1:9/x.zip", "x"), tmp_path)


def test_too_little_space_is_said_before_anything_is_fetched(server, tmp_path):
    with pytest.raises(DatasetError, match=r"GB free; images\.zip"):
        fetch(offered(server, CONTENT, size=10**16), tmp_path)
    assert server.requested == []


def test_unpacking_leaves_whole_files_alone_and_replaces_others(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(CONTENT)
    assert unpack(path, tmp_path / "out") == 2
    first, second = tmp_path / "out" / "val" / "1.txt", tmp_path / "out" / "val" / "2.txt"
    assert first.read_bytes() == b"one" * 1000
    first.write_bytes(b"cut")
    stamp = second.stat().st_mtime_ns
    unpack(path, tmp_path / "out")
    assert first.read_bytes() == b"one" * 1000 and second.stat().st_mtime_ns == stamp


def test_tar_archives_are_unpacked(tmp_path):
    source = tmp_path / "1.txt"
    source.write_text("one")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(source, "VOCdevkit/VOC2012/1.txt")
    unpack(tmp_path / "a.tar", tmp_path / "out")
    assert (tmp_path / "out/VOCdevkit/VOC2012/1.txt").read_text() == "one"


@pytest.mark.parametrize(
    "name", ["../outside.txt", "/outside.txt", "a/../../outside.txt", "..\\outside.txt", "C:outside.txt"]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_no_path_leads_out_of_the_folder(tmp_path, name, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        path.write_bytes(zipped({name: b"x"}))
    else:
        with tarfile.open(path, "w") as archive:
            archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(DatasetError, match="leads out"):
        unpack(path, tmp_path / "deep" / "out")
    assert [entry.name for entry in tmp_path.rglob("*") if entry.is_file()] == [path.name]


def test_links_are_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc")
    member = tarfile.TarInfo("link")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc"
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(member)
    for name in ("a.zip", "a.tar"):
        with pytest.raises(DatasetError, match="link"):
            unpack(tmp_path / name, tmp_path / "out")


def test_a_damaged_archive_is_named(tmp_path):
    (tmp_path / "a.zip").write_bytes(CONTENT.replace(b"one", b"six", 1))
    (tmp_path / "b.zip").write_bytes(b"nothing of the kind")
    for name in ("a.zip", "b.zip"):
        with pytest.raises(DatasetError, match=rf"{name[0]}\.zip is broken"):
            unpack(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out" / "val" / "1.txt").exists()


def test_the_command_fetches_unpacks_and_says_how_to_go_on(server, tmp_path, monkeypatch, capsys):
    source = Source("X", "page", "free", ("layout",), (offered(server, CONTENT),))
    monkeypatch.setitem(SOURCES, "coco", source)
    assert main(["datasets", "coco", "--download", str(tmp_path), "--only", "images.zip"]) == 0
    text = capsys.readouterr().out
    assert (tmp_path / "val" / "2.txt").read_bytes() == b"two"
    assert server.url in text and "terms: free" in text and f"--verify root={tmp_path}" in text
    assert main(["datasets", "coco", "--download", str(tmp_path), "--only", "other.zip"]) == 1
