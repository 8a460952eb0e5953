"""De-identification of DICOM headers (DICOM PS3.15, annex E)."""
