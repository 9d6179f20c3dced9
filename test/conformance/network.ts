/** What every NetworkPort does, CNI plugins as their twin. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NetworkInput, NetworkPort } from '../../src/ports/network.ts';
import { fxOf } from '../support/fx.ts';

export interface NetworkStage {
  readonly port: NetworkPort;
  /** A sandbox with a network namespace that nobody has added yet. */
  sandbox(number: number): NetworkInput;
  /** Takes its namespace away. */
  loseNamespace(input: NetworkInput): void;
  /** Addresses that are given out. */
  leases(): number;
  close(): Promise<void>;
}

/** The suite; `make` gives a network without pods. */
export function networkConformance(name: string, make: () => Promise<NetworkStage>): void {
  describe(`network conformance: ${name}`, () => {
    let stage: NetworkStage;
    let port: NetworkPort;
    beforeEach(async () => {
      stage = await make();
      ({ port } = stage);
    });
    afterEach(() => stage.close());

    it('is ready without a reason', () => {
      // a driver also names the network in use and the files that it skipped
      expect(port.status()).toMatchObject({ ready: true, reason: '', message: '' });
    });

    it('gives each sandbox an address of its own, and lists both until their DEL has succeeded', async () => {
      const [one, two] = [stage.sandbox(1), stage.sandbox(2)];
      const first = await port.add(one, fxOf());
      const second = await port.add(two, fxOf());
      expect([first.ips.length, second.ips.length, stage.leases()]).toStrictEqual([1, 1, 2]);
      expect(first.ips).not.toEqual(second.ips);
      expect([...(await port.observe(fxOf()))].toSorted()).toStrictEqual([one.id, two.id].toSorted());
      await port.del(one, fxOf());
      expect([await port.observe(fxOf()), stage.leases()]).toStrictEqual([[two.id], 1]);
      await port.del(two, fxOf());
      expect([await port.observe(fxOf()), stage.leases()]).toStrictEqual([[], 0]);
    });

    it('DEL of what was never added, and DEL again, succeed', async () => {
      const one = stage.sandbox(1);
      await port.del(one, fxOf());
      await port.add(one, fxOf());
      await port.del(one, fxOf());
      await port.del(one, fxOf());
      expect([await port.observe(fxOf()), stage.leases()]).toStrictEqual([[], 0]);
    });

    it('F57 DEL without the namespace succeeds and frees the address', async () => {
      const one = stage.sandbox(1);
      await port.add(one, fxOf());
      stage.loseNamespace(one);
      expect(await port.observe(fxOf())).toStrictEqual([one.id]);
      await port.del(one, fxOf());
      expect([await port.observe(fxOf()), stage.leases()]).toStrictEqual([[], 0]);
    });

    it('an address that was freed is given out again, and a sandbox can be added after its DEL', async () => {
      const one = stage.sandbox(1);
      await port.add(one, fxOf());
      await port.del(one, fxOf());
      await port.add(one, fxOf());
      expect(stage.leases()).toBe(1);
      await port.del(one, fxOf());
      expect(stage.leases()).toBe(0);
    });
  });
}
