import { describe, expect, it } from 'vitest';
import { declaredValues, runtimeValues } from '../../../src/network/runtime-config.ts';
import { faultOf } from '../../support/fault-of.ts';
import { sandboxId, sandboxInput } from './fake-plugins.ts';

const id = sandboxId('d');

describe('values for capabilities', () => {
  it('come from ports, DNS, cgroup and annotations of the pod', () => {
    const input = sandboxInput(id, {
      portMappings: [
        { protocol: 'tcp', containerPort: 80, hostPort: 8080, hostIp: '' },
        { protocol: 'udp', containerPort: 53, hostPort: 5353, hostIp: '10.0.0.1' },
        { protocol: 'tcp', containerPort: 81, hostPort: 0, hostIp: '' },
      ],
      dns: { servers: ['1.2.3.4'], searches: ['a.b'], options: ['ndots:5'] },
      cgroupParent: '/kubepods/pod1',
      annotations: {
        'kubernetes.io/ingress-bandwidth': '10M',
        'kubernetes.io/egress-bandwidth': '1.5Ki',
        other: 'x',
      },
    });
    expect(runtimeValues(input)).toEqual({
      portMappings: [
        { protocol: 'tcp', containerPort: 80, hostPort: 8080 },
        { protocol: 'udp', containerPort: 53, hostPort: 5353, hostIP: '10.0.0.1' },
      ],
      dns: { servers: ['1.2.3.4'], searches: ['a.b'], options: ['ndots:5'] },
      cgroupPath: '/kubepods/pod1',
      bandwidth: {
        ingressRate: 10_000_000,
        ingressBurst: 2_147_483_647,
        egressRate: 1536,
        egressBurst: 2_147_483_647,
      },
      'io.kubernetes.cri.pod-annotations': input.spec.annotations,
    });
  });

  it('are only the annotations for a pod that requests nothing', () => {
    expect(runtimeValues(sandboxInput(id))).toEqual({ 'io.kubernetes.cri.pod-annotations': {} });
  });

  it('are kept only where some plugin declares them', () => {
    const values = { portMappings: [], dns: {}, 'io.kubernetes.cri.pod-annotations': {} };
    expect(declaredValues(values, [{ capabilities: [] }, { capabilities: ['dns', 'mac'] }])).toEqual({
      dns: {},
    });
  });

  it.each([
    ['1k', 1000],
    ['1e3', 1000],
    ['2Gi', 2 ** 31],
    ['1000', 1000],
    ['1P', 1e15],
  ])('reads the rate %s', (text, rate) => {
    const input = sandboxInput(id, { annotations: { 'kubernetes.io/ingress-bandwidth': text } });
    expect(runtimeValues(input)['bandwidth']).toMatchObject({ ingressRate: rate });
  });

  it.each(['fast', '-1M', '10', '2P', '1m', '1M;x', '1e99', '10 M'])(
    "refuses the rate %j by the annotation's name",
    async (text) => {
      const input = sandboxInput(id, { annotations: { 'kubernetes.io/egress-bandwidth': text } });
      const fault = await faultOf(Promise.resolve().then(() => runtimeValues(input)));
      expect(fault).toMatchObject({
        kind: 'invalidRequest',
        message: expect.stringContaining('kubernetes.io/egress-bandwidth'),
      });
    },
  );
});
