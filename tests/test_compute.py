"""Threads: results do not depend on how many, and the process is left as it was."""

import pytest
import torch

from mri_d3gm.compute import LARGEST, in_one_batch, in_parallel, one_thread


@pytest.mark.parametrize(("bytes_each", "fit"), [(1, LARGEST), (100.0, 5), (1e9, 1)])
def test_a_batch_takes_half_of_the_free_memory_of_a_gpu(bytes_each: float, fit: int, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))
    assert in_one_batch("cuda", bytes_each) == fit and in_one_batch("cpu", bytes_each) == 1


def test_one_thread_is_of_this_block_and_this_thread_alone() -> None:
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    assert list(in_parallel(lambda _: torch.get_num_threads(), range(5), 3)) == [1] * 5
    assert torch.get_num_threads() == before


def test_batches_are_factorised_after_it_as_before() -> None:
    """MKL fails to once torch.set_num_threads was called."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(3, 216, 216, dtype=torch.complex64, generator=generator)
    matrix = matrix @ matrix.mH + torch.eye(216)
    before = torch.linalg.inv(matrix)
    list(in_parallel(torch.linalg.eigh, [matrix[:1]] * 3, 2))
    torch.testing.assert_close(torch.linalg.inv(matrix), before, atol=1e-4, rtol=1e-3)


def test_an_exception_of_one_ends_the_rest() -> None:
    done = []

    def work(item: int) -> int:
        if item == 2:
            raise ValueError("no")
        done.append(item)
        return item

    try:
        list(in_parallel(work, range(100), 2))
    except ValueError:
        assert len(done) < 10
    else:
        raise AssertionError("the exception was lost")
