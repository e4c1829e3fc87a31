"""Instance networks: losses and labels against torchvision and against cases solved by hand, and what they learn."""

import math

import numpy as np
import pytest
import torch
from torchvision.models.detection import MaskRCNN

from samref.io.coco_masks import area_and_box, encode_rle
from samref.metrics.average_precision import average_precision
from samref.training.networks.cascade_mask_rcnn import CascadeMaskRcnn, assign, box_losses
from samref.training.networks.mask_rcnn import MaskRcnn, fpn
from samref.training.networks.solov2.cells import assign_cells
from samref.training.networks.solov2.heads import with_coordinates
from samref.training.networks.solov2.matrix_nms import matrix_nms
from samref.training.networks.solov2.network import SoloV2
from samref.training.scoring import coco_results
from samref.training.targets import Classes
from tests.training.pictures import with_instances

SMALL = {"classes": 3, "body": "resnet18", "min_size": 64, "max_size": 96, "pretrained": False, "trainable_layers": 5}
GRIDS = {"grids": [10, 8, 6, 4, 3], "ranges": [[1, 32], [16, 64], [32, 128], [64, 256], [128, 512]]}
CLASSES = Classes("instance", (1, 2))


def solo():
    torch.manual_seed(0)
    return SoloV2(**SMALL, **GRIDS, width=32, kernel=32)


def test_mask_rcnns_losses_are_torchvisions():
    torch.manual_seed(0)
    network = MaskRcnn(**SMALL).train()
    torch.manual_seed(0)
    reference = MaskRCNN(fpn("resnet18", False, 5), 3, min_size=64, max_size=96).train()
    images, targets = with_instances(2)
    torch.manual_seed(1)
    ours = network.losses(images, targets)
    torch.manual_seed(1)
    theirs = reference([image.float() / 255 for image in images], targets)
    assert {f"loss_{name}" for name in ours} == set(theirs)
    assert all(torch.equal(value, theirs[f"loss_{name}"]) for name, value in ours.items())


def box(*corners):
    return torch.tensor([corners], dtype=torch.float32)


def test_a_stage_of_the_cascade_labels_by_its_own_threshold():
    # Against 0..10 x 0..10: the same box, one of IoU 80 / 120, one of 60 / 140, one apart.
    target = {"boxes": torch.cat([box(0, 0, 10, 10), box(50, 50, 60, 60)]), "labels": torch.tensor([2, 1])}
    boxes = torch.cat([box(0, 0, 10, 10), box(2, 0, 12, 10), box(4, 0, 14, 10), box(30, 30, 40, 40)])
    overlaps = [1.0, 80 / 120, 60 / 140, 0.0]
    for threshold in (0.4, 0.5, 0.6, 0.7):
        rows, labels = assign(boxes, target, threshold)
        assert labels.tolist() == [2 if overlap >= threshold else 0 for overlap in overlaps]
        assert rows[:3].tolist() == [0, 0, 0]
    assert assign(box(49, 50, 60, 60), target, 0.7)[1].tolist() == [1]
    assert assign(boxes, {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0)}, 0.5)[1].tolist() == [0, 0, 0, 0]


def test_the_losses_of_a_stage_by_hand():
    scores = torch.tensor([[0.0, 0.0], [0.0, 0.0]])
    corrections, wanted = torch.zeros(2, 4), torch.tensor([[1.0, 0, 0, 0], [9, 9, 9, 9]])
    losses = box_losses(scores, corrections, torch.tensor([1, 0]), wanted)
    assert math.isclose(float(losses["classifier"]), math.log(2), rel_tol=1e-6)
    # Of the object alone: |1| - beta / 2, over two boxes.
    assert math.isclose(float(losses["box_reg"]), (1 - 1 / 18) / 2, rel_tol=1e-6)


def test_a_cascade_has_losses_of_three_stages_and_finds_boxes_inside_the_image():
    torch.manual_seed(0)
    network = CascadeMaskRcnn(**SMALL)
    images, targets = with_instances(1)
    losses = network.train().losses(images, targets)
    stages = {f"{kind}_{stage}" for kind in ("classifier", "box_reg") for stage in (1, 2, 3)}
    assert set(losses) == stages | {"mask", "objectness", "rpn_box_reg"}
    torch.stack(list(losses.values())).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    with torch.no_grad():
        found = network.eval().predict(images[0])
    height, width = images[0].shape[-2:]
    assert found["masks"].shape[1:] == (height, width)
    assert (found["boxes"] >= 0).all()
    assert (found["boxes"][:, [0, 2]] <= width).all()


def masks_of(*spans):
    masks = torch.zeros(len(spans), 1, 100, dtype=torch.bool)
    for mask, (first, last) in zip(masks, spans, strict=True):
        mask[:, first:last] = True
    return masks


def test_matrix_nms_by_hand():
    # IoU of the first with the second: 50 / 100; of the second with the third: 25 / 50.
    masks, scores = masks_of((0, 100), (0, 50), (0, 25)), torch.tensor([0.9, 0.8, 0.7])
    first_second, first_third, second_third = 0.5, 0.25, 0.5
    found = matrix_nms(masks, torch.tensor([1, 1, 1]), scores, "linear")
    # The third suffers from the first by 1 - 0.25, and from the second by (1 - 0.5) / (1 - 0.5), which is suppressed.
    assert found.tolist() == pytest.approx([0.9, 0.8 * (1 - first_second), 0.7 * min(1 - first_third, 1.0)])
    found = matrix_nms(masks, torch.tensor([1, 1, 1]), scores, "gaussian", sigma=2.0)
    third = min(math.exp(-2 * first_third**2), math.exp(-2 * second_third**2) / math.exp(-2 * first_second**2))
    assert found.tolist() == pytest.approx([0.9, 0.8 * math.exp(-2 * 0.25), 0.7 * third])


def test_matrix_nms_leaves_other_classes_and_what_does_not_overlap_alone():
    masks, scores = masks_of((0, 50), (0, 50), (50, 100)), torch.tensor([0.9, 0.8, 0.7])
    assert matrix_nms(masks, torch.tensor([1, 2, 1]), scores).tolist() == pytest.approx(scores.tolist())
    assert matrix_nms(masks, torch.tensor([1, 1, 1]), scores, "linear").tolist() == pytest.approx([0.9, 0.0, 0.7])
    assert len(matrix_nms(masks[:0], torch.zeros(0), scores[:0])) == 0


def test_cells_of_an_object_lie_around_its_center_of_mass():
    mask = torch.zeros(1, 100, 100, dtype=torch.uint8)
    mask[0, 40:60, 20:40] = 1
    target = {"boxes": box(20, 40, 40, 60), "labels": torch.tensor([2]), "masks": mask}
    ten, twenty, other = assign_cells(target, (100, 100), [10, 20, 10], [[1, 48], [1, 48], [24, 96]])
    # Center (30, 50), a fifth of the box is 4 px: from 28 to 32 and from 48 to 52.
    assert torch.nonzero(ten.labels).tolist() == [[4, 2], [4, 3], [5, 2], [5, 3]]
    assert torch.nonzero(twenty.labels).tolist() == [[9, 5], [9, 6], [10, 5], [10, 6]]
    assert ten.labels.max() == 2
    assert ten.objects.tolist() == [0] * 4
    assert not other.labels.any()
    assert len(other.places) == 0


def test_coordinates_run_from_minus_one_to_one():
    placed = with_coordinates(torch.zeros(1, 1, 3, 5))
    assert placed[0, 1, 0].tolist() == pytest.approx([-1, -0.5, 0, 0.5, 1])
    assert placed[0, 2, :, 0].tolist() == pytest.approx([-1, 0, 1])


def test_images_without_objects_have_losses_for_every_parameter():
    network = solo().train()
    images, _ = with_instances(2)
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    nothing["masks"] = torch.zeros(0, *images[0].shape[-2:], dtype=torch.uint8)
    torch.stack(list(network.losses(images, [nothing, nothing]).values())).sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


def truth_of(targets):
    annotations = []
    for image_id, target in enumerate(targets):
        for mask, label in zip(target["masks"].numpy().astype(bool), target["labels"].tolist(), strict=True):
            area, corners = area_and_box(mask)
            record = {"id": len(annotations) + 1, "image_id": image_id, "category_id": label, "iscrowd": 0}
            annotations.append({**record, "area": area, "bbox": corners, "segmentation": encode_rle(mask)})
    height, width = targets[0]["masks"].shape[-2:]
    images = [{"id": k, "height": height, "width": width} for k in range(len(targets))]
    return {"images": images, "annotations": annotations, "categories": [{"id": k, "name": str(k)} for k in (1, 2)]}


def score(network, images, targets):
    with torch.no_grad():
        found = [network.eval().predict(image) for image in images]
    results = [result for k, one in enumerate(found) for result in coco_results(one, k, CLASSES)]
    return average_precision(truth_of(targets), results, ("segm",), details=True)


def test_solov2_learns_an_image():
    # Eight, and R-CNNs, take minutes: python -m tests.training.overfit
    network, (images, targets) = solo(), with_instances(1)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    for _ in range(25):
        optimizer.zero_grad()
        torch.stack(list(network.train().losses(images, targets).values())).sum().backward()
        optimizer.step()
    assert score(network, images, targets)["ap_mask_50"] > 0.9


def test_results_score_as_pycocotools_does(tmp_path):
    pycocotools = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    _, targets = with_instances(3)
    rng = np.random.default_rng(0)
    shifted = [
        {
            "labels": target["labels"],
            "scores": torch.from_numpy(rng.random(2)),
            "masks": target["masks"].roll(int(rng.integers(0, 4)), dims=-1).bool(),
        }
        for target in targets
    ]
    results = [result for k, one in enumerate(shifted) for result in coco_results(one, k, CLASSES)]
    reference = pycocotools.COCO()
    reference.dataset = truth_of(targets)
    reference.createIndex()
    evaluator = COCOeval(reference, reference.loadRes(results), "segm")
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    assert average_precision(truth_of(targets), results, ("segm",))["ap_mask"] == pytest.approx(evaluator.stats[0])
