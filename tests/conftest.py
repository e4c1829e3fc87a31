import pytest


@pytest.fixture(scope="session")
def mobile_sam():
    """MobileSAM with its published weights, fetched once into the user's cache."""
    from samref.backbones.factory import build_backbone

    return build_backbone("mobile_sam")
