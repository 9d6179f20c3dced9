// Everything that is built from Go modules for a run.
import { crictl, runc14 } from '../../support/tools/go-tools.ts';
import { ginkgo, kubernetes, nodeSuite, testImageProgram } from '../../support/tools/kubernetes.ts';

export interface Programs {
  readonly suite: string;
  readonly ginkgo: string;
  readonly kubelet: string;
  readonly agnhost: string;
  readonly nonewprivs: string;
  readonly runc: string;
}

/** Paths of all of them; at once when they are in the cache. */
export async function buildPrograms(): Promise<Programs> {
  await crictl();
  return {
    suite: await nodeSuite(),
    ginkgo: await ginkgo(),
    kubelet: await kubernetes('kubelet'),
    agnhost: await testImageProgram('agnhost'),
    nonewprivs: await testImageProgram('nonewprivs'),
    runc: await runc14(),
  };
}
