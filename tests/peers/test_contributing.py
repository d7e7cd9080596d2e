"""The worked example of CONTRIBUTING.md is a peer that works."""

import pathlib
import re

from lightlayers.suite import networks, registry, training
from lightlayers.suite.runs import Run

GUIDE = pathlib.Path(__file__).parents[2] / "CONTRIBUTING.md"


def test_the_worked_example_trains_and_has_the_weights_that_it_tells(monkeypatch, one_block):
    code = re.search(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)[1]
    names = {}
    exec(code, names)  # noqa: S102 (the example's own code)
    (peer,) = names["PEERS"]
    registry.check_entry(peer)
    monkeypatch.setitem(registry.entries(), peer.name, peer)
    for dataset in ("digits", "cifar10"):
        network = networks.build(dataset, peer.name)
        assert network.count_params() == networks.count_parameters(dataset, peer.name)
    record = training.train(Run("digits", peer.name, epochs=1, train_size=64, test_size=32))
    assert record["run"]["method"] == "halfconv"
