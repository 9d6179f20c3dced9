/** Which program is called for a container's create and exec. */
import { toFault, fail } from '../../../base/fault.ts';
import { filteringLauncher } from '../handlers/filtering.ts';
import type { Handler } from '../handlers/handlers.ts';
import type { DriverParts } from './parts.ts';

/**
 * The mark of the short form in the text of a config.json (spec/types.ts). No value of a request has that form: they
 * are strings, whose quotation marks are escaped, or numbers.
 */
const SHORT = /"troupeShortSeccomp":\s*true/u;

/**
 * The runtime's program, or for a container with the short seccomp profile the launcher that puts the outer filter
 * around it. Which one depends on the bundle alone, so that it is the same after a restart, with another configuration,
 * and for containers of earlier releases. Throws `outside` if the launcher is not there and cannot be written: without
 * it the process would be confined less.
 */
export async function runtimeProgram(
  { layout }: Pick<DriverParts, 'layout'>,
  { path }: Pick<Handler, 'path'>,
  configText: string,
  id: string,
): Promise<string> {
  if (!SHORT.test(configText)) return path;
  try {
    return await filteringLauncher(layout.standInsDir, path);
  } catch (thrown) {
    const reason = toFault(thrown).message;
    return fail('outside', `put the outer seccomp filter around container ${id}: ${reason}`, { subject: id });
  }
}
