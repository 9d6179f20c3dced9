// What systemd says in the environment, and what others have left there.
import { expect, test } from 'vitest';
import { configLimits } from '../../../../src/daemon/bounds.ts';
import { passedDescriptors } from '../../../../src/daemon/config/from-systemd.ts';

const passed = (environment: Record<string, string | undefined>): Record<string, readonly number[]> =>
  Object.fromEntries(passedDescriptors(environment, 42));

test('descriptors come by name, in the order of their numbers', () => {
  const environment = { LISTEN_PID: '42', LISTEN_FDS: '4', LISTEN_FDNAMES: 'cri:streaming:cri' };
  expect(passed(environment)).toEqual({ cri: [3, 5], streaming: [4], '': [6] });
});

test('the variables are taken out of the environment, whatever they say', () => {
  const environment = { LISTEN_PID: '41', LISTEN_FDS: '1', LISTEN_FDNAMES: 'cri', PATH: '/bin' };
  expect(passed(environment)).toEqual({});
  expect(environment).toEqual({ PATH: '/bin' });
});

test.each([[{}], [{ LISTEN_PID: '42' }], [{ LISTEN_PID: '42', LISTEN_FDS: '-1' }], [{ LISTEN_FDS: '1' }]])(
  'nothing is passed with %j',
  (environment) => {
    expect(passed(environment)).toEqual({});
  },
);

test('of any number only the first few are taken', () => {
  const { '': unnamed } = passed({ LISTEN_PID: '42', LISTEN_FDS: '100000' });
  expect(unnamed).toHaveLength(configLimits.passedDescriptors);
});
