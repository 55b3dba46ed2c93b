"""Does the watch name who is to blame, and nobody else, within the polls that it is given?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from lightning_cv.doctor.watch import DONE, GRACE_POLLS, Follower, Judge, Sign, Verdict, hosts_of

PATIENCE = 50


class Ranks:
    """Ranks as the first one hears them; each beats at every poll unless it is told not to."""

    def __init__(self, number: int) -> None:
        self.signs = {rank: Sign(rank=rank, host=f"gpu{rank}", beat=0, place=1, doing="a") for rank in range(number)}
        self.judge = Judge(number, patience=PATIENCE, poll_s=0.5)

    def begin(self, rank: int, doing: str) -> None:
        self.signs[rank] = replace(self.signs[rank], place=self.signs[rank].place + 1, doing=doing)

    def fail(self, rank: int, failure: str, *, together: bool) -> None:
        self.signs[rank] = replace(self.signs[rank], failure=failure, together=together)

    def polls(self, most: int, *, silent: tuple[int, ...] = ()) -> tuple[int, Verdict | None]:
        """Poll until there is a verdict; after how many, and which."""
        for poll in range(1, most + 1):
            for rank, sign in self.signs.items():
                if rank not in silent:
                    self.signs[rank] = replace(sign, beat=sign.beat + 1)
            verdict = self.judge.poll(self.signs)
            if verdict is not None:
                return poll, verdict
        return most, None


def test_all_is_well_once_all_are_done_and_not_before():
    ranks = Ranks(3)
    for rank in (0, 2):
        ranks.begin(rank, DONE)
    assert ranks.polls(PATIENCE - 1) == (PATIENCE - 1, None)
    ranks.begin(1, DONE)
    assert ranks.polls(10) == (1, Verdict())


def test_an_error_in_what_a_rank_does_alone_is_the_cause_at_once_whatever_others_see():
    """The others lost their connection to it before; only it knows why."""
    ranks = Ranks(3)
    ranks.fail(0, "connection closed by peer", together=True)
    assert ranks.polls(2) == (2, None)
    ranks.fail(2, "disk full", together=False)
    assert ranks.polls(10) == (1, Verdict("rank 2 (gpu2) failed in a: disk full"))


def test_after_a_lost_connection_the_rank_that_died_is_the_cause_not_the_one_that_lost_it():
    """It beat for the last time at the very poll at which the other noticed."""
    ranks = Ranks(3)
    ranks.polls(5)
    ranks.fail(0, "connection closed by peer", together=True)
    assert ranks.polls(1) == (1, None)
    polls, verdict = ranks.polls(1000, silent=(1,))
    assert polls == GRACE_POLLS < PATIENCE
    assert verdict is not None
    assert verdict.cause.startswith("rank 1 (gpu1) gives no sign of life after a: ")


def test_a_lost_connection_that_nobody_died_of_is_the_cause_after_a_while_or_once_all_have_lost_it():
    ranks = Ranks(2)
    ranks.fail(1, "no route to host", together=True)
    polls, verdict = ranks.polls(1000)
    assert GRACE_POLLS < polls < PATIENCE
    assert verdict is not None
    assert verdict.cause == "rank 1 (gpu1) failed in a: no route to host"
    assert "NCCL_SOCKET_IFNAME" in verdict.mend
    ranks = Ranks(2)
    for rank in (0, 1):
        ranks.fail(rank, "unhandled system error", together=True)
    assert ranks.polls(10)[0] == 1


def test_a_silent_rank_is_named_after_the_patience_and_not_a_poll_earlier():
    ranks = Ranks(3)
    ranks.polls(7)
    for rank in range(3):
        ranks.begin(rank, "b")
    assert ranks.polls(PATIENCE - 1, silent=(1,)) == (PATIENCE - 1, None)
    polls, verdict = ranks.polls(10, silent=(1,))
    assert polls == 1
    assert verdict is not None
    assert verdict.cause.startswith("rank 1 (gpu1) gives no sign of life after b: ")


def test_a_rank_that_is_done_may_be_silent():
    ranks = Ranks(2)
    ranks.begin(1, DONE)
    for step in range(5):
        ranks.begin(0, f"step {step}")
        assert ranks.polls(PATIENCE - 1, silent=(1,))[1] is None


def test_ranks_that_have_not_come_are_listed_with_those_that_have():
    ranks = Ranks(5)
    for rank in (1, 3, 4):
        del ranks.signs[rank]
    polls, verdict = ranks.polls(1000)
    assert polls == PATIENCE
    assert verdict is not None
    assert verdict.cause == "rank 1, 3-4 of 5 has not come within 25 s; those that came: gpu0 (0), gpu2 (2)"


def test_a_rank_that_comes_late_but_in_time_is_no_cause():
    ranks = Ranks(2)
    late = ranks.signs.pop(1)
    assert ranks.polls(PATIENCE - 1)[1] is None
    ranks.signs[1] = late
    assert ranks.polls(PATIENCE - 1)[1] is None


def test_the_rank_behind_is_named_where_the_others_wait():
    ranks = Ranks(3)
    for rank in (0, 1):
        ranks.begin(rank, "sum")
    polls, verdict = ranks.polls(1000)
    assert polls == PATIENCE + 1  # the first poll saw them begin
    assert verdict is not None
    assert verdict.cause == "rank 2 (gpu2) does not get through a within 25 s: the others wait for it at sum"


def test_nobody_is_blamed_where_all_wait_in_the_same():
    ranks = Ranks(2)
    for rank in (0, 1):
        ranks.begin(rank, "sum")
    verdict = ranks.polls(1000)[1]
    assert verdict is not None
    assert verdict.cause == "all ranks have come to sum, and none gets through it within 25 s"


def test_ranks_that_go_on_slowly_are_never_blamed():
    """Each begins something new a poll before the patience ends, 20 times."""
    ranks = Ranks(2)
    for step in range(20):
        for rank in (0, 1):
            ranks.begin(rank, f"step {step}")
            assert ranks.polls(PATIENCE - 1)[1] is None


def sign(beat: int) -> Sign:
    return Sign(rank=0, host="gpu0", beat=beat, place=1, doing="a")


def test_who_follows_waits_as_long_as_the_first_rank_beats():
    follower = Follower(patience=PATIENCE, poll_s=0.5)
    assert [follower.poll(sign(poll // 10), problem="") for poll in range(1000)] == [None] * 1000


@pytest.mark.parametrize(
    ("heard", "cause"),
    [
        (sign(1), "rank 0 (gpu0) gives no sign of life: it was stopped, killed, or its machine is gone"),
        (None, "rank 0 has not come within 25 s"),
    ],
)
def test_who_follows_names_the_first_rank_after_the_patience(heard, cause):
    follower = Follower(patience=PATIENCE, poll_s=0.5)
    verdicts = [follower.poll(heard, problem="") for _ in range(PATIENCE + 1)]
    silent = verdicts.index(next(filter(None, verdicts)))
    assert silent == (PATIENCE if heard else PATIENCE - 1)  # the first poll hears a beat, or none
    assert verdicts[silent].cause == cause


def test_a_lost_connection_to_the_first_rank_is_said_at_once():
    verdict = Follower(patience=PATIENCE, poll_s=0.5).poll(sign(1), problem="broken pipe")
    assert verdict is not None
    assert verdict.cause == "rank 0 (gpu0), which the others meet at, cannot be reached: broken pipe"


def test_machines_are_listed_with_their_ranks():
    signs = {rank: Sign(rank=rank, host=f"gpu{rank // 4}", beat=0, place=0, doing="a") for rank in (0, 1, 2, 4, 6, 7)}
    assert hosts_of(signs) == "gpu0 (0-2), gpu1 (4, 6-7)"
