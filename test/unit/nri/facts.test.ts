import { describe, expect, it } from 'vitest';
import { podMessage } from '../../../src/nri/facts.ts';
import { sandbox, SANDBOX_ID, container } from '../oci/runtime/spec/fixtures.ts';

const pod = { id: SANDBOX_ID, spec: sandbox, ips: ['10.0.0.2'], pause: undefined };

describe('a pod as plugins get it', () => {
  it('has its resources and its overhead where the kubelet sent them', () => {
    const resources = { ...container.resources, cpuShares: 2n };
    const overhead = { ...container.resources, memoryLimitBytes: 5n };
    expect(podMessage({ ...pod, spec: { ...sandbox, resources, overhead } }, []).linux).toMatchObject({
      cgroupParent: sandbox.cgroupParent,
      podResources: { cpu: { shares: { value: 2n } } },
      podOverhead: { memory: { limit: { value: 5n } } },
    });
    expect(podMessage(pod, []).linux).toEqual({ cgroupParent: sandbox.cgroupParent, namespaces: [] });
  });
});
