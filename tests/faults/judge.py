"""The judge: one call that holds all that a run left against INVARIANTS, and gives its verdict and its line of figures.

    verdict = await judge(run, database_url=…, redis_url=…)
    assert verdict.passed, verdict.text()

To be called when all faults are healed, the queue is drained and the load has ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import psycopg

from adapters.job_types.outcomes import MAX_RETRY_AFTER
from adapters.redis.connecting import connect
from adapters.redis.drained import RedisQueueAuditor
from domain.retry import RetryPolicy
from projections.verify.ports import WaitRules
from projections.verify.verification import Report
from tests.faults.client_log import Line, read_lines
from tests.faults.clients import ClientsJudge
from tests.faults.commands import CommandsJudge
from tests.faults.effects import Effects, read_effects
from tests.faults.executions import ExecutionsJudge
from tests.faults.exports import ExportsJudge
from tests.faults.faults_log import read_faults
from tests.faults.followers import FollowersJudge
from tests.faults.mails import MailsJudge
from tests.faults.progress import longest_stall, recoveries, spread
from tests.faults.run_directory import RunDirectory
from tests.faults.stories import Story, read_keys, read_stories
from tests.faults.verdict import Figures, Findings, Verdict
from tests.verifying import verified

_POLICY = RetryPolicy()


async def judge(
    run: RunDirectory,
    *,
    database_url: str,
    redis_url: str,
    liveness: float = 15.0,
    policy: RetryPolicy = _POLICY,
    is_thorough: bool = False,
    ignored: Collection[str] = (),
    went: Collection[str] = (),
) -> Verdict:
    """Judge what the run left. `liveness` and `policy` are the service's. `ignored`: checks that this run breaks by intent.

    `went`: workers that shut down and had to leave attempts open, as they said: these are rightly closed as lost at once (A8).
    """
    client = connect(redis_url, name="judge")
    try:
        report = await verified(
            database_url,
            queue=RedisQueueAuditor(client),
            waits=WaitRules(base=policy.base, cap=policy.cap, longest_asked=MAX_RETRY_AFTER),
            liveness=max(0.0, liveness - 1.0),  # as `jobledger verify` has it: less one heartbeat
            is_thorough=is_thorough,
            is_drained=True,
        )
    finally:
        await client.aclose()
    figures, findings = judge_run(
        read_stories(database_url),
        keys=read_keys(database_url),
        lines=list(read_lines(run.all_requests())),
        effects=read_effects(output=run.output, mails=run.mails, tally=run.tally),
    )
    with psycopg.connect(database_url) as connection:
        figures.longest_stall = longest_stall(connection)
        figures.recovery = spread(recoveries(connection, read_faults(run.faults)))
    return _verdict(report, figures, findings, ignored=ignored, went=went)


def judge_run(
    stories: Iterable[Story], *, keys: Mapping[str, str], lines: Sequence[Line], effects: Effects
) -> tuple[Figures, Findings]:
    """C1 to C7 and E1 to E3 alone, and the figures that come of them. Each story is looked at once."""
    figures, findings = Figures(), Findings()
    clients = ClientsJudge(lines, keys, figures=figures, findings=findings)
    commands = CommandsJudge(lines, figures=figures, findings=findings)
    followers = FollowersJudge(lines, figures=figures, findings=findings)
    exports = ExportsJudge(effects, findings=findings)
    mails = MailsJudge(effects, figures=figures, findings=findings)
    executions = ExecutionsJudge(effects, figures=figures, findings=findings)
    for story in stories:
        asked = clients.judge(story)
        commands.judge(story)
        followers.judge(story)
        exports.judge(story, asked)
        mails.judge(story, asked)
        executions.judge(story)
    for one in (clients, commands, followers, exports, mails, executions):
        one.finish()
    return figures, findings


def _verdict(
    report: Report, figures: Figures, findings: Findings, *, ignored: Collection[str], went: Collection[str]
) -> Verdict:
    of_log = report.findings
    figures.stuck = of_log.counts["L1"]
    figures.resurrected += of_log.counts["S4"]
    counts = {**of_log.counts, **findings.counts}
    said = {
        check: [f"job {one.job_id}, position {one.position}: {one.sentence}" for one in of_log.first(check)]
        for check in counts
        if check in of_log.counts
    }
    right = [text for text in said["A8"] if any(f"worker {name} was" in text for name in went)]
    counts["A8"] -= len(right)
    said["A8"] = [text for text in said["A8"] if text not in right]
    reasons = []
    for check, count in counts.items():
        if count and check not in ignored:
            sentences = said.get(check) or findings.said(check)
            reasons += [f"{check}: {sentence}" for sentence in sentences]
            if count > len(sentences):
                reasons.append(f"{check}: and {count - len(sentences)} more")
    reasons += [f"{check} could not be checked" for check in report.unchecked if check not in ignored]
    return Verdict(figures, {check: count for check, count in counts.items() if count}, reasons)
