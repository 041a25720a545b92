// graphile-worker with what its page on performance recommends: a local queue that fetches many, and completions in batches.

import pg from 'pg';
import { Logger, run, runMigrations } from 'graphile-worker';
import { drive, isDraining, until } from './protocol.js';

const pgPool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 20 });
const quiet = new Logger(() => (level, message) => { if (level === 'error') console.error(message); });
await runMigrations({ pgPool, logger: quiet });

function preset() {
  return {
    worker: {
      concurrentJobs: Number(process.env.CONCURRENCY),
      maxPoolSize: 20,
      pollInterval: 2000,
      logger: quiet,
      ...(isDraining ? { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } : {}),
    },
  };
}

await drive({
  async fill(count) {
    await pgPool.query(
      `select graphile_worker.add_jobs(array(
         select json_populate_record(null::graphile_worker.job_spec, '{"identifier":"noop","payload":{"number":7}}')
         from generate_series(1, $1::int)))`,
      [count],
    );
    await pgPool.query('analyze graphile_worker._private_jobs');
  },
  async start(ran) {
    const runner = await run({
      pgPool,
      preset: preset(),
      taskList: { noop: async () => { ran(); } },
      noHandleSignals: true,
    });
    const open = 'select exists (select from graphile_worker._private_jobs) as open';
    return {
      settled: () => until(async () => !(await pgPool.query(open)).rows[0].open),
      stop: () => runner.stop(),
    };
  },
  async enqueue() {
    await pgPool.query(`select graphile_worker.add_job('noop', '{"number":7}')`);
  },
});
