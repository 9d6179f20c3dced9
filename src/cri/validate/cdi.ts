/** Devices of the Container Device Interface by their names. Pure: whether one is here is the bundle writer's to find out. */
import type { StringMap } from '../../ports/specs.ts';
import { requestLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { CDIDevice } from '../../gen/runtime/v1/api_pb.ts';
import { each, line, quoted, refuse } from './check.ts';

/** Annotations by which device plugins of old ask; their values are names with commas between (CDI, pkg/cdi/annotations). */
const PREFIX = 'cdi.k8s.io/';
/** vendor/class=name, each of letters and digits with signs between; a name may begin with a digit. */
const QUALIFIED =
  /^[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?\/[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?=[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?$/u;

/**
 * The names, each once: those of the field, then those of the request's own annotations in the order of their keys.
 * Annotations of the sandbox and of images are not looked at: their authors must not choose devices (S31).
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
