"""K-space as arrays in files: BART, MATLAB, NumPy, fastMRI and other HDF5."""
