/** Access to systemd, which makes scopes, if it runs this machine. */
import { access } from 'node:fs/promises';
import type { ClockPort } from '../../ports/clock.ts';
import { fail } from '../../base/fault.ts';
import { createSystemd } from '../../host/cgroups/systemd.ts';
import type { Systemd } from '../../host/cgroups/systemd.ts';
import type { Config } from '../config/config-schema.ts';
import { findProgram } from './find-program.ts';

/** A directory that exists if systemd is the first process (sd_booted(3)). */
const SYSTEMD_RUNS = '/run/systemd/system';

/**
 * Used to make scopes, and also under the cgroupfs driver, since pods of an earlier configuration may be below slices.
 * Throws `invalidRequest` if the systemd driver is configured and systemd does not run.
 */
export async function systemdOf(
  config: Pick<Config, 'cgroup'>,
  clock: ClockPort,
): Promise<{ readonly systemd?: Systemd }> {
  const isRunning = await access(SYSTEMD_RUNS).then(
    () => true,
    () => false,
  );
  if (config.cgroup.driver === 'systemd') {
    if (!isRunning)
      fail(
        'invalidRequest',
        `use cgroup.driver systemd: systemd does not run this machine (no ${SYSTEMD_RUNS})`,
        { subject: 'cgroup.driver' },
      );
    return {
      systemd: createSystemd({ clock, busctl: await findProgram('busctl', 'cgroup driver systemd') }),
    };
  }
  if (!isRunning) return {};
  return findProgram('busctl', 'scopes').then(
    (busctl) => ({ systemd: createSystemd({ clock, busctl }) }),
    () => ({}),
  );
}
