"""Views: tables and sentences as the notebooks show them, the same text at each call."""

import html
import re

from lightlayers.suite import paper

# Okabe and Ito's hues, told apart by all, as pale grounds under dark letters.
_AGREES, _OPEN, _NEAR, _DIFFERS, _ABSENT = "#b7e4d4", "#cfe8f7", "#fbe3b0", "#f6c7a8", "#e3e3e3"
COLORS = {
    "EXACT": _AGREES,
    "REPLICATED": _AGREES,
    "CONSISTENT, IMPRECISE": _OPEN,
    "CLOSE": _NEAR,
    "DIFFERENT": _DIFFERS,
    "HOLDS": _AGREES,
    "HOLDS IN PART": _NEAR,
    "FAILS": _DIFFERS,
    "UNDECIDED": _OPEN,
    "INSIDE": _AGREES,
    "BELOW": _DIFFERS,
    "ABOVE": _DIFFERS,
    "NOT PRINTED": _ABSENT,
    "yes": _AGREES,
    "no": _DIFFERS,
    "undecided": _OPEN,
    "not run": _ABSENT,
    "NOT JUDGED": _ABSENT,
    "NOT RUN": _ABSENT,
    "NO CLAIM": _ABSENT,
}
MISSING = "–"
_MOST_DECIMALS = 4
_WIDEST_ON_ONE_LINE = 40
_NUMBER = re.compile(r"[-+]?[\d.,]+%?|–?")


class View:
    """What a notebook shows: HTML in a browser, plain text elsewhere."""

    def __init__(self, text, page):
        self._text, self._page = text, page

    def __repr__(self):
        return self._text

    def _repr_html_(self):
        return self._page


def show_table(table, first=None, caption="", once=(), group=None):
    """Returns a table as a notebook shows it.

    Numbers stand right, with their thousands apart; a verdict has its color. The index is left
    out where it only counts.

    Args:
        table: A `pandas.DataFrame` of numbers that are rounded already, and texts.
        first: List of strings, the columns that are shown. The whole table is folded below them.
            Defaults to all columns.
        caption: String, a line above the table.
        once: List of strings, columns that are told in the caption where they have one value.
        group: String, a column whose value is left out where it is that of the row above.

    Returns:
        A `View`.
    """
    table = _flatten(table)
    told = [caption] if caption else []
    for name in once:
        if name in table and table[name].nunique(dropna=False) == 1:
            told.append(f"{name}: {table[name].iloc[0]}")
            table = table.drop(columns=name)
    caption = " · ".join(told)
    cells = _format_cells(table, group)
    shown = [name for name in first or cells if name in cells]
    text = cells[shown].to_string(index=False) if len(cells) else "no rows"
    page = f"<p>{html.escape(caption)}</p>" if caption else ""
    page += _write_table(cells[shown])
    if len(shown) < len(cells.columns):
        whole = _write_table(cells)
        page += f"<details><summary>all {len(cells.columns)} columns</summary>{whole}</details>"
    return View(f"{caption}\n{text}".strip(), f"<div>{page}</div>")


def show_lines(lines):
    """Returns sentences as a notebook shows them: a list, whose lines are as wide as the page."""
    lines = list(lines)
    items = "".join(f"<li>{html.escape(line)}</li>\n" for line in lines)
    return View("\n".join(f"- {line}" for line in lines), f"<ul>\n{items}</ul>")


def describe_few(table, names, count, least):
    """Returns which rows of a table have too few seeds, as a sentence; empty if none has.

    Args:
        table: A `pandas.DataFrame`.
        names: List of strings, the columns that name a row.
        count: String, the column with its seeds.
        least: Integer, seeds that are enough.
    """
    few = table[table[count] < least]
    if few.empty:
        return ""
    if len(few) == 1:
        return f"{' '.join(few[names].iloc[0])} has fewer than {least} seeds yet and is left out"
    return f"{len(few)} rows have fewer than {least} seeds yet and are left out"


def _flatten(table):
    """Returns a table with one row of headings, its index among the columns unless it counts."""
    import pandas as pd

    if not (isinstance(table.index, pd.RangeIndex) and table.index.name is None):
        index = table.index.to_frame(index=False)
        index.columns = [name or "" for name in table.index.names]
        table = pd.concat([index, table.reset_index(drop=True)], axis=1)
    names = []
    for head in table.columns:
        parts = head if isinstance(head, tuple) else (head,)
        names.append(" ".join(str(part) for part in parts if part != ""))
    return table.set_axis(names, axis=1)


def _format_cells(table, group):
    """Returns a table of texts; repeats in the column `group` are empty."""
    import pandas as pd

    cells = pd.DataFrame({name: _format_column(table[name]) for name in table}, dtype=object)
    if group in cells:
        cells[group] = cells[group].mask(cells[group] == cells[group].shift(), "")
    return cells


def _format_column(column):
    """Returns the texts of a column: of numbers with as many decimals each."""
    column = column.infer_objects()
    present = column.dropna()
    if column.dtype.kind not in "iuf":
        texts = present.map(str)
    else:
        decimals = _count_decimals(present) if column.dtype.kind == "f" else 0
        texts = present.map(lambda value: f"{value:z,.{decimals}f}")
    return texts.astype(object).reindex(column.index, fill_value=MISSING)


def _count_decimals(values):
    """Returns how many decimals show all values, at most four unless some are tiny."""
    tiny = any(0 < abs(value) < 1e-3 for value in values)
    most = _MOST_DECIMALS + (2 if tiny else 0)
    decimals = [f"{value:.{most}f}".rstrip("0").partition(".")[2] for value in values]
    return max(map(len, decimals), default=0)


def _write_table(cells):
    """Returns a table of texts as HTML; columns of numbers stand right."""
    styles = {name: _choose_style(cells[name]) for name in cells}
    heads = "".join(_write_cell("th", name, styles[name].partition(";")[0]) for name in cells)
    rows = []
    for row in cells.to_dict("records"):
        texts = "".join(_write_cell("td", text, styles[name]) for name, text in row.items())
        rows.append(f"<tr>{texts}</tr>\n")
    return _wrap_table(heads, "".join(rows))


def _wrap_table(heads, rows):
    """Returns a table that scrolls where the page is narrow."""
    return (
        '<div style="overflow-x: auto"><table class="dataframe">\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>"
    )


def _choose_style(texts):
    side = "right" if all(_NUMBER.fullmatch(text) for text in texts) else "left"
    wrap = "; white-space: nowrap" if texts.map(len).max() <= _WIDEST_ON_ONE_LINE else ""
    return f"text-align: {side}{wrap}"


def _write_cell(tag, text, style):
    if text in COLORS:
        style += f"; {_paint(text)}"
    return f'<{tag} style="{style}">{html.escape(text)}</{tag}>'


def _paint(word):
    return f"background-color: {COLORS[word]}; color: #1a1a1a"


def show_claims(judged):
    """Returns the claims as a scoreboard: a row a claim, its parts with their verdicts.

    What each verdict was computed from is folded below.

    Args:
        judged: DataFrame, as `claims.judge` returns it.
    """
    rows, lines = [], []
    for number, parts in judged.groupby("claim"):
        claim = paper.CLAIMS[number - 1]
        words = f"“{claim.words}”" if claim.words else claim.about
        lines.append(f"{number} {claim.place}: {words}")
        verdicts = []
        for part in parts.itertuples():
            lines.append(f"    {part.verdict:14} {part.part}")
            chip = f'<span style="{_paint(part.verdict)}; padding: 0 4px">{part.verdict}</span>'
            verdicts.append(f"{chip} {html.escape(part.part)}")
        cells = [str(number), html.escape(f"{claim.place}: {words}"), "<br>".join(verdicts)]
        texts = "".join(f'<td style="text-align: left">{cell}</td>' for cell in cells)
        rows.append(f"<tr>{texts}</tr>\n")
    names = ("claim", "what the paper says", "its parts")
    heads = "".join(_write_cell("th", name, "text-align: left") for name in names)
    board = _wrap_table(heads, "".join(rows))
    detail = show_table(judged)._repr_html_()
    page = f"{board}<details><summary>the computations</summary>{detail}</details>"
    return View("\n".join(lines), f"<div>{page}</div>")
