// The kernel settings of the whole machine that a kubelet sets at its start and leaves so when it ends.
import { readFileSync, writeFileSync } from 'node:fs';

/** Its kernel tunables (its container manager, "setupKernelTunables"). */
const CHANGED = [
  'vm/overcommit_memory', 'vm/panic_on_oom', 'kernel/panic', 'kernel/panic_on_oops', 'kernel/keys/root_maxkeys', 'kernel/keys/root_maxbytes',
] as const;

const pathOf = (name: string): string => `/proc/sys/${name}`;

/** Remembers them; the answer puts back those that differ by then and names them. Synchronous, so that it can run at exit. */
export function keepSysctls(): () => string[] {
  const before = CHANGED.map((name) => ({ name, value: readFileSync(pathOf(name), 'utf8') }));
  return () => {
    const changed = before.filter(({ name, value }) => readFileSync(pathOf(name), 'utf8') !== value);
    for (const { name, value } of changed) writeFileSync(pathOf(name), value);
    return changed.map(({ name }) => name.replaceAll('/', '.'));
  };
}
