/** Whether this machine's cgroups are systemd's to make. */
import { access } from 'node:fs/promises';
import type { ClockPort } from '../../ports/clock.ts';
import { fail } from '../../base/fault.ts';
import { createSystemd } from '../../host/cgroups/systemd.ts';
import type { Systemd } from '../../host/cgroups/systemd.ts';
import type { Config } from '../config/config-schema.ts';
import { findProgram } from './find-program.ts';

/** The directory by which programs see that systemd is the first process (sd_booted(3)). */
const SYSTEMD_RUNS = '/run/systemd/system';

/**
 * What scopes are made with, also under the cgroupfs driver: pods of an earlier configuration may be below slices. Throws
 * `invalidRequest` where systemd is configured and is not there.
 */
export async function systemdOf(config: Config, clock: ClockPort): Promise<{ readonly systemd?: Systemd }> {
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
