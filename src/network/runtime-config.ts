/**
 * Values for the capabilities of plugins (CNI CONVENTIONS.md, "Dynamic plugin specific fields"), from the
 * pod's spec. Pure.
 */
import { fail } from '../base/fault.ts';
import type { SandboxInput } from '../ports/host.ts';
import type { CniJson, CniJsonObject } from './json.ts';

const INGRESS = 'kubernetes.io/ingress-bandwidth';
const EGRESS = 'kubernetes.io/egress-bandwidth';
/**
 * The burst in bits that containerd and CRI-O send with a rate: the largest that the bandwidth plugin
 * accepts.
 */
const BURST_BITS = 2_147_483_647;
/** Kubernetes refuses rates outside of 1k to 1P bits per second (pkg/util/bandwidth). */
const RATE_MIN = 1e3;
const RATE_MAX = 1e15;

/**
 * Every value that troupe knows for the pod; each plugin gets those that it declares. Throws `invalidRequest`
 * for a bandwidth annotation that is not a quantity.
 */
export function runtimeValues({ id, spec }: SandboxInput): CniJsonObject {
  const portMappings = spec.portMappings
    .filter(({ hostPort }) => hostPort > 0)
    .map(({ protocol, containerPort, hostPort, hostIp }) => ({
      protocol,
      containerPort,
      hostPort,
      ...(hostIp === '' ? {} : { hostIP: hostIp }),
    }));
  const bandwidth = {
    ...rates('ingress', bitsPerSecond(id, INGRESS, spec.annotations[INGRESS])),
    ...rates('egress', bitsPerSecond(id, EGRESS, spec.annotations[EGRESS])),
  };
  return {
    ...(portMappings.length === 0 ? {} : { portMappings }),
    ...(Object.keys(bandwidth).length === 0 ? {} : { bandwidth }),
    ...(spec.dns === undefined ? {} : { dns: dnsValue(spec.dns) }),
    ...(spec.cgroupParent === '' ? {} : { cgroupPath: spec.cgroupParent }),
    'io.kubernetes.cri.pod-annotations': spec.annotations,
  };
}

/**
 * The members of `values` that at least one plugin declares; the others (above all annotations) are not
 * stored.
 */
export function declaredValues(
  values: CniJsonObject,
  plugins: readonly { readonly capabilities: readonly string[] }[],
): CniJsonObject {
  const declared = new Set(plugins.flatMap(({ capabilities }) => capabilities));
  return Object.fromEntries(Object.entries(values).filter(([key]) => declared.has(key)));
}

function dnsValue(dns: {
  servers: readonly string[];
  searches: readonly string[];
  options: readonly string[];
}): CniJson {
  return { servers: dns.servers, searches: dns.searches, options: dns.options };
}

function rates(direction: 'ingress' | 'egress', rate: number | undefined): CniJsonObject {
  return rate === undefined ? {} : { [`${direction}Rate`]: rate, [`${direction}Burst`]: BURST_BITS };
}

const SUFFIX: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

// a resource.Quantity of Kubernetes: a decimal number, then a suffix or an exponent
function bitsPerSecond(id: string, key: string, text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  const match = /^\+?(\d{1,16}(?:\.\d{0,9})?)(?:([kMGTP]|[KMGTP]i)|[eE](\d{1,2}))?$/u.exec(text);
  const scale = match?.[3] === undefined ? (SUFFIX[match?.[2] ?? ''] ?? 1) : 10 ** Number(match[3]);
  const rate = match === null ? Number.NaN : Math.ceil(Number(match[1]) * scale);
  if (rate >= RATE_MIN && rate <= RATE_MAX) return rate;
  return fail(
    'invalidRequest',
    `network of sandbox ${id}: annotation ${key} is not a rate of 1k to 1P bits per second`,
    { subject: id },
  );
}
