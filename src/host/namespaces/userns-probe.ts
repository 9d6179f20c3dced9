/** Checks whether the kernel and the file system support pods with user namespaces. */
import { release } from 'node:os';
import type { ClockPort } from '../../ports/clock.ts';
import { toFault } from '../../base/fault.ts';
import { dropTree } from '../mounts/mounts.ts';
import { idmappedTree } from '../mounts/userns-idmap.ts';
import { withUserNamespace } from './userns-process.ts';

/** Overlays over ID-mapped layers exist since Linux 5.19. */
const OVERLAY_SINCE = [5, 19] as const;

/**
 * Why they are not supported; undefined when they are. `directory` is on the layers' file system. Never
 * rejects.
 */
export async function userNamespacesProblem(options: {
  readonly program: string;
  readonly directory: string;
  readonly clock: ClockPort;
}): Promise<string | undefined> {
  const { program, directory, clock } = options;
  const [major = 0, minor = 0] = release().split('.').map(Number);
  if (major < OVERLAY_SINCE[0] || (major === OVERLAY_SINCE[0] && minor < OVERLAY_SINCE[1]))
    return `Linux ${release()} is older than ${OVERLAY_SINCE.join('.')}`;
  const some = { containerId: 0, hostId: 65_536, length: 65_536 };
  try {
    await withUserNamespace(
      { program, mappings: { uids: some, gids: some } },
      'the check of user namespaces',
      clock,
      async (from) => {
        await dropTree(await idmappedTree(directory, `${from}/user`));
      },
    );
    return undefined;
  } catch (error) {
    return toFault(error).message;
  }
}
