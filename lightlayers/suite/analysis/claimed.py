"""The rows of the paper's tables that its first four claims are about."""

import dataclasses

from lightlayers.suite import paper, registry


@dataclasses.dataclass(frozen=True)
class Claimed:
    """A claim about a table, and the rows that it compares.

    Args:
        number: Integer, the claim's, from 1.
        claim: One of `paper.CLAIMS`.
        base: `paper.Row` of the baseline.
        rival: `paper.Row` of the other network without a rank.
        light: `paper.Row` of the claim's rank.
    """

    number: int
    claim: tuple
    base: paper.Row
    rival: paper.Row
    light: paper.Row

    @property
    def dataset(self):
        return self.claim.dataset

    @property
    def name(self):
        """The name of the light row, such as `"mnist K = 3"`."""
        return f"{self.dataset} K = {self.claim.rank}"


def list_claimed():
    """Returns a `Claimed` for each claim about a table, in the order of `paper.CLAIMS`."""
    baseline = registry.baseline().name
    found = []
    for number, claim in enumerate(paper.CLAIMS, 1):
        if claim.dataset:
            rows = {(row.method == baseline, row.rank): row for row in paper.rows(claim.dataset)}
            base, rival = rows[True, None], rows[False, None]
            found.append(Claimed(number, claim, base, rival, rows[False, claim.rank]))
    return found
