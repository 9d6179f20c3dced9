/**
 * A proxy around the ports that sees each effect begin: the crash points of an operation. Works on the real ports as on
 * the twins.
 */
import type { Ports } from '../../src/ports/ports.ts';

export interface Around {
  /** Called before the effect, with `port.method`; what it returns is awaited first. */
  before?(effect: string): Promise<void> | undefined;
  /** Called when the effect has succeeded, before the caller hears of it. */
  after?(effect: string): Promise<void> | undefined;
}

const PORTS = ['journal', 'host', 'network', 'runtime', 'storage', 'images', 'checkpoints'] as const;
/** Answer from memory, or only begin to watch: nothing that a crash could cut. */
const NOT_EFFECTS: ReadonlySet<string> = new Set([
  'network.status',
  'network.collectable',
  'runtime.handlers',
  'runtime.onExit',
  'runtime.watch',
  'runtime.isAlive',
  'images.naming',
  'images.candidates',
  'policy.scope',
]);

/** Effects of the janitor's rounds, which fall into any operation, and the operations that have them too. */
const OF_JANITOR: Readonly<Record<string, readonly string[]>> = {
  'host.observe': ['start'],
  'storage.observe': ['start', 'RemoveImage'],
};

/** `operation port.method`: what an effect is called among the crash points. */
export function pairOf(operation: string, effect: string): string {
  return `${OF_JANITOR[effect]?.includes(operation) === false ? 'idle' : operation} ${effect}`;
}

/** The ports, with each effect's begin and end recorded. */
export function aroundEffects(ports: Ports, around: Around): Ports {
  const wrapped = Object.fromEntries(PORTS.map((name) => [name, wrap(name, ports[name], around)]));
  return { ...ports, ...wrapped };
}

/** Reports `port.method` of each effect that begins. */
export function recordEffects(ports: Ports, onEffect: (effect: string) => void): Ports {
  return aroundEffects(ports, {
    before: (effect) => {
      onEffect(effect);
      return undefined;
    },
  });
}

/** One effect between the two records. */
export async function aroundEffect<T>(around: Around, effect: string, work: () => Promise<T>): Promise<T> {
  // begun at once unless it is held: a turn of its own would change the order of what happens
  const held = around.before?.(effect);
  if (held !== undefined) await held;
  const value = await work();
  await around.after?.(effect);
  return value;
}

function wrap<P extends object>(port: string, target: P, around: Around): P {
  return new Proxy(target, {
    get: (object, key) => {
      const member: unknown = Reflect.get(object, key);
      if (typeof key !== 'string' || typeof member !== 'function') return member;
      const effect = `${port}.${key}`;
      // bound to the target: drivers are classes with private members
      if (NOT_EFFECTS.has(effect)) return member.bind(object) as unknown;
      return (...args: readonly unknown[]): Promise<unknown> =>
        aroundEffect(around, effect, async () => Reflect.apply(member, object, args) as unknown);
    },
  });
}
