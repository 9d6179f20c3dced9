/** Where a reference is fetched from: mirrors in order, then the place itself. Pure. */
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
  /** `host[:port]` as it goes into the URL; never `docker.io`, whose registry has another name. */
  readonly host: string;
  readonly repository: string;
  /** Plain http and unverified TLS are allowed, for this host only. */
  readonly insecure: boolean;
  readonly mirror: boolean;
}

/** Docker Hub's registry does not answer at the name that its references carry. */
const DOCKER_HUB = 'registry-1.docker.io';

/**
 * The references that a text may mean, in the order to try: one, unless it is a short name and several search
 * registries are configured. Throws `invalidRequest`.
 */
export function candidates(text: string, conf: RegistriesConf): readonly ImageReference[] {
  const raw = parseRawReference(text);
  if (raw.host !== undefined) return [completeReference(raw, DEFAULT_HOST)];
  // a lost alias or search list would lead to another image
  if (conf.shortNameRefusal !== undefined)
    fail('denied', `resolve image ${text}: a short name, and ${conf.shortNameRefusal}`);
  const alias = conf.aliases.get(raw.path) ?? '';
  if (alias !== '') {
    const target = parseRawReference(alias);
    return [completeReference({ ...raw, host: target.host, path: target.path }, DEFAULT_HOST)];
  }
  const hosts = conf.searchRegistries ?? [DEFAULT_HOST];
  if (hosts.length === 0) {
    fail('invalidRequest', `resolve image ${text}: a short name, and unqualified-search-registries is empty`);
  }
  // the kubelet can't be asked which one it means, so "enforcing" leaves only an error (containers-registries.conf(5))
  if (hosts.length > 1 && conf.shortNameMode === 'enforcing') {
    fail(
      'invalidRequest',
      `resolve image ${text}: a short name, ${hosts.length} search registries, and short-name-mode is enforcing`,
    );
  }
  return hosts.map((host) => completeReference(raw, parseHost(host) ?? host));
}

/**
 * The endpoints of a reference. Of a blocked registry these are its mirrors alone, as the containers tools have it
 * (OpenShift's `NeverContactSource` is written so); throws `denied` when there is none for this reference, and for what a
 * part of the file that was not understood may block.
 */
export function endpointsOf(reference: ImageReference, conf: RegistriesConf): readonly Endpoint[] {
  const rule = longestMatch(reference, conf.rules);
  const refusal = conf.refusal ?? rule?.refusal;
  if (refusal !== undefined) fail('denied', `pull ${formatReference(reference)}: ${refusal}`);
  if (rule === undefined) return [endpointAt(repositoryOf(reference), false, false)];
  const mirrors = rule.mirrors
    .filter((mirror) => servesThis(mirror, reference))
    .map((mirror) => endpointAt(rewrite(reference, rule, mirror.location), mirror.insecure, true));
  if (!rule.blocked)
    return [...mirrors, endpointAt(rewrite(reference, rule, rule.location), rule.insecure, false)];
  return mirrors.length > 0
    ? mirrors
    : fail('denied', `pull ${formatReference(reference)}: registries.conf blocks ${rule.prefix}`);
}

/** Every `host[:port]` that the operator calls insecure: a redirect to any other host stays on verified TLS. */
export function insecureHosts(conf: RegistriesConf): ReadonlySet<string> {
  const places = conf.rules.flatMap((rule) => [
    ...(rule.insecure ? [rule.location] : []),
    ...rule.mirrors.filter((mirror) => mirror.insecure).map((mirror) => mirror.location),
  ]);
  return new Set(places.map((place) => place.split('/', 1)[0] ?? '').filter((host) => host !== ''));
}

function servesThis(mirror: MirrorRule, reference: ImageReference): boolean {
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

/** Characters of the reference that the prefix covers, −1 for none: only up to a separator (`a.io/foo` is not `a.io/foobar`). */
function matchLength(reference: ImageReference, prefix: string): number {
  if (prefix.startsWith('*.')) {
    // the port is no part of the domain; the manual matches it away as well
    const name = reference.host.replace(/:[0-9]+$/u, '');
    return name.endsWith(prefix.slice(1)) ? prefix.length : -1;
  }
  const full = formatReference(reference);
  if (!full.startsWith(prefix)) return -1;
  const next = full.charAt(prefix.length);
  if (next === '' || next === '/' || next === '@') return prefix.length;
  // a colon after a bare host is its port, which makes it another host
  return next === ':' && prefix.includes('/') ? prefix.length : -1;
}

/** The repository part of the place: `location` in the prefix's stead. */
function rewrite(reference: ImageReference, rule: RegistryRule, location: string): string {
  const name = repositoryOf(reference);
  if (rule.prefix.startsWith('*.')) {
    if (location === '') return name;
    return `${location}/${reference.repository}`;
  }
  // a prefix with tag or digest covers the whole name
  return `${location}${name.slice(Math.min(rule.prefix.length, name.length))}`;
}

function endpointAt(place: string, insecure: boolean, mirror: boolean): Endpoint {
  const slash = place.indexOf('/');
  if (slash < 0)
    fail('invalidRequest', `resolve ${place}: registries.conf leads to a host without a repository`);
  const host = place.slice(0, slash);
  return Object.freeze({
    host: host === DEFAULT_HOST ? DOCKER_HUB : host,
    repository: place.slice(slash + 1),
    insecure,
    mirror,
  });
}
