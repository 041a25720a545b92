// The reference's worker: a BullMQ worker a queue; each job's row in PostgreSQL follows its status.

import { Worker } from 'bullmq';
import { JOB_TYPES } from './job_types.js';
import { QUEUES, onStop, pool, redis } from './parts.js';

const concurrency = Number(process.env.CONCURRENCY ?? 100);
const db = pool(Number(process.env.POOL_SIZE ?? 20));

const START = {
  name: 'start-job',
  text: `update jobs set status = 'processing', attempts = $2, updated_at = now() where id = $1`,
};
const COMPLETE = {
  name: 'complete-job',
  text: `update jobs set status = 'completed', result = $2, error = null, updated_at = now() where id = $1`,
};
const FAIL = {
  name: 'fail-job',
  text: 'update jobs set status = $2, error = $3, updated_at = now() where id = $1',
};

async function run(job) {
  const attempt = job.attemptsMade + 1;
  await db.query({ ...START, values: [job.id, attempt] });
  try {
    const result = await JOB_TYPES[job.name](job.data, job.id);
    await db.query({ ...COMPLETE, values: [job.id, JSON.stringify(result)] });
  } catch (error) {
    const status = attempt >= job.opts.attempts ? 'failed' : 'pending';
    await db.query({ ...FAIL, values: [job.id, status, String(error)] });
    throw error;
  }
}

const workers = Object.values(QUEUES).map((name) => {
  const worker = new Worker(name, run, { connection: redis(), concurrency });
  worker.on('error', (error) => console.error(error));
  return worker;
});

await Promise.all(workers.map((worker) => worker.waitUntilReady()));
console.log('ready');

onStop(async () => {
  await Promise.all(workers.map((worker) => worker.close()));
  await db.end();
});
