import torch

from samref.training.kept import Memory


def test_what_has_room_is_made_once_and_the_rest_each_time():
    memory, made = Memory(most=100), []

    def get(key, floats):
        return memory.get(key, lambda: (made.append(key), {"values": torch.full((floats,), float(key))})[1])

    for _ in range(2):
        for key, floats in ((0, 10), (1, 20), (2, 15)):
            assert get(key, floats)["values"].tolist() == [float(key)] * floats
    # 40 and 60 bytes fill it; 80 have no room.
    assert made == [0, 1, 2, 1]
    assert memory.bytes == 100


def test_a_view_counts_all_that_it_keeps_alive():
    memory = Memory(most=1000)
    memory.get("a", lambda: [torch.zeros(100)[:1], None])
    assert memory.bytes == 400
