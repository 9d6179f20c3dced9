/** The files of one exec: a directory of its own in the container's, which a later daemon finds it by. */
import { join } from 'node:path';

/** Begins the name of the directory; mkdtemp adds six characters. The exec's cgroup has the same name. */
export const EXEC_PREFIX = 'exec-';

/** The OCI process object. */
export function execProcessFile(directory: string): string {
  return join(directory, 'process.json');
}

/** Written by the runtime once the process runs. */
export function execPidFile(directory: string): string {
  return join(directory, 'pid');
}
