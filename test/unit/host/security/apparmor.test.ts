import { describe, expect, it } from 'vitest';
import type { ContainerSecurity } from '../../../../src/ports/specs.ts';
import { parseProfiles } from '../../../../src/host/security/apparmor.ts';
import {
  DEFAULT_PROFILE,
  DEFAULT_PROFILE_TEXT,
  checkProfile,
} from '../../../../src/oci/runtime/bundle/apparmor.ts';

const security = (apparmorProfile: string, privileged = false): ContainerSecurity =>
  ({ apparmorProfile, privileged }) as ContainerSecurity;

describe("the kernel's list of profiles", () => {
  it('is read with names that hold spaces and paths', () => {
    const text =
      'troupe-default (enforce)\n/usr/bin/man (complain)\nmy own (kill)\nchrome (unconfined)\ngarbage\n';
    expect([...parseProfiles(text)]).toEqual(['troupe-default', '/usr/bin/man', 'my own', 'chrome']);
    expect(parseProfiles('').size).toBe(0);
  });
});

describe('the AppArmor profile that a container asks for', () => {
  const machine = (...loaded: string[]) => {
    const profiles = new Set(loaded);
    return {
      profiles,
      isLoaded: async (name: string) => profiles.has(name),
      loadDefault: async () => void profiles.add(DEFAULT_PROFILE),
    };
  };

  it('is refused when it is not loaded, and accepted when it is', async () => {
    await expect(checkProfile(machine(), security('mine'))).rejects.toThrow(
      'use AppArmor profile mine: not loaded on this node',
    );
    await checkProfile(machine('mine'), security('mine'));
  });

  it('is loaded again when it is the default profile and was unloaded', async () => {
    const apparmor = machine();
    await checkProfile(apparmor, security(DEFAULT_PROFILE));
    expect(apparmor.profiles.has(DEFAULT_PROFILE)).toBe(true);
  });

  it('is refused where AppArmor is not enabled, as with a journal from another machine', async () => {
    await expect(checkProfile(undefined, security('mine'))).rejects.toThrow(
      'AppArmor is not enabled on this node',
    );
  });

  it('is not required for a privileged container, nor for one without', async () => {
    await checkProfile(undefined, security('mine', true));
    await checkProfile(undefined, security(''));
  });

  it('has the name in its text', () => {
    expect(DEFAULT_PROFILE_TEXT).toMatch(/^\nprofile troupe-default flags=/u);
  });
});
