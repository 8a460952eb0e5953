"""The tests: a folder for each of the package's, one for the stages, and one for the pipeline as a whole."""
