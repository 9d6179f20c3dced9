/** The answers that clients got, kept over every crash: the third view beside records and kernel. */

/** An archive of a request, and what its client knows of it. */
export interface AskedArchive {
  /** `written`: it is promised. `refused`: an answer said that it is not there. `unsure`: no answer came. */
  readonly answer: 'asked' | 'written' | 'refused' | 'unsure';
  /** All archives of the request. */
  readonly together: readonly string[];
}

export class History {
  /** Ids that a client was handed and nobody has asked to remove. */
  readonly sandboxes = new Set<string>();
  readonly containers = new Map<string, { readonly sandboxId: string }>();
  /** Ids whose removal somebody asked for: from then on they may be gone, whatever another call is answered. */
  readonly #unwanted = new Set<string>();
  /** Cpu shares of the last update that was answered with OK and that no other has followed. */
  readonly limits = new Map<string, bigint>();
  /** Ids that Stop was answered for, for ever; of containers that nobody had asked to start, apart. */
  readonly #ended = new Set<string>();
  readonly #endedUnstarted = new Set<string>();
  readonly #updates = new Map<string, { readonly begun: number; readonly open: number }>();
  readonly #startsAsked = new Set<string>();
  readonly started = new Set<string>();
  readonly stopped = new Set<string>();
  readonly stoppedSandboxes = new Set<string>();
  readonly removed = new Set<string>();
  /** Image ids that a pull was answered with and nobody has asked to remove since. */
  readonly images = new Set<string>();
  /** References whose removal was answered and that nobody has pulled since. */
  readonly removedImages = new Set<string>();
  /** Archives that a checkpoint was asked for and no client has taken away, by path. */
  readonly archives = new Map<string, AskedArchive>();
  /** Failures that clients saw and that no right daemon gives. */
  readonly wrongs: string[] = [];
  readonly notes: string[] = [];
  #pulls = 0;
  #pullsBegun = 0;
  #removals = 0;
  #removalsBegun = 0;

  note(text: string): void {
    this.notes.push(text);
  }

  /** Processes are gone with the power: what ran has ended, whatever was said. */
  powerLost(): void {
    this.note('power lost');
  }

  /** Somebody asked for the removal of one of these. */
  isUnwanted(...ids: readonly string[]): boolean {
    return ids.some((id) => this.#unwanted.has(id));
  }

  ran(id: string): void {
    if (!this.#unwanted.has(id)) this.sandboxes.add(id);
  }

  created(id: string, sandboxId: string): void {
    if (!this.#unwanted.has(id) && this.sandboxes.has(sandboxId)) this.containers.set(id, { sandboxId });
  }

  askedToRemoveContainer(id: string): void {
    this.#unwanted.add(id);
    this.containers.delete(id);
    this.limits.delete(id);
    this.started.delete(id);
    this.stopped.delete(id);
  }

  askedToRemoveSandbox(id: string): void {
    this.#unwanted.add(id);
    this.sandboxes.delete(id);
    this.stoppedSandboxes.delete(id);
    for (const [container, { sandboxId }] of this.containers)
      if (sandboxId === id) this.askedToRemoveContainer(container);
  }

  /**
   * I12: the sequential model of one container, or sandbox, as far as the order of answers and calls shows: what begins
   * after the answer of another comes after it. A call begins; the returned function takes its OK.
   */
  begin(operation: 'start' | 'stop' | 'update' | 'createIn' | 'exec' | 'checkpoint', id: string): () => void {
    const removed = this.removed.has(id);
    const ended = this.#ended.has(id);
    const unstarted = this.#endedUnstarted.has(id);
    if (operation === 'start') this.#startsAsked.add(id);
    return () => {
      const wrong = (after: string): void =>
        void this.wrongs.push(`I12 ${operation} of ${id} says ok and began after ${after} had said ok`);
      if (removed && operation !== 'stop') wrong('its removal');
      if (
        ended &&
        (operation === 'update' ||
          operation === 'exec' ||
          operation === 'createIn' ||
          operation === 'checkpoint')
      )
        wrong('its stop');
      if (unstarted && operation === 'start') wrong('its stop before any start');
      if (operation !== 'stop') return;
      this.#ended.add(id);
      if (!this.#startsAsked.has(id)) this.#endedUnstarted.add(id);
    };
  }

  /**
   * An update begins; the returned functions take its OK, and its end. Only one that no other overlapped promises
   * anything.
   */
  update(id: string, shares: bigint): { readonly ok: () => void; readonly ended: () => void } {
    this.limits.delete(id);
    const before = this.#updates.get(id) ?? { begun: 0, open: 0 };
    const begun = before.begun + 1;
    this.#updates.set(id, { begun, open: before.open + 1 });
    return {
      ok: () => {
        if (before.open === 0 && this.#updates.get(id)?.begun === begun && this.containers.has(id))
          this.limits.set(id, shares);
      },
      ended: () => {
        const now = this.#updates.get(id) ?? { begun, open: 1 };
        this.#updates.set(id, { ...now, open: now.open - 1 });
      },
    };
  }

  /** Archives are asked for, under paths of their own; the returned function takes the answer. */
  archive(together: readonly string[]): (answer: AskedArchive['answer']) => void {
    for (const path of together) this.archives.set(path, { answer: 'asked', together });
    return (answer) => {
      for (const path of together) if (this.archives.has(path)) this.archives.set(path, { answer, together });
    };
  }

  /** A client takes an archive away, so long as no call is at work on it. */
  forgetArchive(path: string): boolean {
    return this.archives.get(path)?.answer === 'asked' ? false : this.archives.delete(path);
  }

  /**
   * A pull begins; the returned function takes its answer. Only a pull that no removal overlapped promises anything.
   */
  pull(): (imageId: string | undefined) => void {
    this.removedImages.clear();
    this.#pulls += 1;
    this.#pullsBegun += 1;
    const alone = this.#removals === 0;
    const before = this.#removalsBegun;
    return (imageId) => {
      this.#pulls -= 1;
      if (imageId !== undefined && alone && this.#removalsBegun === before) this.images.add(imageId);
    };
  }

  /** The same for a removal. */
  removal(): (reference: string | undefined) => void {
    this.images.clear();
    this.#removals += 1;
    this.#removalsBegun += 1;
    const alone = this.#pulls === 0;
    const before = this.#pullsBegun;
    return (reference) => {
      this.#removals -= 1;
      if (reference !== undefined && alone && this.#pullsBegun === before) this.removedImages.add(reference);
    };
  }
}
