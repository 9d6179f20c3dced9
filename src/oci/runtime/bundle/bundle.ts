/** Writes bundles: looks up what spec generation must know, prepares what the container will find, writes config.json. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { ClockPort } from '../../../ports/clock.ts';
import type { EffectContext } from '../../../ports/effect.ts';
import type { EffectiveContainer, ProcessIdentity } from '../../../ports/journal.ts';
import type { BundleInput, PauseInput } from '../../../ports/runtime.ts';
import type { Resources, SandboxSpec, UserChoice } from '../../../ports/specs.ts';
import type { SandboxId } from '../../../base/ids.ts';
import { fail } from '../../../base/fault.ts';
import type { Log } from '../../../base/log.ts';
import { readFileInRoot, symlinkInRoot } from '../../../host/files/files.ts';
import { containerCgroup } from '../../../host/sandbox/layout.ts';
import type { Layout } from '../../../host/sandbox/layout.ts';
import { isRemote, onUserPath } from '../../../host/mounts/answering.ts';
import { readMountInfo } from '../../../host/mounts/mountinfo.ts';
import type { MountInfo } from '../../../host/mounts/mountinfo.ts';
import { bootId, processExists } from '../../../host/process/process-identity.ts';
import { makeOwnDirectory, setOwnMode } from '../../../host/files/state-files.ts';
import { sourcesOf } from '../../../host/sandbox/sandbox-files.ts';
import { writeWhole } from '../../../host/files/whole-file.ts';
import { checkProfile } from './apparmor.ts';
import type { Apparmor } from './apparmor.ts';
import { resolveDevices } from './host/bundle-devices.ts';
import type { DevicePlace } from './host/bundle-devices.ts';
import { effectiveLogPath, makeLog, prepareLog } from './bundle-log.ts';
import { nodeEdits, withCdiDevices } from './bundle-edits.ts';
import type { NodeEdits } from './bundle-edits.ts';
import { checkLabels, labelPause, relabelOf } from './bundle-labels.ts';
import { checkMounts, resolveMounts } from './host/bundle-mounts.ts';
import type { OnPath } from './host/bundle-mounts.ts';
import { checkPlaces, makeVolumes, makeWorkingDirectory } from './mount-targets.ts';
import { localSeccomp, readSeccomp } from './bundle-seccomp.ts';
import { checkCpusets } from './host/cpusets.ts';
import { makePauseRootfs, pauseSpec } from '../pause-process/bundle.ts';
import { generateSpec } from '../spec/generate.ts';
import type { ResolvedUser, SpecHandler, SpecHost, SpecInput, SpecPaths } from '../spec/input.ts';
import { processArgs, workingDirectory } from '../spec/process.ts';
import { limitsOf, resourceConditions } from '../spec/resources.ts';
import { signalName, signalNumber } from '../spec/signals.ts';
import { encodeSpec } from '../spec/types.ts';
import { updateDocument } from '../spec/update.ts';
import type { OciLimits, OciSpec } from '../spec/types.ts';
import { resolveUserIn } from './host/user.ts';

/**
 * What plugins make of a container's document. `limitsOf` makes the document's part of limits; the limits are answered where
 * they are others than those that were asked for, and the names of CDI devices that are still to be put in. Rejects with a refusal.
 */
export type AdjustDocument = (
  input: BundleInput,
  document: OciSpec,
  limitsOf: (limits: Resources) => OciLimits,
  fx: EffectContext,
) => Promise<{
  readonly document: OciSpec;
  readonly limits: Resources | undefined;
  readonly cdiDevices: readonly string[];
}>;

export interface BundleWriterOptions {
  readonly layout: Layout;
  readonly clock: ClockPort;
  readonly log: Log;
  readonly host: SpecHost;
  /** Undefined where AppArmor is not enabled. */
  readonly apparmor?: Apparmor | undefined;
  /** What the node's administrator and its device vendors add. */
  readonly node: NodeEdits;
  /** Plugins that change a container's document before it is written; left out where there are none. */
  readonly adjust?: AdjustDocument;
  /** Whether requested devices belong to the request's user and group; left out for the host's owners. */
  readonly ownDevices?: boolean;
  /** Features of a handler; the name is as the request gave it, empty for the default. */
  handlerFeatures(handler: string): SpecHandler;
}

export interface BundleFiles {
  /** User resolved in the mounted root file system, directories made, `bundleDir(id)/config.json` written. Idempotent. */
  writeBundle(input: BundleInput, fx: EffectContext): Promise<EffectiveContainer>;
  /** The pause program's root file system and `pauseBundleDir(id)/config.json`. Idempotent. */
  writePauseBundle(input: PauseInput, fx: EffectContext): Promise<void>;
  /** JSON for the runtime's `update`: the limits as they are to be, after those that were. */
  updateDocument(resources: Resources, from: Resources): string;
}

/** The writer for one layout. Errors: `invalidRequest` with the field's name, `timedOut` for a host path that does not answer. */
export function createBundleWriter(options: BundleWriterOptions): BundleFiles {
  return {
    writeBundle: (input, fx) => writeBundle(options, input, fx),
    writePauseBundle: (input, fx) => writePauseBundle(options, input, fx),
    updateDocument: (resources, from) => encodeSpec(updateDocument(resources, from, options.host)),
  };
}

async function writeBundle(
  options: BundleWriterOptions,
  input: BundleInput,
  fx: EffectContext,
): Promise<EffectiveContainer> {
  const { layout } = options;
  // nodes get their names from DHCP and cloud-init, which may come after us
  const host = { ...options.host, hostname: hostname() };
  const { spec, image } = input;
  // whatever can be refused without touching the disk is refused before anything is made
  checkMounts(spec.mounts);
  processArgs(spec, image);
  await checkCpusets(spec.resources);
  const cwd = workingDirectory(spec, image);
  const logDirectory = input.sandbox.logDirectory || layout.ownLogDirectory(input.sandboxId);
  const logPath = effectiveLogPath(logDirectory, spec.logPath);
  const stopSignal = stopSignalOf(input, options.log);
  await checkProfile(options.apparmor, spec.security);
  await checkLabels(spec.selinuxLabels);

  const rootfs = layout.rootfs(input.id);
  fx.note({ on: "the image's passwd and group" });
  const user = await resolveUserIn(rootfs, spec.security.user, image.user, readFileInRoot);
  const handler = options.handlerFeatures(input.handler);
  const mountInfo = await readMountInfo();
  const onPath = pathCaller(options.clock, fx, mountInfo);
  const wish: SpecInput = {
    ...requested(input),
    user,
    devices: await devicesOf(options, input, handler, { onPath, mountInfo }),
    localSeccomp: await localSeccomp(options, input, handler, onPath),
    paths: await pathsOf(options, input),
    host,
    handler,
  };
  // once for its refusals alone: a wish that cannot be a document must not leave a directory at a host path
  generateSpec(wish);
  const withNode = await nodeEdits(options.node, input, user, onPath);
  const mounts = await mountSources(layout, input, fx, { onPath, mountInfo });
  await checkPlaces(rootfs, mounts, onPath);
  const planned = await withNode(generateSpec({ ...wish, mounts }));
  const { document, limits } = await adjusted(options, { ...input, user, onPath }, planned, fx);
  // the whole path: what is mounted below the directory may hang as well
  if (logPath !== '')
    await onPath(logPath, `log to ${logPath}`, () =>
      prepareLog(logDirectory, logPath).then(() => makeLog(logPath)),
    );
  await makeWorkingDirectory(rootfs, cwd, rootOf(input.sandbox));
  await makeVolumes(rootfs, image.volumes, mounts, rootOf(input.sandbox));
  // as CRI-O and Docker have it: mount(8), df(1) and their kin of old look there
  await symlinkInRoot(rootfs, '/etc', 'mtab', '/proc/mounts', rootOf(input.sandbox));
  await writeConfig(layout.containerDir(input.id), layout.bundleDir(input.id), document);
  for (const condition of resourceConditions(spec.resources, host))
    options.log.warn({ container: input.id }, condition);
  return effective(user, stopSignal, logPath, limits);
}

/** What the document is made of before anything is looked up: sources of mounts are the request's own paths. */
function requested({
  id,
  sandboxId,
  spec,
  sandbox,
  image,
}: BundleInput): Pick<SpecInput, 'id' | 'sandboxId' | 'spec' | 'sandbox' | 'image' | 'mounts'> {
  return {
    id,
    sandboxId,
    spec,
    sandbox,
    image,
    mounts: spec.mounts.map((mount) => ({ mount, source: mount.hostPath })),
  };
}

/** How host paths are reached. */
interface HostPaths {
  readonly onPath: OnPath;
  readonly mountInfo: readonly MountInfo[];
}

function devicesOf(
  options: BundleWriterOptions,
  { spec }: BundleInput,
  handler: SpecHandler,
  { onPath, mountInfo }: HostPaths,
): ReturnType<typeof resolveDevices> {
  const { privileged, user } = spec.security;
  return resolveDevices(spec.devices, privileged && handler.privilegedWithoutHostDevices !== true, {
    onPath,
    remote: remoteMounts(mountInfo),
    owner: deviceOwner(options, user),
  });
}

function mountSources(
  layout: Layout,
  { id, spec }: BundleInput,
  fx: EffectContext,
  { onPath, mountInfo }: HostPaths,
): ReturnType<typeof resolveMounts> {
  return resolveMounts(spec.mounts, {
    onPath,
    mountInfo,
    ours: layout.rootfsesDir,
    relabel: relabelOf(spec, mountInfo, fx),
    imageVolume: (image) => layout.imageVolume(id, image),
  });
}

function effective(
  user: ResolvedUser,
  stopSignal: string,
  logPath: string,
  limits: Resources | undefined,
): EffectiveContainer {
  const container = {
    uid: user.uid,
    gid: user.gid,
    supplementalGroups: user.additionalGids,
    stopSignal,
    logPath,
  };
  return limits === undefined ? container : { ...container, limits };
}

/** What plugins make of the document: the last word before the runtime's. */
async function adjusted(
  { adjust, node, host }: BundleWriterOptions,
  input: BundleInput & { readonly user: ResolvedUser; readonly onPath: OnPath },
  planned: OciSpec,
  fx: EffectContext,
): Promise<{ readonly document: OciSpec; readonly limits: Resources | undefined }> {
  if (adjust === undefined) return { document: planned, limits: undefined };
  const { document, limits, cdiDevices } = await adjust(
    input,
    planned,
    (wanted) => limitsOf(wanted, host),
    fx,
  );
  return {
    document:
      cdiDevices.length === 0 ? document : await withCdiDevices(document, cdiDevices, { ...input, node }),
    limits,
  };
}

async function pathsOf({ layout }: BundleWriterOptions, input: BundleInput): Promise<SpecPaths> {
  return {
    rootfs: layout.rootfs(input.id),
    files: await sourcesOf(layout, input.sandboxId),
    pins: pinsOf(layout, input.sandboxId, input.sandbox),
    pidNamespace: pidNamespacePath(input.pidNamespaceOf),
    cgroup: containerCgroup(input.sandbox.cgroupParent, input.id),
  };
}

/** On the host network the host's UTS namespace is used, too: its name is the pod's (features.md B1). */
function pinsOf(layout: Layout, id: SandboxId, { namespaces }: SandboxSpec): SpecPaths['pins'] {
  const isOwnNetwork = namespaces.network === 'pod';
  return {
    net: isOwnNetwork ? layout.pin(id, 'net') : undefined,
    uts: isOwnNetwork ? layout.pin(id, 'uts') : undefined,
    ipc: namespaces.ipc === 'pod' ? layout.pin(id, 'ipc') : undefined,
    user: namespaces.user === undefined ? undefined : layout.pin(id, 'user'),
  };
}

/** The pod's root by the host's numbers; undefined where it is the host's own. */
function rootOf({
  namespaces: { user },
}: SandboxSpec): { readonly uid: number; readonly gid: number } | undefined {
  return user === undefined ? undefined : { uid: user.uids.hostId, gid: user.gids.hostId };
}

/** A pid alone could belong to another process by now, and the container would join that one's namespace. */
function pidNamespacePath(process: ProcessIdentity | undefined): string | undefined {
  if (process === undefined) return undefined;
  const isThere =
    process.bootId === bootId() &&
    processExists({ pid: process.pid, startTicks: Number(process.startTicks) });
  if (!isThere) {
    fail('wrongState', `join the PID namespace of process ${process.pid}: it has ended`, {
      subject: String(process.pid),
    });
  }
  return `/proc/${process.pid}/ns/pid`;
}

/** Request over image over SIGTERM, by its one name. */
function stopSignalOf({ spec, image, id }: BundleInput, log: Log): string {
  if (spec.stopSignal !== '') {
    const asked = signalNumber(spec.stopSignal);
    const name = asked === undefined ? undefined : signalName(asked);
    return (
      name ??
      fail('invalidRequest', `use stop signal ${spec.stopSignal}: no such signal`, { subject: 'stop_signal' })
    );
  }
  if (image.stopSignal === '') return 'SIGTERM';
  const number = signalNumber(image.stopSignal);
  const name = number === undefined ? undefined : signalName(number);
  if (name === undefined)
    log.warn(
      { container: id, stopSignal: image.stopSignal },
      "the image's stop signal is unknown, SIGTERM is used",
    );
  return name ?? 'SIGTERM';
}

/** Both peers' setting of the same name: a device for a process that is not root, which could not open the host's. */
function deviceOwner(
  { ownDevices }: BundleWriterOptions,
  { runAsUser: uid, runAsGroup: gid }: UserChoice,
): DevicePlace['owner'] {
  if (ownDevices !== true) return {};
  return { ...(uid === undefined ? {} : { uid }), ...(gid === undefined ? {} : { gid }) };
}

/** Where a walk must not go in. */
function remoteMounts(mountInfo: readonly MountInfo[]): ReadonlySet<string> {
  return new Set(mountInfo.filter(isRemote).map(({ mountPoint }) => mountPoint));
}

function pathCaller(clock: ClockPort, fx: EffectContext, mountInfo: readonly MountInfo[]): OnPath {
  return (path, attempted, work) => onUserPath({ path, attempted, mounts: mountInfo, clock, fx }, work);
}

/** Whole or not at all: a crash in between leaves the old document or none. Nothing here outlives a reboot, so no sync. */
async function writeConfig(parentDir: string, bundleDir: string, document: OciSpec): Promise<void> {
  await makeOwnDirectory(parentDir, 0o700);
  await makeOwnDirectory(bundleDir, 0o700);
  // an older, laxer directory of the same name is no excuse: the document holds the environment
  await setOwnMode(bundleDir, 0o700);
  await writeWhole(join(bundleDir, 'config.json'), encodeSpec(document), 0o600);
}

async function writePauseBundle(
  options: BundleWriterOptions,
  input: PauseInput,
  fx: EffectContext,
): Promise<void> {
  const { layout, host } = options;
  fx.note({ on: 'the bundle of the pause process' });
  const handler = options.handlerFeatures(input.sandbox.runtime?.name ?? input.sandbox.handler);
  const { seccomp, privileged } = input.sandbox;
  const isOwn = seccomp.type === 'localhost' && !privileged;
  const profile = isOwn
    ? await readSeccomp(options, seccomp.path, [], pathCaller(options.clock, fx, await readMountInfo()))
    : undefined;
  const document = pauseSpec({
    ...input,
    host,
    handler,
    seccomp: profile,
    rootfs: layout.pauseRootfs,
    pins: pinsOf(layout, input.id, input.sandbox),
  });
  await makePauseRootfs(layout, host);
  await labelPause(layout.pauseRootfs, input.sandbox.selinuxLabels);
  await writeConfig(layout.sandboxDir(input.id), layout.pauseBundleDir(input.id), document);
}
