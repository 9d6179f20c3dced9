/** The host port: what a pod sandbox needs of the kernel and the file system, one effect per call. */
import { stat } from 'node:fs/promises';
import type { ClockPort } from '../../ports/clock.ts';
import type { EffectContext } from '../../ports/effect.ts';
import type { HostFacts, HostPort, HostSandbox, SandboxInput } from '../../ports/host.ts';
import { fail } from '../../base/fault.ts';
import { allSettled } from '../../base/settled.ts';
import { parseSandboxId } from '../../base/ids.ts';
import type { SandboxId } from '../../base/ids.ts';
import { hostLimits } from '../bounds.ts';
import { onUserPath } from '../mounts/answering.ts';
import { killCgroup } from '../cgroups/cgroup-kill.ts';
import type { CgroupLayout } from '../kernel-thread/thread-protocol.ts';
import { createCgroup, removeCgroup, removedAtOnce } from '../cgroups/cgroups.ts';
import { codeOf, onlyAbsent } from '../ffi/errno.ts';
import { hasSandboxCgroup, sandboxCgroup } from './layout.ts';
import { bootId } from '../files/boot-id.ts';
import { makeDirectories } from '../files/make-directories.ts';
import { makeOwnDirectory, statOwn } from '../files/state-files.ts';
import { removeDirectory } from '../files/remove-tree.ts';
import { readMountPlaces } from '../mounts/mount-places.ts';
import { namesOf } from '../files/names-of.ts';
import { isNamespacePin, pinNamespaces, unpinNamespaces } from '../namespaces/namespaces.ts';
import { makeSharedFiles, sandboxHostname, unmountSharedFiles } from './sandbox-files.ts';
import type { SandboxFilesOptions } from './sandbox-files.ts';
import { sysctlInterface } from '../namespaces/sysctl.ts';
import { sysctlOfMapped } from '../namespaces/userns-sysctl.ts';

export interface HostDriverOptions extends SandboxFilesOptions {
  readonly cgroups: CgroupLayout;
  readonly clock: ClockPort;
}

/** Creates the driver; it keeps no state between calls. */
export function createHostDriver(options: HostDriverOptions): HostPort {
  const { layout, cgroups, clock } = options;
  return {
    makeSandboxFiles: (input, fx) => makeFiles(options, input, fx),
    removeSandboxFiles: async ({ id, spec }) => {
      await allSettled([
        unmountSharedFiles(layout, id).then(() => removeDirectory(layout.sandboxDir(id))),
        // made only for a pod that names no directory
        ...(spec.logDirectory === '' ? [removeDirectory(layout.ownLogDirectory(id))] : []),
      ]);
    },
    makeSandboxCgroup: async ({ id, spec }) => {
      if (hasSandboxCgroup(spec.cgroupParent))
        await createCgroup(cgroups, sandboxCgroup(spec.cgroupParent, id));
    },
    removeSandboxCgroup: (input, fx) => removeOwnCgroup(options, input, fx),
    pinNamespaces: async ({ id, spec }, fx) => {
      fx.note({ on: 'namespace thread' });
      const { user } = spec.namespaces;
      const own = spec.namespaces.network === 'pod';
      await pinNamespaces(
        {
          directory: layout.pinDir(id),
          net: own,
          ipc: spec.namespaces.ipc === 'pod',
          // a pod on the host's network also has the host's name
          uts: own,
          ...(own ? { hostname: sandboxHostname({ id, spec }) } : {}),
          // the network driver sets parameters of an interface, once it exists
          sysctls: spec.sysctls
            .filter(({ name }) => sysctlInterface(name) === undefined)
            .map((sysctl) => (user === undefined ? sysctl : sysctlOfMapped(sysctl, user.gids))),
          ...(user === undefined ? {} : { user: { program: layout.usernsProgram, mappings: user } }),
        },
        clock,
      );
    },
    unpinNamespaces: ({ id }) => unpinNamespaces(layout.pinDir(id)),
    observe: () => observe(options),
  };
}

async function makeFiles(options: HostDriverOptions, input: SandboxInput, fx: EffectContext): Promise<void> {
  const { layout } = options;
  const { id, spec } = input;
  await makeOwnDirectory(layout.sandboxDir(id), 0o700);
  // after a failure the files are removed: a mount that comes later would stay
  await allSettled([
    makeSharedFiles(options, input),
    makeLogDirectory(options, spec.logDirectory === '' ? layout.ownLogDirectory(id) : spec.logDirectory, fx),
    checkProfile(options, spec, fx),
  ]);
}

/**
 * A pod's own seccomp profile applies to its pause process, which most pods do not have. All the same a
 * missing profile is reported at once, as containerd and CRI-O do; whether the profile is valid is checked
 * when a container uses it.
 */
async function checkProfile(
  { clock }: HostDriverOptions,
  { seccomp, privileged }: SandboxInput['spec'],
  fx: EffectContext,
): Promise<void> {
  if (seccomp.type !== 'localhost' || privileged) return;
  const { path } = seccomp;
  const attempted = `read seccomp profile ${path}`;
  const found = await onUserPath({ path, attempted, mounts: await readMountPlaces(), clock, fx }, () =>
    stat(path).catch(onlyAbsent),
  );
  if (found?.isFile() !== true)
    fail('invalidRequest', `${attempted}: ${found === undefined ? 'not found' : 'not a regular file'}`, {
      subject: 'seccomp.localhost_ref',
    });
}

/** Errors that only another path can avoid; others (EIO, ENOSPC, EROFS) are the machine's. */
const WRONG_PATH: ReadonlySet<string> = new Set(['EEXIST', 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG']);

/** The kubelet creates its log directories itself; users of crictl expect troupe to create them. */
async function makeLogDirectory(
  { clock }: HostDriverOptions,
  path: string,
  fx: EffectContext,
): Promise<void> {
  const request = {
    path,
    attempted: `create log directory ${path}`,
    mounts: await readMountPlaces(),
    clock,
    fx,
  };
  try {
    await onUserPath(request, () => makeDirectories(path, 0o755));
  } catch (thrown) {
    const code = codeOf(thrown);
    if (code === undefined || !WRONG_PATH.has(code)) throw thrown;
    fail('invalidRequest', `${request.attempted}: invalid config.log_directory: ${code}`, {
      subject: 'config.log_directory',
    });
  }
}

async function removeOwnCgroup(
  { cgroups, clock }: HostDriverOptions,
  input: SandboxInput,
  fx: EffectContext,
): Promise<void> {
  const { id, spec } = input;
  if (!hasSandboxCgroup(spec.cgroupParent)) return;
  const path = sandboxCgroup(spec.cgroupParent, id);
  fx.note({ on: `processes in cgroup ${path}` });
  // the kernel removes a cgroup without processes only: usually nothing has to be killed
  if (await removedAtOnce(cgroups, path)) return;
  const left = await killCgroup(cgroups, path, {
    clock,
    timeoutMs: Math.min(fx.timeoutMs, hostLimits.cgroupEmptyMs),
  });
  if (left.length > 0) {
    fail(
      'outside',
      `remove the cgroup of sandbox ${id}: timed out waiting for processes ${left.slice(0, 8).join(', ')} to end`,
      { subject: id, retryable: true },
    );
  }
  await removeCgroup(cgroups, path);
}

async function observe({ layout }: HostDriverOptions): Promise<HostFacts> {
  const directories = new Set(await idsIn(layout.sandboxesDir));
  const ids = [...new Set([...directories, ...(await idsIn(layout.pinsDir))])];
  // one list of all mounts instead of four checks for each pod
  const places = await readMountPlaces();
  const isHeld = async (path: string): Promise<boolean> =>
    (await statOwn(path)) !== undefined && (await isNamespacePin(path));
  const pinsOf = async (id: SandboxId): Promise<HostSandbox['pins']> => {
    // the kernel thread pins all of a pod before it lists mounts: a list with one of them has the others as well
    const listed = PINS.filter((kind) => places.at(layout.pin(id, kind))?.fsType === 'nsfs');
    if (listed.length > 0) return listed;
    // without pins the pod counts as lost, and where a link leads to the state directory the kernel lists other paths;
    // a pin that cannot be checked holds no namespace
    const held = await Promise.all(PINS.map((kind) => isHeld(layout.pin(id, kind)).catch(() => false)));
    return PINS.filter((_kind, at) => held[at]);
  };
  const sandboxes: HostSandbox[] = [];
  // a link into a tmpfs: where the state directory is on a disk, it leads nowhere after a reboot. What can't be read is
  // there
  const hasFiles = async (id: SandboxId): Promise<boolean> =>
    (await statOwn(layout.sandboxFiles(id).resolvConf).catch(() => true)) !== undefined;
  for (const id of ids) {
    const pins = await pinsOf(id);
    sandboxes.push({ id, pins, files: directories.has(id) && (pins.length > 0 || (await hasFiles(id))) });
  }
  return { bootId: bootId(), sandboxes };
}

const PINS = ['net', 'ipc', 'uts', 'user'] as const;

async function idsIn(directory: string): Promise<SandboxId[]> {
  return (await namesOf(directory)).flatMap((name) => parseSandboxId(name) ?? []);
}
