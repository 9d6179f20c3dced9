import { existsSync } from 'node:fs';

/** Where Debian's package has it. */
const SKOPEO = '/usr/bin/skopeo';

/** Path of skopeo, which moves images between registries, layouts and archives. */
export function skopeo(): string {
  if (!existsSync(SKOPEO)) throw new Error(`${SKOPEO} is missing: apt-get install skopeo`);
  return SKOPEO;
}
