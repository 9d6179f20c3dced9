import { readFileSync } from 'node:fs';

/** Set by the bundler; undefined when the sources run unbundled. */
declare const TROUPE_VERSION: string | undefined;

/** The version in package.json, for `troupe version` and the Version RPC. */
export const VERSION: string = typeof TROUPE_VERSION === 'string' ? TROUPE_VERSION : versionOfCheckout();

function versionOfCheckout(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
