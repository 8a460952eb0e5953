"""`python enhance.py` in a clone is what `cxr enhance` is where the package is installed."""

from cxr.cli.enhance import run

if __name__ == "__main__":
    run()
