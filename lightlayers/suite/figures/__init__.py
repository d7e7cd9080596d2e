"""Every figure of the notebooks: of results, of networks, of images. Diagrams are apart."""

from lightlayers.suite.figures.accuracies import (
    accuracy_against_parameters,
    find_frontier,
    frontier,
)
from lightlayers.suite.figures.answer import collect_headline, headline
from lightlayers.suite.figures.changes import ablation, change_steps
from lightlayers.suite.figures.network import choice, cost_map, kernel_grid
from lightlayers.suite.figures.ranks import chosen_ranks, rank_map
from lightlayers.suite.figures.results import (
    learning_curves,
    time_against_multiply_adds,
    verdicts,
)
from lightlayers.suite.figures.samples import class_samples, contact_sheet, shown_sheet
from lightlayers.suite.figures.style import save_figure, show

__all__ = [
    "ablation",
    "accuracy_against_parameters",
    "change_steps",
    "choice",
    "chosen_ranks",
    "class_samples",
    "collect_headline",
    "contact_sheet",
    "cost_map",
    "find_frontier",
    "frontier",
    "headline",
    "kernel_grid",
    "learning_curves",
    "rank_map",
    "save_figure",
    "show",
    "shown_sheet",
    "time_against_multiply_adds",
    "verdicts",
]
