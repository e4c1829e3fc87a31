"""Detectors with few and small regions of interest: what takes torchvision seconds a step on a CPU."""

from torchvision.models.detection import MaskRCNN
from torchvision.ops import MultiScaleRoIAlign

LEVELS = ["0", "1", "2", "3"]


def few_boxes(backbone, classes, boxes=8, **sizes):
    """torchvision's Mask R-CNN as configured, but for the boxes that it samples: 512 of up to 2,000."""
    return MaskRCNN(
        backbone,
        classes,
        box_batch_size_per_image=boxes,
        rpn_post_nms_top_n_train=4 * boxes,
        rpn_post_nms_top_n_test=4 * boxes,
        **sizes,
    )


def few_small_boxes(backbone, classes, **sizes):
    """The same with heads that see 2 x 2 and 4 x 4 cells of a box, so that they have a tenth of the parameters."""
    box_pool, mask_pool = (MultiScaleRoIAlign(LEVELS, output_size=side, sampling_ratio=2) for side in (2, 4))
    return few_boxes(backbone, classes, box_roi_pool=box_pool, mask_roi_pool=mask_pool, **sizes)
