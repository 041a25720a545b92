"""The load and the judge over a healthy service: what is asked for is done, and the verdict says so."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.faults.draining import until_drained
from tests.faults.fault_job_site import install_fault_jobs
from tests.faults.job_mix import HOSTILE_MIX
from tests.faults.judge import judge
from tests.faults.load import Load
from tests.faults.mail_server import MailServer
from tests.faults.run_directory import RunDirectory
from tests.system.service import Service
from tests.until import until


@pytest.mark.long_form
async def test_a_healthy_service_does_all_that_it_is_asked_for(
    tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    run = RunDirectory(tmp_path)
    ports = [free_port(), free_port()]
    with (
        MailServer(run.mails) as mails,
        Service(
            tmp_path,
            postgres_url=postgres_url,
            redis_url=redis_url,
            TALLY=run.tally,
            MAIL_PORT=mails.port,
        ) as service,
    ):
        service.site = install_fault_jobs(tmp_path / "fault jobs")
        for number, port in enumerate(ports):
            service.start(f"api {number}", API_PORT=port)
        service.start("dispatcher", "projector", "worker 1", "worker 2")
        apis = [f"http://127.0.0.1:{port}" for port in ports]
        # No request is to be unclear here, however slow a machine is that does much else.
        async with Load(run.requests(), apis, seed=11, followers=2, timeout=30.0, mix=HOSTILE_MIX) as load:
            await load.run(jobs=400)
            assert load.accepted > 300
            assert load.refused > 10
            assert load.unclear == 0
            told = await _as_a_program(run.requests("program"), *apis)
            assert told.startswith("accepted "), told
            await until_drained(postgres_url, redis_url)
            await load.look_again()
        verdict = await judge(run, database_url=postgres_url, redis_url=redis_url)
        assert verdict.passed, verdict.text()
        figures = verdict.figures
        assert figures.attempts > 420
        assert min(figures.batched, figures.waited, figures.cancels, figures.followed) > 0, figures.other_requests()


async def _as_a_program(log: Path, *apis: str) -> str:
    """Let the load run as a program until it is told to stop."""
    arguments = ("-m", "tests.faults.load", str(log), *apis, "--seed", "12", "--clients", "4", "--rate", "100")
    program = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=Path(__file__).parents[2], stdout=asyncio.subprocess.PIPE
    )
    await until(lambda: log.exists() and log.read_bytes().count(b'"posted"') > 20)
    program.terminate()
    told, _ = await program.communicate()
    assert program.returncode == 0
    return told.decode()
