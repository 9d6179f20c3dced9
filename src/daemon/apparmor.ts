/** What containers can have of AppArmor on this machine. */
import { toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { apparmorIsEnabled, loadProfile, profileIsLoaded } from '../host/apparmor.ts';
import { DEFAULT_PROFILE, DEFAULT_PROFILE_TEXT } from '../oci/runtime/apparmor.ts';
import type { Apparmor } from '../oci/runtime/apparmor.ts';
import { findProgram } from './find-program.ts';
import type { PartReport } from './optional-part.ts';

export interface ApparmorSetup {
  /** Undefined where the kernel enforces none. */
  readonly apparmor: Apparmor | undefined;
  /** The profile of containers that ask for the default; empty where there is none. */
  readonly defaultProfile: string;
}

/**
 * Looks, and loads our default profile. A machine that enforces AppArmor and can't load it still runs pods: without the
 * default profile, as with both peers, and with a line in the log; named profiles that are loaded can be had.
 */
export async function setUpApparmor({ clock, conditions }: PartReport, log: Log): Promise<ApparmorSetup> {
  if (!(await apparmorIsEnabled())) return { apparmor: undefined, defaultProfile: '' };
  try {
    const parser = await findProgram('apparmor_parser', 'the default AppArmor profile');
    const loadDefault = (): Promise<void> => loadProfile(parser, DEFAULT_PROFILE, DEFAULT_PROFILE_TEXT, clock);
    await loadDefault();
    return { apparmor: { isLoaded: profileIsLoaded, loadDefault }, defaultProfile: DEFAULT_PROFILE };
  } catch (thrown) {
    const reason = toFault(thrown).message;
    conditions.report({ type: 'PartsStarted', subject: 'default AppArmor profile', reason });
    log.warn({ reason }, 'containers that ask for the default AppArmor profile run without one');
    const loadDefault = async (): Promise<void> => undefined;
    return { apparmor: { isLoaded: profileIsLoaded, loadDefault }, defaultProfile: '' };
  }
}
