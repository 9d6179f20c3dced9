/** User namespaces and id-mapped mounts: mappings as they are asked for (features.md B2). Pure. */
import type { IdMapping, IdMappings } from '../../ports/specs.ts';
import type { IDMapping, UserNamespace } from '../../gen/runtime/v1/api_pb.ts';
import { NamespaceMode } from '../../gen/runtime/v1/api_pb.ts';
import { refuse } from './check.ts';

/** The highest id is -1, which the kernel keeps for "none" (user_namespaces(7)). */
const IDS = 2 ** 32 - 1;

/** What `userns_options` asks for; undefined is the host's user namespace. */
export function userNamespace(field: string, options: UserNamespace | undefined): IdMappings | undefined {
  if (options === undefined) return undefined;
  const { mode, uids, gids } = options;
  if (mode === NamespaceMode.NODE) {
    // the kubelet states NODE for pods without a user namespace
    return uids.length + gids.length === 0 ? undefined : refuse(field, 'has mappings, but the mode is NODE');
  }
  if (mode !== NamespaceMode.POD)
    refuse(`${field}.mode`, `${mode} is no mode of user namespaces, which are POD or NODE`);
  return idMappings(field, uids, gids);
}

/** Of a mount; undefined when it has none. */
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

/** One range, as the kubelet gives it: with several, files of the host would need to be shown with gaps. */
function onlyMapping(field: string, asked: readonly IDMapping[]): IdMapping {
  const [mapping, ...others] = asked;
  if (mapping === undefined || others.length > 0)
    return refuse(field, `${asked.length} mappings, exactly one is supported`);
  const { containerId, hostId, length } = mapping;
  if (containerId !== 0) refuse(`${field}[0]`, 'does not map id 0 of the container');
  if (length === 0) refuse(`${field}[0].length`, 'is 0');
  if (hostId + length > IDS)
    refuse(`${field}[0].length`, `${length} ids from ${hostId} on are more than there are`);
  return { containerId, hostId, length };
}

/** Whether both are the same namespace of the same pod. */
export function sameMappings(a: IdMappings | undefined, b: IdMappings | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return sameMapping(a.uids, b.uids) && sameMapping(a.gids, b.gids);
}

function sameMapping(a: IdMapping, b: IdMapping): boolean {
  return a.containerId === b.containerId && a.hostId === b.hostId && a.length === b.length;
}
