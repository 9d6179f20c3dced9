/**
 * The read model: every sandbox, container and pull by address, id prefix and name. Lists are answered from here and
 * not by the actors, so that an actor that waits for something cannot delay a reader.
 */
import type { AnyActorRef } from 'xstate';
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import { containerAddress } from '../container/container.context.ts';
import type { ContainerAddress, ContainerEvent } from '../container/container.context.ts';
import type { PullAddress, PullEvent } from '../image-pull/image-pull.context.ts';
import type { ContainerKey, SandboxKey } from '../../ports/specs.ts';
import { sandboxAddress } from '../sandbox/sandbox.context.ts';
import type { SandboxAddress, SandboxEvent } from '../sandbox/sandbox.context.ts';
import type { ContainerView, PullView, SandboxView, View } from './views.ts';

/** Any event that a client sends to an actor; `Directory.send` types which actor takes which. */
export type ActorEvent = SandboxEvent | ContainerEvent | PullEvent;

/** Called at each change of an actor; `gone` at the last one. */
export type ViewListener = (view: View, gone: boolean) => void;

interface Entry {
  view: View;
  ref: AnyActorRef;
}

export type FoundView<V> = { readonly found: 'one'; readonly view: V } | { readonly found: 'none' | 'many' };

export class Directory {
  readonly #entries = new Map<string, Entry>();
  /** Exits of containers whose actor has crashed, until it is rebuilt; at most one each. */
  readonly #exits = new Map<string, ContainerEvent>();
  readonly #listeners = new Map<string, Set<ViewListener>>();
  readonly #everyChange = new Set<ViewListener>();
  readonly #ends = new Set<() => void>();
  #isOver = false;
  #sandboxes: readonly SandboxView[] | undefined;
  #containers: readonly ContainerView[] | undefined;
  /** In order of creation: the containers of a sandbox, and the sandboxes of a pod. */
  readonly #ofSandbox = new Map<SandboxId, Set<ContainerId>>();
  readonly #ofPod = new Map<string, Set<SandboxId>>();

  /** Stores the actor's new view. Only the supervisor calls it, and `replace`. */
  put(view: View, ref: AnyActorRef): void {
    if (!this.#entries.has(view.address)) this.#index(view);
    this.#entries.set(view.address, { view, ref });
    this.#changed(view, false);
    const exit = this.#exits.get(view.address);
    if (exit === undefined || hasCrashed(ref)) return;
    this.#exits.delete(view.address);
    ref.send(exit);
  }

  /** Deletes an actor that has ended; listeners get this last view. */
  drop(view: View): void {
    this.#entries.delete(view.address);
    this.#exits.delete(view.address);
    this.#unindex(view);
    this.#changed(view, true);
  }

  /** Sets the view of a quarantined actor, which was stopped without its machine. No-op once it was dropped. */
  replace(view: View): void {
    const entry = this.#entries.get(view.address);
    if (entry !== undefined) this.put(view, entry.ref);
  }

  /**
   * Sends an event to an actor. False when there is no actor at the address. An exit is reported once and only here:
   * one that comes between a crash of the actor and its rebuild is kept for the rebuilt one, which may have observed
   * the process just before. A command is repeated by `ask`.
   */
  send(address: SandboxAddress, event: SandboxEvent): boolean;
  send(address: ContainerAddress, event: ContainerEvent): boolean;
  send(address: PullAddress, event: PullEvent): boolean;
  send(address: string, event: ActorEvent): boolean {
    const ref = this.ref(address);
    if (ref === undefined) return false;
    if (event.type === 'container.exited' && hasCrashed(ref)) this.#exits.set(address, event);
    else ref.send(event);
    return true;
  }

  /** Subscribes to one actor's changes; the returned function unsubscribes. */
  listen(address: string, listener: ViewListener): () => void {
    const listeners = this.#listeners.get(address) ?? new Set<ViewListener>();
    listeners.add(listener);
    this.#listeners.set(address, listeners);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.#listeners.delete(address);
    };
  }

  /** Subscribes to the changes of all actors; the returned function unsubscribes. */
  listenToAll(listener: ViewListener): () => void {
    this.#everyChange.add(listener);
    return () => this.#everyChange.delete(listener);
  }

  /**
   * Calls the listener when the actors have been stopped, so that none changes any more; at once if they have. The
   * returned function unsubscribes.
   */
  onEnd(listener: () => void): () => void {
    if (this.#isOver) {
      listener();
      return () => undefined;
    }
    this.#ends.add(listener);
    return () => this.#ends.delete(listener);
  }

  /** The actors have been stopped. */
  end(): void {
    this.#isOver = true;
    for (const listener of [...this.#ends]) listener();
    this.#ends.clear();
  }

  view(address: string): View | undefined {
    return this.#entries.get(address)?.view;
  }

  /** The actor itself, for `ask`, which compares it to notice a rebuilt actor; all other callers use `send`. */
  ref(address: string): AnyActorRef | undefined {
    return this.#entries.get(address)?.ref;
  }

  sandbox(id: SandboxId): SandboxView | undefined {
    const view = this.view(sandboxAddress(id));
    return view?.kind === 'sandbox' ? view : undefined;
  }

  container(id: ContainerId): ContainerView | undefined {
    const view = this.view(containerAddress(id));
    return view?.kind === 'container' ? view : undefined;
  }

  /** All sandboxes, listed or not, in order of creation; returns the same array until a sandbox changes. */
  sandboxes(): readonly SandboxView[] {
    this.#sandboxes ??= this.#all().filter((view) => view.kind === 'sandbox');
    return this.#sandboxes;
  }

  /** All containers, listed or not, in order of creation; returns the same array until a container changes. */
  containers(): readonly ContainerView[] {
    this.#containers ??= this.#all().filter((view) => view.kind === 'container');
    return this.#containers;
  }

  pulls(): readonly PullView[] {
    return this.#all().filter((view) => view.kind === 'pull');
  }

  containersOf(id: SandboxId): readonly ContainerView[] {
    return [...(this.#ofSandbox.get(id) ?? [])].flatMap((one) => this.container(one) ?? []);
  }

  /** Sandboxes of this pod, of any attempt; more than one of an attempt only while the cleanup of others is pending. */
  sandboxesByName(key: SandboxKey): readonly SandboxView[] {
    return [...(this.#ofPod.get(podOf(key)) ?? [])].flatMap((one) => this.sandbox(one) ?? []);
  }

  /** Containers of this name in their sandbox, of any attempt. */
  containersByName(key: ContainerKey): readonly ContainerView[] {
    return this.containersOf(key.sandboxId).filter((view) => view.spec.key.name === key.name);
  }

  /** Finds a sandbox or container by a unique prefix of its id; an unlisted one only by its whole id. */
  findSandbox(prefix: string): FoundView<SandboxView> {
    const whole = this.sandbox(prefix as SandboxId);
    return whole === undefined ? find(this.sandboxes(), prefix) : { found: 'one', view: whole };
  }

  /** Finds a sandbox or container by a unique prefix of its id; an unlisted one only by its whole id. */
  findContainer(prefix: string): FoundView<ContainerView> {
    const whole = this.container(prefix as ContainerId);
    return whole === undefined ? find(this.containers(), prefix) : { found: 'one', view: whole };
  }

  #all(): View[] {
    return [...this.#entries.values()].map((entry) => entry.view);
  }

  #index(view: View): void {
    if (view.kind === 'container') addTo(this.#ofSandbox, view.spec.key.sandboxId, view.id);
    if (view.kind === 'sandbox') addTo(this.#ofPod, podOf(view.spec.key), view.id);
  }

  #unindex(view: View): void {
    if (view.kind === 'container') deleteFrom(this.#ofSandbox, view.spec.key.sandboxId, view.id);
    if (view.kind === 'sandbox') deleteFrom(this.#ofPod, podOf(view.spec.key), view.id);
  }

  #changed(view: View, gone: boolean): void {
    if (view.kind === 'sandbox') this.#sandboxes = undefined;
    if (view.kind === 'container') this.#containers = undefined;
    for (const listener of [...(this.#listeners.get(view.address) ?? [])]) listener(view, gone);
    for (const listener of this.#everyChange) listener(view, gone);
  }
}

function addTo<K, V>(sets: Map<K, Set<V>>, key: K, value: V): void {
  const set = sets.get(key) ?? new Set();
  sets.set(key, set.add(value));
}

function deleteFrom<K, V>(sets: Map<K, Set<V>>, key: K, value: V): void {
  const set = sets.get(key);
  set?.delete(value);
  if (set?.size === 0) sets.delete(key);
}

function hasCrashed(ref: AnyActorRef): boolean {
  return (ref.getSnapshot() as { readonly status: string }).status === 'error';
}

/** A text that names one pod. */
const podOf = ({ namespace, name, uid }: SandboxKey): string => JSON.stringify([namespace, name, uid]);

function find<V extends SandboxView | ContainerView>(views: readonly V[], prefix: string): FoundView<V> {
  const matches = views.filter((view) => view.listed && view.id.startsWith(prefix));
  const [first] = matches;
  if (first === undefined) return { found: 'none' };
  return matches.length === 1 ? { found: 'one', view: first } : { found: 'many' };
}
