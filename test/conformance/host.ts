/** What every HostPort does, the kernel as its twin. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HostPort, SandboxInput } from '../../src/ports/host.ts';
import { fxOf } from '../support/fx.ts';

export interface HostStage {
  readonly port: HostPort;
  sandbox(number: number): SandboxInput;
  /** Whether its cgroup is there. */
  hasCgroup(input: SandboxInput): boolean;
  /** Somebody else unmounts a pin. */
  losePin(input: SandboxInput, pin: 'net' | 'ipc'): Promise<void>;
  close(): Promise<void>;
}

/** The host of the test that runs now, and its first sandbox. */
interface Bench {
  readonly stage: HostStage;
  readonly port: HostPort;
  readonly one: SandboxInput;
}

const seen = async (port: HostPort) => (await port.observe(fxOf())).sandboxes;

/** The suite; `make` gives a host without sandboxes. */
export function hostConformance(name: string, make: () => Promise<HostStage>): void {
  describe(`host conformance: ${name}`, () => {
    let stage: HostStage;
    beforeEach(async () => {
      stage = await make();
    });
    afterEach(() => stage.close());
    const now = (): Bench => ({ stage, port: stage.port, one: stage.sandbox(1) });
    filesAndCgroups(now);
    pins(now);
    twoSandboxes(now);
  });
}

function filesAndCgroups(now: () => Bench): void {
  it('making files twice and removing them twice succeeds', async () => {
    const { port, one } = now();
    for (let n = 0; n < 2; n += 1) await port.makeSandboxFiles(one, fxOf());
    expect(await seen(port)).toStrictEqual([{ id: one.id, pins: [], files: true }]);
    for (let n = 0; n < 2; n += 1) await port.removeSandboxFiles(one, fxOf());
    expect(await seen(port)).toStrictEqual([]);
  });

  it('making the cgroup twice and removing it twice succeeds', async () => {
    const { stage, port, one } = now();
    for (let n = 0; n < 2; n += 1) await port.makeSandboxCgroup(one, fxOf());
    expect(stage.hasCgroup(one)).toBe(true);
    for (let n = 0; n < 2; n += 1) await port.removeSandboxCgroup(one, fxOf());
    expect(stage.hasCgroup(one)).toBe(false);
  });
}

function pins(now: () => Bench): void {
  it('pinning namespaces twice and unpinning them twice succeeds', async () => {
    const { port, one } = now();
    await port.pinNamespaces(one, fxOf());
    await port.pinNamespaces(one, fxOf());
    expect(await seen(port)).toStrictEqual([{ id: one.id, pins: ['net', 'ipc', 'uts'], files: false }]);
    await port.unpinNamespaces(one, fxOf());
    await port.unpinNamespaces(one, fxOf());
    expect(await seen(port)).toStrictEqual([]);
  });

  it.each(['net', 'ipc'] as const)(
    'F57 F85 a lost %s pin is no longer observed; unpinning the others succeeds',
    async (pin) => {
      const { stage, port, one } = now();
      await port.pinNamespaces(one, fxOf());
      await stage.losePin(one, pin);
      expect((await seen(port))[0]?.pins).toStrictEqual(
        ['net', 'ipc', 'uts'].filter((other) => other !== pin),
      );
      await port.unpinNamespaces(one, fxOf());
      expect(await seen(port)).toStrictEqual([]);
    },
  );
}

function twoSandboxes(now: () => Bench): void {
  it('removing one sandbox does not touch another; the boot id stays the same', async () => {
    const { stage, port, one } = now();
    const two = stage.sandbox(2);
    const { bootId } = await port.observe(fxOf());
    for (const input of [one, two]) {
      await port.makeSandboxFiles(input, fxOf());
      await port.pinNamespaces(input, fxOf());
    }
    await port.unpinNamespaces(one, fxOf());
    await port.removeSandboxFiles(one, fxOf());
    expect(await port.observe(fxOf())).toStrictEqual({
      bootId,
      sandboxes: [{ id: two.id, pins: ['net', 'ipc', 'uts'], files: true }],
    });
    await port.unpinNamespaces(two, fxOf());
    await port.removeSandboxFiles(two, fxOf());
  });
}
