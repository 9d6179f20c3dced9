/**
 * Certificates for single registries, containers-certs.d(5): `<directory>/<host[:port]>/` with `*.crt` (authorities),
 * and `*.cert` with `*.key` (what we show of ourselves). The machine's own store of authorities counts as well: that is
 * where an operator puts the company's.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { createSecureContext, getCACertificates, setDefaultCACertificates } from 'node:tls';
import type { SecureContext } from 'node:tls';
import { fail, toFault } from '../../../base/fault.ts';
import { distributionLimits } from '../bounds.ts';
import { namesIfDirectory, namesOf } from '../../../host/files/names-of.ts';
import { readCapped } from './read-capped.ts';

interface Kept {
  readonly hash: string;
  readonly context: SecureContext;
}

export class HostCertificates {
  readonly #directories: () => readonly string[];
  readonly #contexts = new Map<string, Kept>();
  #hasSystem = false;

  /** @param directories asked at each request */
  constructor(directories: () => readonly string[]) {
    this.#directories = directories;
  }

  /** What TLS with `host[:port]` is to use; undefined for the authorities alone. Throws `invalidRequest` with the file. */
  async of(host: string): Promise<SecureContext | undefined> {
    this.#useSystem();
    // a redirect may name the host `..` as well, which a URL takes
    if (!isName(host)) return undefined;
    for (const directory of this.#directories()) {
      const place = join(directory, host);
      const names = certificatesOf(await namesOf(place));
      if (names.length > 0) return this.#context(host, place, names);
    }
    return undefined;
  }

  /** What is wrong with the directories as they are now: path → reason. Each refuses TLS with its host only. */
  async problems(): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    for (const directory of this.#directories()) {
      const hosts = await namesIfDirectory(directory).catch((error: unknown) => {
        found.set(directory, toFault(error).message);
        return [];
      });
      for (const host of hosts.slice(0, distributionLimits.certificateHosts)) {
        const place = join(directory, host);
        try {
          contextOf(place, await textsIn(place, certificatesOf(await namesIfDirectory(place))), []);
        } catch (error) {
          found.set(place, toFault(error).message);
        }
      }
    }
    return found;
  }

  /** Reading the machine's store takes some ms, which a node whose images are all there need not spend. */
  #useSystem(): void {
    if (this.#hasSystem) return;
    this.#hasSystem = true;
    setDefaultCACertificates([...new Set([...getCACertificates('default'), ...getCACertificates('system')])]);
  }

  async #context(host: string, place: string, names: readonly string[]): Promise<SecureContext> {
    const texts = await textsIn(place, names);
    const hash = createHash('sha256')
      .update(JSON.stringify([...texts]))
      .digest('hex');
    const kept = this.#contexts.get(host);
    if (kept?.hash === hash) return kept.context;
    const context = contextOf(place, texts, getCACertificates('default'));
    this.#contexts.delete(host);
    this.#contexts.set(host, { hash, context });
    if (this.#contexts.size > distributionLimits.certificateHosts)
      this.#contexts.delete(this.#contexts.keys().next().value ?? host);
    return context;
  }
}

/** Whether it can be the name of a directory: hosts and ports, an IPv6 address in its brackets. */
function isName(host: string): boolean {
  return /^[a-z0-9[][a-z0-9.:[\]_-]*$/iu.test(host);
}

function certificatesOf(names: readonly string[]): readonly string[] {
  return names.filter((name) => /\.(?:crt|cert|key)$/u.test(name)).toSorted();
}

async function textsIn(place: string, names: readonly string[]): Promise<ReadonlyMap<string, string>> {
  if (names.length > distributionLimits.certificateFiles) {
    fail(
      'invalidRequest',
      `read ${place}: ${names.length} files, more than the ${distributionLimits.certificateFiles} allowed`,
    );
  }
  const texts = new Map<string, string>();
  for (const name of names) {
    const bytes = await readCapped(join(place, name), distributionLimits.confBytes);
    if (bytes !== undefined) texts.set(name, bytes.toString('latin1'));
  }
  return texts;
}

function contextOf(
  place: string,
  texts: ReadonlyMap<string, string>,
  authorities: readonly string[],
): SecureContext {
  const ending = (suffix: string): readonly string[] =>
    [...texts].filter(([name]) => name.endsWith(suffix)).map(([, text]) => text);
  const own = [...texts].flatMap(([name, cert]) => {
    if (!name.endsWith('.cert')) return [];
    const key = texts.get(name.replace(/cert$/u, 'key'));
    return key === undefined
      ? fail('invalidRequest', `read ${join(place, name)}: there is no key beside it`)
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
    return fail('invalidRequest', `read ${place}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
