// The page's own modules that need no document, with the types that a browser does not ask for.
import { join } from 'node:path';
import type { Chart } from '../../../src/introspection/chart.ts';

export interface Box {
  readonly path: string;
  readonly inner: boolean;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly boxes: readonly Box[];
  readonly routes: readonly {
    readonly from: string;
    readonly to: string;
    readonly points: readonly (readonly [number, number])[];
  }[];
}

export interface PageActor {
  readonly address: string;
  readonly kind: string;
  readonly state: string;
  readonly id?: string;
  readonly name?: string;
  readonly namespace?: string;
  readonly sandboxId?: string;
  readonly settled?: boolean;
  readonly debts?: readonly string[];
  readonly fault?: string;
  readonly waits?: readonly { readonly on?: string; readonly effect?: string; readonly sinceNs?: string }[];
}

interface PageModel {
  readonly seq: bigint;
  readonly actors: ReadonlyMap<string, PageActor>;
  replace(list: { readonly actors?: readonly PageActor[]; readonly seq?: string }): void;
  apply(change: object): void;
  put(actor: PageActor & { readonly removedNs?: string }): void;
  remove(address: string): void;
  count(kind: string): number;
  rewind(): void;
}

const page = join(import.meta.dirname, '../../../src/introspection/page');

export const { layoutChart, liftedEdges } = (await import(join(page, 'chart-layout.js'))) as {
  layoutChart: (chart: Chart) => Layout;
  liftedEdges: (
    chart: Chart,
  ) => ReadonlyMap<string, readonly { readonly from: string; readonly to: string }[]>;
};
export const { activeStates, clockText, eventText, msOf, shortId, spanText } = (await import(
  join(page, 'format.js')
)) as {
  activeStates: (path: string) => readonly string[];
  clockText: (ms: number) => string;
  eventText: (type: string) => string;
  msOf: (ns: string | undefined) => number;
  shortId: (id: string) => string;
  spanText: (ms: number) => string;
};
export const { Model, rowsOf, toneOf, waitText } = (await import(join(page, 'model.js'))) as {
  Model: new () => PageModel;
  rowsOf: (
    model: PageModel,
    filter: { readonly text: string; readonly mode: string },
  ) => readonly { readonly actor: PageActor; readonly depth: number }[];
  toneOf: (actor: PageActor, nowMs: number) => string;
  waitText: (actor: PageActor) => string;
};
