/** The AppArmor profile of a container: both fields of the contract, on a node with AppArmor and on one without. */
import { describe, expect, it } from 'vitest';
import type { SecurityProfileSchema } from '../../../../src/gen/runtime/v1/api_pb.ts';
import {
  SecurityProfileSchema as schema,
  SecurityProfile_ProfileType as Profile,
} from '../../../../src/gen/runtime/v1/api_pb.ts';
import { create } from '@bufbuild/protobuf';
import { apparmorProfile } from '../../../../src/cri/validate/security.ts';
import type { Fields } from '../stage.ts';
import { hostOptions } from '../stage.ts';

const enforcing = { ...hostOptions, apparmorEnabled: true, apparmorDefault: 'troupe-default' };
const without = { ...hostOptions, apparmorEnabled: false, apparmorDefault: '' };
const choose = (
  host: typeof enforcing,
  field: Fields<typeof SecurityProfileSchema> | undefined,
  old = '',
): string =>
  apparmorProfile('security_context', field === undefined ? undefined : create(schema, field), old, host);

describe('the AppArmor profile', () => {
  it.each([
    ['nothing said', undefined, '', 'troupe-default'],
    ['RuntimeDefault', { profileType: Profile.RuntimeDefault }, '', 'troupe-default'],
    ['Unconfined', { profileType: Profile.Unconfined }, '', ''],
    ['Localhost', { profileType: Profile.Localhost, localhostRef: 'mine' }, '', 'mine'],
    [
      'Localhost with the old prefix',
      { profileType: Profile.Localhost, localhostRef: 'localhost/mine' },
      '',
      'mine',
    ],
    ['the old field: runtime/default', undefined, 'runtime/default', 'troupe-default'],
    ['the old field: unconfined', undefined, 'unconfined', ''],
    ['the old field: localhost/', undefined, 'localhost/mine', 'mine'],
    ['both: the new field wins', { profileType: Profile.Unconfined }, 'localhost/mine', ''],
  ] as const)('%s', (_what, field, old, name) => {
    expect(choose(enforcing, field, old)).toBe(name);
  });

  it('is empty on a node without AppArmor, where a named one is refused', () => {
    expect(choose(without, undefined)).toBe('');
    expect(choose(without, { profileType: Profile.RuntimeDefault })).toBe('');
    const refusal = 'profile "mine" cannot be enforced: AppArmor is not enabled on this node';
    expect(() => choose(without, { profileType: Profile.Localhost, localhostRef: 'mine' })).toThrow(
      `security_context.apparmor.localhost_ref: ${refusal}`,
    );
    expect(() => choose(without, undefined, 'localhost/mine')).toThrow(
      `security_context.apparmor_profile: ${refusal}`,
    );
  });

  it.each([
    ['no name', { profileType: Profile.Localhost, localhostRef: '' }, ''],
    ['a name with a line break', { profileType: Profile.Localhost, localhostRef: 'a\nb' }, ''],
    ['a name where none belongs', { profileType: Profile.Unconfined, localhostRef: 'mine' }, ''],
    ['an old field without its prefix', undefined, 'mine'],
    ['an old field without a name', undefined, 'localhost/'],
  ] as const)('is refused: %s', (_what, field, old) => {
    expect(() => choose(enforcing, field, old)).toThrow(/^security_context\.apparmor/u);
  });
});
