import { describe, expect, test } from 'vitest';
import { edgeLimits } from '../../../src/cri/bounds.ts';
import { InFlight } from '../../../src/cri/call/in-flight.ts';

const MIB = 1024 * 1024;

describe('calls at work (F14)', () => {
  test('the bytes of their requests are bounded in total; one alone is always accepted', () => {
    const calls = new InFlight();
    const release = calls.admit('CreateContainer', edgeLimits.inFlightBytes - MIB);
    const other = calls.admit('CreateContainer', MIB);
    expect(() => calls.admit('CreateContainer', 1)).toThrow(/requests in flight have \d+ bytes/u);
    release();
    calls.admit('CreateContainer', 1)();
    other();
    const largest = calls.admit('CreateContainer', edgeLimits.receiveBytes);
    expect(() => calls.admit('ListContainers', 1)).toThrow(/requests in flight/u);
    largest();
    calls.admit('ListContainers', 1)();
  });

  test('their number is bounded', () => {
    const calls = new InFlight();
    const releases = Array.from({ length: edgeLimits.inFlightCalls }, () => calls.admit('ListContainers', 0));
    expect(() => calls.admit('ListContainers', 0)).toThrow(/too many calls: \d+ are in flight/u);
    releases[0]?.();
    calls.admit('ListContainers', 0);
  });

  test('without memory calls that add are refused with the reason; calls that read, end or remove are accepted', () => {
    const calls = new InFlight(() => 'nothing is left');
    for (const rpc of ['RunPodSandbox', 'CreateContainer', 'StartContainer', 'PullImage', 'ExecSync']) {
      expect(() => calls.admit(rpc, 0)).toThrow(`${rpc}: nothing is left`);
    }
    for (const rpc of [
      'ListContainers',
      'ContainerStatus',
      'StopContainer',
      'RemoveContainer',
      'StopPodSandbox',
      'RemovePodSandbox',
      'RemoveImage',
    ])
      calls.admit(rpc, 0)();
  });
});

describe('calls whose duration a pod or a registry decides (S78)', () => {
  const waits = (calls: InFlight, namespace: string, rpc = 'ExecSync'): (() => void) =>
    calls.admitWaiting(rpc, () => namespace);

  test('S78 leave room for calls that end by themselves', () => {
    const calls = new InFlight();
    const releases = Array.from({ length: edgeLimits.waitingCalls }, (_none, at) =>
      waits(calls, `tenant-${at % 3}`),
    );
    for (const rpc of ['ExecSync', 'PullImage', 'CheckpointContainer', 'CheckpointPod'])
      expect(() => waits(calls, 'other', rpc)).toThrow(/wait for containers and registries/u);
    for (const rpc of [
      'ListContainers',
      'RunPodSandbox',
      'StopContainer',
      'StopPodSandbox',
      'RemoveContainer',
    ])
      waits(calls, 'other', rpc)();
    expect(edgeLimits.inFlightCalls - edgeLimits.waitingCalls).toBeGreaterThanOrEqual(256);
    releases[0]?.();
    waits(calls, 'other')();
  });

  test('S78 never use all streams of a connection: some are left for refusals, Version and Status', () => {
    const { streamsPerConnection, inFlightCalls, endingCalls, streams } = edgeLimits;
    expect(streamsPerConnection).toBeGreaterThanOrEqual(inFlightCalls + endingCalls + streams + 128);
  });

  test('S78 calls that stop and remove have slots for a full node, whatever else is at work, and use none of the others’', () => {
    const calls = new InFlight();
    for (let at = 0; at < edgeLimits.inFlightCalls; at += 1)
      calls.admit('ListContainers', edgeLimits.inFlightBytes / edgeLimits.inFlightCalls);
    expect(() => calls.admit('ListContainers', 0)).toThrow(/too many calls: \d+ are in flight/u);
    for (const rpc of ['StopContainer', 'StopPodSandbox', 'RemoveContainer', 'RemovePodSandbox']) {
      for (let at = 0; at < 1100; at += 1) calls.admit(rpc, 80);
    }
    const others = new InFlight();
    const releases = Array.from({ length: edgeLimits.endingCalls }, () => others.admit('StopContainer', 80));
    for (let at = 0; at < edgeLimits.inFlightCalls; at += 1) others.admit('ListContainers', 0);
    expect(() => others.admit('StopContainer', 80)).toThrow(
      /too many calls: 6144 that stop or remove are in flight/u,
    );
    releases[0]?.();
    others.admit('RemoveContainer', 80);
  });

  test('S78 a stop whose request is large counts as any other call', () => {
    const calls = new InFlight();
    calls.admit('ListContainers', edgeLimits.inFlightBytes);
    expect(() => calls.admit('StopContainer', edgeLimits.endingCallBytes + 1)).toThrow(/requests in flight/u);
    calls.admit('StopContainer', edgeLimits.endingCallBytes);
  });

  test('S78 of one namespace leave room for others', () => {
    const calls = new InFlight();
    const releases = Array.from({ length: edgeLimits.waitingCallsPerNamespace }, () =>
      waits(calls, 'hostile'),
    );
    expect(() => waits(calls, 'hostile', 'ExecSync')).toThrow(/576 of them in this namespace/u);
    waits(calls, 'other')();
    releases[0]?.();
    waits(calls, 'hostile')();
  });
});
