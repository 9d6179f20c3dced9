/** Run by namespaces.test.ts under strace, which lets every setns fail: each pin loses its thread. */
import { readdirSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { realClock } from '../../../src/host/clock/clock.ts';
import { stopKernelThread } from '../../../src/host/kernel-thread/kernel-thread.ts';
import { pinNamespaces, unpinNamespaces } from '../../../src/host/namespaces/namespaces.ts';
import { loopTurn } from '../../support/turns.ts';

const root = process.argv[2] ?? '';
const clock = realClock();
const names = ['lost-0', 'lost-1', 'lost-2'];
const pinned: number[] = [];
for (const name of names) {
  const { net } = await pinNamespaces(
    { directory: join(root, name), net: true, ipc: true, uts: true, sysctls: [] },
    clock,
  );
  if (net !== undefined) pinned.push(statSync(net).ino);
}
await stopKernelThread();
const host = readlinkSync('/proc/self/ns/net');
/** Threads that are not in the host's network; a terminated one may take a moment to end. */
const strays = (): string[] =>
  readdirSync('/proc/self/task').filter((thread) => {
    try {
      return readlinkSync(`/proc/self/task/${thread}/ns/net`) !== host;
    } catch {
      return false;
    }
  });
while (strays().length > 0) await loopTurn();
for (const name of names) await unpinNamespaces(join(root, name));
process.stdout.write(
  JSON.stringify({
    pinned: pinned.length,
    differentNetworks: new Set(pinned).size,
    strayThreads: strays().length,
  }),
);
