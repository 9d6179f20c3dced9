/** Resolves CDI edits for one container: device nodes on the host, and mounts for the pod's user namespace. */
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

export interface CdiContext {
  readonly user: ResolvedUser;
  /** The mappings of the pod's user namespace. */
  readonly mappings: IdMappings | undefined;
  readonly onPath: OnPath;
}

/** Default mode of a device node, as in the runtimes. */
const FILE_MODE = 0o666;

/**
 * Throws `invalidRequest` for a node or source that does not exist on this machine, `unsupported` for what a user
 * namespace does not allow.
 */
export async function resolveEdits(edits: CdiEdits, context: CdiContext): Promise<Edits> {
  const devices = await Promise.all(edits.deviceNodes.map((node) => resolveNode(node, context)));
  const mounts = await Promise.all(edits.mounts.map((mount) => resolveMount(mount, context)));
  const { env, hooks, additionalGids, intelRdt } = edits;
  return { env, hooks, additionalGids, intelRdt, devices, mounts };
}

async function resolveNode(
  node: CdiDeviceNode,
  { user, mappings, onPath }: CdiContext,
): Promise<ResolvedDevice> {
  const { path, hostPath, permissions } = node;
  const attempted = `use CDI device node ${hostPath}`;
  const refuse = (reason: string): never =>
    fail('invalidRequest', `${attempted}: ${reason}`, { subject: hostPath });
  // in a user namespace runtimes bind-mount the host's node at `path`, since they cannot make one
  if (mappings !== undefined && path !== hostPath)
    fail('unsupported', `${attempted} as ${path}: in a user namespace both paths must be the same`, {
      subject: hostPath,
    });
  const found = await onPath(hostPath, attempted, () =>
    nodeOf(hostPath, path, permissions).catch(onlyAbsent),
  );
  // the file may describe the node completely, even if it does not exist yet
  const type = node.type ?? found?.type ?? refuse('not a device of this machine');
  const isSaid = node.type !== undefined && (node.type === 'p' || (node.major ?? 0) !== 0);
  if (!isSaid && found === undefined) refuse('not a device of this machine');
  if (!isSaid && found?.type !== type) refuse(`it is of type ${found?.type ?? ''}, not ${type}`);
  return {
    path,
    type,
    major: node.major ?? found?.major ?? 0,
    minor: node.minor ?? found?.minor ?? 0,
    fileMode: (node.fileMode ?? found?.fileMode ?? FILE_MODE) & 0o777,
    // by default the process's user, as in the CDI library: it could not open the device otherwise
    uid: node.uid ?? user.uid,
    gid: node.gid ?? user.gid,
    permissions: type === 'p' ? '' : permissions,
  };
}

/** Mount options of propagation (mount(8), "Shared subtree operations"). */
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
 * In a user namespace a volume's owners are visible only if it is id-mapped. Without a propagation option a mount is
 * private, as the request's are: beside a bidirectional volume it would be a peer of the host's mount and propagate
 * mounts below it.
 */
async function resolveMount(mount: OciMount, { mappings, onPath }: CdiContext): Promise<OciMount> {
  const { source } = mount;
  const options = mount.options.some((option) => PROPAGATION.has(option))
    ? mount.options
    : [...mount.options, 'rprivate'];
  const kind = options.includes('rbind') ? 'ridmap' : options.includes('bind') ? 'idmap' : undefined;
  if (kind === undefined) return mount;
  const bound = { ...mount, options };
  const attempted = `mount ${source} of a CDI device at ${mount.destination}`;
  const isThere = await onPath(source, attempted, () => stat(source).then(() => true, onlyAbsent));
  if (isThere === undefined) fail('invalidRequest', `${attempted}: source not found`, { subject: source });
  const isMapped = options.includes('idmap') || options.includes('ridmap');
  return mappings === undefined || isMapped
    ? bound
    : { ...bound, options: [...options, kind], ...idMappings(mappings) };
}
