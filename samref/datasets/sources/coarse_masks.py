"""Where the paper's coarse masks come from: whose code writes them, by which command, and how they are named here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Maker:
    """A method whose masks the paper refines, or a refiner whose masks it compares with.

    Attributes:
        tables: where its masks are used.
        repository: of its authors' code, or the one that the paper's numbers are those of.
        weights: what must be fetched.
        command: that writes masks, run in the repository; capital letters stand for files.
        writes: what comes out.
        options: that hand it to a run here.
        script: a program for the repository's own environment, where no command of it writes what is needed.
    """

    tables: str
    repository: str
    weights: str
    command: str
    writes: str
    options: str
    script: str = ""


_RESULTS = "a COCO results json"
_COCO = "dataset=coco dataset.predictions=PRED.json"
_LVIS = "+experiment=lvis dataset.predictions=PRED.json"
_DETECTRON2 = "{tool} --config-file {config} --eval-only MODEL.WEIGHTS CKPT OUTPUT_DIR OUT"
_DETECTRON2_WRITES = f"OUT/inference/coco_instances_results.json, {_RESULTS}"
_MMDET = "python tools/test.py {config} CKPT --format-only --options jsonfile_prefix=OUT"
_MMDET_WRITES = f"OUT.segm.json, {_RESULTS}"
_OWN_FILES = "files named as the coarse masks are; for COCO a results json in their order"
_EXTERNAL = "refiner=external refiner.masks=DIR (or FILE.json)"


def _detectron2(tool: str, config: str) -> str:
    return _DETECTRON2.format(tool=tool, config=config)


# MaskCLIP's own commands draw pictures; its classes are VOC's 20, counted from 0.
_MASKCLIP_SCRIPT = """\
from pathlib import Path
from mmseg.apis import inference_segmentor, init_segmentor
from PIL import Image

voc, out = Path("data/VOCdevkit/VOC2012"), Path("OUT")
out.mkdir(exist_ok=True)
model = init_segmentor("configs/maskclip/maskclip_vit16_512x512_voc12aug_20.py", "pretrain/ViT16_clip_backbone.pth")
for name in (voc / "ImageSets/Segmentation/train.txt").read_text().split():
    labels = inference_segmentor(model, str(voc / f"JPEGImages/{name}.jpg"))[0]
    Image.fromarray((labels + 1).astype("uint8")).save(out / f"{name}.png")
"""


# Commands are those of each method's own documentation, with the option that makes its framework write results.
COARSE: dict[str, Maker] = {
    "MaskCLIP": Maker(
        "2c, 4, 5",
        "github.com/chongzhou96/MaskCLIP",
        "CLIP's, converted by its tools; nothing is trained",
        "python tools/maskclip_utils/convert_clip_weights.py --model ViT16 (and once more with --backbone), "
        "python tools/maskclip_utils/prompt_engineering.py --model ViT16 --class-set voc, then the script",
        "OUT/NAME.png, label PNGs without background. SAMRefiner's authors share theirs through issue 4 of their "
        "repository",
        "dataset=voc dataset.split=train dataset.coarse=OUT",
        _MASKCLIP_SCRIPT,
    ),
    "BECO": Maker(
        "4, 5, 8",
        "github.com/ShenghaiRong/BECO",
        "its pseudo labels (irn_pseudo_label) are linked from its page; no network is needed",
        "see first-stage/irn/README.md to make them again",
        "irn_pseudo_label/NAME.png, label PNGs",
        "dataset=voc dataset.coarse=irn_pseudo_label",
    ),
    "CLIP-ES": Maker(
        "2c, 4, 5, 8",
        "github.com/linyq2117/CLIP-ES",
        "CLIP ViT-B/16",
        "python generate_cams_voc12.py --img_root JPEGImages --split_file voc12/train_aug.txt --model ViT-B-16.pt "
        "--cam_out_dir OUT",
        "OUT/NAME.npy, dictionaries of class activation maps (map attn_highres)",
        "dataset=voc dataset.coarse=OUT dataset.allow_pickle=true dataset.cam_maps=attn_highres",
    ),
    "DeepLabV2": Maker(
        "5",
        "github.com/kazuto1011/deeplab-pytorch",
        "its VOC 2012 weights (ResNet-101, 20,000 iterations), converted from the authors' Caffe model",
        "python main.py test --config-path configs/voc12.yaml --model-path CKPT",
        "logit/NAME.npy below its folder of features, 21 x h x w scores an image, read as they are",
        "dataset=voc dataset.split=val dataset.coarse=logit",
    ),
    "NB": Maker(
        "3, 5, 8",
        "github.com/zhenyuw16/noisyboundaries",
        "none published: the supervised model of 1, 5 or 10 % of the labels is trained first (mmdetection 2.18)",
        "python scripts/coco/prepare_coco_data.py --percent 5 --seed 1, then bash scripts/coco/extract_pl.sh 8 "
        "RESULT.pkl PSEUDO.json",
        "PSEUDO.json, COCO annotations of the images without labels; instances_train2017.1@5.json has the labeled ones",
        f"{_COCO} dataset.annotations=instances_train2017_5K.json dataset.image_ids=instances_train2017_5K.json "
        "row.method=NB",
    ),
    "PointWSSIS": Maker(
        "2b, 3, 5, 8",
        "github.com/clovaai/PointWSSIS",
        "teacher, MaskRefineNet, and pseudo labels as json for 1 to 50 % of the labels: linked from its page",
        "bash scripts/coco_5p.sh (third step; or its published json)",
        "instances_train2017_5p_sw.json, COCO annotations, with the true masks of the labeled images (..._5p_s.json); "
        "those without MaskRefineNet are the coarser ones",
        f"{_COCO} dataset.annotations=instances_train2017_5K.json dataset.image_ids=instances_train2017_5K.json "
        "row.method=PointWSSIS",
    ),
    "CutLER": Maker(
        "3 (val2017)",
        "github.com/facebookresearch/CutLER",
        "DINO ViT-B/8",
        "cd maskcut && python maskcut.py --vit-arch base --patch-size 8 --tau 0.15 --fixed_size 480 --N 3 "
        "--dataset-path IMAGES --out-dir OUT, then merge_jsons.py",
        "COCO annotations of one class: the coarse masks are MaskCut's, the network trained on them is CutLER",
        f"{_COCO} dataset.class_agnostic=true",
    ),
    "MaskRCNN": Maker(
        "5, 6",
        "github.com/open-mmlab/mmdetection",
        "mask_rcnn_r50_fpn_1x_coco, mask_rcnn_r101_fpn_1x_coco (2.x model zoo)",
        _MMDET.format(config="configs/mask_rcnn/mask_rcnn_r50_fpn_1x_coco.py"),
        _MMDET_WRITES,
        f"{_LVIS} row.model=MaskRCNN-RN50",
    ),
    "PointRend": Maker(
        "6",
        "github.com/open-mmlab/mmdetection",
        "point_rend_r50_caffe_fpn_mstrain_1x_coco (2.x model zoo)",
        _MMDET.format(config="configs/point_rend/point_rend_r50_caffe_fpn_mstrain_1x_coco.py"),
        _MMDET_WRITES,
        f"{_LVIS} row.model=PointRend",
    ),
    "RefineMask": Maker(
        "6",
        "github.com/zhanggang001/RefineMask",
        "r50-refinemask-1x.pth, linked from its page",
        _MMDET.format(config="configs/refinemask/coco/r50-refinemask-1x.py"),
        _MMDET_WRITES,
        f"{_LVIS} row.model=RefineMask",
    ),
    "MaskTransfiner": Maker(
        "6",
        "github.com/SysCV/transfiner",
        "output_3x_transfiner_r50.pth, linked from its page",
        _detectron2("python tools/train_net.py", "configs/transfiner/mask_rcnn_R_50_FPN_3x.yaml"),
        _DETECTRON2_WRITES,
        f"{_LVIS} row.model=MaskTransfiner",
    ),
    "SOLO": Maker(
        "6",
        "github.com/WXinlong/SOLO",
        "SOLO_R50_3x.pth or SOLOv2_R50_3x.pth, linked from its page",
        "python tools/test_ins.py configs/solo/solo_r50_fpn_8gpu_3x.py CKPT --out OUT.pkl --eval segm",
        f"OUT.pkl.segm.json, {_RESULTS}",
        f"{_LVIS} row.model=SOLO",
    ),
    "CondInst": Maker(
        "6",
        "github.com/aim-uofa/AdelaiDet",
        "CondInst_MS_R_50_1x.pth, linked from its page",
        _detectron2("python tools/train_net.py", "configs/CondInst/MS_R_50_1x.yaml"),
        _DETECTRON2_WRITES,
        f"{_LVIS} row.model=CondInst",
    ),
    "Mask2Former": Maker(
        "6",
        "github.com/facebookresearch/Mask2Former",
        "COCO instance segmentation, R50, 50 epochs (its model zoo)",
        _detectron2("python train_net.py", "configs/coco/instance-segmentation/maskformer2_R50_bs16_50ep.yaml"),
        _DETECTRON2_WRITES,
        f"{_LVIS} row.model=Mask2Former",
    ),
}

REFINERS: dict[str, Maker] = {
    "CRM": Maker(
        "5, 9",
        "github.com/dvlab-research/Entity (folder High-Quality-Segmention)",
        "model_45705, linked from its page",
        "python test.py --clear (folders and weights as its README names them)",
        _OWN_FILES,
        f"refiner=crm (weights: samref weights crm), or {_EXTERNAL} row.method=CRM",
    ),
    "SegRefiner": Maker(
        "5, 6",
        "github.com/MengyuWang826/SegRefiner",
        "segrefiner_lr_latest.pth (COCO, LVIS), segrefiner_hr_latest.pth (BIG)",
        "tools/test.py with configs segrefiner_coco.py, high_resolution_segrefiner.py (see its README)",
        _OWN_FILES,
        f"refiner=segrefiner (weights: samref weights segrefiner_lr), or {_EXTERNAL} row.method=SegRefiner",
    ),
    "SegFix": Maker(
        "6, 9",
        "github.com/openseg-group/openseg.pytorch",
        "offsets of the data set, or its network, linked from its page",
        "bash scripts/cityscapes/segfix/run_h_48_d_4_segfix.sh writes offsets; its script beside it applies them",
        _OWN_FILES,
        f"refiner=segfix (weights: samref weights segfix_hrnet48), or {_EXTERNAL} row.method=SegFix",
    ),
    "BPR": Maker(
        "6",
        "github.com/tinyalpha/BPR",
        "its COCO network, linked from its page",
        "its tools/inference.sh, by data set (see its README)",
        _RESULTS,
        f"refiner=bpr (weights: samref weights bpr_hrnet18s), or {_EXTERNAL} row.method=BPR",
    ),
}


def describe_makers() -> str:
    """Every maker of coarse and of compared masks, as lines of text."""
    lines = []
    for heading, makers in (("coarse masks", COARSE), ("masks of other refiners", REFINERS)):
        lines.append(heading)
        for name, maker in makers.items():
            lines.append(f"  {name} (Table {maker.tables}): https://{maker.repository}")
            lines += [f"    {line}".rstrip() for line in describe_maker(maker)]
    return "\n".join(lines)


def describe_maker(maker: Maker) -> list[str]:
    """What must be fetched and run, what comes out and what it is called here, as lines of text."""
    lines = [
        f"weights  {maker.weights}",
        f"run      {maker.command}",
        f"writes   {maker.writes}",
        f"here     {maker.options}",
    ]
    script = [f"  {line}" for line in maker.script.splitlines()]
    return [*lines, "script", *script] if script else lines
