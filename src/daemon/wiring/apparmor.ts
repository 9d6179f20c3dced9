/** What containers can have of AppArmor on this machine. */
import { fail, toFault } from '../../base/fault.ts';
import { launchLimits } from '../bounds.ts';
import type { Log } from '../../base/log.ts';
import { apparmorIsEnabled, loadProfile, profileIsLoaded } from '../../host/security/apparmor.ts';
import { DEFAULT_PROFILE, DEFAULT_PROFILE_TEXT } from '../../oci/runtime/bundle/apparmor.ts';
import type { Apparmor } from '../../oci/runtime/bundle/apparmor.ts';
import { withDeadline } from '../../host/clock/deadline.ts';
import { findProgram } from './find-program.ts';
import { orWithout } from './optional-part.ts';
import type { PartReport } from './optional-part.ts';

/** Changes once where the kernel's answer comes late. */
export interface ApparmorSetup {
  /** Undefined where the kernel enforces none. */
  readonly apparmor: Apparmor | undefined;
  /** The profile of containers that ask for the default; empty where there is none. */
  readonly defaultProfile: string;
}

const PART = 'AppArmor';

const NONE: ApparmorSetup = { apparmor: undefined, defaultProfile: '' };

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
 * Asks, and loads our default profile. A machine that enforces AppArmor and can't load it still runs pods: without the
 * default profile, as with both peers, and with a line in the log; named profiles that are loaded can be had. Of one that does
 * not say within `partMs` whether it enforces AppArmor containers with a profile are refused until it has said so: they must
 * not run unconfined because a read was slow.
 */
export async function setUpApparmor(
  report: PartReport,
  log: Log,
  machine: ApparmorMachine = MACHINE,
): Promise<ApparmorSetup> {
  const enabled = machine.isEnabled();
  const setUp = async (isEnabled: boolean): Promise<ApparmorSetup> =>
    isEnabled ? withDefault(report, log, machine) : NONE;
  const answer = await orWithout<boolean | undefined>(report, PART, () => enabled, undefined);
  if (answer !== undefined) return setUp(answer);
  return new LateApparmor(enabled.then(setUp), () => report.conditions.clear('PartsStarted', PART));
}

/** Until the kernel has said whether it enforces AppArmor. */
class LateApparmor implements ApparmorSetup, Apparmor {
  #known: ApparmorSetup | undefined;

  constructor(late: Promise<ApparmorSetup>, onKnown: () => void) {
    late.then(
      (known) => {
        this.#known = known;
        onKnown();
      },
      // stays unknown, and stays reported
      () => undefined,
    );
  }

  get apparmor(): Apparmor | undefined {
    return this.#known === undefined ? this : this.#known.apparmor;
  }

  get defaultProfile(): string {
    return this.#known === undefined ? DEFAULT_PROFILE : this.#known.defaultProfile;
  }

  async isLoaded(profile: string): Promise<boolean> {
    return this.#asked(profile).isLoaded(profile);
  }

  async loadDefault(): Promise<void> {
    return this.#asked(DEFAULT_PROFILE).loadDefault();
  }

  #asked(profile: string): Apparmor {
    const attempted = `use AppArmor profile ${profile}`;
    if (this.#known === undefined)
      fail('notReady', `${attempted}: the kernel has not yet said whether it enforces AppArmor`);
    return this.#known.apparmor ?? fail('notReady', `${attempted}: AppArmor is not enabled on this node`);
  }
}

async function withDefault(
  { clock, conditions }: PartReport,
  log: Log,
  machine: ApparmorMachine,
): Promise<ApparmorSetup> {
  try {
    const bound = { signal: new AbortController().signal, timeoutMs: launchLimits.partMs };
    const parser = await withDeadline(clock, bound, 'find apparmor_parser', machine.parser);
    const loadDefault = (): Promise<void> =>
      machine.load(parser, DEFAULT_PROFILE, DEFAULT_PROFILE_TEXT, clock);
    await withDeadline(
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
