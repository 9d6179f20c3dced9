/**
 * Which (state, event) pairs of the machines' configs were taken: seen by the inspector of each boot, counted over a
 * run of many seeds. A machine's transitions are read off the machine itself, so that a new one is missed until it is
 * taken.
 */
import type { AnyStateNode, InspectionEvent } from 'xstate';
import { NEVER_TAKEN } from './never-taken.ts';
import { charted } from '../../scripts/support/charts/machines.ts';

/** `machine.state event`; transitions without an event are `always`. */
function pairOf(state: string, event: string): string {
  return `${state} ${event === '' ? 'always' : event}`;
}

function nodesOf(node: AnyStateNode): AnyStateNode[] {
  return [node, ...Object.values(node.states).flatMap((child: AnyStateNode) => nodesOf(child))];
}

/** All pairs of all machines. */
function known(): ReadonlySet<string> {
  const pairs = new Set<string>();
  for (const { machine } of charted) {
    for (const node of nodesOf(machine.root)) {
      if ((node.always ?? []).length > 0) pairs.add(pairOf(node.id, ''));
      for (const event of node.transitions.keys()) pairs.add(pairOf(node.id, event));
    }
  }
  return pairs;
}

interface Counter {
  times: number;
}

export class Coverage {
  readonly known = known();
  readonly #counters = new Map<string, Counter>();
  /** Of each transition of the machines, which are the same in many boots. */
  readonly #ofTransitions = new WeakMap<object, Counter>();

  /** For createTroupe. */
  readonly inspect = (event: InspectionEvent): void => {
    if (event.type !== '@xstate.microstep') return;
    for (const transition of event._transitions) {
      const known = this.#ofTransitions.get(transition);
      if (known !== undefined) known.times += 1;
      else {
        const counter = this.#counter(pairOf(transition.source.id, transition.eventType));
        counter.times += 1;
        this.#ofTransitions.set(transition, counter);
      }
    }
  };

  /** Times that another process saw a pair taken. */
  add(pair: string, times: number): void {
    this.#counter(pair).times += times;
  }

  /** How often each pair was taken. */
  get taken(): ReadonlyMap<string, number> {
    return new Map(
      [...this.#counters].filter(([pair]) => this.known.has(pair)).map(([pair, { times }]) => [pair, times]),
    );
  }

  #counter(pair: string): Counter {
    const counter = this.#counters.get(pair) ?? { times: 0 };
    this.#counters.set(pair, counter);
    return counter;
  }

  /** Without those that have a reason. */
  get missing(): readonly string[] {
    const { taken } = this;
    return [...this.known].filter((pair) => !taken.has(pair) && !NEVER_TAKEN.has(pair)).toSorted();
  }

  /** Pairs with a reason never to be taken that were taken, or that no machine has: the reason is wrong. */
  get wrongReasons(): readonly string[] {
    const { taken } = this;
    return [...NEVER_TAKEN.keys()].filter((pair) => taken.has(pair) || !this.known.has(pair));
  }

  /** Of all pairs, 0 to 1. */
  get share(): number {
    return this.taken.size / this.known.size;
  }
}
