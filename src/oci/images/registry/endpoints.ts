/** Decides where a reference is fetched from: its mirrors in order, then its registry. No I/O. */
import { fail } from '../../../base/fault.ts';
import {
  completeReference,
  DEFAULT_HOST,
  formatReference,
  parseHost,
  parseRawReference,
  repositoryOf,
  type ImageReference,
} from '../model/reference.ts';
import type { MirrorRule, RegistriesConf, RegistryRule } from './registries-conf.ts';

export interface Endpoint {
  /** `host[:port]` for the URL. Never `docker.io`: Docker Hub's registry has another name. */
  readonly host: string;
  readonly repository: string;
  /** Whether plain http and unverified TLS are allowed for this host. */
  readonly insecure: boolean;
  readonly mirror: boolean;
}

/** The host of Docker Hub's registry, which differs from the host in its references. */
export const DOCKER_HUB = 'registry-1.docker.io';

/**
 * The references that a name may mean, in the order to try. A short name has one for each search registry, any other
 * name exactly one. Throws `invalidRequest`.
 */
export function candidates(text: string, conf: RegistriesConf): readonly ImageReference[] {
  const raw = parseRawReference(text);
  if (raw.host !== undefined) return [completeReference(raw, DEFAULT_HOST)];
  // without its alias or search list, the short name could mean another image
  if (conf.shortNameRefusal !== undefined)
    fail('denied', `resolve image ${text}: it is a short name, and ${conf.shortNameRefusal}`);
  const alias = conf.aliases.get(raw.path) ?? '';
  if (alias !== '') {
    const target = parseRawReference(alias);
    return [completeReference({ ...raw, host: target.host, path: target.path }, DEFAULT_HOST)];
  }
  const hosts = conf.searchRegistries ?? [DEFAULT_HOST];
  if (hosts.length === 0) {
    fail(
      'invalidRequest',
      `resolve image ${text}: it is a short name, and unqualified-search-registries is empty`,
    );
  }
  // nobody can be prompted for a choice here, so "enforcing" is an error (containers-registries.conf(5))
  if (hosts.length > 1 && conf.shortNameMode === 'enforcing') {
    fail(
      'invalidRequest',
      `resolve image ${text}: it is a short name with ${hosts.length} search registries, and short-name-mode is enforcing`,
    );
  }
  return hosts.map((host) => completeReference(raw, parseHost(host) ?? host));
}

/**
 * The endpoints of a reference. A blocked registry has its mirrors only, as in containers/image (OpenShift's
 * `NeverContactSource` relies on it). Throws `denied` if a blocked registry has no mirror for this reference, or if a
 * part of the file that could not be parsed may block it.
 */
export function endpointsOf(reference: ImageReference, conf: RegistriesConf): readonly Endpoint[] {
  return endpointsWith(reference, conf, (mirror) => servesReference(mirror, reference));
}

/**
 * As `endpointsOf`, with the mirrors that serve the repository only by tag or only by digest: an image that is pulled
 * by its tag has its layers and signatures fetched by digest, too.
 */
export function repositoryEndpoints(reference: ImageReference, conf: RegistriesConf): readonly Endpoint[] {
  return endpointsWith(reference, conf, () => true);
}

function endpointsWith(
  reference: ImageReference,
  conf: RegistriesConf,
  serves: (mirror: MirrorRule) => boolean,
): readonly Endpoint[] {
  const rule = longestMatch(reference, conf.rules);
  const refusal = conf.refusal ?? rule?.refusal;
  if (refusal !== undefined) fail('denied', `pull ${formatReference(reference)}: ${refusal}`);
  if (rule === undefined) return [endpointAt(repositoryOf(reference), false, false)];
  const mirrors = rule.mirrors
    .filter(serves)
    .map((mirror) => endpointAt(rewrite(reference, rule, mirror.location), mirror.insecure, true));
  if (!rule.blocked)
    return [...mirrors, endpointAt(rewrite(reference, rule, rule.location), rule.insecure, false)];
  return mirrors.length > 0
    ? mirrors
    : fail('denied', `pull ${formatReference(reference)}: registries.conf blocks ${rule.prefix}`);
}

/** Every `host[:port]` that is configured as insecure. Redirects to any other host need verified TLS. */
export function insecureHosts(conf: RegistriesConf): ReadonlySet<string> {
  const locations = conf.rules.flatMap((rule) => [
    ...(rule.insecure ? [rule.location] : []),
    ...rule.mirrors.filter((mirror) => mirror.insecure).map((mirror) => mirror.location),
  ]);
  return new Set(locations.map((location) => location.split('/', 1)[0] ?? '').filter((host) => host !== ''));
}

function servesReference(mirror: MirrorRule, reference: ImageReference): boolean {
  if (mirror.pullFrom === 'digest-only') return reference.digest !== undefined;
  if (mirror.pullFrom === 'tag-only') return reference.digest === undefined;
  return true;
}

function longestMatch(reference: ImageReference, rules: readonly RegistryRule[]): RegistryRule | undefined {
  let best: RegistryRule | undefined;
  let bestLength = -1;
  for (const rule of rules) {
    const length = matchLength(reference, rule.prefix);
    if (length > bestLength) {
      best = rule;
      bestLength = length;
    }
  }
  return best;
}

/**
 * Length of the prefix if it matches the reference up to a separator (`a.io/foo` does not match `a.io/foobar`), else
 * −1.
 */
function matchLength(reference: ImageReference, prefix: string): number {
  if (prefix.startsWith('*.')) {
    // the port is not part of the domain; the manual ignores it, too
    const name = reference.host.replace(/:[0-9]+$/u, '');
    return name.endsWith(prefix.slice(1)) ? prefix.length : -1;
  }
  const full = formatReference(reference);
  if (!full.startsWith(prefix)) return -1;
  const next = full.charAt(prefix.length);
  if (next === '' || next === '/' || next === '@') return prefix.length;
  // after a host alone, a colon starts a port: that is another host
  return next === ':' && prefix.includes('/') ? prefix.length : -1;
}

/** `host/repository` to fetch from: the reference's name with the prefix replaced by `location`. */
function rewrite(reference: ImageReference, rule: RegistryRule, location: string): string {
  const name = repositoryOf(reference);
  if (rule.prefix.startsWith('*.')) {
    if (location === '') return name;
    return `${location}/${reference.repository}`;
  }
  // a prefix with tag or digest covers the whole name
  return `${location}${name.slice(Math.min(rule.prefix.length, name.length))}`;
}

function endpointAt(name: string, insecure: boolean, mirror: boolean): Endpoint {
  const slash = name.indexOf('/');
  if (slash < 0)
    fail('invalidRequest', `resolve ${name}: registries.conf maps the image to a host without a repository`);
  const host = name.slice(0, slash);
  return Object.freeze({
    host: host === DEFAULT_HOST ? DOCKER_HUB : host,
    repository: name.slice(slash + 1),
    insecure,
    mirror,
  });
}
