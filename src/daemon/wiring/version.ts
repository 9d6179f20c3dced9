import { readFileSync } from 'node:fs';

/** Put in by the bundler; not there when the sources run unbundled. */
declare const TROUPE_VERSION: string | undefined;

/** From package.json, the one place where it stands; told by `troupe version` and the Version RPC. */
export const VERSION: string = typeof TROUPE_VERSION === 'string' ? TROUPE_VERSION : versionOfCheckout();

function versionOfCheckout(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
