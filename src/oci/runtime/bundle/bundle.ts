/**
 * Writes bundles: gathers what the spec generator needs, prepares log, mounts and directories, writes config.json.
 */
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
import { allSettled } from '../../../base/settled.ts';
import { readFileOfImage, symlinkInRoot } from '../../../host/files/files.ts';
import { cgroupsPathOf } from '../../../host/sandbox/layout.ts';
import type { Layout } from '../../../host/sandbox/layout.ts';
import { podRoot } from '../../../host/sandbox/sandbox-files.ts';
import { onUserPath } from '../../../host/mounts/answering.ts';
import { readMountPlaces } from '../../../host/mounts/mount-places.ts';
import type { MountPlaces } from '../../../host/mounts/mount-places.ts';
import { bootId } from '../../../host/files/boot-id.ts';
import { surelyExists } from '../../../host/process/process-identity.ts';
import { makeOwnDirectory, setOwnMode } from '../../../host/files/state-files.ts';
import { sourcesOf } from '../../../host/sandbox/sandbox-files.ts';
import { writeWhole } from '../../../host/files/whole-file.ts';
import { checkProfile } from './apparmor.ts';
import type { Apparmor } from './apparmor.ts';
import { resolveDevices } from './host/bundle-devices.ts';
import type { DeviceContext } from './host/bundle-devices.ts';
import { createLog, effectiveLogPath } from './bundle-log.ts';
import { nodeEdits, withCdiDevices } from './bundle-edits.ts';
import type { NodeEdits } from './bundle-edits.ts';
import { checkLabels, labelPause, relabelOf } from './bundle-labels.ts';
import { checkMounts, resolveMounts } from './host/bundle-mounts.ts';
import type { OnPath } from './host/bundle-mounts.ts';
import { checkMountTargets, makeVolumes, makeWorkingDirectory } from './mount-targets.ts';
import { configText, localSeccomp, readSeccomp } from './bundle-seccomp.ts';
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
import { KnownUsers } from './host/known-users.ts';
import { resolveUserIn } from './host/user.ts';

/**
 * NRI plugins' changes to a container's document. `limitsOf` converts limits to the document's form. `limits` is set
 * only if plugins changed the requested ones; `cdiDevices` are names of CDI devices still to be added. Rejects when a
 * plugin refuses the container.
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
  /** Undefined if AppArmor is not enabled. */
  readonly apparmor?: Apparmor | undefined;
  /** What the node's administrator and device vendors add. */
  readonly node: NodeEdits;
  /** Plugins that change a container's document before it is written; absent without plugins. */
  readonly adjust?: AdjustDocument;
  /** Whether requested devices get the container's user and group as owner instead of the host's. */
  readonly ownDevices?: () => boolean;
  /** Limits of every container's processes, in place of the host's. */
  readonly rlimits?: () => NonNullable<SpecHost['rlimits']>;
  /** Features of a handler by the request's name; empty for the default. */
  handlerFeatures(handler: string): SpecHandler;
}

export interface BundleFiles {
  /**
   * Resolves the user in the mounted root file system, makes directories and writes `bundleDir(id)/config.json`.
   * Idempotent.
   */
  writeBundle(input: BundleInput, fx: EffectContext): Promise<EffectiveContainer>;
  /** Makes the pause program's root file system and writes `pauseBundleDir(id)/config.json`. Idempotent. */
  writePauseBundle(input: PauseInput, fx: EffectContext): Promise<void>;
  /** JSON for the runtime's `update`: the limits to be set, given those that are in force. */
  updateDocument(resources: Resources, from: Resources): string;
}

interface Parts extends BundleWriterOptions {
  readonly users: KnownUsers;
}

/**
 * The bundle writer for one layout. Errors: `invalidRequest` with the field's name, `timedOut` for a host path that
 * does not answer.
 */
export function createBundleWriter(options: BundleWriterOptions): BundleFiles {
  const parts: Parts = { ...options, users: new KnownUsers() };
  return {
    writeBundle: (input, fx) => writeBundle(parts, input, fx),
    writePauseBundle: (input, fx) => writePauseBundle(options, input, fx),
    updateDocument: (resources, from) => encodeSpec(updateDocument(resources, from, options.host)),
  };
}

/** DHCP and cloud-init may set the node's name after the daemon's start, and a reload the limits. */
function presentHost({ host, rlimits }: BundleWriterOptions): SpecHost {
  return { ...host, hostname: hostname(), ...(rlimits === undefined ? {} : { rlimits: rlimits() }) };
}

async function writeBundle(
  options: Parts,
  input: BundleInput,
  fx: EffectContext,
): Promise<EffectiveContainer> {
  const { layout } = options;
  const host = presentHost(options);
  const { spec, image } = input;
  // first, whatever can be refused without touching the disk
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
  const user = await userOf(options, input, rootfs);
  const handler = options.handlerFeatures(input.handler);
  const places = await readMountPlaces();
  const onPath = pathCaller(options.clock, fx, places);
  const request: SpecInput = {
    ...requested(input),
    user,
    devices: await devicesOf(options, input, handler, { onPath, places }),
    localSeccomp: await localSeccomp(options, input, handler, onPath),
    paths: await pathsOf(options, input),
    host,
    handler,
  };
  // only to find refusals: an impossible request must not leave a directory at a host path
  generateSpec(request);
  const withNode = await nodeEdits(options.node, input, user, onPath);
  const mounts = await mountSources(layout, input, fx, { onPath, places });
  await checkMountTargets(rootfs, mounts, onPath);
  const planned = await withNode(generateSpec({ ...request, mounts }));
  const { document, limits } = await adjusted(options, { ...input, user, onPath }, planned, fx);
  const isBuiltIn = request.localSeccomp === undefined && document.linux.seccomp === planned.linux.seccomp;
  const config = isBuiltIn ? configText(document, request) : encodeSpec(document);
  const makeInRootfs = async (): Promise<void> => {
    await makeWorkingDirectory(rootfs, cwd, podRoot(input.sandbox));
    await makeVolumes(rootfs, image.volumes, mounts, podRoot(input.sandbox));
    // as CRI-O and Docker do: mount(8), df(1) and similar programs read it
    await symlinkInRoot(rootfs, '/etc', 'mtab', '/proc/mounts', podRoot(input.sandbox));
  };
  await allSettled([
    makeLogOf(logDirectory, logPath, onPath),
    makeInRootfs(),
    writeConfig(layout.containerDir(input.id), layout.bundleDir(input.id), config),
  ]);
  for (const condition of resourceConditions(spec.resources, host))
    options.log.warn({ container: input.id }, condition);
  return effective(user, stopSignal, logPath, limits);
}

function userOf({ users }: Parts, { spec, image }: BundleInput, rootfs: string): Promise<ResolvedUser> {
  const choice = spec.security.user;
  const read = (): Promise<ResolvedUser> => resolveUserIn(rootfs, choice, image.user, readFileOfImage);
  // files of a checkpoint's container may have changed
  if (spec.restore !== undefined) return read();
  return users.of({ imageId: spec.imageId, imageUser: image.user, choice }, read);
}

async function makeLogOf(directory: string, path: string, onPath: OnPath): Promise<void> {
  if (path === '') return;
  // the whole path: a file system mounted below the directory may hang, too
  await onPath(path, `log to ${path}`, () => createLog(directory, path));
}

/** The inputs that need no lookup; the sources of mounts are still the request's paths. */
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

/** Access to host paths. */
interface HostPaths {
  readonly onPath: OnPath;
  readonly places: MountPlaces;
}

function devicesOf(
  options: BundleWriterOptions,
  { spec }: BundleInput,
  handler: SpecHandler,
  { onPath, places }: HostPaths,
): ReturnType<typeof resolveDevices> {
  const { privileged, user } = spec.security;
  return resolveDevices(spec.devices, privileged && handler.privilegedWithoutHostDevices !== true, {
    onPath,
    remote: new Set(places.remote.map(({ mountPoint }) => mountPoint)),
    owner: deviceOwner(options, user),
  });
}

function mountSources(
  layout: Layout,
  { id, spec }: BundleInput,
  fx: EffectContext,
  { onPath, places }: HostPaths,
): ReturnType<typeof resolveMounts> {
  return resolveMounts(spec.mounts, {
    onPath,
    rootfses: layout.rootfsesDir,
    relabel: relabelOf(spec, places, fx),
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

/** The document after the plugins' changes, which are the last ones. */
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
    cgroup: cgroupsPathOf(input.sandbox, input.id),
  };
}

/** On the host network the pod uses the host's UTS namespace, too, and thus its hostname. */
function pinsOf(layout: Layout, id: SandboxId, { namespaces }: SandboxSpec): SpecPaths['pins'] {
  const isOwnNetwork = namespaces.network === 'pod';
  return {
    net: isOwnNetwork ? layout.pin(id, 'net') : undefined,
    uts: isOwnNetwork ? layout.pin(id, 'uts') : undefined,
    ipc: namespaces.ipc === 'pod' ? layout.pin(id, 'ipc') : undefined,
    user: namespaces.user === undefined ? undefined : layout.pin(id, 'user'),
  };
}

/**
 * Throws `wrongState` if the process has exited: its pid may have been reused, and the container would join that
 * process's namespace.
 */
function pidNamespacePath(process: ProcessIdentity | undefined): string | undefined {
  if (process === undefined) return undefined;
  const init = { pid: process.pid, startTicks: Number(process.startTicks) };
  if (process.bootId !== bootId() || !surelyExists(init)) {
    fail('wrongState', `join the PID namespace of process ${process.pid}: the process has exited`, {
      subject: String(process.pid),
    });
  }
  return `/proc/${process.pid}/ns/pid`;
}

/** The stop signal of the request, else of the image, else SIGTERM, by its canonical name. */
function stopSignalOf({ spec, image, id }: BundleInput, log: Log): string {
  if (spec.stopSignal !== '') {
    const asked = signalNumber(spec.stopSignal);
    const name = asked === undefined ? undefined : signalName(asked);
    return (
      name ??
      fail('invalidRequest', `use stop signal ${spec.stopSignal}: unknown signal`, { subject: 'stop_signal' })
    );
  }
  if (image.stopSignal === '') return 'SIGTERM';
  const number = signalNumber(image.stopSignal);
  const name = number === undefined ? undefined : signalName(number);
  if (name === undefined)
    log.warn(
      { container: id, stopSignal: image.stopSignal },
      'unknown stop signal of the image: SIGTERM is used',
    );
  return name ?? 'SIGTERM';
}

/**
 * device_ownership_from_security_context of both peers: a process that is not root could not open a device with the
 * host's owner.
 */
function deviceOwner(
  { ownDevices }: BundleWriterOptions,
  { runAsUser: uid, runAsGroup: gid }: UserChoice,
): DeviceContext['owner'] {
  if (ownDevices?.() !== true) return {};
  return { ...(uid === undefined ? {} : { uid }), ...(gid === undefined ? {} : { gid }) };
}

function pathCaller(clock: ClockPort, fx: EffectContext, mounts: MountPlaces): OnPath {
  return (path, attempted, work) => onUserPath({ path, attempted, mounts, clock, fx }, work);
}

/**
 * Writes config.json atomically: after a crash there is the old document or none. No fsync, since bundles do not
 * survive a reboot.
 */
async function writeConfig(parentDir: string, bundleDir: string, text: string): Promise<void> {
  await makeOwnDirectory(parentDir, 0o700);
  await makeOwnDirectory(bundleDir, 0o700);
  // the document holds the environment: an existing directory must get this mode, too
  await setOwnMode(bundleDir, 0o700);
  await writeWhole(join(bundleDir, 'config.json'), text, 0o600);
}

async function writePauseBundle(
  options: BundleWriterOptions,
  input: PauseInput,
  fx: EffectContext,
): Promise<void> {
  const { layout } = options;
  const host = presentHost(options);
  fx.note({ on: 'the bundle of the pause process' });
  const handler = options.handlerFeatures(input.sandbox.runtime?.name ?? input.sandbox.handler);
  const { seccomp, privileged } = input.sandbox;
  const isOwn = seccomp.type === 'localhost' && !privileged;
  const profile = isOwn
    ? await readSeccomp(options, seccomp.path, [], pathCaller(options.clock, fx, await readMountPlaces()))
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
  await writeConfig(layout.sandboxDir(input.id), layout.pauseBundleDir(input.id), encodeSpec(document));
}
