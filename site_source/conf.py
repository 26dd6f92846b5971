"""Sphinx's settings for the site. `__main__.py` gathers the pages that it reads, and starts it."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from docutils import nodes
from numpydoc.xref import DEFAULT_LINKS
from sphinx.application import Sphinx

import nblstm

HERE = Path(__file__).resolve().parent
project = "nblstm"
author = "the nblstm authors"
version = release = nblstm.__version__
language = "en"

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["course/solutions/*.ipynb", "course/[!0-9]*.ipynb"]  # notebooks to be downloaded
templates_path = [str(HERE / "templates")]

# ---- texts and notebooks; the latter have been run before ----

myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 4
smartquotes = False  # a prime is no quotation mark
nb_execution_mode = "off"
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # which would come from another host
nb_merge_streams = True
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
copybutton_exclude = ".linenos, .gp"

# ---- docstrings ----

default_role = "obj"
autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's sections say them
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
# its own aliases need the inventories of other libraries
numpydoc_xref_aliases = {name: name for name in DEFAULT_LINKS} | {"ndarray": "numpy.ndarray"}

# ---- the look ----

html_theme = "pydata_sphinx_theme"
html_title = "nblstm"
html_extra_path = [str(HERE.parent / "build" / "site" / "files")]
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_favicon = str(HERE / "static" / "icon.svg")
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_align": "left",
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_version_warning_banner": False,
}
html_sidebars = {"index": []}
copyright = "the nblstm authors, BSD-3-Clause"

# ---- formulas: MathJax out of a package, for none may be fetched by the reader ----

mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"options": {"enableMenu": False}}  # it would fetch its parts from another host
MATHJAX = Path(*find_spec("sphinx-mathjax-offline").submodule_search_locations) / "static" / "mathjax"


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """The one script of MathJax that the pages ask for, and its fonts."""
    if error is None:
        target = Path(app.outdir) / "_static" / "mathjax"
        fonts = Path("output", "chtml", "fonts", "woff-v2")
        shutil.copytree(MATHJAX / fonts, target / fonts, dirs_exist_ok=True)
        shutil.copy(MATHJAX / "tex-chtml.js", target)


# ---- names of other libraries: links by their address, so that no inventory has to be fetched ----

MODULES = [
    "LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell", "Embedding", "Linear", "LayerNorm", "Dropout", "Sequential",
    "Tanh", "Sigmoid", "ReLU", "Softmax",
]  # fmt: skip
IN_PYTORCH = {
    **{f"nblstm.{name}": f"torch.nn.{name}" for name in MODULES},
    **{f"nblstm.{name}": f"torch.optim.{name}" for name in ("SGD", "RMSprop", "Adam", "AdamW")},
    **{f"nblstm.{name}": f"torch.nn.functional.{name}" for name in ("cross_entropy", "mse_loss", "log_softmax")},
    "nblstm.clip_grad_norm": "torch.nn.utils.clip_grad_norm_",
    "nblstm.pad_sequences": "torch.nn.utils.rnn.pad_sequence",
}
"""What does the same there: a line in the reference says so."""

ELSEWHERE = {
    r"(?:np|numpy)\.(\w[\w.]*)": "https://numpy.org/doc/stable/reference/generated/numpy.{}.html",
    r"torch\.(\w[\w.]*)": "https://docs.pytorch.org/docs/stable/generated/torch.{}.html",
}


def link_elsewhere(app: Sphinx, env: object, node: nodes.Element, text: nodes.Node) -> nodes.reference | None:
    """A link for `numpy.ndarray` and `torch.nn.LSTM`."""
    for pattern, address in ELSEWHERE.items():
        if found := re.fullmatch(pattern, node.get("reftarget", "")):
            return nodes.reference("", "", text, internal=False, refuri=address.format(found[1]))
    return None


def as_restructured(app: Sphinx, what: str, name: str, one: object, options: object, lines: list[str]) -> None:
    """Docstrings are written to be read as they are: formulas are indented, and |x| is a value."""
    text = re.sub(r" \\\n\s*", " ", "\n".join(lines))  # a name too long for its line goes on in the next
    text = re.sub(r"(?<![`\\\w{}])\|(?=[A-Za-z][\w -]*\|)", r"\\|", text)
    head, line, sections = re.split(r"(?m)((?:^.*\n---+$)|\Z)", text, maxsplit=1)
    head = re.sub(r"(?m)^(?![-*\d]|\.\. )(\S.*)\n\n(?=  )", r"\1\n\n::\n\n", head)
    beside = f"\n\nIn PyTorch: `{IN_PYTORCH[name]}`.\n\n" if name in IN_PYTORCH else ""
    lines[:] = (head + beside + line + sections).split("\n")


def without_ways_back(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Pages of sources lead back to the reference by wrong names where a file's names are public in several modules."""
    if page.startswith("_modules/") and "body" in context:
        context["body"] = re.sub(r'<a class="viewcode-back".*?</a>', "", context["body"])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", as_restructured, priority=100)  # before numpydoc
    app.connect("build-finished", copy_mathjax)
    app.connect("html-page-context", without_ways_back)
    app.connect("missing-reference", link_elsewhere)
