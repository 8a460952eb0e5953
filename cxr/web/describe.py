"""What the page is told of a radiograph: everything but its pixels."""

from typing import Any

from cxr.viewed import SIDE, Known, Viewed


def described(viewed: Viewed) -> dict[str, Any]:
    """Return, for JSON, what the page needs to show `viewed`."""
    shown = viewed.presentation
    rows, columns = viewed.values.shape
    return {
        "rows": rows,
        "columns": columns,
        "bits": viewed.bits,
        "digest": viewed.digest,
        "remarks": viewed.remarks,
        "corners": viewed.corners or {},
        "synthetic": viewed.synthetic,
        "dicom": viewed.display is not None,
        "low": shown.low,
        "high": shown.high,
        "inverted": shown.inverted,
        "table": shown.table is not None,
        "orientation": viewed.orientation,
        "linear": shown.linear,
        "slope": shown.slope,
        "intercept": shown.intercept,
        "spacing": viewed.spacing and viewed.spacing._asdict(),
    }


def told(known: Known) -> dict[str, Any]:
    """Return, for JSON, what the page needs to enhance a radiograph of which so much is `known`."""
    scales = {str(scale): {"cap": cap, "why": why, "side": SIDE // scale} for scale, (cap, why) in known.limits.items()}
    return {"told": known.told, "scales": scales}
