/** Names of CDI devices (Container Device Interface). Pure: the bundle writer checks whether a device exists. */
import type { StringMap } from '../../ports/specs.ts';
import { requestLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { CDIDevice } from '../../gen/runtime/v1/api_pb.ts';
import { each, line, quoted, refuse } from './check.ts';

/**
 * Prefix of the annotations that older device plugins use; values are comma-separated names (CDI, pkg/cdi/annotations).
 */
const PREFIX = 'cdi.k8s.io/';
/** vendor/class=name (CDI specification, "Device names"). A device name may begin with a digit. */
const QUALIFIED =
  /^[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?\/[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?=[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?$/u;

/**
 * The requested device names without duplicates: those of the field, then those of the request's own annotations in the
 * order of their keys. Annotations of the sandbox and of images are ignored: their authors must not choose devices
 * (S31).
 */
export function cdiDevices(
  field: string,
  asked: readonly CDIDevice[],
  annotations: StringMap,
): readonly string[] {
  const named = each(field, asked, (at, { name }) => qualified(`${at}.name`, name));
  const keys = Object.keys(annotations)
    .filter((key) => key.startsWith(PREFIX))
    .toSorted();
  const noted = keys.flatMap((key) =>
    (annotations[key] ?? '').split(',').map((name) => qualified(`config.annotations[${quoted(key)}]`, name)),
  );
  const all = [...new Set([...named, ...noted])];
  return all.length > requestLimits.listEntries
    ? refuse(field, `${all.length} devices, more than ${requestLimits.listEntries}`)
    : all;
}

function qualified(field: string, name: string): string {
  line(field, name, portLimits.imageNameBytes);
  return QUALIFIED.test(name)
    ? name
    : refuse(field, `${quoted(name)} is not of the form vendor.com/class=name`);
}
