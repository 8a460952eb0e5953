"""Which usable images are set aside all the same: copies, and what else shows external patients."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from cxr.formats.decode import Unusable

EXTERNAL = "external"


def unwanted(rows: Sequence[Mapping[str, Any]], external: set[str]) -> dict[str, Unusable]:
    """Return by file which of `rows` (file, patient, split_wish, sha256) are not used, and why.

    Images with equal pixels show one patient, whatever their rows say: if he is external by one of them, or is one of the
    patients `external`, those of his images that the table does not call external are set aside. Of equal images that are left
    an external one is used, or else the first.
    """
    equal = defaultdict(list)
    for row in rows:
        equal[row["sha256"]].append(row)
    external = external | {row["patient"] for row in rows if row["split_wish"] == EXTERNAL}
    several = [{row["patient"] for row in group} for group in equal.values() if len(group) > 1]
    while any(patients & external and not patients <= external for patients in several):
        external = external.union(*(patients for patients in several if patients & external))
    found = {}
    for group in equal.values():
        left = [row for row in group if row["split_wish"] == EXTERNAL or row["patient"] not in external]
        used = next((row for row in left if row["split_wish"] == EXTERNAL), left[0] if left else None)
        for row in group:
            if row not in left:
                found[row["file"]] = Unusable("external patient", "other images of this patient are external")
            elif row is not used and used is not None:
                found[row["file"]] = Unusable("duplicate", f"the same pixels as {used['file']}")
    return found
