/**
 * A storage worker that notes each job in a file and ends over some of them: measurements of a path `…/kills`, which it
 * does not answer, and of `…/victim`, which it answers once another worker has ended.
 */
import { appendFileSync, existsSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { parentPort } from 'node:worker_threads';
import type { FromJob, ToWorker } from '../../src/oci/images/store/workers/worker-protocol.ts';

parentPort?.on('message', (message: ToWorker) => {
  if (message.type === 'exit') {
    parentPort?.close();
    return;
  }
  const { job, port } = message;
  const path = job.kind === 'measure' ? (job.paths[0] ?? '') : '';
  const ended = join(dirname(path), 'ended');
  appendFileSync(join(dirname(path), 'jobs'), `${basename(path)}\n`);
  if (basename(path) === 'kills') {
    writeFileSync(ended, '');
    // the thread, not the process
    process.exit(7);
  }
  port.on('message', () => undefined);
  if (!existsSync(ended)) return;
  const answer: FromJob = { type: 'done', result: { kind: 'measure', sizes: [] } };
  port.postMessage(answer);
  port.close();
});
