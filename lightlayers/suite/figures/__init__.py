"""Every figure of the notebooks: of results, of one network, of images. Diagrams are apart."""

from lightlayers.suite.figures.network import choice
from lightlayers.suite.figures.results import (
    ablation,
    accuracy_against_parameters,
    chosen_ranks,
    learning_curves,
    time_against_multiply_adds,
    verdicts,
)
from lightlayers.suite.figures.samples import class_samples, contact_sheet, shown_sheet
from lightlayers.suite.figures.style import save_figure, show

__all__ = [
    "ablation",
    "accuracy_against_parameters",
    "choice",
    "chosen_ranks",
    "class_samples",
    "contact_sheet",
    "learning_curves",
    "save_figure",
    "show",
    "shown_sheet",
    "time_against_multiply_adds",
    "verdicts",
]
