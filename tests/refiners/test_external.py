import numpy as np
import pytest
from PIL import Image

from samref.errors import ConfigError, DatasetError, InputError
from samref.refiners.external import External
from samref.structures import EMPTY, FALLBACK, REFINED, Sample
from tests.factories import blob, photo, save_mask
from tests.factories_benchmarks import rle, save_gray, write_json

SIZE = (24, 32)
COARSE = [blob(SIZE, seed) for seed in (1, 2, 3)]
BETTER = [blob(SIZE, seed) for seed in (4, 5, 6)]
PATTERN = "{image_id}/{object}.png"


def external(masks, dataset="mine", pattern=None, patterns=(), threshold=None):
    return External(masks, dataset, pattern, dict(patterns), threshold)


def sample_of(*masks, image_id="a", names=None, **meta):
    return Sample(photo(SIZE, 0), np.array(masks), image_id, names or tuple(range(len(masks))), meta=meta)


def record(image_id, mask, **more):
    return {"image_id": image_id, "category_id": 1, "segmentation": rle(mask), "score": 0.5, **more}


def test_files_are_found_by_the_pattern(tmp_path):
    save_mask(tmp_path / "camel" / "x_dog_00009.png", BETTER[0])
    save_mask(tmp_path / "camel" / "x_15_2_00009.png", BETTER[1])
    refiner = external(tmp_path, pattern="{folder}/x_{object}_{stem}.png")
    result = refiner.refine_sample(sample_of(*COARSE[:2], image_id="camel/00009", names=("dog", (15, 2))))
    assert (result.masks == BETTER[:2]).all()
    assert result.flags == (REFINED, REFINED)
    assert result.candidate_iou is None
    assert not any(result.timing.values())


def test_the_data_set_says_how_files_are_named_unless_a_pattern_does(tmp_path):
    save_mask(tmp_path / "a-0.png", BETTER[0])
    save_mask(tmp_path / "a+0.png", BETTER[1])
    patterns = {"mine": "{image_id}-{object}.png"}
    assert (external(tmp_path, patterns=patterns).refine_sample(sample_of(COARSE[0])).masks[0] == BETTER[0]).all()
    other = external(tmp_path, pattern="{image_id}+{object}.png", patterns=patterns)
    assert (other.refine_sample(sample_of(COARSE[0])).masks[0] == BETTER[1]).all()
    with pytest.raises(ConfigError, match="dataset=yours are not known"):
        external(tmp_path, dataset="yours", patterns=patterns)


def test_an_empty_coarse_mask_needs_no_file_and_an_empty_file_falls_back(tmp_path):
    empty = np.zeros(SIZE, bool)
    save_mask(tmp_path / "a" / "1.png", empty)
    result = external(tmp_path, pattern=PATTERN).refine_sample(sample_of(empty, COARSE[0]))
    assert result.flags == (EMPTY, FALLBACK)
    assert (result.masks[1] == COARSE[0]).all()


def test_gray_files_are_cut_at_the_threshold(tmp_path):
    gray = np.arange(SIZE[0] * SIZE[1], dtype=np.uint8).reshape(SIZE)
    save_gray(tmp_path / "a" / "0.png", gray)
    with pytest.raises(InputError, match=r"0\.png holds the values"):
        external(tmp_path, pattern=PATTERN).refine_sample(sample_of(COARSE[0]))
    result = external(tmp_path, pattern=PATTERN, threshold=100).refine_sample(sample_of(COARSE[0]))
    assert (result.masks[0] == (gray >= 100)).all()


def test_a_label_map_holds_all_masks_of_its_image(tmp_path):
    labels = np.zeros(SIZE, np.uint8)
    labels[2:10] = 15
    labels[12:20] = 7
    Image.fromarray(labels).save(tmp_path / "a.png")
    sample = sample_of(*COARSE, categories=(15, 7, 15))
    result = external(tmp_path, pattern="{image_id}.png").refine_sample(sample)
    assert (result.masks == np.array([labels == 15, labels == 7, labels == 15])).all()


def test_one_file_for_several_masks_without_labels_is_refused(tmp_path):
    save_mask(tmp_path / "a.png", BETTER[0])
    refiner = external(tmp_path, pattern="{image_id}.png")
    assert (refiner.refine_sample(sample_of(COARSE[0])).masks[0] == BETTER[0]).all()
    with pytest.raises(InputError, match="the 2 masks of image a the same name"):
        refiner.refine_sample(sample_of(*COARSE[:2]))


def test_a_missing_file_and_one_of_another_size_are_named(tmp_path):
    refiner = external(tmp_path, pattern=PATTERN)
    with pytest.raises(InputError, match=r"0\.png is missing"):
        refiner.refine_sample(sample_of(COARSE[0]))
    save_mask(tmp_path / "a" / "0.png", np.ones((5, 6), bool))
    with pytest.raises(InputError, match=r"0\.png is \(5, 6\).*\(24, 32\)"):
        refiner.refine_sample(sample_of(COARSE[0]))


@pytest.mark.parametrize("pattern", ["{name}.png", "{}.png", "{object", "{object.mask}.png"])
def test_a_pattern_with_another_field_is_refused(tmp_path, pattern):
    with pytest.raises(ConfigError, match=r"no fields but \{image_id\}, \{folder\}"):
        external(tmp_path, pattern=pattern)


def test_masks_that_are_not_there_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"needs refiner\.masks=PATH"):
        external(None)
    with pytest.raises(ConfigError, match="nowhere is not there"):
        external(tmp_path / "nowhere")
    (tmp_path / "masks.json").write_text("[1]")
    with pytest.raises(DatasetError, match=r"refiner\.masks=FILE"):
        external(tmp_path / "masks.json")


def test_records_go_by_id_where_both_sides_have_one(tmp_path):
    own = [record(7, mask, id=100 + k) for k, mask in enumerate(COARSE)]
    theirs = [record(8, BETTER[0], id=100), *(record(7, BETTER[k], id=100 + k) for k in (2, 1, 0))]
    refiner = external(write_json(tmp_path / "masks.json", theirs))
    result = refiner.refine_sample(sample_of(*COARSE, image_id=7, records=own, positions=(0, 1, 2)))
    assert (result.masks == BETTER).all()


def test_records_without_ids_go_by_their_order_within_the_image(tmp_path):
    own = [record(7, mask) for mask in COARSE]
    theirs = [record(9, COARSE[0], id=1), *(record(7, mask, id=k) for k, mask in enumerate(BETTER))]
    theirs.insert(2, record(8, COARSE[0], id=9))
    refiner = external(write_json(tmp_path / "masks.json", theirs))
    result = refiner.refine_sample(sample_of(*COARSE, image_id=7, records=own, positions=(4, 5, 6)))
    assert (result.masks == BETTER).all()


def test_records_copied_as_they_came_keep_the_place_of_those_refined(tmp_path):
    # The second coarse record is none that could be refined, so it is no mask of the sample.
    theirs = [record(7, BETTER[0]), record(7, COARSE[2]), record(7, BETTER[1])]
    own = [record(7, COARSE[0]), record(7, COARSE[1])]
    refiner = external(write_json(tmp_path / "masks.json", theirs))
    result = refiner.refine_sample(sample_of(*COARSE[:2], image_id=7, records=own, positions=(0, 2)))
    assert (result.masks == BETTER[:2]).all()


def test_too_few_records_and_those_of_another_category_are_named(tmp_path):
    own = [record(7, mask) for mask in COARSE]
    sample = sample_of(*COARSE, image_id=7, records=own, positions=(0, 1, 2))
    few = external(write_json(tmp_path / "few.json", [record(7, mask) for mask in BETTER[:2]]))
    with pytest.raises(InputError, match=r"few\.json has 2 masks of image 7, expected 3"):
        few.refine_sample(sample)
    mixed = [record(7, mask, category_id=1 + k) for k, mask in enumerate(BETTER)]
    with pytest.raises(InputError, match="mask 1 of image 7 has category 2, the coarse mask 1"):
        external(write_json(tmp_path / "mixed.json", mixed)).refine_sample(sample)


def test_a_broken_record_is_named(tmp_path):
    broken = external(write_json(tmp_path / "broken.json", [record(7, np.ones((5, 6), bool))]))
    with pytest.raises(InputError, match=r"broken\.json: mask 0 of image 7"):
        broken.refine_sample(sample_of(COARSE[0], image_id=7))
