"""The states of a job and the moves between them."""

from domain.work.states import MOVES, OPEN, JobStatus, sources

S = JobStatus


def test_what_has_ended_stays_so() -> None:
    assert {status for status, targets in MOVES.items() if not targets} == {S.SUCCEEDED, S.FAILED, S.CANCELED}
    assert OPEN == (S.QUEUED, S.RUNNING)


def test_every_state_is_come_to_by_the_moves_of_the_table_alone() -> None:
    assert set(MOVES) == set(S)
    assert {target: sources(target) for target in S} == {
        S.QUEUED: [],
        S.RUNNING: [S.QUEUED],
        S.SUCCEEDED: [S.RUNNING],
        S.FAILED: [S.QUEUED, S.RUNNING],
        S.CANCELED: [S.QUEUED, S.RUNNING],
    }
