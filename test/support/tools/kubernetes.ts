// Kubernetes' own programs and etcd, from their Go modules. Things of their own beside go-tools.ts: no other tool takes
// minutes to build, so only the run that needs one may ask for it.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildGoTool, goModuleDirectory } from './go.ts';

const KUBERNETES = { module: 'k8s.io/kubernetes', version: 'v1.36.3' } as const;

/** The version under which Kubernetes publishes its staging modules (k8s.io/api and others) for that release. */
const STAGING_VERSION = KUBERNETES.version.replace(/^v1/, 'v0');

/**
 * What go.mod must say for the staging modules: Kubernetes' own go.mod requires each as v0.0.0 and replaces it by a
 * directory of its source tree, and replace directives of a required module don't count.
 * @param goMod text of Kubernetes' go.mod
 */
export function stagingReplacements(goMod: string): string {
  const names = [
    ...goMod.matchAll(/^\s*(?:replace\s+)?(k8s\.io\/\S+)\s+=>\s+\.\/staging\/src\/\1\s*$/gm),
  ].map((match) => match[1] ?? '');
  if (names.length === 0)
    throw new Error(
      `the go.mod of ${KUBERNETES.module} ${KUBERNETES.version} replaces no staging module: its form has changed`,
    );
  return `\nreplace (\n${names.map((name) => `\t${name} => ${name} ${STAGING_VERSION}`).join('\n')}\n)\n`;
}

/** Programs of Kubernetes. They share most of their packages: the first one built takes by far the longest. */
export type KubernetesProgram =
  | 'kubelet'
  | 'kube-apiserver'
  | 'kube-controller-manager'
  | 'kube-scheduler'
  | 'kubectl'
  | 'kubeadm';

/** What every program of Kubernetes is built with. */
const build = {
  ...KUBERNETES,
  // Kubernetes' build script sets these; the programs say their version to each other and in their metrics.
  ldflags: `-X k8s.io/component-base/version.gitVersion=${KUBERNETES.version} -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36`,
  goMod: async () =>
    stagingReplacements(
      await readFile(join(await goModuleDirectory(KUBERNETES.module, KUBERNETES.version), 'go.mod'), 'utf8'),
    ),
} as const;

/** Path of a program of Kubernetes v1.36.3. Built once, which takes minutes. */
export async function kubernetes(name: KubernetesProgram): Promise<string> {
  return await buildGoTool({ ...build, name, package: `${KUBERNETES.module}/cmd/${name}` });
}

/** Path of the node e2e suite, which is an API server, too. Built once, which takes many minutes. */
export async function nodeSuite(): Promise<string> {
  return await buildGoTool({
    ...build,
    name: 'e2e_node.test',
    package: `${KUBERNETES.module}/test/e2e_node`,
    isTest: true,
  });
}

/** Path of a program of Kubernetes' test images, static: agnhost is in the one that most of its tests run. */
export async function testImageProgram(name: 'agnhost' | 'nonewprivs'): Promise<string> {
  return await buildGoTool({ ...build, name, package: `${KUBERNETES.module}/test/images/${name}` });
}

/** Directory of the sources of Kubernetes' test images, some of which hold plain files. */
export const testImageSources = async (): Promise<string> =>
  join(await goModuleDirectory(KUBERNETES.module, KUBERNETES.version), 'test/images');

/** Path of ginkgo, which runs a suite in several processes; of the version that the suite is built with. */
export async function ginkgo(): Promise<string> {
  const module = 'github.com/onsi/ginkgo/v2';
  return await buildGoTool({ name: 'ginkgo', module, version: 'v2.28.1', package: `${module}/ginkgo` });
}

/** Path of an etcd server: the version that Kubernetes 1.36 is released with is of the same line. */
export async function etcd(): Promise<string> {
  return await buildGoTool({
    name: 'etcd',
    module: 'go.etcd.io/etcd/server/v3',
    version: 'v3.6.8',
    package: 'go.etcd.io/etcd/server/v3',
  });
}

/** Path of a metrics server, without which `kubectl top` has nobody to ask. */
export async function metricsServer(): Promise<string> {
  const module = 'sigs.k8s.io/metrics-server';
  return await buildGoTool({
    name: 'metrics-server',
    module,
    version: 'v0.9.0',
    package: `${module}/cmd/metrics-server`,
  });
}
