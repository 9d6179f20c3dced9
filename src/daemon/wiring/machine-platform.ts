/** The platform of this machine, by which images are chosen. */
import { open } from 'node:fs/promises';
import { codeOf } from '../../host/ffi/errno.ts';
import { platformOfMachine, type Platform } from '../../oci/images/model/platform.ts';
import { orWithout } from './optional-part.ts';
import type { PartReport } from './optional-part.ts';

/**
 * Bytes of /proc/cpuinfo that are read: the first processor, whose longest line is its 2 KiB of flags. The kernel
 * produces the rest only if it is read.
 */
const CPUINFO_BYTES = 8192;

/** The platform of this machine; without the processors' level if it can't be read. `probe` reads it. */
export function platformOrPlain(
  report: PartReport,
  probe: () => Promise<Platform> = machinePlatform,
): Promise<Platform> {
  return orWithout(report, 'processor features', probe, platformOfMachine(process.arch, ''));
}

/** The platform of this machine with the processors' level. */
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
