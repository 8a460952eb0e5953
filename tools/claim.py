"""The items of CLAIM, the checklist for artificial intelligence in medical imaging, in its update of 2024, in our words.

Tejani et al., Radiology: Artificial Intelligence 6(4), 2024.
"""

SECTIONS = {
    "Title and abstract": range(1, 3),
    "Introduction": range(3, 5),
    "Study design": range(5, 7),
    "Data": range(7, 14),
    "Reference standard": range(14, 19),
    "Partitions of the data": range(19, 21),
    "Testing data": range(21, 22),
    "Model": range(22, 25),
    "Training": range(25, 28),
    "Evaluation": range(28, 35),
    "Results: data": range(35, 37),
    "Results: performance": range(37, 40),
    "Discussion": range(40, 42),
    "Other": range(42, 45),
}
"""By section, the numbers of its items."""

HEADINGS = {
    1: "Which technology",
    2: "Summary",
    3: "Background, and intended use",
    4: "Aims and hypotheses",
    5: "Prospective or retrospective",
    6: "Goal",
    7: "Where the data are from",
    8: "What was included and excluded",
    9: "Preprocessing",
    10: "Parts of the data that were chosen",
    11: "De-identification",
    12: "What is missing",
    13: "How the images were taken",
    14: "How the reference standard was obtained",
    15: "Why this reference standard",
    16: "Who labelled",
    17: "Who labelled the test set",
    18: "How far those who label agree",
    19: "How the data were divided",
    20: "What no two parts share",
    21: "Intended size",
    22: "The model",
    23: "Software",
    24: "First weights",
    25: "How it was trained",
    26: "How the model and the threshold were chosen",
    27: "Ensembles",
    28: "Measures",
    29: "Uncertainty",
    30: "Robustness",
    31: "Explanations",
    32: "Tested inside",
    33: "Tested outside",
    34: "Registration",
    35: "How many",
    36: "Who they are",
    37: "How good it is",
    38: "Diagnostic performance, and its precision",
    39: "Failures",
    40: "Limitations",
    41: "What it means for practice",
    42: "Further documents",
    43: "What is available",
    44: "Funding",
}
"""By number, what an item asks for."""

NOT_SAID = "Not known: no file says it."
