"""Damage to a good log, of every kind that a check is meant for: by one who may do anything, triggers switched off."""

from __future__ import annotations

from tests.real_log import connected

# The rows that damage is done to are picked by these: the events, each with the two before it and the one after it of its job.
_SEEN = """
create temp view seen as
select e.*, e.data ->> 'outcome' as outcome,
       lag(type) over w as type1, lag(type, 2) over w as type2, lag(position) over w as position1,
       lag(position, 2) over w as position2, lag(data) over w as data1, lag(data, 2) over w as data2,
       lead(type) over w as next_type, lead(position) over w as next_position
from events e
window w as (partition by job_id order by version)
"""


def put(column: str, value: str, where: str) -> str:
    """SQL that changes a column of the first event that `where` finds."""
    return f"update events set {column} = {value} where position = (select min(position) from seen where {where})"


def say(where: str, **members: str) -> str:
    """SQL that changes members of the data (given as JSON) of the first event that `where` finds."""
    pairs = ", ".join(f""" "{name}": {value}""" for name, value in members.items())
    return put("data", f"(data::jsonb || '{{{pairs}}}')::json", where)


def _add(type: str, data: str, where: str) -> str:
    """SQL that appends an event to the job of the first event that `where` finds."""
    return (
        "insert into events (position, job_id, version, type, data, actor, recorded_at)"
        " select (select max(position) + 1 from events), job_id, version + 1,"
        f" '{type}', '{data}', 'nobody', (select max(recorded_at) from events)"
        f" from seen where {where} and next_type is null order by position limit 1"
    )


# The check that is meant for it, what was done, and the SQL that does it.
DAMAGES: list[tuple[str, str, str]] = [
    # the log
    ("P1", "a gap", "delete from events where position = 10"),
    ("P1", "a wide gap", "delete from events where position between 10 and 30"),
    ("P1", "a gap at the very beginning", "delete from events where position = 1"),
    ("P1", "a position twice", ("alter table events drop constraint events_position_key;"
     " update events set position = 10 where position = 11")),
    ("P1", "a position below 1", "update events set position = 0 where position = 1"),
    ("P1", "nothing keeps positions apart", "alter table events drop constraint events_position_key"),
    ("P2", "a time that falls", ("update events set recorded_at = recorded_at - interval '1 millisecond' where position = "
     "(select min(e.position) from events e join events b on b.position = e.position - 1 and b.recorded_at = e.recorded_at)")),
    ("P2", "a time far in the future",
     "update events set recorded_at = recorded_at + interval '10 years' where position = 20"),
    ("P3", "a trigger switched off", "alter table events disable trigger immutable_rows"),
    ("P3", "a trigger that replication switches off", "alter table events enable trigger immutable_rows"),
    ("P3", "a trigger on replicas only", "alter table events enable replica trigger immutable_table"),
    ("P3", "no trigger against TRUNCATE", "drop trigger immutable_table on events"),
    ("P3", "no triggers", "drop trigger immutable_rows on events; drop trigger immutable_table on events"),
    ("P3", "a trigger for some rows only", ("drop trigger immutable_rows on events; create trigger immutable_rows"
     " before update or delete on events for each row when (old.position < 5) execute function events_are_immutable();"
     " alter table events enable always trigger immutable_rows")),
    ("P3", "a trigger against DELETE only", ("drop trigger immutable_rows on events; create trigger immutable_rows"
     " before delete on events for each row execute function events_are_immutable();"
     " alter table events enable always trigger immutable_rows")),
    ("P3", "a trigger for one column only", ("drop trigger immutable_rows on events; create trigger immutable_rows"
     " before update of type or delete on events for each row execute function events_are_immutable();"
     " alter table events enable always trigger immutable_rows")),
    ("P3", "triggers that let everything pass", ("create or replace function events_are_immutable() returns trigger"
     " language plpgsql as $$ begin return new; end $$")),
    ("P3", "somebody may write", "grant update on events to pg_monitor"),
    ("P3", "somebody may write one column", "grant update (actor) on events to pg_monitor"),
    ("P3", "everybody may write", "grant insert on events to public"),
    ("P3", "a rule", "create rule silence as on delete to events do instead nothing"),
    # one job
    ("S1", "a version left out", put("version", "version + 1", "version > 1 and next_type is null")),
    ("S1", "a version twice", "alter table events drop constraint events_pkey;"
     + put("version", "version - 1", "version = 3")),
    ("S1", "nothing keeps versions apart", "alter table events drop constraint events_pkey"),
    ("S1", "a later version at an earlier position", ("create temp table swapped as select job_id, version, position,"
     " position1 from seen where version = 3 order by position limit 1;"
     " update events e set position = -1 from swapped s where e.position = s.position;"
     " update events e set position = s.position from swapped s where e.position = s.position1;"
     " update events e set position = s.position1 from swapped s where e.position = -1")),
    ("S2", "a job that is never created", put("type", "'Queued'", "version = 1")),
    ("S2", "a job whose beginning is gone", ("delete from events where version = 1 and job_id ="
     " (select job_id from events where version = 2 order by position limit 1)")),
    ("S2", "a job that is created again", put("type", "'Created'", "type = 'Queued'")),
    ("S3", "a start that follows nothing that queues", put("type", "'Started'", "type = 'Queued'")),
    ("S3", "a start that is gone", ("create temp table gone as select job_id, version from seen"
     " where type = 'Started' and next_type = 'Completed' limit 1;"
     " delete from events e using gone g where (e.job_id, e.version) = (g.job_id, g.version);"
     " update events e set version = e.version - 1 from gone g where e.job_id = g.job_id and e.version = g.version + 1")),
    ("S3", "a type in small letters", put("type", "'started'", "type = 'Started'")),
    ("S3", "writers who may write too much", "insert into transitions values ('Completed', 'Queued')"),
    ("S3", "writers who may write too little", "delete from transitions where after = 'Cancelled'"),
    ("S4", "a job that goes on when it is completed", _add("Queued",
     '{"type":"X","priority":"high","attempt":2,"used":0,"maxAttempts":3}', "type = 'Completed'")),
    ("S4", "a job that starts when it has failed", _add("Started", '{"attempt":2,"worker":"w"}', "type = 'Failed'")),
    ("S4", "a job that fails when it is cancelled", _add("Failed", '{"attempt":2,"worker":"w","outcome":"error"}',
     "type = 'Cancelled'")),
    ("S4", "a retry by hand that does not begin anew", say("type = 'Queued' and type1 = 'Failed'", used="1")),
    ("S5", "a type that nobody knows", put("type", "'Teleported'", "next_type is null")),
    ("S5", "an attempt that is no number", say("type = 'Started'", attempt='"first"')),
    ("S5", "a number that is too large", say("type = 'Started'", attempt="99999999999999999999")),
    ("S5", "data that holds a NUL", put("data", """'{"attempt":1,"worker":"a\\u0000b"}'""", "type = 'Started'")),
    ("S5", "data that holds half a character", put("data", """'{"attempt":1,"worker":"\\ud800"}'""", "type = 'Started'")),
    ("S5", "a lost attempt that cannot be read",
     say("outcome = 'lost' and actor = 'dispatcher'", attempt='"x"', retryAfter='"y"')),
    ("S5", "a cancelling with an outcome that none has", say("type = 'Cancelled' and outcome = 'lost'", outcome='"error"')),
    ("S5", "a cancelling of a lost attempt that cannot be read", put("data",
     """'{"attempt":1,"worker":"a\\u0000b","outcome":"lost"}'""", "type = 'Cancelled' and outcome = 'lost'")),
    ("S5", "a lost attempt whose worker has no name",
     put("data", """'{"attempt":1,"worker":"a\\u0000b","outcome":"lost"}'""", "type = 'Attempted' and outcome = 'lost'")),
    ("S5", "a time that is none", say("type = 'Created'", runAt='"tomorrow"')),
    ("S5", "data that is a list", put("data", "'[1, 2]'", "type = 'Started'")),
    ("S5", "a member that is missing", put("data", "(data::jsonb - 'priority')::json", "type = 'Created'")),
    # its attempts
    ("A1", "an attempt with a wrong number", say("type = 'Started'", attempt="7")),
    ("A1", "a second attempt that is called the first",
     say("type = 'Started' and type1 = 'Queued' and type2 = 'Attempted'", attempt="1")),
    ("A1", "an attempt without a number", put("data", "(data::jsonb - 'attempt')::json", "type = 'Started'")),
    ("A1", "a queueing that promises a wrong number", say("type = 'Queued'", attempt="9")),
    ("A1", "a job that begins with its second attempt", say("type = 'Created'", attempt="2")),
    ("A2", "a completion by another worker", say("type = 'Completed'", worker='"somebody else"')),
    ("A2", "a completion of another attempt", say("type = 'Completed'", attempt="9")),
    ("A2", "a failure by another worker", say("type = 'Failed'", worker='"somebody else"')),
    ("A2", "an end without success by another worker", say("type = 'Attempted'", worker='"somebody else"')),
    ("A2", "a cancelling that does not name what it closes",
     put("data", "'{}'", "type = 'Cancelled' and type1 = 'CancelRequested'")),
    ("A2", "a cancelling that names what does not run",
     say("type = 'Cancelled' and type1 in ('Created', 'Queued')", attempt="1", worker='"w"')),
    ("A2", "a cancelling that tells of a loss where nothing runs",
     say("type = 'Cancelled' and type1 in ('Created', 'Queued')", outcome='"lost"')),
    ("A2", "a completion after a request to cancel, by another worker",
     say("type = 'Completed' and type1 = 'CancelRequested'", worker='"somebody else"')),
    ("A3", "a maximum that is exceeded", say("type = 'Created' and next_type = 'Started'", maxAttempts="0")),
    ("A3", "a maximum that is missing",
     put("data", "(data::jsonb - 'maxAttempts')::json", "type = 'Created' and next_type = 'Started'")),
    ("A3", "an attempt that is not counted",
     say("type = 'Attempted' and outcome = 'error' and (data ->> 'used')::int > 0", used="0")),
    ("A3", "an attempt that is called released",
     say("type = 'Attempted' and outcome = 'error'", outcome='"released"', retryAfter="0")),
    ("A3", "a queueing that forgets what was used",
     say("type = 'Queued' and type1 = 'Attempted' and (data ->> 'used')::int > 0", used="0")),
    ("A4", "a start before the delay is over", say("type = 'Created' and next_type = 'Started'", delay="100000000")),
    ("A4", "a start before its time",
     say("type = 'Created' and next_type = 'Started'", runAt='"2126-01-27T10:30:00Z"')),
    ("A4", "a start before the delay is over, though it was queued",
     ("update events set data = (data::jsonb || '{\"delay\": 100000000}')::json where position ="
     " (select min(position2) from seen where type = 'Started' and type1 = 'Queued' and type2 = 'Created')")),
    ("A4", "an attempt that follows too early",
     ("update events set data = (data::jsonb || '{\"retryAfter\": 2000000}')::json where position ="
     " (select min(position2) from seen where type = 'Started' and type1 = 'Queued' and type2 = 'Attempted')")),
    ("A5", "one more attempt at the maximum",
     ("update events set data = (data::jsonb || jsonb_build_object('maxAttempts', 1))::json where position ="
     " (select min(position2) from seen where type = 'Attempted' and outcome = 'error' and type1 = 'Started')")),
    ("A5", "a failure below the maximum",
     ("update events set data = (data::jsonb || jsonb_build_object('maxAttempts', 50))::json where position ="
     " (select min(position2) from seen where type = 'Failed' and (data ->> 'permanent') is null)")),
    ("A5", "a permanent failure that is not permanent",
     ("update events set data = (data::jsonb - 'permanent')::json where position ="
     " (select min(position) from seen where type = 'Failed' and (data ->> 'permanent') = 'true'"
     "  and (data2 ->> 'used')::int + 1 < (data2 ->> 'maxAttempts')::int)")),
    ("A6", "a failure after a request to cancel",
     put("type", "'Failed'", "type = 'Cancelled' and type1 = 'CancelRequested'")),
    ("A6", "a request to cancel after another",
     put("type", "'CancelRequested'", "type = 'Completed' and type1 = 'CancelRequested'")),
    ("A7", "a released attempt that waits", say("outcome = 'released'", retryAfter="5")),
    ("A7", "a lost attempt that waits as long as it likes", say("outcome = 'lost' and type = 'Attempted'", retryAfter="77")),
    ("A7", "a wait that is below nothing", say("outcome = 'error' and type = 'Attempted'", retryAfter="-1")),
    ("A7", "a wait of months", say("outcome = 'error' and type = 'Attempted'", retryAfter="9999999")),
    ("A7", "a wait that no clock here knows", say("outcome = 'timeout' and type = 'Attempted'", retryAfter="0.12345")),
    ("A7", "a wait that is missing",
     put("data", "(data::jsonb - 'retryAfter')::json", "outcome = 'lost' and type = 'Attempted'")),
    ("A8", "a worker given up that was heard of just before", put("actor",
     "(select l.data ->> 'worker' from events l where l.position = events.position + 1)", "position in (select l.position - 1"
     " from events l join events b on b.position = l.position - 1 where l.data ->> 'outcome' = 'lost' and"
     " l.actor = 'dispatcher' and l.recorded_at - b.recorded_at < interval '5 seconds')")),
    ("A8", "a worker given up that was heard of just before, whose job was to be cancelled", put("actor",
     "(select l.data ->> 'worker' from events l where l.position = events.position + 1)", "position in (select l.position - 1"
     " from events l join events b on b.position = l.position - 1 where l.type = 'Cancelled' and l.actor = 'dispatcher' and"
     " l.data ->> 'outcome' = 'lost' and l.recorded_at - b.recorded_at < interval '5 seconds')")),
    ("A8", "a worker that is said to have given itself up, but has not", ("update events set actor = 'dispatcher' where position"
     " = (select min(l.position) from seen l join events s on s.position = l.position1 where l.outcome = 'lost' and"
     " l.actor = l.data ->> 'worker' and l.recorded_at - s.recorded_at < interval '5 seconds')")),
    # the read table
    ("R1", "a log that lost its newest event", "delete from events where position = (select max(position) from events)"),
    ("R1", "a checkpoint that is ahead", "update checkpoints set position = position + 1 where name = 'jobs'"),
    ("R1", "a checkpoint that is behind", "update checkpoints set position = position - 1 where name = 'jobs'"),
    ("R1", "no checkpoint", "delete from checkpoints where name = 'jobs'"),
    ("R1", "a row too few", "delete from jobs where id = (select max(id::text)::uuid from jobs)"),
    ("R1", "a row too many", ("insert into jobs (id, version, state, type, priority, attempts, used, max_attempts,"
     " created_at, updated_at) values (gen_random_uuid(), 1, 'Created', 'X', 'high', 0, 0, 3, now(), now())")),
    ("R1", "rows below and above all others", ("insert into jobs (id, version, state, type, priority, attempts, used,"
     " max_attempts, created_at, updated_at) select id::uuid, 1, 'Created', 'X', 'high', 0, 0, 3, now(), now() from"
     " (values ('00000000-0000-0000-0000-000000000000'), ('ffffffff-ffff-ffff-ffff-ffffffffffff')) as x (id)")),
    ("R1", "a result that was erased from the log alone",
     ("update events set content = null where position = (select min(position) from seen where type = 'Completed'"
     " and content is not null)")),
    ("R1", "a result of another spelling", ("update jobs set result = (' ' || result::text)::json where id ="
     " (select min(id::text)::uuid from jobs where result is not null)")),
    *(
        ("R1", f"a wrong {column}", (f"update jobs set {column} = {value} where id = (select min(id::text)::uuid from jobs"
         f" where {column} is distinct from {value})"))
        for column, value in {
            "version": "77", "state": "'Queued'", "type": "'X'", "priority": "'low'", "attempts": "attempts + 1",
            "used": "used + 1", "max_attempts": "max_attempts + 1", "created_at": "created_at - interval '1 microsecond'",
            "updated_at": "updated_at + interval '1 microsecond'", "worker": "'nobody'", "outcome": "'bored'",
            "due_at": "now()", "queued_position": "0",
        }.items()
    ),
    ("R1", "a wrong result", """update jobs set result = '"X"' where id = (select min(id::text)::uuid from jobs)"""),
    ("R1", "a wrong error", """update jobs set error = '"X"' where id = (select min(id::text)::uuid from jobs)"""),
    # the counts
    ("R4", "a checkpoint of the counts that is ahead", "update checkpoints set position = position + 1 where name = 'stats'"),
    ("R4", "a checkpoint of the counts that is behind", "update checkpoints set position = position - 1 where name = 'stats'"),
    ("R4", "no checkpoint of the counts", "delete from checkpoints where name = 'stats'"),
    ("R4", "a count of something unheard of", "insert into stats values ('completed', 'X', 'high', 0, 0, 0, 1)"),
    *(
        ("R4", f"{damage} of {measure}", (f"{change} where ctid = (select ctid from stats where measure = '{measure}'"
         " and amount <> 0 order by start desc, width limit 1)"))
        for measure in ("completed", "since", "wait")
        for damage, change in {"one too many": "update stats set amount = amount + 1", "no count": "delete from stats"}.items()
    ),
]  # fmt: skip


def do_damage(url: str, statements: str, *, check: str = "") -> None:
    """Run the statements as one who may do anything; at least one row must be changed, where rows are."""
    with connected(url) as db:
        if check == "P3":
            db.execute(statements)
            return
        # Switches off what ordinary triggers are, but these are ALWAYS: so they are taken off, and put back as they were.
        db.execute("alter table events disable trigger user")
        db.execute(_SEEN)
        for statement in filter(str.strip, statements.split(";")):
            done = db.execute(statement)
            assert done.rowcount != 0, f"no such event in the good log: {statement}"
        db.execute("alter table events enable always trigger immutable_rows")
        db.execute("alter table events enable always trigger immutable_table")
