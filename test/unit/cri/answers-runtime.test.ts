/** What is shown of the runtime itself: Version, Status, RuntimeConfig. */
import { describe, expect, test } from 'vitest';
import { Conditions } from '../../../src/base/conditions.ts';
import { silentLog } from '../../../src/base/log.ts';
import { CgroupDriver, RuntimeService } from '../../../src/gen/runtime/v1/api_pb.ts';
import { lostFacts } from '../../../src/daemon/wiring/journal-damage.ts';
import { handlers, stage } from './stage.ts';

const { method } = RuntimeService;

describe('the runtime itself', () => {
  test('Version', async () => {
    expect(await stage().send(method.version, {})).toMatchObject({
      version: '0.1.0',
      runtimeName: 'troupe',
      runtimeVersion: '1.2.3',
      runtimeApiVersion: 'v1',
    });
  });

  test('Status: ready, the default handler first, no user namespaces until requests with them are supported', async () => {
    const { status, runtimeHandlers, features, info } = await stage().send(method.status, {});
    expect(status?.conditions).toMatchObject([
      { type: 'RuntimeReady', status: true, reason: '', message: '' },
      { type: 'NetworkReady', status: true, reason: '', message: '' },
    ]);
    expect(runtimeHandlers).toMatchObject([
      { name: '', features: { recursiveReadOnlyMounts: false, userNamespaces: true } },
      { name: 'crun', features: { recursiveReadOnlyMounts: true, userNamespaces: false } },
    ]);
    expect(features).toMatchObject({
      supplementalGroupsPolicy: true,
      userNamespacesHostNetwork: true,
      mountOptions: true,
    });
    expect(info).toEqual({});
  });

  test('Status verbose: the configuration as JSON', async () => {
    const { info } = await stage().send(method.status, { verbose: true });
    expect(JSON.parse(info['config'] ?? '')).toEqual({ root: '/var/lib/troupe' });
  });

  test.each([
    ['recovering', { notReadyReason: () => 'recovering' }, 'recovering'],
    [
      'on a read-only disk',
      { writeRefusal: () => '/var/lib/troupe is not writable' },
      '/var/lib/troupe is not writable',
    ],
    ['no default handler', { handlers: () => handlers.slice(1) }, 'default runtime handler: not found'],
    [
      'a default handler that does not work',
      {
        handlers: () => [
          {
            name: '',
            ready: false,
            reason: 'no runc',
            recursiveReadOnlyMounts: false,
            userNamespaces: false,
          },
        ],
      },
      'no runc',
    ],
  ])('Status while %s is answered with the reason', async (_what, troupe, message) => {
    const { status } = await stage(troupe).send(method.status, {});
    expect(status?.conditions[0]).toMatchObject({
      type: 'RuntimeReady',
      status: false,
      reason: 'RuntimeNotReady',
      message,
    });
  });

  test('F32 Status reports a failed reload of the configuration; the node stays ready', async () => {
    const { status } = await stage(
      {},
      { configRefusal: () => 'read configuration /etc/troupe/troupe.toml, line 3: no such key' },
    ).send(method.status, {});
    expect(status?.conditions).toMatchObject([
      { type: 'RuntimeReady', status: true },
      { type: 'NetworkReady', status: true },
      {
        type: 'ConfigurationReloaded',
        status: false,
        reason: 'ConfigurationRefused',
        message: 'read configuration /etc/troupe/troupe.toml, line 3: no such key',
      },
    ]);
  });

  test('F89 Status names degraded features; the node stays ready', async () => {
    const conditions = new Conditions(silentLog);
    conditions.report({
      type: 'DebrisRemoved',
      subject: '/var/lib/troupe/trash/a',
      reason: 'operation not permitted',
    });
    const { status } = await stage({}, { conditions }).send(method.status, {});
    expect(status?.conditions).toMatchObject([
      { type: 'RuntimeReady', status: true },
      { type: 'NetworkReady', status: true },
      {
        type: 'DebrisRemoved',
        status: false,
        reason: 'DebrisLeft',
        message: '/var/lib/troupe/trash/a: operation not permitted',
      },
    ]);
  });

  test('F18 Status reports that a damaged journal may have lost facts, and where it is kept; the node stays ready', async () => {
    const message = lostFacts({ damagedKept: ['journal.7.damaged'] }, '/var/lib/troupe/journal');
    const { status } = await stage({}, { lostFacts: message }).send(method.status, {});
    expect(status?.conditions).toMatchObject([
      { type: 'RuntimeReady', status: true },
      { type: 'NetworkReady', status: true },
      {
        type: 'JournalWhole',
        status: false,
        reason: 'JournalDamaged',
        message: expect.stringContaining('/var/lib/troupe/journal/journal.7.damaged') as string,
      },
    ]);
    expect(lostFacts({ damagedKept: [] }, '/var/lib/troupe/journal')).toBeUndefined();
  });

  test('Status without a network has the kubelet’s word', async () => {
    const networkStatus = () => ({ ready: false, reason: '', message: 'no conflist in /etc/cni/net.d' });
    const { status } = await stage({ networkStatus }).send(method.status, {});
    expect(status?.conditions[1]).toMatchObject({
      type: 'NetworkReady',
      status: false,
      reason: 'NetworkPluginNotReady',
      message: 'no conflist in /etc/cni/net.d',
    });
  });

  test('while recovering, only Version, Status and RuntimeConfig are answered', async () => {
    const { send, fails } = stage({ notReadyReason: () => 'recovering' });
    await send(method.version, {});
    expect((await send(method.runtimeConfig, {})).linux?.cgroupDriver).toBe(CgroupDriver.CGROUPFS);
    expect(await fails(method.listContainers, {})).toMatchObject({ code: 'unavailable' });
  });

  test('RuntimeConfig has the cgroup driver; UpdateRuntimeConfig succeeds', async () => {
    expect((await stage().send(method.runtimeConfig, {})).linux?.cgroupDriver).toBe(CgroupDriver.CGROUPFS);
    const systemd = await stage({}, { cgroupDriver: 'systemd' }).send(method.runtimeConfig, {});
    expect(systemd.linux?.cgroupDriver).toBe(CgroupDriver.SYSTEMD);
    const update = { runtimeConfig: { networkConfig: { podCidr: '10.0.0.0/24' } } };
    expect(await stage().send(method.updateRuntimeConfig, update)).toMatchObject({});
    const used: string[] = [];
    const usePodCidr = async (cidr: string): Promise<void> => void used.push(cidr);
    const { send } = stage({}, { usePodCidr });
    await send(method.updateRuntimeConfig, update);
    await send(method.updateRuntimeConfig, { runtimeConfig: { networkConfig: {} } });
    await send(method.updateRuntimeConfig, {});
    expect(used).toEqual(['10.0.0.0/24']);
  });
});
