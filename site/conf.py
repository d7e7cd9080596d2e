"""The pages that `make site` builds: the notebooks as they are committed, and the reference."""

import inspect
import json
from operator import methodcaller

from docutils import nodes
from docutils.utils.math import latex2mathml

import lightlayers
from lightlayers.suite import backend

backend.load()  # without TensorFlow's start-up messages, before autodoc does it

project = "LightLayers, reproduced"
author = copyright = "The lightlayers authors"
version = release = lightlayers.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
exclude_patterns = ["README.md", "**/.ipynb_checkpoints"]  # index.md includes the first
myst_heading_anchors = 3
# As JupyterLab names a notebook's headings, which its links go by.
myst_heading_slug_func = methodcaller("replace", " ", "-")
default_role = "code"  # what Keras' docstrings mean by one backtick
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # Keras describes its own methods

html_theme = "furo"
html_title = project
html_copy_source = html_show_sourcelink = False
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["site.css"]


def _mathml(block):
    def visit(translator, node):
        translator.body.append(latex2mathml.tex2mathml(node.astext(), as_block=block))
        raise nodes.SkipNode

    return visit, None


def _fold(app, name, content):
    """What is folded in JupyterLab is folded here."""
    if name.startswith("notebooks/"):
        notebook = json.loads(content[0])
        for cell in notebook["cells"]:
            if cell["metadata"].get("jupyter", {}).get("source_hidden"):
                cell["metadata"].setdefault("tags", []).append("hide-input")
        content[0] = json.dumps(notebook)


def _describe_pictures(app, doctree):
    """A picture that says nothing about itself is called by the section that it stands in."""
    for image in doctree.findall(nodes.image):
        section = image.parent
        while not isinstance(section, nodes.section | nodes.document):
            section = section.parent
        if "alt" not in image and isinstance(section, nodes.section):
            image["alt"] = f"Figure: {section.next_node(nodes.title).astext()}"


def _signature(app, what, name, found, options, signature, returns):
    """Keras hides the arguments of a layer behind its own `__new__`."""
    if what == "class" and signature == "(*args, **kwargs)":
        _, *parameters = inspect.signature(found.__init__).parameters.values()
        return str(inspect.Signature(parameters)), returns


def setup(app):
    """Formulas as MathML, which needs no script from elsewhere; the rest as said above."""
    app.add_html_math_renderer("mathml", _mathml(block=False), _mathml(block=True))
    app.connect("source-read", _fold)
    app.connect("doctree-read", _describe_pictures)
    app.connect("autodoc-process-signature", _signature)
