"""The stages of the pipeline, each run as `python -m stages.NAME` from the root of the workspace."""
