// What the reference's jobs do: payload in, result out; what they throw is the job's error.

import { rename, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import nodemailer from 'nodemailer';

const outputDir = resolve(process.env.OUTPUT_DIR ?? 'output');
const mail = nodemailer.createTransport({
  host: process.env.MAIL_HOST ?? '127.0.0.1',
  port: Number(process.env.MAIL_PORT ?? 1025),
  pool: true,
});

const NEEDS_QUOTES = /[",\r\n]/;

function cell(value) {
  if (value === null || value === undefined) return '';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return NEEDS_QUOTES.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function csv(rows) {
  if (!Array.isArray(rows)) throw new Error('payload.data must be a list of objects');
  const keys = new Set();
  for (const row of rows) for (const key in row) keys.add(key);
  const header = [...keys];
  const lines = [header.map(cell).join(',')];
  for (const row of rows) {
    let line = '';
    for (let i = 0; i < header.length; i++) line += (i ? ',' : '') + cell(row[header[i]]);
    lines.push(line);
  }
  return lines.join('\r\n') + '\r\n';
}

export const JOB_TYPES = {
  async CSV_EXPORT(payload, id) {
    const filePath = join(outputDir, `${id}.csv`);
    const draft = `${filePath}.tmp`;
    await writeFile(draft, csv(payload.data));
    await rename(draft, filePath);
    return { filePath };
  },

  async EMAIL_SEND(payload) {
    const { messageId } = await mail.sendMail({
      from: process.env.MAIL_FROM ?? 'jobs@localhost',
      to: payload.to,
      subject: payload.subject,
      text: payload.body,
    });
    return { messageId };
  },

  async NOOP() {
    return null;
  },
};
