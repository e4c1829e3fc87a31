import pickle
import sys
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samref.datasets.voc.labels import read_activation_labels, voc_palette
from samref.datasets.voc.npy_dicts import read_dict
from samref.errors import InputError


def saved(path, content):
    np.save(path, content, allow_pickle=True)
    return path


def pickled(path, content, protocol):
    """As `numpy.save` does, in any pickle protocol."""
    array = np.empty((), object)
    array[()] = content
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        pickle.dump(array, file, protocol=protocol)
    return path


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_dictionaries_of_arrays_are_read_in_every_protocol(tmp_path, protocol):
    content = {
        "keys": np.array([3, 7], np.int64),
        "maps": np.arange(12, dtype=np.float16).reshape(2, 2, 3),
        "big_endian": np.array([1.5, -2], ">f4"),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "number": np.float64(2.5),
        "name": "x",
        "plain": [1, 2.5, None, True],
    }
    got = read_dict(pickled(tmp_path / "a.npy", content, protocol))
    assert list(got) == list(content)
    for key, value in content.items():
        assert np.array_equal(got[key], value)
        if isinstance(value, np.ndarray):
            assert got[key].dtype == value.dtype


class Evil:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "value",
    [
        Evil(exec, "import sys; sys.pwned = True"),
        Evil(eval, "1"),
        Evil(getattr, "text", "upper"),
        Evil(np.load, "x.npy"),
        Evil(np.frombuffer, b"12345678", "O"),
        Evil(np.dtype, {"names": ["a"], "formats": ["O"]}),
        Evil(np.ndarray, (1,)),
        {1, 2},
        np.array([{}, {}], object),
        np.zeros(2, [("a", "i4")]),
        np.array(["text"]),
    ],
)
def test_nothing_else_is_read_and_nothing_is_run(tmp_path, value):
    for protocol in (2, 4):
        with pytest.raises(InputError):
            read_dict(pickled(tmp_path / "a.npy", {"keys": value}, protocol))
    assert not hasattr(sys, "pwned")


@given(st.binary(max_size=60), st.integers(0, 200))
@settings(max_examples=80, deadline=None)
def test_broken_files_are_input_errors(tmp_path_factory, junk, cut):
    path = saved(tmp_path_factory.mktemp("cams") / "a.npy", {"keys": np.array([1]), "maps": np.zeros((1, 2, 2))})
    data = path.read_bytes()
    path.write_bytes(data[:cut] + junk + data[cut + len(junk) :])
    with suppress(InputError):
        assert isinstance(read_dict(path), dict)


@pytest.mark.parametrize("content", [np.zeros((2, 3)), [1, 2], 5])
def test_another_content_is_named(tmp_path, content):
    with pytest.raises(InputError, match="dictionary"):
        read_dict(saved(tmp_path / "a.npy", content))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"a\.npy"):
        read_dict(tmp_path / "a.npy")


def test_the_background_scores_one_minus_the_highest_class(tmp_path):
    maps = np.array([[[0.6, 0.5, 0.2, 0.4]], [[0.1, 0.3, 0.3, 0.45]]], np.float16)
    path = saved(tmp_path / "a.npy", {"keys": np.array([11, 14]), "attn_highres": maps})
    assert read_activation_labels(path, (1, 4), None).tolist() == [[12, 0, 0, 0]]


def test_one_map_a_class_is_read(tmp_path):
    path = saved(tmp_path / "a.npy", {14: np.full((1, 2), 0.9), 3: np.array([[0.95, 0.1]])})
    assert read_activation_labels(path, (1, 2), None).tolist() == [[4, 15]]


def test_no_class_is_all_background(tmp_path):
    for maps in (np.zeros((0, 2, 2)), np.zeros(0)):
        path = saved(tmp_path / "a.npy", {"keys": np.array([], int), "attn_highres": maps})
        assert read_activation_labels(path, (2, 2), None).tolist() == [[0, 0], [0, 0]]


def test_maps_are_chosen_by_name(tmp_path):
    ones, tenths = np.full((1, 1, 2), 1.0), np.full((1, 1, 2), 0.1)
    path = saved(tmp_path / "a.npy", {"keys": np.array([1]), "cam": ones, "high_res": tenths})
    assert read_activation_labels(path, (1, 2), "cam").tolist() == [[2, 2]]
    assert read_activation_labels(path, (1, 2), "high_res").tolist() == [[0, 0]]
    for name in (None, "other"):
        with pytest.raises(InputError, match=r"cam.*high_res.*dataset\.cam_maps"):
            read_activation_labels(path, (1, 2), name)


@pytest.mark.parametrize(
    "content",
    [
        {"keys": np.array([1, 2]), "cam": np.zeros((1, 2, 2))},
        {"keys": np.array([20]), "cam": np.zeros((1, 2, 2))},
        {"keys": np.array([-2]), "cam": np.zeros((1, 2, 2))},
        {"maps": np.zeros((1, 2, 2))},
        {},
        {0: np.zeros(3)},
    ],
)
def test_maps_that_do_not_fit_their_keys_are_named(tmp_path, content):
    with pytest.raises(InputError, match=r"a\.npy"):
        read_activation_labels(saved(tmp_path / "a.npy", content), (2, 2), None)


def test_the_palette_is_vocs():
    colors = np.array(voc_palette()).reshape(256, 3).tolist()
    assert colors[:3] == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    assert (colors[15], colors[20], colors[255]) == ([192, 128, 128], [0, 64, 128], [224, 224, 192])
