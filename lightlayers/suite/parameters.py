"""Parameters that Papermill gives to a notebook, checked by the notebook itself."""

import ast

_INJECTED = "# Parameters\n"  # how the cell begins that Papermill adds


def check(names):
    """Refuses a parameter that a notebook does not have, or whose value is of a wrong type.

    Papermill only warns of the first, and its option -p gives a list as text.

    Args:
        names: Dictionary, the notebook's `globals()`. Among them is `In`, the cells that have run.

    Raises:
        ValueError: If there is one.
    """
    known = {}
    for source in names.get("In", ()):
        assigned = _read_assignments(source)
        if source.startswith(_INJECTED):
            for name, value in assigned.items():
                _check_parameter(name, value, known)
        else:
            known |= assigned


def _read_assignments(source):
    """Returns `{name: value}` of what a cell assigns, `None` for what is no literal."""
    found = {}
    try:
        lines = ast.parse(source).body
    except SyntaxError:  # of a cell that has failed
        return found
    for line in lines:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            try:
                found[line.targets[0].id] = ast.literal_eval(line.value)
            except ValueError:
                found[line.targets[0].id] = None
    return found


def _check_parameter(name, value, known):
    if name not in known:
        raise ValueError(
            f"This notebook has no such parameter. Expected some of {sorted(known)}. "
            f"Received: {name}"
        )
    if isinstance(value, str) and value.startswith(("[", "{")):
        raise ValueError(
            f"`{name}` must be a list, and Papermill's -p gives text. "
            f"Say it by -y '{{{name}: {value}}}'. Received: {name}={value!r}"
        )
    if isinstance(known[name], bool) and not isinstance(value, bool):
        raise ValueError(
            f"`{name}` must be True or False, as in -p {name} {known[name]}. "
            f"Received: {name}={value!r}"
        )
