// Pods of the scenarios, kept to what every one has.
import type { PodManifest } from './shapes.ts';

/** Seconds; what ignores SIGTERM is killed after it. */
const GRACE_S = 5;

/** Runs until SIGTERM, then ends at once with 0. */
export const UNTIL_TERM = 'trap "exit 0" TERM; while :; do sleep 3600 & wait $!; done';

export type Part = Readonly<Record<string, unknown>>;

export const shell = (script: string): Part => ({ command: ['sh', '-c', script] });

/**
 * The script with a first line that counts the container's lives; the kubelet's restart count also counts tries to
 * create it.
 */
function counted(container: Part, name: string): Part {
  const [program, option, script] = (container['command'] ?? []) as readonly string[];
  return program === 'sh' && script !== undefined
    ? { command: [program, option, `echo >> /data/${livesFile(name)}; ${script}`] }
    : {};
}

/** In the volume `data`: a line per start of the container. */
export const livesFile = (container: string): string => `lives-${container}`;

/** A pod whose containers share the emptyDir `data` at /data. */
export function podManifest(
  name: string,
  image: string,
  spec: {
    readonly containers: readonly Part[];
    readonly initContainers?: readonly Part[];
    readonly more?: Part;
    readonly volumes?: readonly Part[];
  },
): PodManifest {
  const complete = (container: Part): Part => {
    const mounts = (container['volumeMounts'] ?? []) as readonly Part[];
    const name = typeof container['name'] === 'string' ? container['name'] : 'main';
    return {
      ...container,
      name,
      image,
      ...counted(container, name),
      volumeMounts: [{ name: 'data', mountPath: '/data' }, ...mounts],
    };
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels: { scenario: name } },
    spec: {
      terminationGracePeriodSeconds: GRACE_S,
      dnsPolicy: 'Default',
      enableServiceLinks: false,
      volumes: [{ name: 'data', emptyDir: {} }, ...(spec.volumes ?? [])],
      ...(spec.initContainers === undefined ? {} : { initContainers: spec.initContainers.map(complete) }),
      containers: spec.containers.map(complete),
      ...spec.more,
    },
  };
}

/** A probe once per second that answers at its first failure. */
export const eachSecond = (probe: Part): Part => ({
  periodSeconds: 1,
  timeoutSeconds: 10,
  failureThreshold: 1,
  ...probe,
});

export const fileExists = (path: string): Part => ({ exec: { command: ['test', '-e', path] } });
