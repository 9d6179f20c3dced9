/** Mappings of user namespaces and of ID-mapped mounts. Pure. */
import type { IdMapping, IdMappings } from '../../ports/specs.ts';
import type { IDMapping, UserNamespace } from '../../gen/runtime/v1/api_pb.ts';
import { NamespaceMode } from '../../gen/runtime/v1/api_pb.ts';
import { refuse } from './check.ts';

/** Number of usable ids: the highest, -1, means no id to the kernel (user_namespaces(7)). */
const IDS = 2 ** 32 - 1;

/** The mappings of `userns_options`; undefined means the host's user namespace. */
export function userNamespaceMappings(
  field: string,
  options: UserNamespace | undefined,
): IdMappings | undefined {
  if (options === undefined) return undefined;
  const { mode, uids, gids } = options;
  if (mode === NamespaceMode.NODE) {
    // the kubelet sets NODE for pods without a user namespace
    return uids.length + gids.length === 0 ? undefined : refuse(field, 'has mappings, but the mode is NODE');
  }
  if (mode !== NamespaceMode.POD)
    refuse(`${field}.mode`, `${mode} is not a mode of user namespaces: POD or NODE`);
  return idMappings(field, uids, gids);
}

/** The mappings of a mount; undefined when it has none. */
export function mountMappings(
  field: string,
  uids: readonly IDMapping[],
  gids: readonly IDMapping[],
): IdMappings | undefined {
  return uids.length + gids.length === 0
    ? undefined
    : idMappings(field, uids, gids, { uids: 'uidMappings', gids: 'gidMappings' });
}

function idMappings(
  field: string,
  uids: readonly IDMapping[],
  gids: readonly IDMapping[],
  names: { readonly uids: string; readonly gids: string } = { uids: 'uids', gids: 'gids' },
): IdMappings {
  const mappings = {
    uids: onlyMapping(`${field}.${names.uids}`, uids),
    gids: onlyMapping(`${field}.${names.gids}`, gids),
  };
  if (mappings.uids.length !== mappings.gids.length) {
    refuse(
      `${field}.${names.gids}`,
      `maps ${mappings.gids.length} ids, but ${names.uids} ${mappings.uids.length}`,
    );
  }
  return mappings;
}

/** Exactly one range, as the kubelet sends it: several would leave gaps between the ids of files on the host. */
function onlyMapping(field: string, asked: readonly IDMapping[]): IdMapping {
  const [mapping, ...others] = asked;
  if (mapping === undefined || others.length > 0)
    return refuse(field, `has ${asked.length} mappings, exactly one is supported`);
  const { containerId, hostId, length } = mapping;
  if (containerId !== 0) refuse(`${field}[0]`, 'does not map id 0 of the container');
  if (length === 0) refuse(`${field}[0].length`, 'is 0');
  if (hostId + length > IDS)
    refuse(`${field}[0].length`, `${length} ids from ${hostId} exceed the range of ids`);
  return { containerId, hostId, length };
}

/** Whether both mappings are equal. */
export function sameMappings(a: IdMappings | undefined, b: IdMappings | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return sameMapping(a.uids, b.uids) && sameMapping(a.gids, b.gids);
}

function sameMapping(a: IdMapping, b: IdMapping): boolean {
  return a.containerId === b.containerId && a.hostId === b.hostId && a.length === b.length;
}
