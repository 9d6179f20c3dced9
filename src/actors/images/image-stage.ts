import type { Asker } from '../directory/ask.ts';
import type { PullAddress, PullInput } from '../image-pull/image-pull.context.ts';
import type { PullProgress } from '../image-pull/progress.ts';
import type { Ports } from '../../ports/ports.ts';
import type { LayerBook } from '../ledger/layer-book.ts';
import type { Ledger } from '../ledger/ledger.ts';

/** The callers that wait for one pull. */
export interface Waiters {
  readonly address: PullAddress;
  readonly reference: string;
  readonly namespace: string;
  count: number;
}

/** The dependencies of the image commands. */
export interface ImageStage extends Asker {
  readonly ports: Ports;
  readonly ledger: Ledger;
  readonly layers: LayerBook;
  readonly progress: PullProgress;
  /** Pulls under way by reference, credentials, namespace and policy scope, each with the number of waiting callers. */
  readonly pulls: Map<string, Waiters>;
  startPull(input: PullInput): void;
  /** Asks the janitor to delete unused layers in its next round. */
  layersLeft(): void;
}
