"""Physics of the measurement: Fourier transforms, masks, coils, noise, consistency."""
