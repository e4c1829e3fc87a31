"""A task on a CVAT server, played by its sdk's own models: what is sent is what a server would be sent."""

import io

import numpy as np
import pytest
from cvat_sdk import models
from cvat_sdk.core.proxies.annotations import AnnotationUpdateAction
from cvat_sdk.masks import decode_mask, encode_mask
from PIL import Image

from samref.plugins.cvat_task import main, refine_task
from samref.structures import KEPT, REFINED
from tests.datasets.shapes.round_trip import split_and_pierced
from tests.factories_benchmarks import refined
from tests.fixtures.scene import SIZE, disk, exact_outlines, ring, three_parts, whole


def shape(number, kind, points, frame=0, group=0, **more):
    return models.LabeledShape(
        id=number, type=models.ShapeType(kind), points=[float(value) for value in points], frame=frame, label_id=3,
        group=group, occluded=True, outside=False, z_order=2, rotation=0.0, source="manual",
        attributes=[models.AttributeVal(spec_id=7, value="red")], **more,
    )  # fmt: skip


def outline(points):
    return [value for point in points for value in point]


class Task:
    """Answers as a task of the sdk does."""

    def __init__(self, shapes):
        self.shapes, self.sent = shapes, []

    def get_annotations(self):
        return models.LabeledData(version=1, tags=[], shapes=self.shapes, tracks=[])

    def get_frame(self, frame, quality=None):
        assert quality == "original"
        file = io.BytesIO()
        Image.fromarray(np.full((*SIZE, 3), 10 * frame, np.uint8)).save(file, format="PNG")
        return io.BytesIO(file.getvalue())

    def update_annotations(self, data, action):
        self.sent.append((action, [shape.to_dict() for shape in data.shapes]))


class Refiner:
    """Changes masks in a known way."""

    def __init__(self, change, flag=REFINED):
        self.change, self.flag, self.seen = change, flag, []

    def refine(self, image, masks):
        self.seen.append((int(image[0, 0, 0]), masks))
        return refined(np.array([self.change(mask) for mask in masks]), [self.flag] * len(masks))


@pytest.fixture
def task():
    return Task(
        [
            shape(1, "polygon", outline(exact_outlines(whole())[0])),
            shape(2, "rectangle", [1, 1, 9, 9]),
            *(shape(3 + k, "polygon", outline(o), group=5) for k, o in enumerate(exact_outlines(three_parts()))),
            shape(9, "mask", encode_mask(ring()), frame=1),
        ]
    )


def test_objects_are_read_with_their_frames_and_groups(task):
    refiner = Refiner(lambda mask: mask)
    assert refine_task(task, refiner) == {REFINED: 3}
    (first, masks), (second, others) = refiner.seen
    assert (first, second) == (0, 10)
    assert (masks == [whole(), three_parts()]).all() and (others == [ring()]).all()


def test_refined_shapes_are_sent_with_all_that_they_had(task):
    refine_task(task, Refiner(split_and_pierced))
    before = {found.id: found.to_dict() for found in task.shapes}
    sent = [found for action, shapes in task.sent for found in shapes]
    assert {action for action, _ in task.sent} == {AnnotationUpdateAction.UPDATE}
    assert [found["id"] for found in sent] == [1, 3, 4, 5, 9]
    for found in sent:
        assert {**found, "points": 0} == {**before[found["id"]], "points": 0}
    assert (decode_mask(sent[-1]["points"], image_width=64, image_height=48) == split_and_pierced(ring())).all()
    again = Refiner(lambda mask: mask)
    refine_task(Task([models.LabeledShape(**found) for found in sent]), again)
    (_, masks), _ = again.seen
    assert (masks == [split_and_pierced(whole()), split_and_pierced(three_parts())]).all()


def test_a_shape_of_which_nothing_is_left_is_deleted(task):
    task.shapes.pop()
    refine_task(task, Refiner(lambda mask: mask & (disk(12, 36, 7) | whole())))
    deleted = [
        found["id"] for action, shapes in task.sent if action == AnnotationUpdateAction.DELETE for found in shapes
    ]
    assert deleted and set(deleted) < {3, 4, 5}


def test_kept_and_broken_shapes_are_not_sent(task):
    task.shapes.append(shape(10, "polygon", [0.1, 0.1, 0.5, 0.1, 0.5, 0.5]))
    assert refine_task(task, Refiner(lambda mask: mask, KEPT)) == {KEPT: 3, "broken": 1}
    assert not task.sent


def test_a_server_that_is_not_there_is_one_sentence(monkeypatch, capsys):
    monkeypatch.delenv("CVAT_ACCESS_TOKEN", raising=False)
    assert main(["http://localhost:9", "1"]) == 1
    assert "give --user NAME" in capsys.readouterr().err
    monkeypatch.setenv("CVAT_PASSWORD", "x")
    assert main(["http://localhost:9", "1", "--user", "me"]) == 1
    assert "cannot be reached" in capsys.readouterr().err
