/**
 * TLS certificates per registry, containers-certs.d(5): `<directory>/<host[:port]>/` with `*.crt` (authorities) and
 * `*.cert` with `*.key` (client certificates). The machine's own store of authorities counts, too, since operators
 * install their company's authorities there.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { createSecureContext, getCACertificates, setDefaultCACertificates } from 'node:tls';
import type { SecureContext } from 'node:tls';
import { fail, toFault } from '../../../base/fault.ts';
import { distributionLimits } from '../bounds.ts';
import { namesIfDirectory, namesOf } from '../../../host/files/names-of.ts';
import { DEFAULT_HOST } from '../model/reference.ts';
import { DOCKER_HUB } from './endpoints.ts';
import { readCapped } from './read-capped.ts';

interface CachedContext {
  readonly hash: string;
  readonly context: SecureContext;
}

export class HostCertificates {
  readonly #directories: () => readonly string[];
  readonly #contexts = new Map<string, CachedContext>();
  #hasSystem = false;

  /** @param directories called at each request */
  constructor(directories: () => readonly string[]) {
    this.#directories = directories;
  }

  /**
   * The TLS context for `host[:port]`; undefined to use the default authorities only. Throws `invalidRequest` with the
   * path.
   */
  async of(host: string): Promise<SecureContext | undefined> {
    const found = await this.#directoryOf(host);
    return found === undefined ? undefined : this.#context(host, found.own, found.names);
  }

  /**
   * As `of`, without the node's own certificates: for hosts to which this registry leads, its token service and targets
   * of its redirects, that have no directory. The peers have one TLS configuration for all of these.
   */
  async authoritiesOf(registry: string): Promise<SecureContext | undefined> {
    const found = await this.#directoryOf(registry);
    const names = found?.names.filter((name) => name.endsWith('.crt')) ?? [];
    if (found === undefined || names.length === 0) return undefined;
    return this.#context(`authorities of ${registry}`, found.own, names);
  }

  /** The first directory of this host with certificates. */
  async #directoryOf(
    host: string,
  ): Promise<{ readonly own: string; readonly names: readonly string[] } | undefined> {
    this.#useSystem();
    // a redirect can have the host `..`, which URL accepts
    if (!isName(host)) return undefined;
    for (const directory of this.#directories()) {
      for (const name of directoryNames(host)) {
        const own = join(directory, name);
        const names = certificatesOf(await namesOf(own));
        if (names.length > 0) return { own, names };
      }
    }
    return undefined;
  }

  /** Current problems of the directories: path → reason. Each one only prevents TLS with its own host. */
  async problems(): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    for (const directory of this.#directories()) {
      const hosts = await namesIfDirectory(directory).catch((error: unknown) => {
        found.set(directory, toFault(error).message);
        return [];
      });
      for (const host of hosts.slice(0, distributionLimits.certificateHosts)) {
        const own = join(directory, host);
        try {
          contextOf(own, await textsIn(own, certificatesOf(await namesIfDirectory(own))), []);
        } catch (error) {
          found.set(own, toFault(error).message);
        }
      }
    }
    return found;
  }

  /** Loads the machine's authorities at the first use: it takes some ms, which a node that pulls nothing can save. */
  #useSystem(): void {
    if (this.#hasSystem) return;
    this.#hasSystem = true;
    setDefaultCACertificates([...new Set([...getCACertificates('default'), ...getCACertificates('system')])]);
  }

  async #context(key: string, directory: string, names: readonly string[]): Promise<SecureContext> {
    const texts = await textsIn(directory, names);
    const hash = createHash('sha256')
      .update(JSON.stringify([...texts]))
      .digest('hex');
    const kept = this.#contexts.get(key);
    if (kept?.hash === hash) return kept.context;
    const context = contextOf(directory, texts, getCACertificates('default'));
    this.#contexts.delete(key);
    this.#contexts.set(key, { hash, context });
    if (this.#contexts.size > distributionLimits.certificateHosts)
      this.#contexts.delete(this.#contexts.keys().next().value ?? key);
    return context;
  }
}

/**
 * Docker Hub's directory has the host of its references, as in the peers. A port that is written in the reference is
 * part of the name, even the default one.
 */
function directoryNames(host: string): readonly string[] {
  if (host === DOCKER_HUB) return [DEFAULT_HOST, host];
  return host.endsWith(':443') ? [host, host.slice(0, -':443'.length)] : [host];
}

/** Whether the host is safe as the name of a directory: a host with optional port, or an IPv6 address in brackets. */
function isName(host: string): boolean {
  return /^[a-z0-9[][a-z0-9.:[\]_-]*$/iu.test(host);
}

function certificatesOf(names: readonly string[]): readonly string[] {
  return names.filter((name) => /\.(?:crt|cert|key)$/u.test(name)).toSorted();
}

async function textsIn(directory: string, names: readonly string[]): Promise<ReadonlyMap<string, string>> {
  if (names.length > distributionLimits.certificateFiles) {
    fail(
      'invalidRequest',
      `read ${directory}: ${names.length} files, more than the ${distributionLimits.certificateFiles} allowed`,
    );
  }
  const texts = new Map<string, string>();
  for (const name of names) {
    const bytes = await readCapped(join(directory, name), distributionLimits.confBytes);
    if (bytes !== undefined) texts.set(name, bytes.toString('latin1'));
  }
  return texts;
}

function contextOf(
  directory: string,
  texts: ReadonlyMap<string, string>,
  authorities: readonly string[],
): SecureContext {
  const ending = (suffix: string): readonly string[] =>
    [...texts].filter(([name]) => name.endsWith(suffix)).map(([, text]) => text);
  const own = [...texts].flatMap(([name, cert]) => {
    if (!name.endsWith('.cert')) return [];
    const key = texts.get(name.replace(/cert$/u, 'key'));
    return key === undefined
      ? fail(
          'invalidRequest',
          `read ${join(directory, name)}: the key file ${name.replace(/cert$/u, 'key')} was not found`,
        )
      : [{ cert, key }];
  });
  try {
    return createSecureContext({
      ca: [...authorities, ...ending('.crt')],
      cert: own.map(({ cert }) => cert),
      key: own.map(({ key }) => key),
      minVersion: 'TLSv1.2',
    });
  } catch (error) {
    return fail(
      'invalidRequest',
      `read ${directory}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
