/** What containers can have of AppArmor on this machine. */
import { toFault } from '../base/fault.ts';
import { launchLimits } from '../base/limits.ts';
import type { Log } from '../base/log.ts';
import { apparmorIsEnabled, loadProfile, profileIsLoaded } from '../host/apparmor.ts';
import { DEFAULT_PROFILE, DEFAULT_PROFILE_TEXT } from '../oci/runtime/apparmor.ts';
import type { Apparmor } from '../oci/runtime/apparmor.ts';
import { within } from '../oci/storage/within.ts';
import { findProgram } from './find-program.ts';
import { orWithout } from './optional-part.ts';
import type { PartReport } from './optional-part.ts';

export interface ApparmorSetup {
  /** Undefined where the kernel enforces none. */
  readonly apparmor: Apparmor | undefined;
  /** The profile of containers that ask for the default; empty where there is none. */
  readonly defaultProfile: string;
}

/** What is asked of the machine. */
export interface ApparmorMachine {
  readonly isEnabled: () => Promise<boolean>;
  /** Path of the program that gives the kernel a profile. */
  readonly parser: () => Promise<string>;
  readonly load: typeof loadProfile;
}

const MACHINE: ApparmorMachine = {
  isEnabled: apparmorIsEnabled,
  parser: () => findProgram('apparmor_parser', 'the default AppArmor profile'),
  load: loadProfile,
};

/**
 * Looks, and loads our default profile. A machine that enforces AppArmor and can't load it still runs pods: without the
 * default profile, as with both peers, and with a line in the log; named profiles that are loaded can be had. One that does
 * not say within `partMs` whether it enforces AppArmor counts as one that does not.
 */
export async function setUpApparmor(
  report: PartReport,
  log: Log,
  machine: ApparmorMachine = MACHINE,
): Promise<ApparmorSetup> {
  const { clock, conditions } = report;
  if (!(await orWithout(report, 'AppArmor', machine.isEnabled, false)))
    return { apparmor: undefined, defaultProfile: '' };
  try {
    const bound = { signal: new AbortController().signal, timeoutMs: launchLimits.partMs };
    const parser = await within(clock, bound, 'find apparmor_parser', machine.parser);
    const loadDefault = (): Promise<void> =>
      machine.load(parser, DEFAULT_PROFILE, DEFAULT_PROFILE_TEXT, clock);
    await within(
      clock,
      { ...bound, timeoutMs: launchLimits.profileMs },
      `load AppArmor profile ${DEFAULT_PROFILE}`,
      loadDefault,
    );
    return { apparmor: { isLoaded: profileIsLoaded, loadDefault }, defaultProfile: DEFAULT_PROFILE };
  } catch (thrown) {
    const reason = toFault(thrown).message;
    conditions.report({ type: 'PartsStarted', subject: 'default AppArmor profile', reason });
    log.warn({ reason }, 'containers that ask for the default AppArmor profile run without one');
    const loadDefault = async (): Promise<void> => undefined;
    return { apparmor: { isLoaded: profileIsLoaded, loadDefault }, defaultProfile: '' };
  }
}
