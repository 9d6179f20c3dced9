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
  readonly attempt?: number;
  readonly createdNs?: string;
  readonly sinceNs?: string;
  readonly startMs?: string;
  readonly hasExited?: boolean;
  readonly exitCode?: number;
  readonly exitReason?: string;
  readonly settled?: boolean;
  readonly debts?: readonly string[];
  readonly fault?: string;
  readonly waits?: readonly {
    readonly on?: string;
    readonly effect?: string;
    readonly sinceNs?: string;
    readonly deadlineNs?: string;
  }[];
}

interface PageModel {
  readonly isRecovering: boolean;
  readonly seq: bigint;
  readonly actors: ReadonlyMap<string, PageActor>;
  readonly failures: readonly PageActor[];
  replace(list: {
    readonly actors?: readonly PageActor[];
    readonly failures?: readonly PageActor[];
    readonly seq?: string;
    readonly recovering?: boolean;
  }): void;
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
export const { failureText, Model, toneOf, waitText } = (await import(join(page, 'model.js'))) as {
  failureText: (actor: PageActor) => string;
  Model: new () => PageModel;
  toneOf: (actor: PageActor, nowMs: number, trouble?: string) => string;
  waitText: (actor: PageActor) => string;
};

export interface PageRow {
  readonly key: string;
  readonly actor?: PageActor;
  readonly title?: string;
  readonly count?: number;
  readonly depth: number;
  readonly inside: number;
  readonly isOpen?: boolean;
  readonly place: number;
  readonly among: number;
}

interface PageView {
  readonly text?: string;
  readonly mode?: string;
  readonly group?: string;
  readonly sort?: string;
  readonly collapsed?: ReadonlySet<string>;
  readonly nowMs?: number;
}

export const { collapsible, rowsOf } = (await import(join(page, 'rows.js'))) as {
  collapsible: (rows: readonly PageRow[]) => readonly string[];
  rowsOf: (model: PageModel, view: PageView) => readonly PageRow[];
};
export const { troublesOf } = (await import(join(page, 'trouble.js'))) as {
  troublesOf: (actors: ReadonlyMap<string, PageActor>, nowMs: number) => ReadonlyMap<string, string>;
};

interface PageNode {
  readonly model: PageModel;
  readonly facts: object | null;
  readonly troubles: ReadonlyMap<string, string>;
}

interface PageChange {
  readonly atNs: string;
  readonly to: string;
  readonly settled?: boolean;
}

export const { lastWay } = (await import(join(page, 'timeline.js'))) as {
  lastWay: (
    history: readonly PageChange[],
    nowMs: number,
    isFinal: (path: string) => boolean,
  ) =>
    | {
        readonly fromMs: number;
        readonly toMs: number;
        readonly isLive: boolean;
        readonly bars: readonly { readonly path: string; readonly fromMs: number; readonly toMs: number }[];
      }
    | undefined;
};
export const { reducedChart } = (await import(join(page, 'chart-reduce.js'))) as {
  reducedChart: (chart: Chart, active: readonly string[], visited: readonly string[]) => Chart;
};
export const { call } = (await import(join(page, 'api.js'))) as {
  call: (method: string, message: object) => Promise<unknown>;
};
export const { conditionsOf, nodeSentence, overviewParts } = (await import(join(page, 'overview.js'))) as {
  conditionsOf: (facts: object | null) => readonly (readonly [string, string])[];
  nodeSentence: (at: PageNode) => string;
  overviewParts: (at: PageNode, go: object) => readonly (readonly [string, unknown])[];
};
export const styleFile = join(page, 'style.css');
