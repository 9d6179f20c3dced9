// Why a spec or a row does not pass with a runtime. The command fails at one that this table does not explain.
import type { Explanation } from './judge.ts';

const all = ['runc-debian', 'runc', 'crun-debian', 'crun', 'youki', 'runsc', 'runsc-shim', 'runc-shim'];

export const explanations: readonly Explanation[] = [
  {
    of: all,
    suite: 'critest',
    name: /AppArmor/u,
    reason: /AppArmor is disabled on this host/u,
    why: 'the machine: its kernel has no AppArmor; `npm run test:vm` runs these',
  },
];
