// kubeadm where it was built already: it takes minutes, which a test of some files is not worth.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { cacheDirectory } from './cache.ts';
import { KUBERNETES, USUAL_KUBERNETES } from './kubernetes.ts';

/** Why a test that needs it is skipped. */
export const KUBEADM_MISSING = 'kubeadm is not built: npm run cluster';

/** The path that `kubernetes('kubeadm')` answers; undefined where it was not built. */
export function builtKubeadm(): string | undefined {
  const directory = `tools/kubeadm/${KUBERNETES[USUAL_KUBERNETES]}-${process.arch}`;
  const path = join(cacheDirectory, directory, 'kubeadm');
  return existsSync(path) ? path : undefined;
}
