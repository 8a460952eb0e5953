"""Write the methods' names, titles, colours and shapes into the chart templates in .dvc/plots: `python -m tools.templates`."""

import json
from pathlib import Path
from typing import Any

from cxr.foundation.errors import one_line_errors
from cxr.foundation.files import write_text
from cxr.foundation.place import ROOT
from cxr.superres.methods import BICUBIC, METHODS, Method

TEMPLATES = Path(".dvc/plots")
NAMED = {method.name for method in METHODS}


def filled(template: Any) -> Any:
    """Return the Vega-Lite `template` with the methods as they are now, wherever it lists methods.

    A list with bicubic in it gets all methods, another the networks alone.
    """
    if isinstance(template, list):
        return [method.name for method in _like(template)] if _lists_methods(template) else [filled(item) for item in template]
    if not isinstance(template, dict):
        return template
    done = {key: filled(value) for key, value in template.items()}
    if _lists_methods(template.get("domain")):
        colours = str(template["range"][0]).startswith("#")
        done["range"] = [method.colour if colours else method.shape for method in _like(template["domain"])]
    scale, legend = template.get("scale"), done.get("legend")
    if isinstance(scale, dict) and _lists_methods(scale.get("domain")) and isinstance(legend, dict) and "labelExpr" in legend:
        titles = ", ".join(f"{method.name}: '{method.title}'" for method in _like(scale["domain"]))
        legend["labelExpr"] = f"{{{titles}}}[datum.label] || datum.label"
    return done


def _lists_methods(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) and item in NAMED for item in value)


def _like(names: list[str]) -> list[Method]:
    return [method for method in METHODS if method.name != BICUBIC or BICUBIC in names]


def run(root: Path = ROOT) -> None:
    """Rewrite the templates of the workspace `root`."""
    for path in sorted((root / TEMPLATES).glob("*.json")):
        template = json.loads(path.read_text(encoding="utf-8"))
        write_text(path, json.dumps(filled(template), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    with one_line_errors():
        run()
