"""Run the in-silico trial: what each method does for findings that are drawn, told by observers that are computed."""

if __name__ == "__main__":  # before imports that take seconds, in which nobody would notice that dvc has gone
    from cxr.foundation.parent import exit_with_parent

    exit_with_parent()

from pathlib import Path

from cxr.compute.memory import keep_freed_memory
from cxr.figures.layout import save
from cxr.foundation import errors, files, params
from cxr.trial.analysis import gates, rows
from cxr.trial.picture import harm_map
from cxr.trial.protocol import Protocol
from cxr.trial.report import every_row, for_metrics, table
from cxr.trial.run import forget, made_with, people_of
from cxr.trial.run import run as run_trial
from cxr.trial.spectrum import Reference, deviations

PARAMS, SPECTRUM = Path("trial/params.yaml"), Path("trial/spectrum.csv")
CHECKPOINTS = Path("checkpoints")
METRICS, FIGURES = Path("metrics/trial.json"), Path("plots/trial")


def run(workspace: Path) -> None:
    """Run the trial whose protocol is in `workspace`, and write what was found, whatever it is."""
    protocol = params.read(workspace / PARAMS, "trial", Protocol)
    reference = Reference.read(workspace / SPECTRUM)
    apart = {grown: deviations(protocol, reference, grown) for grown in (True, False)}
    cells, people = run_trial(protocol, workspace / CHECKPOINTS), people_of(protocol)
    found = rows(cells, people, protocol)
    held = gates(cells, people, protocol, apart[True], reference.edges[-1])
    with files.replacing_folder(workspace / FIGURES) as folder:
        files.write_table(folder / "trial.csv", every_row(found, held, apart, protocol, reference))
        save(harm_map(found, protocol), folder / "harm_map.png")
    files.write_json(workspace / METRICS, {**for_metrics(found, held, protocol), "made_with": made_with()})
    forget(protocol, workspace / CHECKPOINTS)
    print(table(found, held, protocol))


if __name__ == "__main__":
    with errors.one_line_errors():
        keep_freed_memory()
        run(Path())
