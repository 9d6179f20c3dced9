/** Which program is called for a container's create and exec. */
import { toFault, fail } from '../../../base/fault.ts';
import { filteringLauncher } from '../handlers/filtering.ts';
import type { Handler } from '../handlers/handlers.ts';
import { OUTER_FILTER_VERSION } from '../spec/outer-filter.ts';
import type { DriverParts } from './parts.ts';

/**
 * The mark of the short form in the text of a config.json (spec/types.ts). No value of a request has that form: they
 * are strings, whose quotation marks are escaped, or numbers.
 */
const SHORT = /"troupeShortSeccomp":\s*(\d+)/u;

export interface RuntimeProgram {
  readonly path: string;
  /**
   * To be called once the runtime has started the process. It throws if the runtime was replaced meanwhile and may not
   * have confined the process as its bundle says: the process is then to be killed.
   */
  readonly confirm: () => Promise<void>;
}

/**
 * The runtime's program, or for a container with the short seccomp profile the launcher that puts the outer filter
 * around it. Which one depends on the bundle alone, so that it is the same after a restart, with another configuration,
 * and for containers of earlier releases. Throws `outside` if the launcher is not there and cannot be written, or if
 * the runtime was replaced by one that does not understand the short form: the process would be confined less.
 */
export async function runtimeProgram(
  { layout, whyNotShort }: Pick<DriverParts, 'layout' | 'whyNotShort'>,
  handler: Handler,
  configText: string,
  id: string,
): Promise<RuntimeProgram> {
  const { path } = handler;
  const version = SHORT.exec(configText)?.[1];
  if (version === undefined) return { path, confirm: () => Promise.resolve() };
  if (Number(version) !== OUTER_FILTER_VERSION) {
    const attempted = `put the outer seccomp filter around container ${id}`;
    return fail('outside', `${attempted}: it was made for version ${version} of the filter`, { subject: id });
  }
  const confirm = async (): Promise<void> => {
    const reason = await whyNotShort(handler);
    if (reason === '') return;
    const attempted = `confine container ${id} by the short form of RuntimeDefault`;
    fail('outside', `${attempted}: ${path} was replaced, and now: ${reason}`, { subject: id });
  };
  await confirm();
  try {
    return { path: await filteringLauncher(layout.standInsDir, path), confirm };
  } catch (thrown) {
    const reason = toFault(thrown).message;
    return fail('outside', `put the outer seccomp filter around container ${id}: ${reason}`, { subject: id });
  }
}
