"""How Sphinx builds the site: ``python3 tasks.py docs``."""

from pygments.lexers.special import TextLexer

from lab.version import __version__

project = "compass-sim"
copyright = "the authors of compass-sim, Apache-2.0"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "examples"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

# Every name of the project that a signature shows must have its place in the reference. Those of
# other libraries are left alone: looking them up would take the network.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!(hardware_models|scenarios|sim|planners|lab)\b).*"),
    # What is behind the planning interface, the insides of Compass, and a type variable.
    (r"py:class", r"sim\.(planning|catalogue|cluster)\..*"),
    (r"py:class", r"planners\.compass\..*"),
    (r"py:class", r"hardware_models\.tables\.R"),
]

html_theme = "furo"
html_title = "compass-sim"
html_copy_source = False


def setup(app: object) -> None:
    """Let blocks of ``csv`` be shown as plain text: Pygments has no lexer for it."""
    app.add_lexer("csv", TextLexer)
