// An instance of our own for the table: the daemon, the registry with the images, the handlers that are on this
// machine.
import { existsSync } from 'node:fs';
import { makeWorld, type World } from '../e2e/support/world.ts';
import { runc14 } from '../support/tools/go-tools.ts';
import { conformanceImages } from './images.ts';

const CRUN = '/usr/bin/crun';

export interface ConformanceWorld {
  readonly world: World;
  /** The default one first. */
  readonly handlers: readonly string[];
}

/**
 * Needs root.
 * @param config further tables of the configuration, such as handlers
 * @param runtime path of the default handler's runtime; runc 1.4 without it
 */
export async function conformanceWorld(config?: string, runtime?: string): Promise<ConformanceWorld> {
  const hasCrun = existsSync(CRUN);
  const world = await makeWorld({
    name: 'conf',
    images: conformanceImages(),
    // Debian's runc has no user namespaces with id-mapped root file systems
    runtimePath: runtime ?? (await runc14()),
    ...(config === undefined ? {} : { config }),
    ...(hasCrun ? { handlers: { crun: CRUN } } : {}),
  });
  return { world, handlers: hasCrun ? ['', 'crun'] : [''] };
}
