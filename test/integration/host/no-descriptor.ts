/** Run by namespaces.test.ts: with no descriptor free the kernel thread can't start; once there are some, it does. */
import { closeSync, openSync } from 'node:fs';
import { askKernelThread, stopKernelThread } from '../../../src/host/kernel-thread/kernel-thread.ts';

const ask = (): Promise<unknown> =>
  askKernelThread({ kind: 'mountInfo' }, { attempted: 'read', subject: 'x' }).catch((thrown: unknown) =>
    String(thrown),
  );
const held: number[] = [];
try {
  for (;;) held.push(openSync('/dev/null', 'r'));
} catch {
  // all are taken
}
const without = await ask();
for (const fd of held) closeSync(fd);
const withSome = await ask();
await stopKernelThread();
process.stdout.write(
  JSON.stringify({
    without: String(without).includes('EMFILE'),
    withSome: String(withSome).includes('/proc'),
  }),
);
