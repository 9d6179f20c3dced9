// A headless Chromium, driven over the DevTools protocol through its pipe: no port that anybody else could reach.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { EVENT_MS } from '../../support/patience.ts';

/** Debian's browser without a window, or the whole one. */
const PLACES = ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium', '/usr/bin/chromium-browser'];

/**
 * The browser's path; undefined where it is not installed (Ubuntu has it as a snap only, which no root without a
 * session can run).
 */
export const chromium = PLACES.find((path) => existsSync(path));

/** ms for one answer of the browser, and for a condition on the page: bounds of a test that has failed already. */
const PATIENCE_MS = EVENT_MS;

type Json = Readonly<Record<string, unknown>>;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Json;
  readonly result?: Json;
  readonly error?: { readonly message: string };
}

export interface AccessibleNode {
  readonly role: string;
  readonly name: string;
  /** Such as `level`, `expanded` or `focused`. */
  readonly properties: Json;
}

export interface Page {
  /** Opens an address and waits until it has loaded. */
  readonly open: (url: string) => Promise<void>;
  /** The value of an expression in the page; a promise is waited for. Throws what it throws. */
  readonly value: <T>(expression: string) => Promise<T>;
  /** Waits until the expression is true, checking once per frame of the page. */
  readonly until: (expression: string) => Promise<void>;
  /** A key with its name, such as `ArrowDown` or `/`. */
  readonly press: (key: string) => Promise<void>;
  readonly type: (text: string) => Promise<void>;
  readonly size: (width: number, height: number) => Promise<void>;
  readonly scheme: (scheme: 'light' | 'dark') => Promise<void>;
  readonly picture: () => Promise<Buffer>;
  /** What a screen reader gets, in the order of the page, without ignored nodes and plain text. */
  readonly accessible: () => Promise<readonly AccessibleNode[]>;
  /** Lines of the console at warning or above, errors that nobody caught, requests that failed or were blocked. */
  readonly complaints: readonly string[];
  /** Addresses of all requests, without query and fragment. */
  readonly requests: readonly string[];
}

export interface Browser {
  readonly page: Page;
  readonly close: () => Promise<void>;
}

/** Starts a browser with one empty page. */
export async function openBrowser(): Promise<Browser> {
  if (chromium === undefined) throw new Error('there is no Chromium on this machine');
  const profile = await mkdtemp(join(tmpdir(), 'troupe-page-'));
  const args = [
    // the sandbox refuses root; this browser sees pages of ours only
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--hide-scrollbars',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--disable-default-apps',
    '--remote-debugging-pipe',
    `--user-data-dir=${profile}`,
    'about:blank',
  ];
  const child = spawn(chromium, args, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
  const ended = new Promise<void>((resolve) => void child.once('exit', () => resolve()));
  const wire = new Wire(child);
  const close = async (): Promise<void> => {
    // asked to end, it takes its own children along first: they write into the profile until then
    await Promise.race([ended, wire.send('Browser.close').then(() => ended)]).catch(() =>
      child.kill('SIGKILL'),
    );
    await ended;
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    return { page: await firstPage(wire), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Commands and events, each a JSON text ended by a null byte. */
class Wire {
  readonly #out: Writable;
  readonly #waiting = new Map<number, { resolve: (result: Json) => void; reject: (error: Error) => void }>();
  readonly #listeners: ((message: Message) => void)[] = [];
  #kept = '';
  #next = 1;

  constructor(child: ChildProcess) {
    this.#out = child.stdio[3] as Writable;
    const input = child.stdio[4] as Readable;
    input.setEncoding('utf8');
    input.on('data', (text: string) => this.#take(text));
    child.once('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the browser has ended'));
    });
  }

  listen(listener: (message: Message) => void): void {
    this.#listeners.push(listener);
  }

  send(method: string, params: Json = {}, sessionId?: string): Promise<Json> {
    const id = this.#next;
    this.#next += 1;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${method}: the browser gave no answer`)), PATIENCE_MS);
      const settle =
        <T>(act: (value: T) => void) =>
        (value: T) => {
          clearTimeout(timer);
          this.#waiting.delete(id);
          act(value);
        };
      this.#waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
      this.#out.write(
        `${JSON.stringify({ id, method, params, ...(sessionId === undefined ? {} : { sessionId }) })}\0`,
      );
    });
  }

  #take(text: string): void {
    const parts = `${this.#kept}${text}`.split('\0');
    this.#kept = parts.pop() ?? '';
    for (const part of parts) {
      const message = JSON.parse(part) as Message;
      const waiting = message.id === undefined ? undefined : this.#waiting.get(message.id);
      if (waiting === undefined) for (const listener of this.#listeners) listener(message);
      else if (message.error === undefined) waiting.resolve(message.result ?? {});
      else waiting.reject(new Error(message.error.message));
    }
  }
}

/** A command of the page's session. */
type Send = (method: string, params?: Json) => Promise<Json>;

async function firstPage(wire: Wire): Promise<Page> {
  const { targetInfos } = (await wire.send('Target.getTargets')) as {
    targetInfos: readonly { targetId: string; type: string }[];
  };
  const target = targetInfos.find(({ type }) => type === 'page');
  const { sessionId } = (await wire.send('Target.attachToTarget', {
    targetId: target?.targetId ?? '',
    flatten: true,
  })) as { sessionId: string };
  const send: Send = (method, params = {}) => wire.send(method, params, sessionId);
  const complaints: string[] = [];
  const requests: string[] = [];
  let loaded: () => void = () => undefined;
  wire.listen(({ method, params }) => {
    if (method === 'Page.loadEventFired') loaded();
    const complaint = complaintOf(method ?? '', params ?? {});
    if (complaint !== undefined) complaints.push(complaint);
    if (method === 'Network.requestWillBeSent')
      requests.push(bare((params as { request: { url: string } }).request.url));
  });
  for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await send(`${domain}.enable`);
  return {
    complaints,
    requests,
    open: async (url) => {
      const done = new Promise<void>((resolve) => (loaded = resolve));
      await send('Page.navigate', { url });
      await done;
    },
    ...scripts(send),
    ...handsOf(send),
  };
}

/** Expressions that are evaluated in the page. */
function scripts(send: Send): Pick<Page, 'value' | 'until'> {
  const value = async <T>(expression: string): Promise<T> => {
    const answer = (await send('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    })) as {
      result: { value?: unknown };
      exceptionDetails?: { exception?: { description?: string }; text: string };
    };
    if (answer.exceptionDetails !== undefined)
      throw new Error(answer.exceptionDetails.exception?.description ?? answer.exceptionDetails.text);
    return answer.result.value as T;
  };
  return {
    value,
    until: async (expression) => {
      const poll = `new Promise((resolve, reject) => { const end = performance.now() + ${PATIENCE_MS - 2000}; const poll = () => { if (${expression}) resolve(true); else if (performance.now() > end) reject(new Error('never true: ' + ${JSON.stringify(expression)} + '\\n' + document.body.innerText.slice(0, 1500))); else requestAnimationFrame(poll); }; poll(); })`;
      await value(poll);
    },
  };
}

/** What a person does with the page, and sees of it. */
function handsOf(send: Send): Pick<Page, 'press' | 'type' | 'size' | 'scheme' | 'picture' | 'accessible'> {
  return {
    press: async (key) => {
      const text = key.length === 1 ? { text: key } : {};
      await send('Input.dispatchKeyEvent', { type: 'keyDown', key, ...text });
      await send('Input.dispatchKeyEvent', { type: 'keyUp', key });
    },
    type: async (text) => void (await send('Input.insertText', { text })),
    size: async (width, height) =>
      void (await send('Emulation.setDeviceMetricsOverride', {
        width,
        height,
        deviceScaleFactor: 1,
        mobile: false,
      })),
    scheme: async (scheme) =>
      void (await send('Emulation.setEmulatedMedia', {
        features: [{ name: 'prefers-color-scheme', value: scheme }],
      })),
    picture: async () =>
      Buffer.from(
        ((await send('Page.captureScreenshot', { format: 'png' })) as { data: string }).data,
        'base64',
      ),
    accessible: async () => {
      const { nodes } = (await send('Accessibility.getFullAXTree')) as { nodes: readonly AxNode[] };
      return inOrder(nodes).map(({ role, name, properties = [] }) => ({
        role: role?.value ?? '',
        name: name?.value ?? '',
        properties: Object.fromEntries(properties.map((one) => [one.name, one.value.value])),
      }));
    },
  };
}

/** A node as the protocol sends it (Accessibility.AXNode). */
interface AxNode {
  readonly nodeId: string;
  readonly ignored: boolean;
  readonly role?: { readonly value: string };
  readonly name?: { readonly value: string };
  readonly childIds?: readonly string[];
  readonly properties?: readonly { readonly name: string; readonly value: { readonly value: unknown } }[];
}

/** The protocol lists nodes level by level. */
function inOrder(nodes: readonly AxNode[]): readonly AxNode[] {
  const byId = new Map(nodes.map((node) => [node.nodeId, node]));
  const walk = (node: AxNode): readonly AxNode[] => [
    ...(node.ignored || TEXTS.has(node.role?.value ?? '') ? [] : [node]),
    ...(node.childIds ?? []).flatMap((id) => {
      const child = byId.get(id);
      return child === undefined ? [] : walk(child);
    }),
  ];
  return nodes[0] === undefined ? [] : walk(nodes[0]);
}

const TEXTS = new Set(['StaticText', 'InlineTextBox', 'none', 'generic', 'LineBreak']);

const bare = (url: string): string => url.replace(/[?#].*$/u, '');

function complaintOf(method: string, params: Json): string | undefined {
  if (method === 'Runtime.exceptionThrown') return `exception: ${JSON.stringify(params['exceptionDetails'])}`;
  if (method === 'Runtime.consoleAPICalled' && (params['type'] === 'error' || params['type'] === 'warning'))
    return `console: ${JSON.stringify(params['args'])}`;
  if (method === 'Log.entryAdded') {
    const { level, text, url } = params['entry'] as { level: string; text: string; url?: string };
    return level === 'error' || level === 'warning' ? `log: ${text} ${bare(url ?? '')}` : undefined;
  }
  if (method === 'Network.loadingFailed')
    return `request: ${JSON.stringify([params['errorText'], params['blockedReason']])}`;
  return undefined;
}
