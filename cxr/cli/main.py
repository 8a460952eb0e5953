"""The command `cxr`: `cxr enhance ...`, `cxr detect ...`, `cxr export ...`, `cxr serve`."""

import sys

from cxr.foundation.errors import one_line_errors

USAGE = """usage: cxr COMMAND ...

  cxr enhance INPUT... -o OUT      enlarge radiographs with a trained network
  cxr detect FILE... --model DET   say what a trained detector sees on radiographs
  cxr export MODEL -o FILE.onnx    write a trained network as ONNX
  cxr serve                        open the page: look at radiographs, and enhance what is on screen

cxr COMMAND --help lists the options. The results are for research, not for diagnosis."""


def run() -> None:
    """Run the command that the command line names, and end with one line on a mistake."""
    command, arguments = (sys.argv[1:2] or ["--help"])[0], sys.argv[2:]
    with one_line_errors():
        # Imported only now: help comes at once, and onnx is loaded for export alone.
        if command == "enhance":
            from cxr.cli import enhance  # noqa: PLC0415

            enhance.main(arguments, "cxr enhance")
        elif command == "detect":
            from cxr.cli import detect  # noqa: PLC0415

            detect.main(arguments, "cxr detect")
        elif command == "export":
            from cxr.cli import export  # noqa: PLC0415

            export.main(arguments, "cxr export")
        elif command == "serve":
            from cxr.cli import serve  # noqa: PLC0415

            serve.main(arguments, "cxr serve")
        elif command in {"-h", "--help"}:
            print(USAGE)
        else:
            sys.exit(f"error: cxr {command} is unknown; cxr --help lists the commands")
