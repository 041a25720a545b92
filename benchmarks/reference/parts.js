// What API and worker of the reference share: connections, queues, and the number of attempts.

import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import pg from 'pg';

export const QUEUES = { high: 'high_priority', default: 'default' };
export const TYPES = new Set(['CSV_EXPORT', 'EMAIL_SEND', 'NOOP']);

// Finished jobs leave Redis at once: their history is in PostgreSQL. BullMQ's own numbers say that this is the fastest.
export const JOB_OPTIONS = {
  attempts: 3,
  backoff: { type: 'exponential', delay: 1000 },
  removeOnComplete: true,
  removeOnFail: true,
};

export function pool(max) {
  return new pg.Pool({ connectionString: process.env.DATABASE_URL, max, idleTimeoutMillis: 0 });
}

export function redis() {
  // Auto-pipelining: commands of one turn of the event loop are sent together.
  return new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null, enableAutoPipelining: true });
}

export function queues(connection) {
  return Object.fromEntries(Object.entries(QUEUES).map(([priority, name]) => [priority, new Queue(name, { connection })]));
}

export function onStop(stop) {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.once(signal, () => stop().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); }));
  }
}
