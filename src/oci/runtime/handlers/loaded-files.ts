/**
 * The files beside a program's own that decide which libraries it loads, and these libraries: a libseccomp that is
 * replaced under an unchanged runc compiles other filters.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { ClockPort } from '../../../ports/clock.ts';
import { fail } from '../../../base/fault.ts';
import { runTool } from '../../../host/process/process-tool.ts';
import { driverLimits } from '../bounds.ts';

/** Offsets in Elf64_Ehdr and Elf64_Phdr (elf(5)), and PT_INTERP. */
const AT = { headers: 32, headerBytes: 54, headerCount: 56 } as const;
const [ELF_HEADER_BYTES, PT_INTERP] = [64, 3];
/** Magic, 64 bit, little endian. */
const ELF64 = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]);

/** Where ld.so(8) finds libraries first. */
const LIBRARY_CACHE = '/etc/ld.so.cache';

/** With it glibc's ld.so(8) prints the libraries in place of running the program, as ldd(1) has it do. */
const TRACE = { LD_TRACE_LOADED_OBJECTS: '1' } as const;

/** How a program finds its libraries: it has none, asks ld.so, or cannot be judged: a script, another format. */
export type Linkage = 'static' | 'dynamic' | 'unknown';

/**
 * The files of the libraries that a program loads in this environment; none for a static one. Undefined if they cannot
 * be known: for a script, and with another ld.so than glibc's. Rejects if that could not be found out this time.
 */
export async function loadedFiles(
  path: string,
  options: { readonly clock: ClockPort; readonly toolPath: string },
): Promise<readonly string[] | undefined> {
  const linkage = linkageIn(await firstBytes(path));
  if (linkage !== 'dynamic') return linkage === 'static' ? [] : undefined;
  const { exitCode, stdout, timedOut, truncated } = await runTool({
    argv: [path, '--version'],
    env: { ...TRACE, PATH: options.toolPath },
    timeoutMs: driverLimits.probeMs,
    clock: options.clock,
  });
  if (exitCode === 0 && !timedOut && !truncated) return tracedFiles(Buffer.from(stdout).toString('utf8'));
  const how = timedOut ? `timed out after ${driverLimits.probeMs} ms` : `exit code ${exitCode ?? -1}`;
  return fail('outside', `list the libraries of ${path}: ${truncated ? 'its output was cut' : how}`);
}

async function firstBytes(path: string): Promise<Buffer> {
  // a FIFO does not block
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const bytes = Buffer.alloc(driverLimits.elfHeaderBytes);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    return bytes.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** From the first bytes of a program. */
export function linkageIn(bytes: Buffer): Linkage {
  if (bytes.length < ELF_HEADER_BYTES || !bytes.subarray(0, ELF64.length).equals(ELF64)) return 'unknown';
  const from = Number(bytes.readBigUInt64LE(AT.headers));
  const [each, count] = [bytes.readUInt16LE(AT.headerBytes), bytes.readUInt16LE(AT.headerCount)];
  if (each < 4 || from + each * count > bytes.length) return 'unknown';
  const types = Array.from({ length: count }, (_, at) => bytes.readUInt32LE(from + at * each));
  return types.includes(PT_INTERP) ? 'dynamic' : 'static';
}

/**
 * The files in what ld.so prints, with the cache in which it finds them. Undefined for other output, such as that of
 * musl, which runs the program.
 */
export function tracedFiles(text: string): readonly string[] | undefined {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const files: string[] = [];
  for (const line of lines) {
    const match = /^\t(?:\S+ => )?(\S+) \(0x[\da-f]+\)$/u.exec(line);
    if (match === null || files.length >= driverLimits.loadedFiles) return undefined;
    const [, file = ''] = match;
    // linux-vdso.so.1 is the kernel's
    if (file.startsWith('/')) files.push(file);
  }
  return lines.length === 0 ? undefined : [...files, LIBRARY_CACHE];
}
