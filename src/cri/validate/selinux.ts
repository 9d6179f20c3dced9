/** Parts of SELinux labels. Pure: whether the policy has such a label is checked when the container is created. */
import type { SelinuxOptions } from '../../ports/specs.ts';
import type { SELinuxOption } from '../../gen/runtime/v1/api_pb.ts';
import { line, quoted, refuse } from './check.ts';

/** Bytes of one part. The kernel's labels have a page at most, and no policy has longer names. */
const PART_BYTES = 255;
const NAME = /^[A-Za-z0-9_.-]*$/u;
/**
 * A sensitivity or a range of two, each with categories (`s0-s0:c0.c1023`). Names that a translation daemon would
 * resolve are not accepted.
 */
const LEVEL =
  /^(?:s\d{1,4}(?:-s\d{1,4})?(?::c\d{1,4}(?:[.,]c\d{1,4})*(?:-s\d{1,4}:c\d{1,4}(?:[.,]c\d{1,4})*)?)?)?$/u;

/**
 * The parts of the label that the request sets; undefined when it sets none. Without SELinux the options are validated
 * and then ignored, as in both peers: the same pod runs on all nodes of a cluster.
 */
export function selinuxOptions(
  field: string,
  options: SELinuxOption | undefined,
  isEnabled: boolean,
): SelinuxOptions | undefined {
  if (options === undefined) return undefined;
  const { user, role, type, level } = options;
  for (const [name, value] of Object.entries({ user, role, type })) {
    line(`${field}.${name}`, value, PART_BYTES);
    if (!NAME.test(value)) refuse(`${field}.${name}`, `${quoted(value)} is not part of an SELinux label`);
  }
  line(`${field}.level`, level, PART_BYTES);
  if (!LEVEL.test(level)) refuse(`${field}.level`, `${quoted(level)} is not a level such as s0:c1,c2`);
  const isEmpty = user === '' && role === '' && type === '' && level === '';
  return isEmpty || !isEnabled ? undefined : { user, role, type, level };
}
