"""What a radiograph shows, in the project's words."""

import re
from collections.abc import Iterable, Mapping

from cxr.sources import patients
from cxr.sources.table import BETWEEN

NORMAL, TUBERCULOSIS = "NORMAL", "TUBERCULOSIS"

_SPELLINGS = {
    "normal": NORMAL,
    "no finding": NORMAL,
    "pneumonia": "PNEUMONIA",
    "tuberculosis": TUBERCULOSIS,
    "tb": TUBERCULOSIS,
    "nodule": "NODULE",
    "nodules": "NODULE",
}
# What else public sets find (NIH ChestX-ray14, CheXpert, RSNA, VinDr, COVID-19 Radiography, COVID-QU-Ex and others of Kaggle):
# kept by the source's name.
_OTHERS = re.compile(
    "abnormal|aortic enlargement|asthma|atelectasis|bacteria|bacterial(?: pneumonia)?|bronchiectasis|bronchiolitis|bronchitis"
    "|calcification|cardiomegaly|clavicle fracture|consolidation|copd|corona ?virus(?: disease)?|(?:non ?)?covid(?: ?19)?|edema"
    "|effusion|emphysema|enlarged (?:cardiomediastinum|pa)|fibrosis|fracture|hernia|ild|infiltration|lung (?:cancer|cavity|cyst"
    "|lesion|opacity|tumou?r)|mass|mediastinal shift|no pneumonia|non tb|oedema|other (?:diseases?|lesion)|pleural (?:effusion"
    "|other|thickening)|pneumoconiosis|pneumothorax|pulmonary fibrosis|rib fracture|sarcoidosis|sars|silicosis|turberculosis"
    "|viral(?: pneumonia)?|virus"
)
_SEPARATORS = re.compile(r"[|;,]")
_REST = "*"


def spelled(name: str) -> str:
    """Return the finding `name` as the project spells it; one that it does not know as it is.

    >>> spelled("Pneumonia"), spelled("No_Finding"), spelled("tb"), spelled("COVID-19")
    ('PNEUMONIA', 'NORMAL', 'TUBERCULOSIS', 'COVID-19')
    """
    return _SPELLINGS.get(_plain(name), " ".join(name.split()))


def is_known(name: str) -> bool:
    """Tell whether `name` is that of a finding beyond doubt."""
    return _plain(name) in _SPELLINGS or bool(_OTHERS.fullmatch(_plain(name)))


def of_cell(cell: str, meanings: Mapping[str, str]) -> list[str]:
    """Return the findings in a table's `cell`: one, or several between `|`, `;` or `,`.

    `meanings` says what a value means, of the whole cell or of its parts; `*` stands for every other value.

    >>> of_cell("Effusion|Nodule", {}), of_cell("3", {"0": "NORMAL", "*": "NODULE"}), of_cell("", {"*": "NODULE"})
    (['Effusion', 'NODULE'], ['NODULE'], [])
    """
    cell = cell.strip()
    parts = [cell] if cell in meanings else [part.strip() for part in _SEPARATORS.split(cell)]
    meant = [meanings.get(part, meanings.get(_REST, part) if part else "") for part in parts]
    return [spelled(each) for text in meant for each in text.split(BETWEEN) if each.strip()]


def of_folder(name: str, meanings: Mapping[str, str]) -> list[str]:
    """Return the findings that a folder called `name` stands for.

    >>> of_folder("Normal", {}), of_folder("ward", {"ward": "TB|NODULE"}), of_folder("", {"*": "NODULE"})
    (['NORMAL'], ['TUBERCULOSIS', 'NODULE'], [])
    """
    return [spelled(each) for each in meanings.get(name, name).split(BETWEEN) if each.strip()]


def of_name(path: str) -> list[str]:
    """Return the findings that the name of the file `path` tells, as some public sets write them; none where it tells nothing.

    >>> of_name("CHNCXR_0327_1.png"), of_name("MCUCXR_0001_0.png"), of_name("IM-0115-0001.jpeg")
    (['TUBERCULOSIS'], ['NORMAL'], [])
    """
    match patients.tuberculosis(path):
        case None:
            return []
        case True:
            return [TUBERCULOSIS]
    return [NORMAL]


def joined(findings: Iterable[str]) -> str:
    """Return `findings` as one text, each once and in the order of the alphabet, so that equal findings are equal texts."""
    return BETWEEN.join(sorted(set(findings)))


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()
