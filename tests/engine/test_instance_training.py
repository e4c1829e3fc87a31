"""Instance networks draw boxes while they train: a resumed fit draws what the killed one would have drawn."""

from tests.training.continued import resumed, same


def test_a_killed_fit_of_mask_rcnn_goes_on_to_the_same_losses_and_weights(tmp_path):
    # Other networks, and two processes: python -m tests.training.continued
    steps, report, whole = resumed("mask_rcnn_r50_fpn", tmp_path)
    assert steps == [1]
    assert len(set(whole["training"]["losses"])) == 2
    assert same(report, whole)
