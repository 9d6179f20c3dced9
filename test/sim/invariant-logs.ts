/**
 * I9: each line of a container stands once, in order, over all rotations; with an exit that its monitor reported, all
 * of them.
 */
import type { Broken } from './broken.ts';
import type { Kernel } from './kernel.ts';

/** The first log that is not as it must be, of those that changed. */
export function checkLogs({ logs, trueExits }: Kernel): Broken | undefined {
  for (const id of logs.changed) {
    const log = logs.of(id);
    if (log === undefined) continue;
    const lines = [...log.rotated.flat(), ...(log.current ?? [])];
    const wrong = lines.findIndex((line, at) => line !== at + 1);
    if (wrong >= 0)
      return { invariant: 'I9', detail: `the log of ${id} has line ${lines[wrong]} in place ${wrong + 1}` };
    if (trueExits.has(id) && !log.excused && lines.length < log.said) {
      return { invariant: 'I9', detail: `the log of ${id} ends with line ${lines.length} of ${log.said}` };
    }
  }
  logs.changed.clear();
  return undefined;
}
