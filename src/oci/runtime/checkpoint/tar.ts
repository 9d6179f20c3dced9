/**
 * Packs with the program tar, which keeps names that are not UTF-8, holes, devices and extended attributes, and ends
 * at once when it is killed.
 */
import type { FileHandle } from 'node:fs/promises';
import { writeFile } from 'node:fs/promises';
import type { ClockPort } from '../../../ports/clock.ts';
import type { EffectContext } from '../../../ports/effect.ts';
import { fail, printable } from '../../../base/fault.ts';
import { monitorLimits } from '../bounds.ts';
import { runTool } from '../../../host/process/process-tool.ts';

const TAR = '/bin/tar';
const CP = '/bin/cp';
/** Descriptor of the output file in the child process. */
const OUT = 3;

export interface TarCall {
  readonly clock: ClockPort;
  readonly toolPath: string;
  readonly attempted: string;
  readonly fx: EffectContext;
}

export interface Changes extends TarCall {
  /** Directory that the names are relative to. */
  readonly from: string;
  readonly names: readonly Buffer[];
  /** File to which the names are written. */
  readonly list: string;
  readonly to: string;
}

/** Packs exactly these files, with owners, holes and extended attributes except the overlay's own. */
export async function packChanges({ from, names, list, to, ...call }: Changes): Promise<void> {
  const end = Buffer.of(0);
  await writeFile(list, Buffer.concat(names.flatMap((name) => [name, end])), { mode: 0o600 });
  await tool(call, [
    TAR,
    '--create',
    '--force-local',
    `--file=${to}`,
    `--directory=${from}`,
    '--numeric-owner',
    '--sparse',
    '--no-recursion',
    '--xattrs',
    '--xattrs-include=security.*',
    '--xattrs-include=user.*',
    '--null',
    '--verbatim-files-from',
    `--files-from=${list}`,
  ]);
}

/** Packs these files of a directory into an open file, with root as their owner. */
export function packAll(
  call: TarCall,
  from: string,
  names: readonly string[],
  to: FileHandle,
): Promise<void> {
  const argv = [
    TAR,
    '--create',
    `--file=/proc/self/fd/${OUT}`,
    `--directory=${from}`,
    '--numeric-owner',
    '--owner=0',
    '--group=0',
    '--sparse',
    '--',
    ...names,
  ];
  return tool(call, argv, to.fd);
}

/** Copies a file; a symbolic link is copied as a link. */
export function copyFile(call: TarCall, from: string, to: string): Promise<void> {
  return tool(call, [CP, '--no-dereference', '--', from, to]);
}

async function tool(
  { clock, toolPath, attempted, fx }: TarCall,
  argv: readonly string[],
  out?: number,
): Promise<void> {
  const on = `${argv[0] ?? ''} of the checkpoint`;
  fx.note({ on });
  const result = await runTool({
    argv,
    env: { PATH: toolPath, LC_ALL: 'C' },
    timeoutMs: fx.timeoutMs,
    signal: fx.signal,
    clock,
    onSpawn: (pid) => fx.note({ on, pid }),
    ...(out === undefined ? {} : { extraFds: [{ childFd: OUT, fd: out }] }),
  });
  if (result.timedOut) fail('timedOut', `${attempted}: ${on}: killed after a timeout of ${fx.timeoutMs} ms`);
  if (result.exitCode === 0) return;
  const said =
    printable(Buffer.from(result.stderr).toString('utf8').slice(-monitorLimits.quotedChars)) ||
    'no error message';
  const how = result.exitCode === null ? `signal ${result.signal}` : `exit code ${result.exitCode}`;
  fail(/No space left/u.test(said) ? 'exhausted' : 'outside', `${attempted}: ${on}: ${how}: ${said}`, {
    quotesOutput: true,
  });
}
