/** Which images this machine runs. */
import { open } from 'node:fs/promises';
import { codeOf } from '../../host/ffi/errno.ts';
import { platformOfMachine, type Platform } from '../../oci/images/model/platform.ts';
import { orWithout } from './optional-part.ts';
import type { PartReport } from './optional-part.ts';

/** Bytes of /proc/cpuinfo that are read: the first processor, whose longest line is its 2 KiB of flags. The kernel writes the others only when they are read. */
const CPUINFO_BYTES = 8192;

/** What this machine runs; without the level of its processors where that can't be read. `probe`: reads them. */
export function platformOrPlain(
  report: PartReport,
  probe: () => Promise<Platform> = machinePlatform,
): Promise<Platform> {
  return orWithout(report, 'processor features', probe, platformOfMachine(process.arch, ''));
}

/** The platform of this machine, with the level of its processors. */
export async function machinePlatform(): Promise<Platform> {
  return platformOfMachine(process.arch, await cpuinfo());
}

async function cpuinfo(): Promise<string> {
  try {
    const file = await open('/proc/cpuinfo');
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(CPUINFO_BYTES), 0, CPUINFO_BYTES, 0);
      return buffer.toString('latin1', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return '';
    throw error;
  }
}
