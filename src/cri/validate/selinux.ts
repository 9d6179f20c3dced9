/** Parts of SELinux labels. Pure: whether the policy has such a label is asked when the container is made. */
import type { SelinuxOptions } from '../../ports/specs.ts';
import type { SELinuxOption } from '../../gen/runtime/v1/api_pb.ts';
import { line, quoted, refuse } from './check.ts';

/** Bytes of one part: the kernel's labels are a page at most, and no policy has names as long as that. */
const PART_BYTES = 255;
const NAME = /^[A-Za-z0-9_.-]*$/u;
/** A sensitivity or a range of two, each with categories (`s0-s0:c0.c1023`); names that a translation daemon knows are not labels. */
const LEVEL =
  /^(?:s\d{1,4}(?:-s\d{1,4})?(?::c\d{1,4}(?:[.,]c\d{1,4})*(?:-s\d{1,4}:c\d{1,4}(?:[.,]c\d{1,4})*)?)?)?$/u;

/**
 * What a label shall have of the request; undefined for nothing. On a machine without SELinux it is checked all the
 * same and asks for nothing, as with both peers: pods are written for whole clusters.
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
    if (!NAME.test(value)) refuse(`${field}.${name}`, `${quoted(value)} is no part of an SELinux label`);
  }
  line(`${field}.level`, level, PART_BYTES);
  if (!LEVEL.test(level)) refuse(`${field}.level`, `${quoted(level)} is no level such as s0:c1,c2`);
  const isEmpty = user === '' && role === '' && type === '' && level === '';
  return isEmpty || !isEnabled ? undefined : { user, role, type, level };
}
