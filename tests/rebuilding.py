"""Rebuilds `jobs` and `stats`, as `jobledger rebuild` does, and gives the report."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from adapters.postgres.range_folder import PostgresRangeFolder
from adapters.postgres.rebuilding import PostgresNewTable
from adapters.postgres.recounting import PostgresRecounter
from projections.rebuild.rebuilding import Rebuild, Report, Stage, Wishes
from projections.rebuild.recounting import CountsReport, Recount
from tests.real_log import Database


async def rebuilt(
    url: str,
    *,
    workers: int = 2,
    range_events: int = 300,
    progress: Callable[[Stage], None] = lambda stage: None,
    **wishes: object,
) -> Report:
    """The report of a rebuild; `wishes` as of Wishes."""
    async with AsyncExitStack() as stack:
        table = await stack.enter_async_context(PostgresNewTable(url))
        folders = [await stack.enter_async_context(PostgresRangeFolder(url)) for _ in range(workers)]
        return await Rebuild(
            table=table,
            folders=folders,
            wishes=Wishes(range_events=range_events, **wishes),  # type: ignore[arg-type]
            now=time.monotonic,
            progress=progress,
        ).run()


async def recounted(url: str, *, workers: int = 2, page: int = 300, **wishes: bool) -> CountsReport:
    """The report of a recount; `wishes` as of Recount."""
    async with AsyncExitStack() as stack:
        counters = [await stack.enter_async_context(PostgresRecounter(url)) for _ in range(workers)]
        recount = Recount(table=counters[0], counters=counters, progress=lambda stage: None, page=page, **wishes)
        return await recount.run()


def bytes_of(db: Database, table: str = "jobs") -> bytes:
    """All of its rows as the server's own binary form has them, in the order of their ids."""
    columns = ", ".join(
        name
        for (name,) in db.execute(
            "select attname from pg_attribute where attrelid = 'jobs'::regclass and attnum > 0 and not attisdropped"
            " order by attnum"
        ).fetchall()
    )
    with db.cursor().copy(f"copy (select {columns} from {table} order by id) to stdout (format binary)") as copy:
        return b"".join(bytes(part) for part in copy)


def leftovers(db: Database) -> list[str]:
    """What a rebuild that did not come to its end has left in the database."""
    return [
        name
        for (name,) in db.execute(
            "select relname from pg_class where relname like '%\\_next'"
            " union all select name from checkpoints where name not in ('jobs', 'stats')"
        ).fetchall()
    ]


def shape_of(db: Database, table: str = "jobs") -> list[tuple[object, ...]]:
    """All that the catalogs say of a table, in words without its number."""
    return db.execute(_SHAPE, {"table": table}).fetchall()


_SHAPE = """
with t as (select * from pg_class where oid = %(table)s::regclass)
select 'table', relname, pg_get_userbyid(relowner)::text, reloptions::text, relreplident::text,
       (select array_agg(a::text order by a::text) from unnest(relacl) a)::text, obj_description(oid), relpersistence::text
from t
union all
select 'column', attname, format_type(atttypid, atttypmod), pg_get_expr(adbin, adrelid), attnotnull::text || attgenerated::text,
       attacl::text, col_description(attrelid, attnum), concat_ws(' ', attnum, attstattarget, attstorage, attcompression)
from t join pg_attribute on attrelid = t.oid left join pg_attrdef on adrelid = attrelid and adnum = attnum
where attnum > 0 and not attisdropped
union all
select 'index', c.relname, pg_get_indexdef(c.oid), c.reloptions::text, concat_ws(' ', indisprimary, indisunique, indisvalid),
       pg_get_userbyid(c.relowner)::text, obj_description(c.oid), null
from t join pg_index on indrelid = t.oid join pg_class c on c.oid = indexrelid
union all
select 'constraint', conname, pg_get_constraintdef(k.oid), contype::text, conindid::regclass::text, null, obj_description(k.oid),
       null
from t join pg_constraint k on conrelid = t.oid
union all
select 'view', v.relname, pg_get_viewdef(v.oid), v.reloptions::text, pg_get_userbyid(v.relowner)::text,
       v.relacl::text, obj_description(v.oid), null
from t join pg_depend d on refobjid = t.oid and classid = 'pg_rewrite'::regclass join pg_rewrite r on r.oid = d.objid
join pg_class v on v.oid = r.ev_class
group by v.oid, v.relname, v.reloptions, v.relowner, v.relacl
union all
select 'type', typname, typtype::text, typarray::regtype::text, null, null, null, null from t join pg_type y on y.oid = t.reltype
order by 1, 2
"""
