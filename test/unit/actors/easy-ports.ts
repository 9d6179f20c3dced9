// A world in which everything works at once, unless it is held or made to fail by name; and what was asked of it, in
// order.
import type { Call } from '../../../src/actors/directory/ask.ts';
import { createTroupe } from '../../../src/actors/start-actors.ts';
import type { TroupeOptions } from '../../../src/actors/start-actors.ts';
import type { ExitFact, JournalRecord } from '../../../src/ports/journal.ts';
import type { CheckpointInput } from '../../../src/ports/checkpoint.ts';
import type { EffectContext } from '../../../src/ports/effect.ts';
import type { Ports } from '../../../src/ports/ports.ts';
import type { Resources } from '../../../src/ports/specs.ts';
import { emptyLedger, ledgerFold } from '../../../src/actors/ledger/ledger.ts';
import { innerCause } from '../../../src/base/cause.ts';
import type { FaultKind } from '../../../src/base/fault.ts';
import { fault, FaultError } from '../../../src/base/fault.ts';
import type { ContainerId } from '../../../src/base/ids.ts';
import { silentLog } from '../../../src/base/log.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { turns } from '../../support/turns.ts';
import { imageRecord, process, resolvedImage } from './fixtures.ts';

/** What an effect gives when it works; undefined for those not named. */
const ANSWERS: Readonly<Record<string, unknown>> = {
  'network.add': { ips: ['10.62.0.2'] },
  'runtime.startPause': process,
  'runtime.create': process,
  'runtime.writeBundle': { uid: 0, gid: 0, supplementalGroups: [], stopSignal: 'SIGTERM', logPath: '' },
  'runtime.observe': { containers: [], pauses: [] },
  'images.resolve': resolvedImage(),
  'images.takeCredentials': [],
  'images.fetchLayer': 10,
  'storage.observe': { layers: imageRecord().layers.map((layer) => layer.diffId), rootfs: [] },
};

export class EasyWorld {
  readonly clock = new HandClock();
  readonly ledger = emptyLedger();
  /** Effects in the order in which they were begun, such as `network.add`, and records as `journal sandbox.ready`. */
  readonly asked: string[] = [];
  /** As they were handed to the journal. */
  readonly recorded: JournalRecord[] = [];
  /** Namespaces that somebody took from each sandbox. */
  readonly lostPins: string[] = [];
  pauseAlive = true;
  /** What effects give, by name. */
  readonly answers: Record<string, unknown> = { ...ANSWERS };
  /** What references mean: another function for another registries.conf. */
  candidates = (reference: string): readonly string[] => [reference];
  /** Set: there are plugins, and what they hear is asked of them as effects (`nri.RunPodSandbox`). */
  hasPlugins = false;
  readonly #held = new Map<string, Promise<void>>();
  readonly #failing = new Map<string, Error>();
  readonly #scope: (namespace: string) => string;
  #ids = 0;
  #exits: (id: ContainerId, exit: ExitFact) => void = () => undefined;
  readonly troupe: ReturnType<typeof createTroupe>;

  constructor(
    options: Pick<TroupeOptions, 'selinux' | 'pinned'> = {},
    scope = (namespace: string): string => namespace,
  ) {
    this.#scope = scope;
    this.troupe = createTroupe({ ports: this.#ports(), ledger: this.ledger, ...options });
  }

  /** A world with an image, serving. */
  static async serving(
    options: Pick<TroupeOptions, 'selinux' | 'pinned'> = {},
    scope = (namespace: string): string => namespace,
  ): Promise<EasyWorld> {
    const world = new EasyWorld(options, scope);
    ledgerFold.apply(world.ledger, { type: 'image.present', image: imageRecord() });
    await world.troupe.start();
    world.asked.length = 0;
    return world;
  }

  /** Calls of this effect wait until the returned function is called. An abort ends them. */
  hold(name: string): () => Promise<void> {
    let go: () => void = () => undefined;
    this.#held.set(
      name,
      new Promise((resolve) => {
        go = resolve;
      }),
    );
    return async () => {
      this.#held.delete(name);
      go();
      await turns();
    };
  }

  fail(
    name: string,
    message = `${name}: refused`,
    kind: FaultKind = 'outside',
    options: { readonly quotesOutput?: boolean } = {},
  ): void {
    this.#failing.set(name, new FaultError(fault(kind, message, options)));
  }

  fix(name: string): void {
    this.#failing.delete(name);
  }

  exits(id: ContainerId, exit: ExitFact): void {
    this.#exits(id, exit);
  }

  /** A call with a deadline so many milliseconds from now; without one it waits for ever. */
  call(deadlineMs?: number, signal = new AbortController().signal): Call {
    return {
      cause: innerCause('test'),
      signal,
      deadlineMonoMs: deadlineMs === undefined ? undefined : this.clock.monoMs() + deadlineMs,
    };
  }

  count(name: string): number {
    return this.asked.filter((one) => one === name).length;
  }

  async #effect(name: string, fx: EffectContext | undefined): Promise<unknown> {
    this.asked.push(name);
    fx?.note({ on: name });
    const aborted = new Promise<never>((_resolve, reject) => {
      fx?.signal.addEventListener('abort', () =>
        reject(new FaultError(fault('cancelled', `${name}: not wanted any more`))),
      );
    });
    aborted.catch(() => undefined);
    await Promise.race([this.#held.get(name), aborted]);
    const refusal = this.#failing.get(name);
    if (refusal !== undefined) throw refusal;
    return this.answers[name];
  }

  async #append(records: readonly JournalRecord[]): Promise<void> {
    this.recorded.push(...records);
    for (const { type } of records) await this.#effect(`journal ${type}`, undefined);
    for (const record of records) ledgerFold.apply(this.ledger, record);
  }

  async #observeHost(fx: EffectContext): Promise<unknown> {
    await this.#effect('host.observe', fx);
    const pins = ['net', 'ipc', 'uts'].filter((pin) => !this.lostPins.includes(pin));
    return {
      bootId: process.bootId,
      sandboxes: [...this.ledger.sandboxes.keys()].map((id) => ({ id, pins, files: true })),
    };
  }

  /** In the order of the driver; neither thaw nor drop can be aborted. */
  async #checkpoint({ onThawed }: CheckpointInput, fx: EffectContext): Promise<void> {
    try {
      try {
        await this.#effect('checkpoints.read', fx);
      } finally {
        await this.#effect('checkpoints.thaw', undefined);
        onThawed?.();
      }
      await this.#effect('checkpoints.pack', fx);
    } catch (thrown) {
      await this.#effect('checkpoints.drop', undefined);
      throw thrown;
    }
  }

  #port(room: string, own: object): object {
    return new Proxy(own, {
      get: (target, key) =>
        (Reflect.get(target, key) as unknown) ??
        ((...args: readonly unknown[]) =>
          this.#effect(`${room}.${String(key)}`, args.at(-1) as EffectContext)),
    });
  }

  #ports(): Ports {
    const ids = (): string => {
      this.#ids += 1;
      return this.#ids.toString(16).padStart(64, '0');
    };
    const handler = {
      name: '',
      ready: true,
      reason: '',
      recursiveReadOnlyMounts: false,
      userNamespaces: false,
    };
    const ports = {
      clock: this.clock,
      log: silentLog,
      random: { id: ids, token: ids },
      journal: { append: (records: readonly JournalRecord[]) => this.#append(records) },
      host: this.#port('host', { observe: (fx: EffectContext) => this.#observeHost(fx) }),
      network: this.#port('network', {
        status: () => ({ ready: !this.#failing.has('network'), reason: '', message: 'no configuration' }),
        collectable: () => this.answers['network.collectable'],
      }),
      nri: {
        isActive: () => this.hasPlugins,
        plugins: () => [],
        attach: () => undefined,
        notifyPod: (news: string, _id: unknown, fx: EffectContext) => this.#effect(`nri.${news}`, fx),
        notifyContainer: (news: string, _id: unknown, fx: EffectContext) => this.#effect(`nri.${news}`, fx),
        updatePod: (_id: unknown, _wanted: unknown, fx: EffectContext) =>
          this.#effect('nri.UpdatePodSandbox', fx),
        updateContainer: (_id: unknown, change: Resources, fx: EffectContext) =>
          this.#effect('nri.UpdateContainer', fx).then(() => change),
      },
      storage: this.#port('storage', {}),
      stats: this.#port('stats', {}),
      checkpoints: this.#port('checkpoints', {
        checkpoint: (input: CheckpointInput, fx: EffectContext) => this.#checkpoint(input, fx),
      }),
      policy: this.#port('policy', { scope: this.#scope }),
      images: this.#port('images', {
        naming: () => this.candidates,
        candidates: (reference: string) => this.candidates(reference),
      }),
      runtime: this.#port('runtime', {
        handlers: () => [handler, { ...handler, name: 'broken', ready: false, reason: 'no such file' }],
        onExit: (listener: (id: ContainerId, exit: ExitFact) => void) => {
          this.#exits = listener;
        },
        watch: () => undefined,
        isAlive: () => this.pauseAlive,
      }),
    };
    return ports as never;
  }
}
