// How the rivals are driven. A script gets `drain WARM COUNT` or `latency COUNT`:
//   drain    runs WARM jobs to be warm, queues COUNT no-op jobs, says "ready", waits for "go", runs them, says "done"
//   latency  queues COUNT jobs one after another, each once the one before has run, and writes the milliseconds between queueing
//            a job and its code being called, as one JSON list

import { createInterface } from 'node:readline';

const [, , task, ...numbers] = process.argv;
export const isDraining = task === 'drain';

export async function drive({ fill, start, enqueue }) {
  // `start(ran)` starts a worker and gives { settled, stop }; it calls `ran` for jobs. `settled` answers once what ran is recorded.
  const [first, second] = numbers.map(Number);
  if (task === 'drain') {
    await fill(first);
    await (await drained(start, first)).stop();
    await fill(second);
    console.log('ready');
    await goAhead();
    await drained(start, second);
    console.log('done');
  } else {
    let heard = () => {};
    const { stop } = await start(() => heard());
    const taken = [];
    for (let n = 0; n < first; n++) {
      const ran = new Promise((resolve) => { heard = () => resolve(performance.now()); });
      const queued = performance.now();
      await enqueue();
      taken.push((await ran) - queued);
      // Not in step with anything that happens at fixed times.
      await new Promise((resolve) => setTimeout(resolve, 5 + Math.random() * 20));
    }
    await stop();
    console.log(JSON.stringify(taken));
  }
  process.exit(0);
}

async function drained(start, count) {
  let left = count;
  let allRan;
  const all = new Promise((resolve) => { allRan = resolve; });
  const worker = await start((jobs = 1) => { if ((left -= jobs) === 0) allRan(); });
  await all;
  await worker.settled();
  return worker;
}

async function goAhead() {
  const lines = createInterface({ input: process.stdin });
  for await (const line of lines) if (line === 'go') break;
  lines.close();
}

// Settled as seen in the tables: asked again and again, by a question that an index answers.
export async function until(holds) {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 2));
}
