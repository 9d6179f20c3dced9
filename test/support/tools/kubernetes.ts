// Kubernetes' own programs and etcd, from their Go modules. Things of their own beside go-tools.ts: no other tool takes
// minutes to build, so only the run that needs one may ask for it.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildGoTool, goModuleDirectory } from './go.ts';

const MODULE = 'k8s.io/kubernetes';

/** The releases that kubelets are built of, by minor version: the newest whose modules could be had. */
export const KUBERNETES = {
  '1.34': 'v1.34.4',
  '1.35': 'v1.35.4',
  '1.36': 'v1.36.3',
  '1.37': 'v1.37.2',
} as const;

export type KubernetesMinor = keyof typeof KUBERNETES;
/** What suites run unless they are asked for another one. */
export const USUAL_KUBERNETES: KubernetesMinor = '1.36';
const USUAL = KUBERNETES[USUAL_KUBERNETES];

/**
 * What go.mod must say for the staging modules: Kubernetes' own go.mod requires each as v0.0.0 and replaces it by a
 * directory of its source tree, and replace directives of a required module don't count.
 * @param goMod text of Kubernetes' go.mod
 * @param version of Kubernetes, which publishes the staging modules (k8s.io/api and others) as v0 of the same minor
 */
export function stagingReplacements(goMod: string, version: string = USUAL): string {
  const staging = version.replace(/^v1/, 'v0');
  const names = [
    ...goMod.matchAll(/^\s*(?:replace\s+)?(k8s\.io\/\S+)\s+=>\s+\.\/staging\/src\/\1\s*$/gm),
  ].map((match) => match[1] ?? '');
  if (names.length === 0)
    throw new Error(`the go.mod of ${MODULE} ${version} replaces no staging module: its form has changed`);
  return `\nreplace (\n${names.map((name) => `\t${name} => ${name} ${staging}`).join('\n')}\n)\n`;
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
const buildOf = (version: string) => ({
  module: MODULE,
  version,
  // Kubernetes' build script sets these; the programs say their version to each other and in their metrics.
  ldflags: `-X k8s.io/component-base/version.gitVersion=${version} -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${version.split('.')[1] ?? ''}`,
  goMod: async () =>
    stagingReplacements(
      await readFile(join(await goModuleDirectory(MODULE, version), 'go.mod'), 'utf8'),
      version,
    ),
});

/** Path of a program of Kubernetes. Built once, which takes minutes. */
export async function kubernetes(
  name: KubernetesProgram,
  minor: KubernetesMinor = USUAL_KUBERNETES,
): Promise<string> {
  return await buildGoTool({ ...buildOf(KUBERNETES[minor]), name, package: `${MODULE}/cmd/${name}` });
}

/** Path of the node e2e suite, which is an API server, too. Built once, which takes many minutes. */
export async function nodeSuite(): Promise<string> {
  return await buildGoTool({
    ...buildOf(USUAL),
    name: 'e2e_node.test',
    package: `${MODULE}/test/e2e_node`,
    isTest: true,
  });
}

/** Path of a program of Kubernetes' test images, static: agnhost is in the one that most of its tests run. */
export async function testImageProgram(name: 'agnhost' | 'nonewprivs'): Promise<string> {
  return await buildGoTool({ ...buildOf(USUAL), name, package: `${MODULE}/test/images/${name}` });
}

/** Directory of the sources of Kubernetes' test images, some of which hold plain files. */
export const testImageSources = async (): Promise<string> =>
  join(await goModuleDirectory(MODULE, USUAL), 'test/images');

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
