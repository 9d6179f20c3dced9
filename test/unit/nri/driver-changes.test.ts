// What plugins in this process change: containers that are created or updated, and others beside them.
import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { portLimits } from '../../../src/ports/bounds.ts';
import {
  ContainerUpdateSchema,
  Plugin as PluginService,
  Runtime,
} from '../../../src/gen/nri/v1alpha1/api_pb.ts';
import type { ContainerUpdate } from '../../../src/gen/nri/v1alpha1/api_pb.ts';
import { NO_LIMITS } from '../../../src/ports/resources.ts';
import { CONTAINER_ID } from '../oci/runtime/spec/fixtures.ts';
import type { FakePlugin } from './fake-plugin.ts';
import { OTHER, main, stage } from './driver-stage.ts';
import { never } from '../../support/turns.ts';

const { method } = PluginService;

const shares = (containerId: string, value: bigint): ContainerUpdate =>
  create(ContainerUpdateSchema, { containerId, linux: { resources: { cpu: { shares: { value } } } } });

describe('CreateContainer', () => {
  test('a later plugin sees what an earlier one made; validators see all of it', async () => {
    const { joins, adjust } = await stage();
    const seen: string[][] = [];
    const validated: unknown[] = [];
    const adds =
      (name: string) =>
      (fake: FakePlugin): void => {
        fake.on(
          method.createContainer,
          ({ container: one }) => (
            seen.push(one?.env ?? []),
            { adjust: { env: [{ key: name, value: '1' }] } }
          ),
        );
      };
    await joins('10', 'a', adds('A'));
    await joins('20', 'b', (fake) => {
      adds('B')(fake);
      fake.on(method.validateContainerAdjustment, ({ adjust: all, plugins, owners }) => {
        validated.push(
          all?.env.map(({ key }) => key),
          plugins.map(({ index, name }) => `${index}-${name}`),
          Object.keys(owners?.owners ?? {}),
        );
        return {};
      });
    });
    const { document } = await adjust();
    expect(document.process.env.slice(-2)).toEqual(['A=1', 'B=1']);
    expect(seen.map((env) => env.includes('A=1'))).toEqual([false, true]);
    expect(validated).toEqual([['A', 'B'], ['10-a', '20-b'], [CONTAINER_ID]]);
  });

  test('a validator rejects by its answer, and by not answering', async () => {
    const { joins, adjust } = await stage();
    const guard = await joins('10', 'guard', (fake) =>
      fake.on(method.validateContainerAdjustment, () => ({ reject: true, reason: 'never' })),
    );
    await expect(adjust()).rejects.toMatchObject({
      fault: {
        message: expect.stringMatching(/nri plugin 10-guard rejected the adjustment: never/),
        quotesOutput: true,
      },
    });
    guard.on(method.validateContainerAdjustment, () => (guard.dies(), never()));
    await expect(adjust()).rejects.toThrow(/10-guard: ValidateContainerAdjustment: no answer/);
  });

  test.each([
    [
      'reject_sysctl_adjustment',
      { linux: { sysctl: { 'kernel.x': '1' } } },
      /plugin 10-p adjusted sysctl kernel.x/,
    ],
    [
      'reject_sysctl_adjustment',
      { linux: { sysctl: { '-kernel.y': '' } } },
      /plugin 10-p adjusted sysctl kernel.y/,
    ],
    ['reject_namespace_adjustment', { linux: { namespaces: [{ type: 'uts' }] } }, /adjusted namespace uts/],
    [
      'reject_runtime_default_seccomp_adjustment',
      { linux: { seccompPolicy: { defaultAction: 'SCMP_ACT_ALLOW' } } },
      /the runtimeDefault seccomp policy/,
    ],
    ['reject_oci_hook_adjustment', { hooks: { poststop: [{ path: '/x' }] } }, /adjusted OCI hooks/],
  ] as const)('%s by configuration', async (rule, adjusts, message) => {
    const { joins, adjust } = await stage({ enable: true, [rule]: true });
    await joins('10', 'p', (fake) => fake.on(method.createContainer, () => ({ adjust: adjusts as never })));
    await expect(adjust()).rejects.toThrow(message);
  });

  test('all plugins together have a bound within the creation of a bundle', async () => {
    const { joins, adjust, clock } = await stage({}, undefined, 2 * portLimits.pluginsMs);
    // the first one stays within its own
    const reached = new Promise<void>(
      (resolve) =>
        void joins('10', 'p', (fake) => fake.on(method.createContainer, () => (resolve(), never()))),
    );
    await joins('11', 'q');
    const refused = expect(adjust()).rejects.toMatchObject({
      fault: {
        kind: 'timedOut',
        message: expect.stringMatching(
          /^create container .*: timed out after 20000 ms waiting for nri plugins$/,
        ),
      },
    });
    await reached;
    await clock.advance(portLimits.pluginsMs);
    await refused;
  });

  test('changes and evicts other containers before it returns', async () => {
    const { joins, adjust, changed } = await stage();
    await joins('10', 'p', (fake) =>
      fake.on(method.createContainer, () => ({
        update: [shares(OTHER, 7n)],
        evict: [{ containerId: OTHER, reason: 'room' }],
      })),
    );
    await adjust();
    expect(changed).toEqual(['other 7', `evict ${OTHER} room`]);
  });
});

describe('UpdateContainer', () => {
  test('may be changed by a plugin, and may change others', async () => {
    const { driver, joins, fx, changed, visible } = await stage();
    visible.containers.push(main);
    await joins('10', 'p', (fake) =>
      fake.on(method.updateContainer, () => ({ update: [shares(CONTAINER_ID, 5n), shares(OTHER, 6n)] })),
    );
    const wanted = await driver.updateContainer(CONTAINER_ID, { ...NO_LIMITS, cpuQuota: 9n }, fx());
    expect(wanted).toMatchObject({ cpuQuota: 9n, cpuShares: 5n });
    expect(changed).toEqual(['other 6']);
  });

  test('a plugin’s failed update of another container is not reported as if this one were missing', async () => {
    const { driver, joins, fx, visible } = await stage();
    visible.containers.push(main);
    await joins('10', 'p', (fake) =>
      fake.on(method.updateContainer, () => ({ update: [shares('e'.repeat(64), 6n)] })),
    );
    await expect(driver.updateContainer(CONTAINER_ID, NO_LIMITS, fx())).rejects.toMatchObject({
      fault: {
        kind: 'outside',
        message: expect.stringMatching(/^update container e+ for an nri plugin: .*container not found$/),
      },
    });
  });

  test('two plugins that set the same limit conflict, but not as a taken name', async () => {
    const { driver, joins, fx, visible } = await stage();
    visible.containers.push(main);
    for (const index of ['10', '11'])
      await joins(index, 'p', (fake) =>
        fake.on(method.updateContainer, () => ({ update: [shares(OTHER, 6n)] })),
      );
    await expect(driver.updateContainer(CONTAINER_ID, NO_LIMITS, fx())).rejects.toMatchObject({
      fault: { kind: 'outside', message: expect.stringContaining('both set') },
    });
  });

  test('requested by a plugin itself reports failures', async () => {
    const { joins, changed } = await stage();
    const fake = await joins('10', 'p');
    const missing = shares('e'.repeat(64), 1n);
    await expect(
      fake.client.call(Runtime.method.updateContainers, { update: [shares(OTHER, 3n), missing] }),
    ).rejects.toThrow(/container not found/);
    const answer = await fake.client.call(Runtime.method.updateContainers, {
      update: [shares(OTHER, 4n), { ...missing, ignoreFailure: true }],
    });
    expect(answer.failed.map(({ containerId }) => containerId)).toEqual(['e'.repeat(64)]);
    expect(changed).toEqual(['other 3', 'other 4']);
  });
});
