"""Instruments for who studies the method: stability, comparison, reproduction, benchmarks."""
