// pg-boss in batch mode: one call of the handler for up to BATCH jobs; a full batch is followed by the next fetch at once.

import pg from 'pg';
import { PgBoss } from 'pg-boss';
import { drive, until } from './protocol.js';

const connectionString = process.env.DATABASE_URL;
const batchSize = Number(process.env.BATCH);
const boss = new PgBoss({ connectionString, max: 10, supervise: false, schedule: false, useListenNotify: true });
boss.on('error', (error) => { console.error(error); process.exit(1); });
await boss.start();
await boss.createQueue('bench', { notify: true });
const db = new pg.Client({ connectionString });
await db.connect();

await drive({
  async fill(count) {
    for (let done = 0; done < count; done += 1000) {
      const size = Math.min(1000, count - done);
      await boss.insert('bench', Array.from({ length: size }, () => ({ data: { number: 7 } })));
    }
    await db.query('analyze pgboss.job_common');
  },
  async start(ran) {
    const id = await boss.work('bench', {
      batchSize,
      burstWhenBatchFull: true,
      pollingIntervalSeconds: 0.5,
      priority: false,
      orderByCreatedOn: false,
      localConcurrency: Number(process.env.CONCURRENCY),
    }, async (jobs) => { ran(jobs.length); });
    const open = `select exists (select from pgboss.job where state < 'completed') as open`;
    return {
      settled: () => until(async () => !(await db.query(open)).rows[0].open),
      stop: () => boss.offWork('bench', { id, wait: true }),
    };
  },
  async enqueue() {
    await boss.send('bench', { number: 7 });
  },
});
