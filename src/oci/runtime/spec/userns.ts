/** User namespaces in the document: the pod's is joined, and its mappings are repeated. */
import type { IdMapping, IdMappings } from '../../../ports/specs.ts';
import { fail } from '../../../base/fault.ts';
import type { ResolvedUser, SpecPaths } from './input.ts';
import type { OciIdMapping, OciNamespace } from './types.ts';

/** `linux.namespaces`: its entry, if the pod has a user namespace. */
export function userNamespace(pins: SpecPaths['pins']): readonly OciNamespace[] {
  return pins.user === undefined ? [] : [{ type: 'user', path: pins.user }];
}

/** `uidMappings` and `gidMappings` of the container or of a mount; empty without mappings. */
export function idMappings(mappings: IdMappings | undefined): {
  readonly uidMappings?: readonly OciIdMapping[];
  readonly gidMappings?: readonly OciIdMapping[];
} {
  if (mappings === undefined) return {};
  return { uidMappings: [ociMapping(mappings.uids)], gidMappings: [ociMapping(mappings.gids)] };
}

function ociMapping({ containerId, hostId, length }: IdMapping): OciIdMapping {
  return { containerID: containerId, hostID: hostId, size: length };
}

/** Throws `invalidRequest` for an id that the pod's user namespace does not map: no process could have it. */
export function checkMapped(user: ResolvedUser, mappings: IdMappings | undefined): void {
  if (mappings === undefined) return;
  const { uids, gids } = mappings;
  if (user.uid >= uids.length) refuse(`user ${user.uid}`, uids.length, 'linux.security_context.run_as_user');
  for (const gid of [user.gid, ...user.additionalGids]) {
    if (gid >= gids.length) refuse(`group ${gid}`, gids.length, 'linux.security_context.run_as_group');
  }
}

function refuse(what: string, length: number, subject: string): never {
  return fail('invalidRequest', `run as ${what}: the pod's user namespace has ids 0 to ${length - 1} only`, {
    subject,
  });
}
