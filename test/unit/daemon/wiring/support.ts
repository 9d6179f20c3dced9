// A log that is read by the test.
import type { Log } from '../../../../src/base/log.ts';
import { silentLog } from '../../../../src/base/log.ts';

/** Lines of warnings and errors, with their reason. */
export function recordingLog(): { readonly log: Log; readonly lines: string[] } {
  const lines: string[] = [];
  const at =
    (level: string) =>
    (fields: object, message: string): void => {
      const reason = 'reason' in fields ? `: ${String(fields.reason)}` : '';
      lines.push(`${level}: ${message}${reason}`);
    };
  return { log: { ...silentLog, warn: at('warn'), error: at('error') }, lines };
}
