"""One run of the random mix, from its seed: servers, cluster, load and nemesis, then the verdict. `make faults` calls it."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.cluster import Cluster
from tests.faults.mail_server import MailServer
from tests.faults.nemesis import Nemesis, Step, plan
from tests.faults.network import Network
from tests.faults.run import under_load
from tests.faults.run_directory import RunDirectory
from tests.faults.servers import own_postgres, own_valkey
from tests.faults.verdict import Verdict

RATE = 40.0  # jobs a second


@contextmanager
def whole_cluster(home: Path, **settings: object) -> Iterator[Cluster]:
    """A cluster with servers and a network of its own, all of it running, below `home`."""
    home.chmod(0o711)
    directory = RunDirectory(home / "run")
    with (
        own_postgres(home / "postgres") as postgres,
        own_valkey(home / "valkey") as valkey,
        Network() as network,
        MailServer(directory.mails) as mail,
        Cluster(directory, postgres=postgres, valkey=valkey, network=network, MAIL_PORT=mail.port, **settings) as made,
    ):
        made.start_all()
        yield made


def run_mix(cluster: Cluster, *, seed: int, seconds: float, rate: float = RATE) -> Verdict:
    """Let the nemesis of that seed at the cluster for so long. Raises AssertionError where anything does not hold."""
    steps = plan(seed, seconds=seconds)
    nemesis = Nemesis(cluster, seed)
    with under_load(cluster, seed=seed, rate=rate, followers=2, heal=nemesis.heal) as burden:
        burden.until_more(1)
        nemesis.carry_out(steps)
    unforeseen = [line for line in cluster.told().splitlines() if "ended by an error that was not foreseen" in line]
    assert nemesis.unexpected == [], f"seed {seed}: {nemesis.unexpected} {unforeseen}"
    assert burden.verdict is not None
    return burden.verdict


def main() -> int:
    """Run it, print its line; on failure print why, and the seed to run it again from."""
    parser = argparse.ArgumentParser(
        prog="make faults", description="The random mix of faults, judged by the log itself."
    )
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--plan", action="store_true", help="print the plan of faults, and do nothing")
    given = parser.parse_args()
    if given.plan:
        for step in plan(given.seed, seconds=given.minutes * 60):
            sys.stdout.write(f"{step.at:8.2f} s {_told(step)}\n")
        return 0
    home = Path(tempfile.mkdtemp(prefix="jobledger-faults-"))
    sys.stdout.write(f"seed {given.seed}, {given.minutes:g} minutes\n")
    sys.stdout.flush()
    try:
        with whole_cluster(home) as cluster:
            verdict = run_mix(cluster, seed=given.seed, seconds=given.minutes * 60)
    except (AssertionError, TimeoutError) as exc:
        kept = home.with_name(f"{home.name}.log")
        kept.write_text("\n".join([str(exc), *getattr(exc, "__notes__", [])]))
        sys.stdout.write(f"{str(exc)[:4000]}\nFAILED with seed {given.seed}; what the processes said is in {kept}\n")
        return 1
    finally:
        shutil.rmtree(home, ignore_errors=True)
    sys.stdout.write(f"{verdict.text()}\n")
    return 0


def _told(step: Step) -> str:
    return " ".join(part for part in (step.lane, step.fault, step.target, step.of, f"for {step.lasts:g} s") if part)


if __name__ == "__main__":
    sys.exit(main())
