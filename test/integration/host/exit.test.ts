// The end of a process of ours. That process.exit may hang (nodejs/node#54918) is rare, so no test shows it.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const module = join(import.meta.dirname, '../../../src/host/process/exit.ts');
/** More than a pipe holds (64 KiB, pipe(7)). */
const BYTES = 1_000_000;
const PAUSE_MS = 5;

/** What a process prints and its exit code; the reader pauses after each piece. */
async function ended(body: string): Promise<{ readonly code: number | null; readonly out: string }> {
  const script = `const { allWritten, exitNow } = await import(${JSON.stringify(module)}); ${body}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString('latin1');
    child.stdout.pause();
    setTimeout(() => child.stdout.resume(), PAUSE_MS);
  });
  const code = await new Promise<number | null>((resolve) => {
    child.once('close', resolve);
  });
  return { code, out };
}

it('ends with the code, after a slow reader has taken all of the output', async () => {
  const { code, out } = await ended(
    `process.stdout.write('x'.repeat(${BYTES})); await allWritten([process.stdout]); exitNow(3);`,
  );
  expect({ code, bytes: out.length }).toEqual({ code: 3, bytes: BYTES });
});

it('ends although timers and threads are left', async () => {
  const { code } = await ended(
    `const { Worker } = await import('node:worker_threads'); new Worker('for (;;);', { eval: true }).once('online', () => exitNow(0)); setInterval(() => {}, 1000);`,
  );
  expect(code).toBe(0);
});

it('as the last listener of the exit it keeps the code, and those before it have run', async () => {
  const { code, out } = await ended(
    `process.once('exit', () => process.stdout.write('first')); process.once('exit', exitNow); process.exitCode = 7;`,
  );
  expect({ code, out }).toEqual({ code: 7, out: 'first' });
});
