/** Freezes containers and reads them: processes by the runtime and CRIU, and files. */
import { closeSync, fstatSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CheckpointedContainer } from '../../../ports/checkpoint.ts';
import type { EffectContext } from '../../../ports/effect.ts';
import type { ClockPort } from '../../../ports/clock.ts';
import type { ContainerId, Digest } from '../../../base/ids.ts';
import { fail } from '../../../base/fault.ts';
import { checkpointLimits } from '../bounds.ts';
import { isAbsent } from '../../../host/ffi/errno.ts';
import { O_PATH } from '../../../host/ffi/constants.ts';
import { isEscape } from '../../../host/files/files-at.ts';
import { openInRoot } from '../../../host/files/files.ts';
import type { Layout } from '../../../host/sandbox/layout.ts';
import { runTool } from '../../../host/process/process-tool.ts';
import { ownGlobals, runRuntime } from '../container/parts.ts';
import type { DriverParts, RuntimeAnswer } from '../container/parts.ts';
import type { Handler } from '../handlers/handlers.ts';
import { bindMount, configDump, FILES, specMounts } from '../../documents/checkpoint-documents.ts';
import type { SpecMount } from '../../documents/checkpoint-documents.ts';
import { rootfsChanges } from './rootfs-diff.ts';
import { packChanges } from './tar.ts';

export interface Reader {
  readonly parts: DriverParts;
  readonly layout: Layout;
  readonly clock: ClockPort;
  /** PATH of the runtime, with CRIU's directory first. */
  readonly toolPath: string;
  readonly upperOf: (id: ContainerId) => string;
  readonly layerOf: (diffId: Digest) => string;
}

export interface CheckpointJob {
  readonly container: CheckpointedContainer;
  readonly handler: Handler;
  readonly attempted: string;
  /** Directory of this checkpoint. */
  readonly work: string;
}

type Target = Pick<CheckpointJob, 'handler' | 'attempted'> & { readonly id: ContainerId };

/** Freezes all processes of the container. */
export async function freeze(
  reader: Reader,
  { container, handler, attempted }: CheckpointJob,
  fx: EffectContext,
): Promise<void> {
  const answer = await call(reader, { id: container.id, handler, attempted }, ['pause'], fx);
  if (!answer.ok)
    fail('outside', `${attempted}: ${handler.name} pause: ${answer.problem}`, {
      subject: container.id,
      quotesOutput: true,
    });
}

/**
 * Thaws the container, whatever became of its checkpoint: neither an abort nor the caller's timeout ends it. Succeeds
 * when the processes run or have exited.
 */
export async function thaw(reader: Reader, target: Target, note: EffectContext['note']): Promise<void> {
  const { id, handler, attempted } = target;
  const fx: EffectContext = {
    signal: new AbortController().signal,
    timeoutMs: checkpointLimits.resumeMs,
    note,
  };
  const answer = await call(reader, target, ['resume'], fx);
  if (answer.ok || !(await isPaused(reader, target))) return;
  fail(
    'outside',
    `${attempted}: container ${id} is still frozen: ${handler.name} resume: ${answer.problem}`,
    {
      subject: id,
      quotesOutput: true,
    },
  );
}

async function isPaused({ clock, toolPath }: Reader, { id, handler }: Target): Promise<boolean> {
  const result = await runTool({
    argv: [handler.path, ...ownGlobals(handler), 'state', id],
    env: { PATH: toolPath },
    timeoutMs: checkpointLimits.probeMs,
    clock,
  });
  if (result.exitCode !== 0) return false;
  const { status } = JSON.parse(Buffer.from(result.stdout).toString('utf8')) as { readonly status?: unknown };
  return status === 'paused';
}

/** Reads everything that must be consistent into the checkpoint's directory. */
export async function read(reader: Reader, job: CheckpointJob, fx: EffectContext): Promise<void> {
  const { container, handler, attempted, work } = job;
  const images = ['--image-path', join(work, FILES.images), '--work-path', work];
  // as CRI-O: file locks belong to the processes; the kubelet expects the container to keep running
  const answer = await call(
    reader,
    { id: container.id, handler, attempted },
    ['checkpoint', ...images, '--file-locks', '--leave-running'],
    fx,
  );
  if (!answer.ok)
    fail('outside', `${attempted}: ${handler.name} checkpoint: ${answer.problem}`, {
      subject: container.id,
      quotesOutput: true,
    });
  fx.note({ on: 'the list of changed files' });
  const config = await readFile(reader.layout.configJson(container.id), 'utf8');
  const mounts = specMounts(config);
  const lowers = container.image.layers.map(reader.layerOf).toReversed();
  const { changed, deleted } = await rootfsChanges(
    reader.upperOf(container.id),
    lowers,
    mounts.map(({ destination }) => destination),
  );
  await packChanges({
    ...toolCall(reader, attempted, fx),
    from: reader.upperOf(container.id),
    names: changed,
    list: join(work, 'changed'),
    to: join(work, FILES.rootfs),
  });
  await writeFile(join(work, FILES.spec), config, { mode: 0o600 });
  await writeFile(join(work, FILES.config), configDump(container, handler.name, reader.clock.nowNs()), {
    mode: 0o600,
  });
  await writeFile(
    join(work, FILES.bindMounts),
    JSON.stringify(await bindMounts(reader.layout.rootfs(container.id), mounts)),
    { mode: 0o600 },
  );
  if (deleted.length > 0)
    await writeFile(
      join(work, FILES.deleted),
      JSON.stringify(deleted.map((path) => `/${path.toString('utf8')}`)),
      { mode: 0o600 },
    );
}

export function toolCall(
  { clock, toolPath }: Reader,
  attempted: string,
  fx: EffectContext,
): { clock: ClockPort; toolPath: string; attempted: string; fx: EffectContext } {
  return { clock, toolPath, attempted, fx };
}

/**
 * Entries of bind.mounts. Whether a mount is a file or a directory is read from its target, since the source may be
 * on a file system that does not answer. Symbolic links in the root file system are the container's and are confined
 * to it. They are followed whoever owns them: the container is frozen, and only type and mode of their target are read.
 */
async function bindMounts(rootfs: string, mounts: readonly SpecMount[]): Promise<readonly object[]> {
  const entries: object[] = [];
  for (const mount of mounts) {
    if (mount.type !== 'bind') continue;
    const facts = await targetStats(rootfs, mount.destination);
    if (facts !== undefined) entries.push(bindMount(mount, facts.isDirectory(), facts.mode));
  }
  return entries;
}

/** Undefined if it does not exist any more. */
async function targetStats(rootfs: string, path: string): Promise<Stats | undefined> {
  let fd: number;
  try {
    fd = await openInRoot(rootfs, path, O_PATH);
  } catch (error) {
    if (isEscape(error) || isAbsent(error)) return undefined;
    throw error;
  }
  try {
    return fstatSync(fd);
  } finally {
    closeSync(fd);
  }
}

function call(
  { parts, toolPath }: Reader,
  { id, handler, attempted }: Target,
  words: readonly string[],
  fx: EffectContext,
): Promise<RuntimeAnswer> {
  const argv = [handler.path, ...ownGlobals(handler), ...words, id];
  return runRuntime(
    { ...parts, toolPath },
    { argv, attempted, stage: `${handler.name} ${words[0] ?? ''}`, subject: id, fx },
  );
}
