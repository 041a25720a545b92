// The reference's API: Express, a row in PostgreSQL, then a job in BullMQ.

import express from 'express';
import { JOB_OPTIONS, TYPES, onStop, pool, queues, redis } from './parts.js';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

const db = pool(Number(process.env.POOL_SIZE ?? 20));
const connection = redis();
const queue = queues(connection);

// Named: each connection prepares a statement once.
const INSERT = {
  name: 'insert-job',
  text: 'insert into jobs (type, priority, payload) values ($1, $2, $3) returning id',
};
const SELECT = {
  name: 'select-job',
  text: `select id, type, status, priority, attempts, result, error, created_at as "createdAt", updated_at as "updatedAt"
         from jobs where id = $1`,
};

const app = express();
app.disable('x-powered-by');
app.disable('etag');
app.use(express.json({ limit: '1mb' }));

function problem(res, status, title, detail, errors) {
  res.status(status).type('application/problem+json').send(JSON.stringify({ title, status, detail, errors }));
}

app.post('/jobs', async (req, res) => {
  if (!req.is('application/json')) return problem(res, 415, 'Not JSON', 'Content-Type must be application/json');
  const body = req.body;
  const errors = [];
  if (body === null || typeof body !== 'object' || Array.isArray(body)) {
    return problem(res, 400, 'Invalid body', 'the body must be an object');
  }
  const priority = body.priority ?? 'default';
  if (!TYPES.has(body.type)) errors.push({ field: 'type', detail: `must be one of ${[...TYPES].join(', ')}` });
  if (priority !== 'high' && priority !== 'default') errors.push({ field: 'priority', detail: 'must be high or default' });
  if (!('payload' in body)) errors.push({ field: 'payload', detail: 'is missing' });
  if (errors.length) return problem(res, 400, 'Invalid body', 'some fields are wrong', errors);

  const { rows: [{ id }] } = await db.query({ ...INSERT, values: [body.type, priority, JSON.stringify(body.payload)] });
  // The payload goes along, so that the worker need not ask for it.
  await queue[priority].add(body.type, body.payload, { ...JOB_OPTIONS, jobId: id });
  res.status(201).location(`/jobs/${id}`).json({ jobId: id });
});

app.get('/jobs/:id', async (req, res) => {
  if (!UUID.test(req.params.id)) return problem(res, 400, 'Invalid id', 'a job id is a UUID');
  const { rows: [job] } = await db.query({ ...SELECT, values: [req.params.id] });
  if (!job) return problem(res, 404, 'Not found', `there is no job ${req.params.id}`);
  res.json(job);
});

app.get('/health', async (req, res) => {
  const [postgres, bullmq] = await Promise.allSettled([db.query('select 1'), connection.ping()]);
  const parts = { postgres: postgres.status === 'fulfilled', redis: bullmq.status === 'fulfilled' };
  const ok = Object.values(parts).every(Boolean);
  res.status(ok ? 200 : 503).json({ status: ok ? 'ok' : 'unavailable', ...parts });
});

app.use((error, req, res, next) => {
  if (res.headersSent) return next(error);
  const status = error.status ?? 500;
  if (status === 500) console.error(error);
  problem(res, status, error.type ?? 'Error', status === 500 ? 'internal error' : error.message);
});

const server = app.listen(Number(process.env.API_PORT), '127.0.0.1', (error) => {
  if (error) throw error;
  console.log('ready');
});

onStop(async () => {
  await new Promise((resolve) => { server.close(resolve); server.closeIdleConnections(); });
  await Promise.all(Object.values(queue).map((one) => one.close()));
  await db.end();
  connection.disconnect();
});
