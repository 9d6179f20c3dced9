/** The storage worker, which ends with all that it has in hand at the first bytes of a blob with this digest. */
import { parentPort } from 'node:worker_threads';
import type { ToJob, ToWorker } from '../../src/oci/images/store/workers/worker-protocol.ts';
import '../../src/oci/images/store/workers/worker.ts';
import { KILLER } from './killer-digest.ts';

parentPort?.on('message', (message: ToWorker) => {
  if (message.type !== 'job' || message.job.kind !== 'unpack' || message.job.blobDigest !== KILLER) return;
  message.port.on('message', ({ type }: ToJob) => {
    // the thread, not the process
    if (type === 'chunk') process.exit(7);
  });
});
