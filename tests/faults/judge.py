"""The judge: one call that holds all that a run left against INVARIANTS, and gives its verdict and its line of figures.

    verdict = await judge(run, database_url=…, redis_url=…)
    assert verdict.passed, verdict.text()

To be called when all faults are healed, the queue is drained and the load has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import psycopg

from adapters.redis.connecting import connect
from adapters.redis.drained import RedisQueueAuditor
from projections.verify.verification import Report
from tests.faults.client_log import Line, read_lines
from tests.faults.clients import ClientsJudge
from tests.faults.effects import Effects, EffectsJudge, read_effects
from tests.faults.faults_log import read_faults
from tests.faults.progress import longest_stall, recoveries, spread
from tests.faults.run_directory import RunDirectory
from tests.faults.stories import Story, read_keys, read_stories
from tests.faults.verdict import Figures, Findings, Verdict
from tests.verifying import verified


async def judge(
    run: RunDirectory,
    *,
    database_url: str,
    redis_url: str,
    liveness: float = 15.0,
    is_thorough: bool = False,
    ignored: Sequence[str] = (),
) -> Verdict:
    """Judge what the run left. `liveness`: the service's LIVENESS_SECONDS. `ignored`: checks that this run breaks by intent."""
    client = connect(redis_url, name="judge")
    try:
        report = await verified(
            database_url,
            queue=RedisQueueAuditor(client),
            liveness=max(0.0, liveness - 1.0),  # as `jobledger verify` has it: less one heartbeat
            is_thorough=is_thorough,
            is_drained=True,
        )
    finally:
        await client.aclose()
    figures, findings = judge_run(
        read_stories(database_url),
        keys=read_keys(database_url),
        lines=read_lines(run.all_requests()),
        effects=read_effects(output=run.output, mails=run.mails, tally=run.tally),
    )
    with psycopg.connect(database_url) as connection:
        figures.longest_stall = longest_stall(connection)
        figures.recovery = spread(recoveries(connection, read_faults(run.faults)))
    return _verdict(report, figures, findings, ignored=ignored)


def judge_run(
    stories: Iterable[Story], *, keys: Mapping[str, str], lines: Iterable[Line], effects: Effects
) -> tuple[Figures, Findings]:
    """C1 to C5 and E1 to E3 alone, and the figures that come of them. Each story is looked at once."""
    figures, findings = Figures(), Findings()
    clients = ClientsJudge(lines, keys, figures=figures, findings=findings)
    seen = EffectsJudge(effects, figures=figures, findings=findings)
    for story in stories:
        clients.judge(story)
        seen.judge(story, clients.expected(story))
    clients.finish()
    seen.finish()
    return figures, findings


def _verdict(report: Report, figures: Figures, findings: Findings, *, ignored: Sequence[str]) -> Verdict:
    of_log = report.findings
    figures.stuck = of_log.counts["L1"]
    figures.resurrected += of_log.counts["S4"]
    counts = {check: count for check, count in {**of_log.counts, **findings.counts}.items() if count}
    sentences = {
        check: [f"job {one.job_id} position {one.position}: {one.sentence}" for one in of_log.first(check)]
        if check in of_log.counts
        else findings.said(check)
        for check in counts
    }
    reasons = [
        f"{check} ({counts[check]}): {sentence}"
        for check in counts
        if check not in ignored
        for sentence in sentences[check]
    ]
    reasons += [f"{check} could not be checked" for check in report.unchecked]
    return Verdict(figures, counts, reasons)
