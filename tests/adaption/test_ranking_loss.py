import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from samref.adaption.ranking_loss import agreement, ranking_loss

triples = st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3)


@given(st.lists(st.tuples(triples, triples), min_size=1, max_size=6), st.floats(0, 0.5))
def test_the_loss_is_equation_4_summed_by_hand(rows, margin):
    expected = 0.0
    for x, iou in rows:
        j = max(range(3), key=lambda i: (iou[i], -i))
        expected += sum(max(0.0, x[i] - x[j] + margin) for i in range(3) if i != j)
    x, iou = (torch.tensor([row[k] for row in rows], dtype=torch.float64) for k in (0, 1))
    assert ranking_loss(x, iou, margin).item() == pytest.approx(expected / len(rows), abs=1e-9)


def test_no_gradient_once_the_best_leads_by_the_margin():
    x = torch.tensor([[0.9, 0.5, 0.6]], requires_grad=True)
    ranking_loss(x, torch.tensor([[0.7, 0.2, 0.3]]), 0.02).backward()
    assert x.grad.abs().sum() == 0


def test_the_gradient_lifts_the_best_and_lowers_those_above_it():
    x = torch.tensor([[0.5, 0.9, 0.1]], requires_grad=True)
    ranking_loss(x, torch.tensor([[0.7, 0.2, 0.3]]), 0.02).backward()
    assert x.grad.tolist() == [[-1, 1, 0]]


def test_agreement_counts_equal_argmaxes():
    predictions = torch.tensor([[0.9, 0.1, 0.2], [0.1, 0.2, 0.3], [0.3, 0.4, 0.1]])
    ious = torch.tensor([[0.5, 0.4, 0.3], [0.9, 0.1, 0.1], [0.2, 0.8, 0.8]])
    assert agreement(predictions, ious) == pytest.approx(2 / 3)
    assert math.isnan(agreement(predictions[:0], ious[:0]))
