/** AppArmor on this machine: whether it is enforced, and the default profile. */
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

/** Changes once if the kernel's answer comes late. */
export interface ApparmorSetup {
  /** Undefined if the kernel does not enforce AppArmor. */
  readonly apparmor: Apparmor | undefined;
  /** The profile of containers that ask for the default; empty if it could not be loaded. */
  readonly defaultProfile: string;
}

const PART = 'AppArmor';

const NONE: ApparmorSetup = { apparmor: undefined, defaultProfile: '' };

/** The calls to the machine; tests replace them. */
export interface ApparmorMachine {
  readonly isEnabled: () => Promise<boolean>;
  /** Path of the program that loads a profile into the kernel. */
  readonly parser: () => Promise<string>;
  readonly load: typeof loadProfile;
}

const MACHINE: ApparmorMachine = {
  isEnabled: apparmorIsEnabled,
  parser: () => findProgram('apparmor_parser', 'the default AppArmor profile'),
  load: loadProfile,
};

/**
 * Reads whether the kernel enforces AppArmor, and loads our default profile. If the profile can't be loaded, pods run
 * without it, as with containerd and CRI-O, with a log line; named profiles that are loaded still work. If the kernel
 * does not say within `partMs` whether it enforces AppArmor, containers with a profile are refused until it does: they
 * must not run unconfined because a read was slow.
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

/** The setup while the kernel has not said whether it enforces AppArmor. */
class LateApparmor implements ApparmorSetup, Apparmor {
  #known: ApparmorSetup | undefined;

  constructor(late: Promise<ApparmorSetup>, onKnown: () => void) {
    late.then(
      (known) => {
        this.#known = known;
        onKnown();
      },
      // it stays unknown, and the condition stays
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
