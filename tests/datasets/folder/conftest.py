import pytest

from tests.factories import make_folder


@pytest.fixture
def root(tmp_path):
    return make_folder(tmp_path / "data", names=("a", "sub/deep/b"), truth=True)
