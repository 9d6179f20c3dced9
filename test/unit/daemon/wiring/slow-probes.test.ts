// What a start asks of the machine and can do without, when no answer comes (docs/start.md).
import { expect, it, describe } from 'vitest';
import { Conditions } from '../../../../src/base/conditions.ts';
import { launchLimits } from '../../../../src/daemon/bounds.ts';
import { silentLog } from '../../../../src/base/log.ts';
import type { ContainerSecurity } from '../../../../src/ports/specs.ts';
import { setUpApparmor } from '../../../../src/daemon/wiring/apparmor.ts';
import type { ApparmorMachine } from '../../../../src/daemon/wiring/apparmor.ts';
import { platformOrPlain } from '../../../../src/daemon/wiring/machine-platform.ts';
import { platformOfMachine } from '../../../../src/oci/images/model/platform.ts';
import { checkProfile } from '../../../../src/oci/runtime/bundle/apparmor.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { never, turns } from '../../../support/turns.ts';

function bench() {
  const [clock, conditions] = [new HandClock(), new Conditions(silentLog)];
  return {
    clock,
    report: { clock, conditions },
    reasons: () => conditions.all().map(({ type, subject, reason }) => `${type} ${subject}: ${reason}`),
  };
}

describe('a start', () => {
  it('F89 goes on without the processor’s level when its features can’t be read in time', async () => {
    const { clock, report, reasons } = bench();
    const platform = platformOrPlain(report, never);
    await clock.advance(launchLimits.partMs);
    await expect.poll(reasons).toHaveLength(1);
    expect(await platform).toEqual(platformOfMachine(process.arch, ''));
    expect(reasons()).toEqual([expect.stringMatching(/^PartsStarted processor features: /u)]);
  });

  const usual: ApparmorMachine = {
    isEnabled: () => Promise.resolve(true),
    parser: () => Promise.resolve('/sbin/apparmor_parser'),
    load: () => Promise.resolve(),
  };

  it('F89 S73 goes on where the kernel does not report in time whether it enforces AppArmor; containers with a profile wait for it', async () => {
    const { clock, report, reasons } = bench();
    const answer = Promise.withResolvers<boolean>();
    const setup = setUpApparmor(report, silentLog, { ...usual, isEnabled: () => answer.promise });
    await clock.advance(launchLimits.partMs);
    await expect.poll(reasons).toEqual([expect.stringMatching(/^PartsStarted AppArmor: /u)]);
    const late = await setup;
    expect(late.defaultProfile).toBe('troupe-default');
    const check = (apparmorProfile: string): Promise<void> =>
      checkProfile(late.apparmor, { apparmorProfile, privileged: false } as ContainerSecurity);
    for (const profile of ['troupe-default', 'named'])
      await expect(check(profile)).rejects.toMatchObject({ fault: { kind: 'notReady' } });
    await check('');
    answer.resolve(false);
    await expect.poll(reasons).toEqual([]);
    expect([late.apparmor, late.defaultProfile]).toEqual([undefined, '']);
    await expect(check('named')).rejects.toThrow('AppArmor is not enabled on this node');
  });

  it('has the default profile once a late answer is that AppArmor is enforced', async () => {
    const { clock, report, reasons } = bench();
    const answer = Promise.withResolvers<boolean>();
    const setup = setUpApparmor(report, silentLog, { ...usual, isEnabled: () => answer.promise });
    await clock.advance(launchLimits.partMs);
    const late = await setup;
    answer.resolve(true);
    await expect.poll(reasons).toEqual([]);
    expect([late.apparmor !== undefined, late.defaultProfile]).toEqual([true, 'troupe-default']);
  });

  it.each([
    ['program can’t be found', { parser: never }, launchLimits.partMs],
    ['program does not end', { load: never }, launchLimits.profileMs],
  ] as const)(
    'F89 goes on without the default profile when its %s in time; loaded ones can be used',
    async (_what, machine, boundMs) => {
      const { clock, report, reasons } = bench();
      const setup = setUpApparmor(report, silentLog, { ...usual, ...machine });
      await turns();
      await clock.advance(boundMs);
      // ahead of the promise: without a bound this fails by its limit, not by the test's
      await expect.poll(reasons).toHaveLength(1);
      expect(await setup).toMatchObject({
        apparmor: { isLoaded: expect.any(Function) as unknown },
        defaultProfile: '',
      });
      expect(reasons()).toEqual([expect.stringMatching(/^PartsStarted default AppArmor profile: /u)]);
    },
  );

  it('has the default profile where everything answers', async () => {
    const { clock, report, reasons } = bench();
    expect((await setUpApparmor(report, silentLog, usual)).defaultProfile).not.toBe('');
    expect([reasons(), clock.timers.size]).toEqual([[], 0]);
  });
});
