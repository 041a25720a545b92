// BullMQ alone: Redis and nothing else. Finished jobs are removed, which is its fastest setting.

import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { drive, isDraining } from './protocol.js';

const redis = () => new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null, enableAutoPipelining: process.env.PIPELINING === 'yes' });
const queue = new Queue('bench', { connection: redis() });
const opts = { removeOnComplete: true, removeOnFail: true };

await drive({
  async fill(count) {
    for (let done = 0; done < count; done += 1000) {
      const size = Math.min(1000, count - done);
      await queue.addBulk(Array.from({ length: size }, () => ({ name: 'NOOP', data: { number: 7 }, opts })));
    }
  },
  async start(ran) {
    const worker = new Worker('bench', async () => { if (!isDraining) ran(); }, {
      connection: redis(),
      concurrency: Number(process.env.CONCURRENCY),
      autorun: false,
    });
    if (isDraining) worker.on('completed', () => ran()); // it has left Redis by then
    worker.on('error', (error) => { console.error(error); process.exit(1); });
    await worker.waitUntilReady();
    worker.run();
    return { settled: async () => {}, stop: () => worker.close() };
  },
  async enqueue() {
    await queue.add('NOOP', { number: 7 }, opts);
  },
});
