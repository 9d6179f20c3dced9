// A kubelet, from its Go module. A thing of its own beside go-tools.ts: no other tool takes eight minutes to build, so only the
// run that needs it may ask for it.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildGoTool, goModuleDirectory } from './go.ts';

const KUBERNETES = { module: 'k8s.io/kubernetes', version: 'v1.36.3' } as const;

/** The version under which Kubernetes publishes its staging modules (k8s.io/api and others) for that release. */
const STAGING_VERSION = KUBERNETES.version.replace(/^v1/, 'v0');

/** Eight minutes cold on two idle cores; shared cores take several times that. */
const BUILD_TIMEOUT_MS = 3_600_000;

/**
 * What go.mod must say for the staging modules: Kubernetes' own go.mod requires each as v0.0.0 and replaces it by a directory of
 * its source tree, and replace directives of a required module don't count.
 * @param goMod text of Kubernetes' go.mod
 */
export function stagingReplacements(goMod: string): string {
  const names = [...goMod.matchAll(/^\s*(?:replace\s+)?(k8s\.io\/\S+)\s+=>\s+\.\/staging\/src\/\1\s*$/gm)].map((match) => match[1] ?? '');
  if (names.length === 0) throw new Error(`the go.mod of ${KUBERNETES.module} ${KUBERNETES.version} replaces no staging module: its form has changed`);
  return `\nreplace (\n${names.map((name) => `\t${name} => ${name} ${STAGING_VERSION}`).join('\n')}\n)\n`;
}

/** Path of a kubelet v1.36.3. Built once, which takes many minutes. */
export async function kubelet(): Promise<string> {
  return await buildGoTool({
    ...KUBERNETES,
    name: 'kubelet',
    package: `${KUBERNETES.module}/cmd/kubelet`,
    // Kubernetes' build script sets these; the kubelet says its version to clients and in its metrics.
    ldflags: `-X k8s.io/component-base/version.gitVersion=${KUBERNETES.version} -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36`,
    goMod: async () => stagingReplacements(await readFile(join(await goModuleDirectory(KUBERNETES.module, KUBERNETES.version), 'go.mod'), 'utf8')),
    timeoutMs: BUILD_TIMEOUT_MS,
  });
}
