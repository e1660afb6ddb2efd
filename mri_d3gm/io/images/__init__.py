"""Volumes and pictures: NIfTI, NRRD, PNG and its like."""
