"""`supervision.Detections` through a refiner: what comes out is theirs, with all that came in."""

import numpy as np
import pytest
import supervision as sv
from supervision.detection.compact_mask import CompactMask

from samref import SAMRefiner
from samref.errors import InputError
from samref.structures import KEPT, REFINED
from tests.factories import photo
from tests.factories_benchmarks import refined
from tests.fixtures.scene import SIZE, ring, whole

MASKS = np.stack([whole(), ring()])


@pytest.fixture
def refiner(monkeypatch):
    """The first mask comes out a pixel further to the right, the second as it came."""
    made = SAMRefiner.from_pretrained("tiny", device="cpu", guard=False)

    def refine_sample(sample, **options):
        masks = sample.masks.copy()
        masks[:1] = np.roll(masks[:1], 1, axis=2)
        return refined(masks, [REFINED, KEPT][: len(masks)])

    monkeypatch.setattr(made, "refine_sample", refine_sample)
    return made


def detections(mask=MASKS):
    found = sv.Detections(
        xyxy=sv.mask_to_xyxy(MASKS).astype(float) + 0.25,
        mask=mask,
        confidence=np.array([0.5, 0.75]),
        class_id=np.array([3, 4]),
        tracker_id=np.array([7, 8]),
        data={"class_name": np.array(["cat", "dog"]), "area": [1, 2]},
        metadata={"camera": "left"},
    )
    return found


def test_all_that_belongs_to_a_detection_stays(refiner):
    came = detections()
    found = refiner.refine(photo(SIZE, 1), came)
    assert isinstance(found, sv.Detections)
    assert (found.mask == [np.roll(whole(), 1, axis=1), ring()]).all()
    assert (found.xyxy[0] == sv.mask_to_xyxy(found.mask)[0]).all() and (found.xyxy[1] == came.xyxy[1]).all()
    for name in ("confidence", "class_id", "tracker_id"):
        assert (getattr(found, name) == getattr(came, name)).all()
    assert found.metadata == came.metadata
    assert found.data["class_name"].tolist() == ["cat", "dog"] and list(found.data["area"]) == [1, 2]
    assert found.data["samref_flag"].tolist() == [REFINED, KEPT] and found.data["samref_score"].tolist() == [1, 1]
    assert (came.mask == MASKS).all() and "samref_flag" not in came.data
    assert len(found[found.data["samref_flag"] == KEPT]) == 1
    assert len(sv.Detections.merge([found, found])) == 4


def test_masks_that_are_packed_come_out_packed(refiner):
    packed = CompactMask.from_dense(MASKS, sv.mask_to_xyxy(MASKS), image_shape=SIZE)
    found = refiner.refine(photo(SIZE, 1), detections(packed))
    assert isinstance(found.mask, CompactMask)
    assert (found.mask.to_dense() == [np.roll(whole(), 1, axis=1), ring()]).all()


def test_boxes_are_coarse_masks_where_there_are_none(refiner):
    boxes = sv.Detections(xyxy=np.array([[10.2, 5.0, 20.0, 15.5]]))
    found = refiner.refine(photo(SIZE, 1), boxes)
    expected = np.zeros(SIZE, bool)
    expected[5:16, 11:21] = True
    assert (found.mask[0] == expected).all()
    assert found.xyxy.tolist() == [[11, 5, 20, 15]]


def test_no_detection_is_no_mask():
    refiner = SAMRefiner.from_pretrained("tiny", device="cpu")
    found = refiner.refine(photo(SIZE, 1), sv.Detections.empty())
    assert len(found) == 0 and found.mask.shape == (0, *SIZE)


def test_masks_of_another_size_are_refused(refiner):
    with pytest.raises(InputError, match="expected the image's 50 x 64"):
        refiner.refine(photo((50, 64), 1), detections())
