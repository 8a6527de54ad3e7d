"""Who looks like somebody else than the label says, told over many batches."""

import pytest
import torch
from torch.nn import functional

from trainer import suspicions as module
from trainer.suspicions import LabelSuspicions


def people_with_a_wrong_label(people=6, crops=10):
    """Unit embeddings and labels of some people; crop 7 of person 0 shows person 3 in truth."""
    generator = torch.Generator().manual_seed(2)
    truth = torch.arange(people).repeat_interleave(crops)
    labels = truth.clone()
    truth[7] = 3
    noise = 0.15 * torch.randn(len(truth), people, generator=generator)
    return functional.normalize(torch.eye(people)[truth] + noise), labels


def batches(vectors, labels, *, count, people_in_a_batch, crops_of_each=3):
    """Each batch holds some people, with some crops of each."""
    generator = torch.Generator().manual_seed(3)
    for _ in range(count):
        people = torch.randperm(int(labels.max()) + 1, generator=generator)[:people_in_a_batch]
        rows = [torch.nonzero(labels == person).squeeze(1) for person in people]
        crops = torch.cat([own[torch.randperm(len(own), generator=generator)[:crops_of_each]] for own in rows])
        yield crops, labels[crops], vectors[crops]


@pytest.mark.parametrize("people_in_a_batch", [2, 6])
@pytest.mark.parametrize("at_once", [2, 1 << 14])
def test_a_wrong_label_is_found_and_nobody_else_is_accused(monkeypatch, people_in_a_batch, at_once):
    """Whether or not the person whom the crop shows stands in the batch, too."""
    monkeypatch.setattr(module, "_PEOPLE_AT_ONCE", at_once)
    suspicions = LabelSuspicions()
    for batch in batches(*people_with_a_wrong_label(), count=60, people_in_a_batch=people_in_a_batch):
        suspicions.record(*batch)
    (suspect,) = suspicions.suspects()
    assert (suspect.crop, suspect.label, suspect.looks_like) == (7, 0, 3)
    assert suspect.times == suspect.seen >= 2
    suspicions.forget()
    assert suspicions.suspects() == []


def test_rightful_people_are_found_who_never_share_a_batch_with_the_crop():
    vectors, labels = people_with_a_wrong_label()
    suspicions = LabelSuspicions()
    for _ in range(4):
        for people in ((3, 4), (0, 1), (5, 2)):
            crops = torch.nonzero((labels[:, None] == torch.tensor(people)).any(dim=1)).squeeze(1)
            suspicions.record(crops, labels[crops], vectors[crops])
    assert [(s.crop, s.looks_like) for s in suspicions.suspects()] == [(7, 3)]


def test_once_is_nothing():
    vectors, labels = people_with_a_wrong_label()
    suspicions = LabelSuspicions()
    everybody = torch.arange(len(labels))
    suspicions.record(everybody, labels, vectors)  # nobody was seen before: nobody is judged
    suspicions.record(everybody, labels, vectors)
    assert suspicions.suspects() == []
    assert [s.crop for s in suspicions.suspects(least=1)] == [7]


def test_the_only_crop_of_a_person_is_not_accused():
    """It is compared with itself; that says nothing about its label."""
    vectors = functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.1], [1.0, 0.2]]))
    labels = torch.tensor([0, 0, 1, 1])
    suspicions = LabelSuspicions()
    for _ in range(9):
        suspicions.record(torch.tensor([5, 5, 8, 9]), labels, vectors)
    assert 5 not in [s.crop for s in suspicions.suspects(share=0.0, least=1)]
    assert suspicions.tensors()["counts"][1].tolist()[5] == 8  # repeated in the batch, it counts once


def test_who_it_looks_like_is_whoever_it_was_more_than_half_the_time():
    suspicions = LabelSuspicions()
    labels, crops = torch.tensor([0, 1, 2, 3]), torch.tensor([4, 10, 20, 30])
    suspicions.record(crops, labels, torch.eye(4))
    for looks_like in (1, 2, 2, 2, 3, 2, 2, 2):
        face = functional.normalize(0.1 * torch.eye(4)[:1] + torch.eye(4)[looks_like], dim=1)
        suspicions.record(torch.tensor([3, 10, 20, 30]), labels, torch.cat([face, torch.eye(4)[1:]]))
        suspicions._people[0] = torch.eye(4)[0]
    (suspect,) = suspicions.suspects(share=0.6)
    assert (suspect.crop, suspect.label, suspect.looks_like, suspect.seen) == (3, 0, 2, 8)
    assert 5 <= suspect.times <= 6  # never more than it was


def test_counts_are_as_many_numbers_for_any_history():
    """Memory is that of the crops and people, however often and towards however many people they were wrong."""
    generator = torch.Generator().manual_seed(4)
    suspicions, sizes = LabelSuspicions(), []
    for _ in range(12):
        vectors = functional.normalize(torch.randn(200, 8, generator=generator))
        suspicions.record(torch.arange(200), torch.arange(200) // 2, vectors)
        sizes.append(tuple(tensor.numel() for tensor in suspicions.tensors().values()))
    assert set(sizes[1:]) == {(5 * 200, 100 * 8)}


def test_what_is_put_back_goes_on_as_before():
    every = list(batches(*people_with_a_wrong_label(), count=40, people_in_a_batch=6))
    whole, first, second = LabelSuspicions(), LabelSuspicions(), LabelSuspicions()
    for number, batch in enumerate(every):
        whole.record(*batch)
        if number == 15:
            second.restore(first.tensors())
        (first if number < 15 else second).record(*batch)
    assert whole.suspects() == second.suspects() != []
    for name, value in whole.tensors().items():
        assert torch.equal(value, second.tensors()[name])
    assert first.suspects(least=99) == []


def test_nobody_is_judged_in_an_empty_batch():
    suspicions = LabelSuspicions()
    nothing = torch.empty(0, dtype=torch.int64)
    suspicions.record(nothing, nothing, torch.empty(0, 4))
    assert suspicions.suspects() == []
