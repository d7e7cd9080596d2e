"""What benchmarks share."""

from lightlayers.suite import datasets
from lightlayers.suite.bench import timing


def test_random_images_are_as_many_as_the_data_set_has():
    images, labels = timing.random_images("digits")
    assert images.shape == (1797, 8, 8, 1) and images.dtype == "uint8"
    assert set(labels) == set(range(datasets.get("digits").classes))


def test_tasks_are_timed_in_turn_and_a_ratio_refers_to_its_base():
    called = []
    tasks = {
        name: (lambda name=name: called.append(name), steps) for name, steps in (("a", 1), ("b", 4))
    }
    found = timing.time_in_turn(tasks, lambda key: "a")
    assert called == ["a", "a", "b", "b", *["a", "b"] * timing.ROUNDS]  # two calls to prepare
    assert found["a"]["ratio"] == 1
    for times in found.values():
        assert 0 <= times["low"] <= times["milliseconds"] <= times["high"]


def test_rows_are_stamped_with_what_measured_them():
    found = timing.stamp_rows([1])
    assert found["rows"] == [1] and "processor" in found["environment"]
    assert found["revision"] is None or set(found["revision"]) == {"commit", "clean"}
