import pytest

from samref.backbones.hf.sam import HfSam, HfSamHq
from samref.backbones.hf.sam2 import EdgeTam, Sam2, Sam3
from tests.backbones.hf.models import MODELS, random_model

CLASSES = {"hf_sam": HfSam, "hf_sam_hq": HfSamHq, "sam2_hiera_t": Sam2, "sam3": Sam3, "edgetam": EdgeTam}


class Case:
    """A random model, the folder that it was saved into, and what the folder is opened as."""

    def __init__(self, option, folder):
        self.option, self.folder, self.model = option, folder, random_model(option)
        self.model.save_pretrained(folder)
        self.backbone = self.open()

    def open(self, **options):
        return CLASSES[self.option](self.option, weights=self.folder, device="cpu", **options)


@pytest.fixture(scope="package")
def cases(tmp_path_factory):
    made = {}

    def case(option):
        if option not in made:
            made[option] = Case(option, tmp_path_factory.mktemp(option))
        return made[option]

    return case


@pytest.fixture(params=list(MODELS))
def case(request, cases):
    return cases(request.param)
