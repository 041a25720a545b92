// Queues N no-op jobs as the API would, only in bulk: their rows, then their jobs in BullMQ.

import { JOB_OPTIONS, onStop, pool, queues, redis } from './parts.js';

const count = Number(process.argv[2]);
const db = pool(1);
const connection = redis();
const queue = queues(connection);
onStop(async () => {});

for (let done = 0; done < count; done += 1000) {
  const { rows } = await db.query(
    `insert into jobs (type, priority, payload)
     select 'NOOP', 'default', '{"number":7}' from generate_series(1, $1::int) returning id`,
    [Math.min(1000, count - done)],
  );
  await queue.default.addBulk(
    rows.map(({ id }) => ({ name: 'NOOP', data: { number: 7 }, opts: { ...JOB_OPTIONS, jobId: id } })),
  );
}
await Promise.all(Object.values(queue).map((one) => one.close()));
await db.end();
connection.disconnect();
