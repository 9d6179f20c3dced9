// What a guest prints for the host: each request before it is made, each answer after it came, and what a check found.
// From the lines up to a cut follows what must be there after it.

/** Each on a line of its own, after `MARK`. */
export type Fact =
  | { readonly is: 'ready' }
  | {
      readonly is: 'ask' | 'done' | 'failed';
      readonly call: 'pod';
      readonly name: string;
      readonly id?: string;
    }
  | {
      readonly is: 'ask' | 'done' | 'failed';
      readonly call: 'container';
      readonly name: string;
      readonly pod: string;
      readonly id?: string;
    }
  | {
      readonly is: 'ask' | 'done' | 'failed';
      readonly call: 'removePod' | 'removeContainer';
      readonly id: string;
    }
  | { readonly is: 'ask' | 'done' | 'failed'; readonly call: 'pull' | 'removeImage'; readonly name: string }
  | { readonly is: 'done'; readonly call: 'exited'; readonly id: string; readonly code: number }
  | ({ readonly is: 'checked' } & Checked);

export interface SeenImage {
  readonly name: string;
  /** Empty when its container ran and all its files are the registry's. */
  readonly problem: string;
}

/** What a check of one crash image found. */
export interface Checked {
  readonly image: number;
  /** Why the file system could not be mounted; then there is nothing else. */
  readonly unmountable?: string;
  /** Why the daemon did not start. */
  readonly start?: string;
  /** ms until it was ready. */
  readonly readyMs: number;
  readonly pods: readonly { readonly id: string; readonly name: string }[];
  readonly containers: readonly {
    readonly id: string;
    readonly name: string;
    readonly pod: string;
    readonly state: 'exited' | 'other';
    readonly exitCode: number;
  }[];
  readonly images: readonly SeenImage[];
  /** Images pulled after the cut, whose layers may have been in the store. */
  readonly pulled: readonly SeenImage[];
  /** What else went wrong: `troupe check`, the next pod, removals. */
  readonly problems: readonly string[];
}

export const MARK = '@power ';

/** The fact of a line of the guest's; undefined for other lines. */
export function factOf(line: string): Fact | undefined {
  const at = line.indexOf(MARK);
  return at === -1 ? undefined : (JSON.parse(line.slice(at + MARK.length)) as Fact);
}

/** `maybe`: asked for, or asked to go, and not answered. */
type Presence = 'there' | 'gone' | 'maybe';

interface Known {
  presence: Presence;
  readonly name: string;
}

/** What is known at a point in time. */
export interface Expected {
  readonly pods: ReadonlyMap<string, Known>;
  readonly containers: ReadonlyMap<string, Known & { readonly pod: string; exitCode?: number }>;
  readonly images: ReadonlyMap<string, Presence>;
  /** Names of pods and containers that were asked for: an unanswered one may be there under any id. */
  readonly asked: ReadonlySet<string>;
  readonly answers: number;
}

/** All facts up to a point, folded. */
export function expectedAfter(facts: readonly Fact[]): Expected {
  const pods = new Map<string, Known>();
  const containers = new Map<string, Known & { readonly pod: string; exitCode?: number }>();
  const images = new Map<string, Presence>();
  const asked = new Set<string>();
  let answers = 0;
  const set = (id: string, presence: Presence): void => {
    const known = pods.get(id) ?? containers.get(id);
    if (known !== undefined) known.presence = presence;
    for (const container of containers.values())
      if (container.pod === id && container.presence !== 'gone') container.presence = presence;
  };
  for (const fact of facts) {
    if (fact.is === 'ready' || fact.is === 'checked') continue;
    if (fact.is === 'done') answers += 1;
    switch (fact.call) {
      case 'pod':
      case 'container':
        asked.add(fact.name);
        if (fact.is !== 'done' || fact.id === undefined) break;
        if (fact.call === 'pod') pods.set(fact.id, { presence: 'there', name: fact.name });
        else containers.set(fact.id, { presence: 'there', name: fact.name, pod: fact.pod });
        break;
      case 'removePod':
      case 'removeContainer':
        set(fact.id, fact.is === 'done' ? 'gone' : 'maybe');
        break;
      case 'pull':
        images.set(fact.name, fact.is === 'done' ? 'there' : 'maybe');
        break;
      case 'removeImage':
        images.set(fact.name, fact.is === 'done' ? 'gone' : 'maybe');
        break;
      case 'exited': {
        const container = containers.get(fact.id);
        if (container !== undefined) container.exitCode = fact.code;
      }
    }
  }
  return { pods, containers, images, asked, answers };
}

/** Time of a start as the unit bounds it (deploy/troupe.service, TimeoutStartSec), ms. */
const START_MS = 120_000;

function judgeListed(
  what: 'pod' | 'container',
  expected: ReadonlyMap<string, Known>,
  asked: ReadonlySet<string>,
  seen: readonly { readonly id: string; readonly name: string }[],
): string[] {
  const ids = new Set(seen.map(({ id }) => id));
  const losses: string[] = [];
  for (const [id, { presence, name }] of expected) {
    if (presence === 'there' && !ids.has(id)) losses.push(`${what} ${name} (${id}) is lost`);
    if (presence === 'gone' && ids.has(id))
      losses.push(`${what} ${name} (${id}) is listed, although its removal was answered`);
  }
  for (const { id, name } of seen)
    if (!expected.has(id) && !asked.has(name)) losses.push(`${what} ${name} (${id}) was never asked for`);
  return losses;
}

/** What was lost or half; empty when all is well. */
export function lossesOf(expected: Expected, seen: Checked): string[] {
  if (seen.unmountable !== undefined) return [`the file system can't be mounted: ${seen.unmountable}`];
  if (seen.start !== undefined) return [`the daemon did not start: ${seen.start}`];
  const losses = [
    ...judgeListed('pod', expected.pods, expected.asked, seen.pods),
    ...judgeListed('container', expected.containers, expected.asked, seen.containers),
  ];
  if (seen.readyMs > START_MS) losses.push(`the start took ${Math.round(seen.readyMs / 1000)} s`);
  for (const { id, name, state, exitCode } of seen.containers) {
    const known = expected.containers.get(id)?.exitCode;
    if (known !== undefined && (state !== 'exited' || exitCode !== known))
      losses.push(`container ${name} (${id}) ended with ${known}, and now is ${state} with ${exitCode}`);
  }
  const listed = new Set(seen.images.map(({ name }) => name));
  for (const [name, presence] of expected.images) {
    if (presence === 'there' && !listed.has(name)) losses.push(`image ${name} is lost`);
    if (presence === 'gone' && listed.has(name))
      losses.push(`image ${name} is listed, although its removal was answered`);
  }
  for (const { name, problem } of seen.images)
    if (problem !== '') losses.push(`image ${name} is half: ${problem}`);
  for (const { name, problem } of seen.pulled)
    if (problem !== '') losses.push(`image ${name}, pulled after the cut, is half: ${problem}`);
  return [...losses, ...seen.problems];
}
