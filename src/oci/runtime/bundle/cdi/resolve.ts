/** CDI edits for one container: nodes looked at on the host, mounts as the pod's user namespace needs them. */
import { stat } from 'node:fs/promises';
import type { IdMappings } from '../../../../ports/specs.ts';
import { fail } from '../../../../base/fault.ts';
import { onlyAbsent } from '../../../../host/ffi/errno.ts';
import { nodeOf } from '../host/bundle-devices.ts';
import type { OnPath } from '../host/bundle-mounts.ts';
import type { Edits } from '../../spec/edits.ts';
import type { ResolvedDevice, ResolvedUser } from '../../spec/input.ts';
import type { OciMount } from '../../spec/types.ts';
import { idMappings } from '../../spec/userns.ts';
import type { CdiDeviceNode, CdiEdits } from './edits.ts';

export interface CdiPlace {
  readonly user: ResolvedUser;
  /** Of the pod's own user namespace. */
  readonly mappings: IdMappings | undefined;
  readonly onPath: OnPath;
}

/** What a node has that nobody says more of: as the runtimes make them. */
const FILE_MODE = 0o666;

/** Throws `invalidRequest` for a node or a source that is not on this machine, `unsupported` for what a user namespace cannot have. */
export async function resolveEdits(edits: CdiEdits, place: CdiPlace): Promise<Edits> {
  const devices = await Promise.all(edits.deviceNodes.map((node) => resolveNode(node, place)));
  const mounts = await Promise.all(edits.mounts.map((mount) => resolveMount(mount, place)));
  const { env, hooks, additionalGids, intelRdt } = edits;
  return { env, hooks, additionalGids, intelRdt, devices, mounts };
}

async function resolveNode(
  node: CdiDeviceNode,
  { user, mappings, onPath }: CdiPlace,
): Promise<ResolvedDevice> {
  const { path, hostPath, permissions } = node;
  const attempted = `use CDI device node ${hostPath}`;
  const refuse = (reason: string): never =>
    fail('invalidRequest', `${attempted}: ${reason}`, { subject: hostPath });
  // runtimes bind the host's node there, since none can be made
  if (mappings !== undefined && path !== hostPath)
    fail('unsupported', `${attempted} as ${path}: in a user namespace both paths must be the same`, {
      subject: hostPath,
    });
  const found = await onPath(hostPath, attempted, () =>
    nodeOf(hostPath, path, permissions).catch(onlyAbsent),
  );
  // a vendor may say all of it by itself, of a node that is not there yet
  const type = node.type ?? found?.type ?? refuse('it is no device of this machine');
  const isSaid = node.type !== undefined && (node.type === 'p' || (node.major ?? 0) !== 0);
  if (!isSaid && found === undefined) refuse('it is no device of this machine');
  if (!isSaid && found?.type !== type) refuse(`it is of type ${found?.type ?? ''}, not ${type}`);
  return {
    path,
    type,
    major: node.major ?? found?.major ?? 0,
    minor: node.minor ?? found?.minor ?? 0,
    fileMode: (node.fileMode ?? found?.fileMode ?? FILE_MODE) & 0o777,
    // not said, it is the process's, which could not open it otherwise (the CDI library does so)
    uid: node.uid ?? user.uid,
    gid: node.gid ?? user.gid,
    permissions: type === 'p' ? '' : permissions,
  };
}

/** Words for what reaches other mounts, and what comes from them (mount(8), shared subtree operations). */
const PROPAGATION: ReadonlySet<string> = new Set([
  'private',
  'rprivate',
  'slave',
  'rslave',
  'shared',
  'rshared',
  'unbindable',
  'runbindable',
]);

/**
 * Volumes of a user namespace show their owners only when they are mapped. One that says nothing of propagation is private, as
 * the request's are: beside a bidirectional volume it would be the host's peer, and what is mounted below it, mounted there too.
 */
async function resolveMount(mount: OciMount, { mappings, onPath }: CdiPlace): Promise<OciMount> {
  const { source } = mount;
  const options = mount.options.some((option) => PROPAGATION.has(option))
    ? mount.options
    : [...mount.options, 'rprivate'];
  const kind = options.includes('rbind') ? 'ridmap' : options.includes('bind') ? 'idmap' : undefined;
  if (kind === undefined) return mount;
  const bound = { ...mount, options };
  const attempted = `mount ${source} of a CDI device at ${mount.destination}`;
  const isThere = await onPath(source, attempted, () => stat(source).then(() => true, onlyAbsent));
  if (isThere === undefined)
    fail('invalidRequest', `${attempted}: the source is not there`, { subject: source });
  const isMapped = options.includes('idmap') || options.includes('ridmap');
  return mappings === undefined || isMapped
    ? bound
    : { ...bound, options: [...options, kind], ...idMappings(mappings) };
}
