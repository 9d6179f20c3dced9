import { readFileSync } from 'node:fs';

/** From package.json, the one place where it stands; told by `troupe version` and the Version RPC. */
export const VERSION: string = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
).version;
