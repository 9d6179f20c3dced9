/**
 * The process that reads archives. Archives are untrusted, as large as a container's memory, and may be on a file
 * system that does not answer: a separate process can be killed and has memory limits of its own.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { toFault } from '../../../../base/fault.ts';
import { exitNow } from '../../../../host/process/exit.ts';
import { readCheckpointFacts } from './describe.ts';
import { unpackArchive } from './import.ts';
import type { ReaderAnswer, Order } from './protocol.ts';

const STDIN = 0;
const STDOUT = 1;

async function answer(order: Order): Promise<ReaderAnswer> {
  if (order.kind === 'describe') return { facts: await readCheckpointFacts(order.source) };
  await unpackArchive(order);
  return { done: true };
}

// no top-level `await`: the bundle is CommonJS
void answer(JSON.parse(readFileSync(STDIN, 'utf8')) as Order)
  .catch((error: unknown): ReaderAnswer => ({ fault: toFault(error) }))
  .then((said) => {
    writeFileSync(STDOUT, JSON.stringify(said));
    exitNow(0);
  });
